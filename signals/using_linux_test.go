package signals

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/procfs"
)

// Each way in which a process can use a directory is seen, and no other directory is reported for it.
func TestUsing(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	shell := func(script string) func(t *testing.T, dir string) *helper {
		return func(t *testing.T, dir string) *helper {
			return startCommand(t, exec.Command("sh", "-c", script+"; echo ready; read line", "sh", dir))
		}
	}
	ways := map[string]func(t *testing.T, dir string) *helper{
		"working directory":          shell(`cd "$1"`),
		"working directory below it": shell(`cd "$1/sub"`),
		"open file":                  shell(`exec 3<"$1/sub/file"`),
		"open directory":             shell(`exec 3<"$1"`),
		"file deleted since":         shell(`exec 3>"$1/new file"; rm "$1/new file"`),
		"mapped file":                func(t *testing.T, dir string) *helper { return startHelper(t, "map:"+dir+"/sub/file") },
		"executable": func(t *testing.T, dir string) *helper {
			cmd := command("sleep")
			cmd.Path = copied(t, cmd.Path, filepath.Join(dir, "program"))
			return startCommand(t, cmd)
		},
		"root directory": func(t *testing.T, dir string) *helper {
			if os.Geteuid() != 0 {
				t.Skip("only root may")
			}
			return startHelper(t, "chroot:"+dir)
		},
		"bind mount in a namespace of its own": func(t *testing.T, dir string) *helper {
			at := t.TempDir()
			return mounted(t, `mount --bind "$1" "$2" && cd "$2/sub"`, dir, at)
		},
		"bind mount of a part": func(t *testing.T, dir string) *helper {
			at := t.TempDir()
			return mounted(t, `mount --bind "$1/sub" "$2" && exec 3<"$2/file"`, dir, at)
		},
		"bind mount of what is above": func(t *testing.T, dir string) *helper {
			at := t.TempDir()
			return mounted(t, `mount --bind "$1/.." "$2" && cd "$2/${1##*/}"`, dir, at)
		},
	}
	for way, start := range ways {
		t.Run(way, func(t *testing.T) {
			dir := filepath.Join(root, way)
			other := dir + " not"
			for _, d := range []string{dir + "/sub", other} {
				if err := os.MkdirAll(d, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(dir+"/sub/file", []byte("x"), 0o644); err != nil {
				t.Fatal(err)
			}
			if users, _, err := Using([]string{dir, other}); err != nil || len(users) > 0 {
				t.Fatalf("before anybody does: %v, %v", users, err)
			}
			h := start(t, dir)
			users, _, err := Using([]string{dir, other})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(users[dir], func(i Info) bool { return i.Process == h.Process }) {
				t.Errorf("process %d is not seen to use the directory; seen: %v", h.Process.PID, users)
			}
			if len(users[other]) > 0 {
				t.Errorf("%v use a directory that nobody uses", users[other])
			}
		})
	}
}

// mounted runs a script in a mount namespace of its own.
func mounted(t *testing.T, script string, args ...string) *helper {
	t.Helper()
	if exec.Command("unshare", "-m", "true").Run() != nil {
		t.Skip("a mount namespace is not permitted")
	}
	return startCommand(t, exec.Command("unshare", append([]string{"-m", "--", "sh", "-c", script + " && echo ready && read line", "sh"}, args...)...))
}

func copied(t *testing.T, from, to string) string {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o755); err != nil {
		t.Fatal(err)
	}
	return to
}

func TestUsingDoesNotSeeItself(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(dir, "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if users, _, err := Using([]string{dir}); err != nil || len(users) > 0 {
		t.Errorf("used by %v, %v; want nobody", users, err)
	}
}

// A process of another user is reported as hidden, and never as one that uses nothing.
func TestUsingSaysWhatItCannotSee(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs a second user")
	}
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", "echo ready; read line")
	cmd.Dir = dir
	other := startCommand(t, cmd)
	said := strings.Join(startHelper(t, "using:"+dir).Facts, " ") + " "
	used, hidden, _ := strings.Cut(said, "hidden")
	if pid := " " + other.Process.String() + " "; strings.Contains(used, pid) || !strings.Contains(hidden, pid) {
		t.Errorf("as another user: %s; want %d to be hidden", said, other.Process.PID)
	}
}

func TestAliases(t *testing.T) {
	mount := func(device, root, at string) *procfs.MountInfo {
		return &procfs.MountInfo{MajorMinorVer: device, Root: root, MountPoint: at}
	}
	ours := []*procfs.MountInfo{mount("8:1", "/", "/"), mount("8:2", "/", "/srv"), mount("0:9", "/", `/srv/with\040space`)}
	for name, test := range map[string]struct {
		dir    string
		theirs []*procfs.MountInfo
		want   []string
	}{
		"the same mounts":            {"/srv/app/8", ours, []string{"/srv/app/8"}},
		"on the root":                {"/opt/8", ours, []string{"/opt/8"}},
		"a volume elsewhere":         {"/srv/app/8", []*procfs.MountInfo{mount("0:1", "/", "/"), mount("8:2", "/", "/data")}, []string{"/data/app/8"}},
		"a volume of what is above":  {"/srv/app/8", []*procfs.MountInfo{mount("8:2", "/app", "/app")}, []string{"/app/8"}},
		"exactly it":                 {"/srv/app/8", []*procfs.MountInfo{mount("8:2", "/app/8", "/app")}, []string{"/app"}},
		"a part of it":               {"/srv/app/8", []*procfs.MountInfo{mount("8:2", "/app/8/public", "/www")}, []string{"/www"}},
		"another with a longer name": {"/srv/app/8", []*procfs.MountInfo{mount("8:2", "/app/80", "/app"), mount("8:2", "/app/80/x", "/x")}, nil},
		"another file system":        {"/srv/app/8", []*procfs.MountInfo{mount("8:1", "/", "/")}, nil},
		"twice":                      {"/srv/app/8", append(ours, mount("8:2", "/app", "/www")), []string{"/srv/app/8", "/www/8"}},
		"a space in a mount point":   {"/srv/with space/8", ours, []string{"/srv/with space/8"}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := aliases(test.dir, ours, test.theirs); !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
