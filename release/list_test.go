package release

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestListOnlyReleases(t *testing.T) {
	dir, s := newSite(t)
	releases := dir + "/releases/"
	write(t, releases+"file", "")
	write(t, releases+".hidden/REVISION", "x")
	write(t, releases+trashPrefix+"0/REVISION", "x")
	write(t, releases+"line\nbreak/REVISION", "x")
	write(t, releases+"latin-\xe9/REVISION", "x")
	symlink(t, "2", releases+"latest")                  // a second name
	symlink(t, "nowhere", releases+"dangling")          //
	symlink(t, "file", releases+"to a file")            //
	write(t, dir+"/built/REVISION", "elsewhere")        // Nix builds elsewhere, and links
	symlink(t, dir+"/built", releases+"from elsewhere") //
	addRelease(t, dir, "with space", time.Now())        //
	if err := os.Mkdir(releases+"empty", 0o755); err != nil {
		t.Fatal(err)
	}
	have := strings.Split(summary(t, s), " ")
	slices.Sort(have)
	want := []string{"1(previous)", "2(current)", "3", "elsewhere", "empty(incomplete)", "from", "space", "with"}
	if !slices.Equal(have, want) {
		t.Errorf("releases: %q, want %q", have, want)
	}
}

func TestListShowsWhereCurrentLeads(t *testing.T) {
	dir, s := newSite(t)
	write(t, dir+"/elsewhere/9/REVISION", "x")
	if err := errors.Join(os.Remove(dir+"/current"), os.Symlink(dir+"/elsewhere/9", dir+"/current")); err != nil {
		t.Fatal(err)
	}
	releases, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(releases, func(r Release) bool { return r.Current })
	if i < 0 || releases[i].Path != dir+"/elsewhere/9" || !releases[i].Outside {
		t.Errorf("current is %+v", releases)
	}
	if err := errors.Join(os.Remove(dir+"/current"), os.Symlink("nowhere", dir+"/current")); err != nil {
		t.Fatal(err)
	}
	if have := summary(t, s); strings.Contains(have, "current") {
		t.Errorf("current leads nowhere: %s", have)
	}
	if _, err := s.Current(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("current leads nowhere: %v", err)
	}
}

func TestOrder(t *testing.T) {
	at := func(hour int) time.Time { return time.Date(2026, 11, 26, hour, 0, 0, 0, time.UTC) }
	for name, test := range map[string]struct {
		times map[string]time.Time
		want  []string
	}{
		"numbers count as numbers":             {map[string]time.Time{"9": at(1), "10": at(2), "2": at(0)}, []string{"10", "9", "2"}},
		"whatever their times":                 {map[string]time.Time{"9": at(5), "10": at(2), "11": at(3)}, []string{"11", "10", "9"}},
		"others by their times":                {map[string]time.Time{"b": at(1), "a": at(2), "c": at(0)}, []string{"a", "b", "c"}},
		"numbers among others":                 {map[string]time.Time{"9": at(5), "10": at(2), "x": at(3), "y": at(1)}, []string{"x", "10", "9", "y"}},
		"equal times":                          {map[string]time.Time{"a": at(1), "b": at(1), "1": at(1), "2": at(1)}, []string{"2", "1", "b", "a"}},
		"a number that is a date is no number": {map[string]time.Time{"20261126040000": at(4), "1": at(6)}, []string{"1", "20261126040000"}},
	} {
		t.Run(name, func(t *testing.T) {
			var releases []Release
			for name, time := range test.times {
				releases = append(releases, Release{Name: name, Time: time})
			}
			order(releases)
			var have []string
			for _, r := range releases {
				have = append(have, r.Name)
			}
			if !slices.Equal(have, test.want) {
				t.Errorf("have %v, want %v", have, test.want)
			}
		})
	}
}

func TestDateOf(t *testing.T) {
	for name, want := range map[string]string{
		"20261126094501":      "2026-11-26 09:45:01",
		"20261126-094501":     "2026-11-26 09:45:01",
		"2026-11-26_09-45-01": "2026-11-26 09:45:01",
		"20261326094501":      "", // there is no such month
		"8":                   "", "v1.2": "", "2026": "",
	} {
		at, ok := dateOf(name)
		if have := at.Format(time.DateTime); ok != (want != "") || ok && have != want {
			t.Errorf("%s: %s, %v; want %q", name, have, ok, want)
		}
	}
}

