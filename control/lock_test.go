package control

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

func testPlace(t *testing.T) Place {
	t.Helper()
	d := testDirs(t)
	place, err := Project{PIDFile: "/srv/app/server.pid"}.locate(d)
	if err != nil {
		t.Fatal(err)
	}
	return place
}

func TestSecondHotreloadIsRefusedWithThePIDOfTheFirst(t *testing.T) {
	d := testDirs(t)
	p := Project{PIDFile: "/srv/app/server.pid", Dir: "/srv/app", Config: "/srv/app/hotreload.toml"}
	first, err := p.acquire("run", d)
	if err != nil {
		t.Fatal(err)
	}
	var taken *TakenError
	if _, err := p.acquire("watch", d); !errors.As(err, &taken) {
		t.Fatalf("second: %v, want a TakenError", err)
	}
	want := Owner{PID: os.Getpid(), Command: "run", Dir: "/srv/app", Config: "/srv/app/hotreload.toml", PIDFile: "/srv/app/server.pid"}
	if taken.Owner != want {
		t.Errorf("owner %+v, want %+v", taken.Owner, want)
	}
	if err := first.Release(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(first.Place().Lock()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("lock file after release: %v, want it gone", err)
	}
	again, err := p.acquire("watch", d)
	if err != nil {
		t.Fatalf("after release: %v", err)
	}
	if err := again.Release(); err != nil {
		t.Error(err)
	}
}

// Releasing removes the file, and somebody may have opened it before: there must never be two holders.
func TestLockHasOneHolder(t *testing.T) {
	place := testPlace(t)
	var holders, held atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 200 {
				l, err := acquire(place)
				var taken *TakenError
				if errors.As(err, &taken) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				if n := holders.Add(1); n != 1 {
					t.Errorf("%d holders at the same time", n)
				}
				held.Add(1)
				if err := l.write(Owner{PID: 1}); err != nil {
					t.Error(err)
				}
				holders.Add(-1)
				if err := l.Release(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if held.Load() == 0 {
		t.Error("nobody ever held the lock")
	}
}

func TestAStaleLockFileIsTakenOver(t *testing.T) {
	place := testPlace(t)
	text, _ := json.Marshal(Owner{PID: 1})
	for name, content := range map[string]string{"an owner": string(text), "nothing": "", "garbage": "\x00{"} {
		if err := os.WriteFile(place.Lock(), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := acquire(place)
		if err != nil {
			t.Errorf("left behind with %s in it: %v", name, err)
			continue
		}
		if err := l.Release(); err != nil {
			t.Error(err)
		}
	}
}

func TestAHolderThatHasNotWrittenItsPIDYet(t *testing.T) {
	place := testPlace(t)
	l, err := acquire(place)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Release()
	_, err = acquire(place)
	var taken *TakenError
	if !errors.As(err, &taken) || taken.Owner.PID != 0 || strings.Contains(err.Error(), "pid 0") {
		t.Errorf("error %v, want a TakenError that names no pid", err)
	}
}

func TestALinkIsNoLockFile(t *testing.T) {
	place := testPlace(t)
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, place.Lock()); err != nil {
		t.Fatal(err)
	}
	if _, err := acquire(place); err == nil {
		t.Error("a link was locked")
	}
	if text, _ := os.ReadFile(victim); string(text) != "precious" {
		t.Errorf("the file behind the link was overwritten: %q", text)
	}
}
