package control

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

func TestWhereIsWhereLocateWouldPutIt(t *testing.T) {
	p := Project{PIDFile: "/srv/app/server.pid"}
	for name, prepare := range map[string]func(d *runtimeDirs){
		"the user's runtime directory": func(*runtimeDirs) {},
		"the system's": func(d *runtimeDirs) {
			*d = d.withoutXDG()
			mkdir(t, filepath.Dir(d.system), 0o755)
		},
		"the temporary directory": func(d *runtimeDirs) { *d = d.withoutXDG() },
		"a directory that is there already": func(d *runtimeDirs) {
			mkdir(t, filepath.Join(d.getenv("XDG_RUNTIME_DIR"), "hotreload"), 0o700)
		},
		"others may write to our directory": func(d *runtimeDirs) {
			mkdir(t, filepath.Join(d.getenv("XDG_RUNTIME_DIR"), "hotreload"), 0o770)
		},
		"others may write to the runtime directory": func(d *runtimeDirs) { chmod(t, d.getenv("XDG_RUNTIME_DIR"), 0o777) },
	} {
		t.Run(name, func(t *testing.T) {
			d := testDirs(t)
			prepare(&d)
			where, err := p.where(d)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := os.Lstat(where.Socket); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s was made: %v", where.Socket, err)
			}
			if located, err := p.locate(d); err != nil || located != where {
				t.Errorf("located %v, %v; was to be %v", located, err, where)
			}
		})
	}
}

func TestWhereMakesNothing(t *testing.T) {
	d := testDirs(t)
	where, err := Project{PIDFile: "/srv/app/server.pid"}.where(d)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(filepath.Dir(where.Socket)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory of %s was made: %v", where.Socket, err)
	}
	d.uid++
	mkdir(t, filepath.Join(d.temp, "hotreload-"+strconv.Itoa(d.uid)), 0o700)
	if _, err := (Project{PIDFile: "/srv/app/server.pid"}).where(d); err == nil {
		t.Error("another user's directories were taken")
	}
}

func TestOwnerOfAPlace(t *testing.T) {
	d := testDirs(t)
	p := Project{PIDFile: "/srv/app/server.pid", Dir: "/srv/app"}
	lock, err := p.acquire("watch", d)
	if err != nil {
		t.Fatal(err)
	}
	if owner, err := lock.Place().Owner(); err != nil || owner.PID != os.Getpid() || owner.Command != "watch" {
		t.Errorf("owner %+v, %v", owner, err)
	}
	if err := lock.Release(); err != nil {
		t.Error(err)
	}
	if _, err := lock.Place().Owner(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after the release: %v", err)
	}
}

// Root finds the hotreload of a service whose user got the system's runtime directory, and nobody else's.
func TestRootFindsTheHotreloadOfAService(t *testing.T) {
	d := testDirs(t).withoutXDG()
	mkdir(t, d.system, 0o755)
	service := os.Geteuid()
	if service == 0 {
		service = 65534
		for _, dir := range []string{d.system, d.temp} {
			if err := os.Chown(dir, service, -1); err != nil {
				t.Fatal(err)
			}
		}
	}
	p := Project{PIDFile: "/srv/app/server.pid"}
	l, err := acquire(p.in(d.system))
	if err != nil {
		t.Fatal(err)
	}
	socket, err := l.Listen()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	find := func(uid int) error {
		d.uid = uid
		_, err := p.find(d)
		return err
	}
	if err := find(0); err != nil {
		t.Errorf("root: %v", err)
	}
	if err := find(service + 1); !errors.Is(err, ErrNotRunning) {
		t.Errorf("another user: %v", err)
	}
	chmod(t, d.system, 0o777)
	if err := find(0); !errors.Is(err, ErrNotRunning) {
		t.Errorf("anybody could have put it there: %v", err)
	}
}