func TestFind(t *testing.T) {
	dir, s := newSite(t)
	write(t, dir+"/built/x", "")
	symlink(t, dir+"/built", dir+"/releases/nix")
	symlink(t, "3", dir+"/releases/latest")
	symlink(t, dir, dir+"-link")
	t.Cleanup(func() { os.Remove(dir + "-link") })
	write(t, dir+"/releases/3/3", "")
	write(t, dir+"/file", "")
	for name, test := range map[string]struct {
		from, arg string
		want      string // its path below dir
	}{
		"a name":                         {"/", "3", "releases/3"},
		"a name before a file of it":     {dir + "/releases/3", "3", "releases/3"},
		"a relative path":                {dir + "/releases/3", "../2", "releases/2"},
		"a path with a slash behind":     {dir, "releases/2/", "releases/2"},
		"the working directory":          {dir + "/releases/3", ".", "releases/3"},
		"an absolute path":               {"/", dir + "/releases/1", "releases/1"},
		"through current":                {"/", dir + "/current", "releases/2"},
		"through current and back":       {"/", dir + "/current/../3", "releases/3"},
		"through another link above":     {"/", dir + "-link/releases/3", "releases/3"},
		"a second name":                  {"/", "latest", "releases/3"},
		"a release that is built beside": {"/", "nix", "releases/nix"},
		"elsewhere":                      {dir, "./built", "built"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(test.from)
			r, err := s.Find(test.arg)
			if err != nil || r.Path != filepath.Join(dir, test.want) {
				t.Fatalf("%q is %q, %v; want %s", test.arg, r.Path, err, test.want)
			}
			if r.Current != (r.Name == "2") {
				t.Errorf("current: %v", r.Current)
			}
		})
	}
	var missing *NotFoundError
	for _, arg := range []string{"4", "", dir + "/nowhere", "3/3/x"} {
		if _, err := s.Find(arg); !errors.As(err, &missing) && arg != "" {
			t.Errorf("%q: %v, want NotFoundError", arg, err)
		} else if err == nil {
			t.Errorf("%q is found", arg)
		}
	}
	write(t, dir+"/elsewhere/line\nbreak/x", "")
	for arg, say := range map[string]string{
		dir:                            "where the releases",
		dir + "/releases":              "where the releases",
		"/":                            "is empty",
		dir + "/file":                  "not a directory",
		dir + "/elsewhere/line\nbreak": "line break",
	} {
		_, err := s.Find(arg)
		wantError(t, err, say)
	}
}

func TestCheck(t *testing.T) {
	dir, s := newSite(t)
	if err := os.Remove(dir + "/releases/3/REVISION"); err != nil {
		t.Fatal(err)
	}
	var incomplete *IncompleteError
	for arg, say := range map[string]string{"3": "no REVISION", "nowhere": "no directory"} {
		err := s.Check(arg)
		if !errors.As(err, &incomplete) {
			t.Errorf("%s: %v, want an IncompleteError", arg, err)
		}
		wantError(t, err, say)
	}
	if err := s.Check("2"); err != nil {
		t.Error(err)
	}
}

func TestRevision(t *testing.T) {
	for name, test := range map[string]struct {
		files map[string]string
		want  string
	}{
		"REVISION":              {map[string]string{"REVISION": "abc123\nmore\n"}, "abc123"},
		"REVISION before git":   {map[string]string{"REVISION": "abc", ".git/HEAD": "def"}, "abc"},
		"a commit":              {map[string]string{".git/HEAD": "def456\n"}, "def456"},
		"a branch":              {map[string]string{".git/HEAD": "ref: refs/heads/main\n", ".git/refs/heads/main": "0123\n"}, "0123"},
		"a packed branch":       {map[string]string{".git/HEAD": "ref: refs/heads/main\n", ".git/packed-refs": "# pack-refs\n99 refs/heads/main2\n0123 refs/heads/main\n"}, "0123"},
		"a branch without any":  {map[string]string{".git/HEAD": "ref: refs/heads/main\n"}, ""},
		"a way out":             {map[string]string{".git/HEAD": "ref: ../../secret", "../secret": "x"}, ""},
		"what steers terminals": {map[string]string{"REVISION": "\x1b[31mabc\x00\x07"}, "[31mabc"},
		"what is too long":      {map[string]string{"REVISION": strings.Repeat("x", 5000)}, strings.Repeat("x", maxLine)},
		"nothing":               {nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir() + "/8"
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			for path, text := range test.files {
				write(t, filepath.Join(dir, path), text)
			}
			if have := revisionOf(dir); have != test.want {
				t.Errorf("have %q, want %q", have, test.want)
			}
		})
	}
}

func TestLocked(t *testing.T) {
	dir, _ := newSite(t)
	s, err := Open(Options{Current: dir + "/current", Dir: dir + "/releases", Locks: []string{dir + "/.dep/deploy.lock", dir + "/deploy.lock"}})
	if err != nil {
		t.Fatal(err)
	}
	if e := s.Locked(); e != nil {
		t.Errorf("without a lock: %v", e)
	}
	write(t, dir+"/deploy.lock", "anna\nmore")
	at := time.Now().Add(-90 * time.Minute)
	if err := os.Chtimes(dir+"/deploy.lock", at, at); err != nil {
		t.Fatal(err)
	}
	e := s.Locked()
	if e == nil {
		t.Fatal("the lock is not seen")
	}
	wantError(t, e, dir+"/deploy.lock", "1h30m", "anna")
}
