package control

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// testDirs are runtime directories below one that only this test has. The path is short: t.TempDir is too long for
// a socket on macOS.
func testDirs(t *testing.T) runtimeDirs {
	t.Helper()
	root, err := os.MkdirTemp("", "hr")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	for _, dir := range []string{"xdg", "tmp"} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	env := map[string]string{"XDG_RUNTIME_DIR": filepath.Join(root, "xdg")}
	return runtimeDirs{
		getenv: func(name string) string { return env[name] },
		uid:    os.Geteuid(),
		system: filepath.Join(root, "run", "hotreload"),
		temp:   filepath.Join(root, "tmp"),
		users:  filepath.Join(root, "users"),
		shared: filepath.Join(root, "tmp"),
		memory: filepath.Join(root, "shm"),
	}
}

func (d runtimeDirs) withoutXDG() runtimeDirs {
	d.getenv = func(string) string { return "" }
	return d
}

func TestLocateTakesTheFirstDirectoryThatIsOurs(t *testing.T) {
	for name, test := range map[string]struct {
		prepare func(t *testing.T, d *runtimeDirs)
		want    string // relative to the root of the test's directories
	}{
		"the user's runtime directory": {func(*testing.T, *runtimeDirs) {}, "xdg/hotreload"},
		"the system's": {func(t *testing.T, d *runtimeDirs) {
			*d = d.withoutXDG()
			mkdir(t, filepath.Dir(d.system), 0o755)
		}, "run/hotreload"},
		"the temporary directory": {func(t *testing.T, d *runtimeDirs) { *d = d.withoutXDG() }, "tmp/hotreload-"},
		"memory, where nothing else can be written": {func(t *testing.T, d *runtimeDirs) {
			*d = d.withoutXDG()
			mkdir(t, d.memory, 0o777)
			// A directory that does not exist is as good as one on a read-only file system, which root could not be kept from writing to.
			if err := os.Remove(d.temp); err != nil {
				t.Fatal(err)
			}
		}, "shm/hotreload-"},
		"a relative XDG_RUNTIME_DIR is none": {func(t *testing.T, d *runtimeDirs) {
			d.getenv = func(string) string { return "xdg" }
		}, "tmp/hotreload-"},
		"others may write to the runtime directory": {func(t *testing.T, d *runtimeDirs) {
			chmod(t, d.getenv("XDG_RUNTIME_DIR"), 0o777)
		}, "tmp/hotreload-"},
		"others may write to our directory in it": {func(t *testing.T, d *runtimeDirs) {
			mkdir(t, filepath.Join(d.getenv("XDG_RUNTIME_DIR"), "hotreload"), 0o770)
		}, "tmp/hotreload-"},
		"a link in its place": {func(t *testing.T, d *runtimeDirs) {
			target := filepath.Join(d.temp, "elsewhere")
			mkdir(t, target, 0o700)
			if err := os.Symlink(target, filepath.Join(d.getenv("XDG_RUNTIME_DIR"), "hotreload")); err != nil {
				t.Fatal(err)
			}
		}, "tmp/hotreload-"},
		"a path too long for a socket": {func(t *testing.T, d *runtimeDirs) {
			long := filepath.Join(d.temp, strings.Repeat("x", 100))
			mkdir(t, long, 0o700)
			d.getenv = func(string) string { return long }
		}, "tmp/hotreload-"},
	} {
		t.Run(name, func(t *testing.T) {
			d := testDirs(t)
			root := filepath.Dir(d.temp)
			test.prepare(t, &d)
			place, err := Project{PIDFile: "/srv/app/server.pid"}.locate(d)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(place.Socket, filepath.Join(root, test.want)) {
				t.Errorf("socket %s, want it in %s", place.Socket, test.want)
			}
			st, err := os.Stat(filepath.Dir(place.Socket))
			if err != nil || st.Mode().Perm() != 0o700 {
				t.Errorf("directory: %v, mode %v", err, st.Mode())
			}
		})
	}
}

func TestLocateRefusesAnotherUsersDirectories(t *testing.T) {
	d := testDirs(t)
	d.uid++
	_, err := Project{PIDFile: "/srv/app/server.pid"}.locate(d)
	if err == nil || !strings.Contains(err.Error(), "belongs to user") || !strings.Contains(err.Error(), "--socket") {
		t.Errorf("error %v, want one that says whose directory it is and what to do", err)
	}
}

func TestLocateExplicitSocket(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "s")
	if place, err := (Project{Socket: socket, PIDFile: "/x"}).Locate(); err != nil || place.Socket != socket {
		t.Errorf("have %v, %v; want %s", place, err, socket)
	}
	for name, socket := range map[string]string{
		"unix sockets allow": filepath.Join(dir, strings.Repeat("x", 200)),
		"does not exist":     filepath.Join(dir, "missing", "s"),
	} {
		if _, err := (Project{Socket: socket}).Locate(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v, want one that says %q", socket, err, name)
		}
	}
}

