package control

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/renameio/v2"

	"github.com/hotreload/hotreload/signals"
	"github.com/hotreload/hotreload/supervisor"
)

func someState() supervisor.Adoption {
	return supervisor.Adoption{
		Master: signals.Process{PID: 4211, Start: 77}, Generation: 3, Group: 4211, BootID: supervisor.BootID(),
		Members: []signals.Process{{PID: 4211, Start: 77}, {PID: 4212, Start: 78}}, Mode: supervisor.Watch, Hotreload: 4200,
	}
}

func TestStateComesBack(t *testing.T) {
	place := testPlace(t)
	if a, err := place.Load(); a != nil || err != nil {
		t.Fatalf("nothing saved: %v, %v; want nil, nil", a, err)
	}
	want := someState()
	if err := place.Save(want); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(place.State())
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("state file: %v, mode %v; want 0600", err, st.Mode())
	}
	have, err := place.Load()
	if err != nil || !reflect.DeepEqual(*have, want) {
		t.Errorf("have %+v, %v; want %+v", have, err, want)
	}
	for range 2 {
		if err := place.Forget(); err != nil {
			t.Errorf("forget: %v", err)
		}
	}
	if a, err := place.Load(); a != nil || err != nil {
		t.Errorf("forgotten: %v, %v; want nil, nil", a, err)
	}
	left, _ := os.ReadDir(filepath.Dir(place.Socket))
	if len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestStateOfNoUse(t *testing.T) {
	place := testPlace(t)
	if err := place.Save(someState()); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(place.State())
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"empty": "", "half": string(good[:len(good)/2]), "garbage": "\xff\x00", "another JSON": "[]",
		"no master": `{"boot_id":"` + supervisor.BootID() + `"}`, "a negative pid": `{"master":{"pid":-1,"start":1}}`,
	} {
		if err := os.WriteFile(place.State(), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if a, err := place.Load(); a != nil || err == nil || !strings.Contains(err.Error(), place.State()) {
			t.Errorf("%s: have %v, %v; want an error that names the file", name, a, err)
		}
	}
}

func TestStateFromBeforeTheMachineWasStartedIsNone(t *testing.T) {
	place := testPlace(t)
	old := someState()
	old.BootID = "another boot"
	if err := place.Save(old); err != nil {
		t.Fatal(err)
	}
	if a, err := place.Load(); a != nil || err != nil {
		t.Errorf("have %v, %v; want nil, nil", a, err)
	}
}

func TestALinkIsNoState(t *testing.T) {
	place := testPlace(t)
	if err := place.Save(someState()); err != nil {
		t.Fatal(err)
	}
	moved := filepath.Join(t.TempDir(), "state")
	if err := errors.Join(os.Rename(place.State(), moved), os.Symlink(moved, place.State())); err != nil {
		t.Skip(err) // another file system
	}
	if a, err := place.Load(); a != nil || err == nil {
		t.Errorf("have %v, %v; want an error", a, err)
	}
	// Saving replaces the link, not what it leads to.
	if err := place.Save(someState()); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Lstat(place.State()); err != nil || !st.Mode().IsRegular() {
		t.Errorf("after saving: %v, %v; want a file", st.Mode(), err)
	}
}

func TestPrivateDir(t *testing.T) {
	place := testPlace(t)
	dir, err := place.PrivateDir()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := place.PrivateDir(); err != nil || again != dir {
		t.Errorf("a second time: %s, %v", again, err)
	}
	chmod(t, dir, 0o777)
	if _, err := place.PrivateDir(); err == nil {
		t.Error("a directory to which everybody may write was accepted")
	}
}

func FuzzReadState(f *testing.F) {
	f.Add(`{"master":{"pid":1,"start":2},"boot_id":"x","members":[{"pid":1,"start":2}]}`)
	f.Add(`{"master":`)
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(t.TempDir(), "state")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		a, err := readState(path)
		if err == nil && (a.Master.PID <= 0 || a.Master.Start == 0) {
			t.Errorf("%q names nobody and was believed: %+v", text, a)
		}
	})
}

// A hotreload that is killed in the middle of Save leaves a temporary file, which the next one removes, and nothing else.
func TestWhatAKilledSaveLeft(t *testing.T) {
	place := testPlace(t)
	half, err := renameio.NewPendingFile(place.State(), renameio.WithTempDir(filepath.Dir(place.State())))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := half.WriteString(`{"master":`); err != nil {
		t.Fatal(err)
	}
	if err := half.Close(); err != nil { // renameio's Cleanup is not called by who is killed
		t.Fatal(err)
	}
	foreign := filepath.Join(filepath.Dir(place.State()), "."+filepath.Base(place.State())+"12.mine")
	if err := os.WriteFile(foreign, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := acquire(place)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Release()
	if _, err := os.Stat(half.Name()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there: %v", half.Name(), err)
	}
	if _, err := os.Stat(foreign); err != nil {
		t.Error(err)
	}
}
