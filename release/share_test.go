package release

import (
	"errors"
	"os"
	"strings"
	"testing"
)

func TestShare(t *testing.T) {
	for name, prepare := range map[string]func(t *testing.T, dir string){
		"the release brings it": func(t *testing.T, dir string) { bring(t, dir+"/releases/3", "data", "secret") },
		"it is there already":   func(t *testing.T, dir string) { bring(t, dir+"/shared", "data", "secret") },
		"both have it": func(t *testing.T, dir string) {
			bring(t, dir+"/shared", "data", "secret")
			bring(t, dir+"/releases/3", "old", "old")
		},
		"links that lead astray": func(t *testing.T, dir string) {
			bring(t, dir+"/shared", "data", "secret")
			symlink(t, "/nowhere", dir+"/releases/3/data")
			symlink(t, dir+"/shared/.env", dir+"/releases/3/.env")
		},
		"half done before": func(t *testing.T, dir string) {
			bring(t, dir+"/shared", "data", "secret")
			bring(t, dir+"/releases/3/.data.hotreload-old", "x", "x")
			symlink(t, "x", dir+"/releases/3/.data.hotreload-link")
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir, s := newSite(t)
			prepare(t, dir)
			held := turn(t, s)
			for range 2 { // it may be called again
				if err := held.Share("3"); err != nil {
					t.Fatal(err)
				}
				wantShared(t, s, "3")
			}
		})
	}
}

func bring(t *testing.T, dir, data, env string) {
	t.Helper()
	write(t, dir+"/data/file", data)
	write(t, dir+"/.env", env)
}

func TestShareWhatIsNowhere(t *testing.T) {
	_, s := newSite(t)
	err := turn(t, s).Share("3")
	wantError(t, err, "share data with release 3", "there is no", "mkdir -p")
}

// What leads out of the release, through a link that the release brings, is not touched.
func TestShareStaysInTheRelease(t *testing.T) {
	dir, s := newSite(t)
	write(t, dir+"/elsewhere/data/precious", "x")
	write(t, dir+"/shared/config/data/file", "x")
	symlink(t, dir+"/elsewhere", dir+"/releases/3/config")
	s.opt.Shared = []string{"config/data"}
	held := turn(t, s)
	if err := held.Share("3"); err == nil {
		t.Error("it was linked through a link that leads out of the release")
	}
	if !exists(dir + "/elsewhere/data/precious") {
		t.Error("something outside the release was removed")
	}
	s.opt.Shared = []string{"../2"}
	wantError(t, held.Share("3"), "not the name of something in the release")
}

// From one file system to another.
func TestShareAcrossFileSystems(t *testing.T) {
	dir, s := newSite(t)
	if err := os.Mkdir(dir+"/shared", 0o755); err != nil {
		t.Fatal(err)
	}
	tmpfs(t, dir+"/shared", "size=1m")
	bring(t, dir+"/releases/3", "data", "secret")
	if err := os.Chmod(dir+"/releases/3/.env", 0o600); err != nil {
		t.Fatal(err)
	}
	if err := turn(t, s).Share("3"); err != nil {
		t.Fatal(err)
	}
	wantShared(t, s, "3")
	if st, err := os.Stat(dir + "/shared/.env"); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the mode of a secret: %v, %v", st.Mode(), err)
	}
}

func TestCreate(t *testing.T) {
	_, s := newSite(t)
	s.opt.Marker = "" // a directory would be enough
	held := turn(t, s)
	var made []string
	for range 3 { // within a second
		r, err := held.Create("")
		if err != nil {
			t.Fatal(err)
		}
		made = append(made, r.Name)
		if _, ok := dateOf(r.Name); !ok || r.Complete {
			t.Errorf("%+v", r)
		}
	}
	if !strings.HasPrefix(summary(t, s), made[2]+"(incomplete) "+made[1]+"(incomplete) "+made[0]+"(incomplete) ") {
		t.Errorf("%v is not the order of %s", made, summary(t, s))
	}
	var incomplete *IncompleteError
	if err := held.Activate(ctx, made[1], nil); !errors.As(err, &incomplete) {
		t.Errorf("activate what is not finished: %v", err)
	}
	if err := held.Finish(made[1]); err != nil {
		t.Fatal(err)
	}
	if err := held.Activate(ctx, made[1], nil); err != nil {
		t.Error(err)
	}
	if _, err := held.Create("3"); !errors.Is(err, os.ErrExist) {
		t.Errorf("create what exists: %v", err)
	}
	for _, name := range []string{"a/b", ".x", "line\nbreak", "..", strings.Repeat("x", 250)} {
		if _, err := held.Create(name); err == nil {
			t.Errorf("%q was made", name)
		}
	}
}

// A clock that was set back does not make the new release an old one.
func TestCreateIsNewerThanAll(t *testing.T) {
	dir, s := newSite(t)
	write(t, dir+"/releases/20991231235959/REVISION", "x")
	r, err := turn(t, s).Create("")
	if err != nil || r.Name != "21000101000000" {
		t.Errorf("%s, %v", r.Name, err)
	}
}