func TestNameDependsOnTheProjectAlone(t *testing.T) {
	root := t.TempDir()
	mkdir(t, filepath.Join(root, "real"), 0o700)
	link := filepath.Join(root, "link")
	if err := os.Symlink("real", link); err != nil {
		t.Fatal(err)
	}
	byPID := func(path string) Project { return Project{PIDFile: path, Dir: "/a", Command: []string{"x"}} }
	base := byPID(filepath.Join(root, "real", "runtime", "server.pid")).name()
	same := map[string]Project{
		"another directory":        {PIDFile: filepath.Join(root, "real/runtime/server.pid"), Dir: "/b"},
		"through a link":           byPID(filepath.Join(link, "runtime", "server.pid")),
		"with a directory made":    byPID(filepath.Join(link, "runtime", "server.pid")),
		"with dots that mean none": byPID(filepath.Join(link, "runtime", "..", "runtime", "server.pid")),
	}
	mkdir(t, filepath.Join(root, "real", "runtime"), 0o700)
	for name, p := range same {
		if p.name() != base {
			t.Errorf("%s: another name", name)
		}
	}
	different := map[string]Project{
		"another pid file": byPID(filepath.Join(root, "real/runtime/other.pid")),
		"no pid file":      {Dir: "/a", Command: []string{"x"}},
		"another command":  {Dir: "/a", Command: []string{"x", "y"}},
		"joined command":   {Dir: "/a", Command: []string{"xy"}},
	}
	seen := map[string]string{base: "the pid file"}
	for name, p := range different {
		if have, taken := seen[p.name()]; taken {
			t.Errorf("%s has the name of %s", name, have)
		}
		seen[p.name()] = name
	}
}

func TestFind(t *testing.T) {
	d := testDirs(t)
	project := func(pidFile, dir, config string) Project { return Project{PIDFile: pidFile, Dir: dir, Config: config} }
	shop := project("/srv/shop/server.pid", "/srv/shop", "/srv/shop/hotreload.toml")
	bare := project("/home/me/app/server.pid", "/home/me/app", "")
	inner := project("/home/me/app/inner/server.pid", "/home/me/app/inner", "")
	for _, p := range []Project{shop, bare, inner} {
		open(t, p, d)
	}
	twins := []Project{project("/srv/twin/1.pid", "/srv/twin", ""), project("/srv/twin/2.pid", "/srv/twin", "")}
	for _, p := range twins {
		open(t, p, d)
	}
	place := func(p Project) string { return p.in(filepath.Join(d.getenv("XDG_RUNTIME_DIR"), "hotreload")).Socket }
	exact := func(p Project) Project { p.Exact = true; return p }
	for name, test := range map[string]struct {
		client Project
		want   string // "": none
	}{
		"the same pid file":                           {shop, place(shop)},
		"the same configuration, other flags":         {project("/elsewhere.pid", "/srv/shop", "/srv/shop/hotreload.toml"), place(shop)},
		"another configuration in the same directory": {project("", "/srv/shop", "/srv/shop/other.toml"), ""},
		"no configuration where one runs with it":     {project("", "/srv/shop", ""), ""},
		"the directory":                               {project("", "/home/me/app", ""), place(bare)},
		"a directory below":                           {project("", "/home/me/app/src/deep", ""), place(bare)},
		"the nearest above":                           {project("", "/home/me/app/inner/src", ""), place(inner)},
		"a directory above":                           {project("", "/home/me", ""), ""},
		"a directory with a longer name":              {project("", "/home/me/apple", ""), ""},
		"only this pid file":                          {exact(project("/other.pid", "/home/me/app", "")), ""},
		"one of two":                                  {twins[1], place(twins[1])},
	} {
		t.Run(name, func(t *testing.T) {
			have, err := test.client.find(d)
			if test.want == "" {
				if !errors.Is(err, ErrNotRunning) {
					t.Fatalf("have %v, %v; want ErrNotRunning", have, err)
				}
				return
			}
			if err != nil || have.Socket != test.want {
				t.Errorf("have %v, %v; want %s", have, err, test.want)
			}
			if have, err := test.client.find(d.withoutXDG()); !errors.Is(err, ErrNotRunning) {
				t.Errorf("found %v, %v in directories that this environment does not lead to", have, err)
			}
		})
	}
	var several *AmbiguousError
	if _, err := project("", "/srv/twin", "").find(d); !errors.As(err, &several) || len(several.Places) != 2 {
		t.Errorf("two that are equally near: %v, want an AmbiguousError with both", err)
	}
	dead := Project{Socket: filepath.Join(d.temp, "none.sock")}
	if _, err := dead.find(d); !errors.Is(err, ErrNotRunning) {
		t.Errorf("a configured socket without a listener: %v, want ErrNotRunning", err)
	}
}

// A hotreload that was started under another environment is found, and keeps a second one away.
func TestAnotherEnvironmentIsSeen(t *testing.T) {
	d := testDirs(t)
	d.users = filepath.Join(filepath.Dir(d.temp), "users")
	p := Project{PIDFile: "/srv/app/server.pid", Dir: "/srv/app"}
	open(t, p, d.withoutXDG()) // in tmp
	if place, err := p.find(d); err != nil || !strings.HasPrefix(place.Socket, d.temp) {
		t.Errorf("found %v, %v; want the one in %s", place, err, d.temp)
	}
	var taken *TakenError
	if _, err := p.acquire("watch", d); !errors.As(err, &taken) || taken.Owner.PID != os.Getpid() {
		t.Errorf("second hotreload: %v, want a TakenError with pid %d", err, os.Getpid())
	}
}

// open makes a hotreload of p that answers connections, until the test ends.
func open(t *testing.T, p Project, d runtimeDirs) *Lock {
	t.Helper()
	l, err := p.acquire("watch", d)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := l.Listen()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(listener.Close(), l.Release()); err != nil {
			t.Error(err)
		}
	})
	return l
}

func mkdir(t *testing.T, dir string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	chmod(t, dir, mode)
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}
