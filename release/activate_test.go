package release

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestActivate(t *testing.T) {
	dir, s := newSite(t)
	held := turn(t, s)
	if err := held.Activate(ctx, "3", s.server(nil)); err != nil {
		t.Fatal(err)
	}
	wantSummary(t, s, "3(current) 2(previous) 1")
	if got := readlink(t, dir+"/current"); got != "releases/3" {
		t.Errorf("current is %s", got)
	}
	if got := names(t, dir); got != ".hotreload current releases served" {
		t.Errorf("left behind: %s", got)
	}
	if got := names(t, s.Home()); got != "lock state.json" {
		t.Errorf("left behind: %s", got)
	}
}

func TestActivateThatFails(t *testing.T) {
	dir, s := newSite(t)
	held := turn(t, s)
	err := held.Activate(ctx, "3", s.server(errBad))
	var failed *ActivateError
	if !errors.As(err, &failed) || failed.Release != "3" || failed.Back != "2" || failed.Undo != nil || !errors.Is(err, errBad) {
		t.Fatalf("error %#v", err)
	}
	wantError(t, err, "release 3 is not live: it does not boot; current leads to 2 again")
	wantSummary(t, s, "3(failed) 2(current) 1(previous)")
	if r := mustFind(t, s, "3"); r.Why != errBad.Error() {
		t.Errorf("why it failed: %q", r.Why)
	}
	if got := names(t, dir) + " " + names(t, s.Home()); got != ".hotreload current releases served lock state.json" {
		t.Errorf("left behind: %s", got)
	}
	// It may be tried again, and is good then.
	if err := held.Activate(ctx, "3", s.server(nil)); err != nil {
		t.Fatal(err)
	}
	wantSummary(t, s, "3(current) 2(previous) 1")
}

// A server that does not follow back either is reported; and current leads to what worked before.
func TestActivateAndTheServerIsGone(t *testing.T) {
	_, s := newSite(t)
	err := turn(t, s).Activate(ctx, "3", func(context.Context) error { return errBad })
	wantError(t, err, "current leads to 2 again", "on the way back: it does not boot")
	wantSummary(t, s, "3(failed) 2(current) 1(previous)")
	if pending, err := s.Pending(); pending != "" || err != nil {
		t.Errorf("still under way: %s, %v", pending, err)
	}
}

// What says nothing against the release does not mark it.
func TestActivateBlameless(t *testing.T) {
	for name, cause := range map[string]error{
		"nobody to ask": &BlamelessError{errors.New("nobody is there")},
		"interrupted":   context.Canceled,
	} {
		t.Run(name, func(t *testing.T) {
			_, s := newSite(t)
			cancelled, cancel := context.WithCancel(ctx)
			cancel()
			followed := false
			err := turn(t, s).Activate(cancelled, "3", func(ctx context.Context) error {
				if path, _ := s.Current(); filepath.Base(path) == "3" {
					return cause
				}
				followed = ctx.Err() == nil
				return nil
			})
			if !errors.Is(err, cause) {
				t.Fatalf("error %v", err)
			}
			wantSummary(t, s, "3 2(current) 1(previous)")
			if !followed {
				t.Error("the server was not made to follow back, or with a context that had ended")
			}
		})
	}
}

func TestActivateWhatIsCurrent(t *testing.T) {
	dir, s := newSite(t)
	held := turn(t, s)
	for range 2 {
		if err := held.Activate(ctx, "2", s.server(nil)); err != nil {
			t.Fatal(err)
		}
	}
	wantSummary(t, s, "3 2(current) 1(previous)")
	if m := s.memory(); len(m.History) != 2 {
		t.Errorf("history: %+v", m.History)
	}
	// Somebody else has switched; what they switched to does not work. Their switch stands.
	if err := errors.Join(os.Remove(dir+"/current"), os.Symlink("releases/3", dir+"/current")); err != nil {
		t.Fatal(err)
	}
	err := held.Activate(ctx, "3", s.server(errBad))
	var failed *ActivateError
	if !errors.As(err, &failed) || failed.Back != "" {
		t.Fatalf("error %v", err)
	}
	wantSummary(t, s, "3(failed,current) 2(previous) 1")
}

func TestActivateFirst(t *testing.T) {
	dir, s := newSite(t)
	if err := errors.Join(os.Remove(dir+"/current"), os.RemoveAll(s.Home())); err != nil {
		t.Fatal(err)
	}
	held := turn(t, s)
	applied := 0
	err := held.Activate(ctx, "3", func(context.Context) error { applied++; return errBad })
	wantError(t, err, "release 3 is not live")
	if _, err := s.Current(); !errors.Is(err, fs.ErrNotExist) || applied != 1 {
		t.Errorf("current exists after the first one failed: %v; applied %d times", err, applied)
	}
	wantSummary(t, s, "3(failed) 2 1")
	if err := held.Activate(ctx, "2", s.server(nil)); err != nil {
		t.Fatal(err)
	}
	wantSummary(t, s, "3(failed) 2(current) 1(previous)")
}

func TestActivateOverDanglingLink(t *testing.T) {
	dir, s := newSite(t)
	if err := errors.Join(os.Remove(dir+"/current"), os.Symlink("/nowhere/8", dir+"/current")); err != nil {
		t.Fatal(err)
	}
	held := turn(t, s)
	if err := held.Activate(ctx, "3", func(context.Context) error { return errBad }); !errors.Is(err, errBad) {
		t.Fatal(err)
	}
	if got := readlink(t, dir+"/current"); got != "/nowhere/8" {
		t.Errorf("current is %s", got)
	}
	if err := held.Activate(ctx, "3", s.server(nil)); err != nil {
		t.Fatal(err)
	}
	if got := readlink(t, dir+"/current"); got != dir+"/releases/3" {
		t.Errorf("the link was absolute, and is %s", got)
	}
}

func TestActivateRefusals(t *testing.T) {
	for name, test := range map[string]struct {
		arg     string
		prepare func(t *testing.T, dir string) error
		say     string
	}{
		"incomplete": {"3", func(t *testing.T, dir string) error { return os.Remove(dir + "/releases/3/REVISION") }, "not complete"},
		"missing":    {"8", func(t *testing.T, dir string) error { return nil }, "no release 8"},
		"a directory as current": {"3", func(t *testing.T, dir string) error {
			return errors.Join(os.Remove(dir+"/current"), os.Mkdir(dir+"/current", 0o755))
		}, "is a directory and not a symlink to a release; to make it the first release: mv"},
		"a file as current": {"3", func(t *testing.T, dir string) error {
			return errors.Join(os.Remove(dir+"/current"), os.WriteFile(dir+"/current", nil, 0o644))
		}, "is a file"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, s := newSite(t)
			if err := test.prepare(t, dir); err != nil {
				t.Fatal(err)
			}
			before := names(t, dir)
			err := turn(t, s).Activate(ctx, test.arg, func(context.Context) error { t.Error("applied"); return nil })
			wantError(t, err, test.say)
			if after := names(t, dir); after != before {
				t.Errorf("there was %s, and is %s", before, after)
			}
		})
	}
}

// A switch by somebody else during ours stands.
func TestSomebodyElseSwitchesMeanwhile(t *testing.T) {
	dir, s := newSite(t)
	err := turn(t, s).Activate(ctx, "3", func(context.Context) error {
		return errors.Join(errBad, os.Remove(dir+"/current"), os.Symlink("releases/1", dir+"/current"))
	})
	wantError(t, err, "release 3 is not live", "somebody else has switched")
	if got := readlink(t, dir+"/current"); got != "releases/1" {
		t.Errorf("current is %s", got)
	}
	if pending, err := s.Pending(); pending != "" || err != nil {
		t.Errorf("still under way: %s, %v", pending, err)
	}
}

func TestLinkText(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	write(t, root+"/real/app/releases/8/x", "")
	write(t, root+"/real/elsewhere/8/x", "")
	symlink(t, "real/app", root+"/app") // ".." leads to real, and not to root
	for name, test := range map[string]struct{ path, present, want string }{
		"below, none yet":        {"app/releases/8", "", "releases/8"},
		"below, relative":        {"app/releases/8", "releases/7", "releases/8"},
		"below, absolute":        {"app/releases/8", "/srv/app/releases/7", root + "/app/releases/8"},
		"elsewhere, none yet":    {"real/elsewhere/8", "", root + "/real/elsewhere/8"},
		"elsewhere, absolute":    {"real/elsewhere/8", "/x", root + "/real/elsewhere/8"},
		"elsewhere, relative":    {"real/elsewhere/8", "releases/7", "../elsewhere/8"},
		"a link of another name": {"app/releases/8", "../data/7", "releases/8"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Open(Options{Current: root + "/app/current", Dir: root + "/app/releases"})
			if err != nil {
				t.Fatal(err)
			}
			text, err := s.textFor(filepath.Join(root, test.path), test.present)
			if err != nil || text != test.want {
				t.Fatalf("%q, %v; want %q", text, err, test.want)
			}
			link := filepath.Join(root, "app", "link")
			symlink(t, text, link)
			defer os.Remove(link)
			if have, want := resolved(link), resolved(filepath.Join(root, test.path)); have != want {
				t.Errorf("it leads to %s, want %s", have, want)
			}
		})
	}
}

// At no moment is there no current, and it never leads to something else than one of the two.
func TestSwitchHasNoGap(t *testing.T) {
	dir, s := newSite(t)
	held := turn(t, s)
	done := make(chan struct{})
	gaps := make(chan string, 1)
	go func() {
		defer close(gaps)
		for {
			select {
			case <-done:
				return
			default:
			}
			if text, err := os.Readlink(dir + "/current"); text != "releases/2" && text != "releases/3" {
				gaps <- text + " " + err.Error()
				return
			}
		}
	}()
	for range 20 {
		for _, name := range []string{"3", "2"} {
			if err := held.Activate(ctx, name, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	close(done)
	for gap := range gaps {
		t.Error(gap)
	}
}

func TestRollback(t *testing.T) {
	_, s := newSite(t)
	held := turn(t, s)
	if err := held.Activate(ctx, "3", nil); err != nil {
		t.Fatal(err)
	}
	wantSummary(t, s, "3(current) 2(previous) 1")
	if err := held.Rollback(ctx, "2", nil); err != nil {
		t.Fatal(err)
	}
	wantSummary(t, s, "3(failed) 2(current) 1(previous)")
	if r := mustFind(t, s, "3"); r.Why != "rolled back to 2" {
		t.Errorf("why it failed: %q", r.Why)
	}
	if err := held.Rollback(ctx, "1", nil); err != nil {
		t.Fatal(err)
	}
	wantSummary(t, s, "3(failed) 2(failed) 1(current)")
}

func TestPrevious(t *testing.T) {
	history := func(names ...string) (m memory) {
		for _, name := range names {
			m.History = append(m.History, activation{id: id{Name: name}})
		}
		return m
	}
	for name, test := range map[string]struct {
		releases string // the newest first; "*" current, "!" failed, "?" not complete
		history  memory
		want     string
	}{
		"the one before":                   {"7* 6 5", history("5", "6", "7"), "6"},
		"not the next older":               {"7* 6 5", history("5", "7"), "5"},
		"after a rollback":                 {"7! 6* 5", history("5", "6", "7", "6"), "5"},
		"there and back":                   {"7* 6 5", history("5", "6", "7", "6", "7"), "6"},
		"one that is gone":                 {"7* 5", history("5", "6", "7"), "5"},
		"one that failed since":            {"7* 6! 5", history("5", "6", "7"), "5"},
		"one that is no longer complete":   {"7* 6? 5", history("5", "6", "7"), "5"},
		"none":                             {"7* 6! 5?", history("5", "6", "7"), ""},
		"never live":                       {"7* 6 5", history("7"), "6"},
		"nothing known":                    {"7 6* 5 4", memory{}, "5"},
		"nothing known, none older":        {"7 6*", memory{}, ""},
		"never go forward by itself":       {"7 6* 5!", memory{}, ""},
		"switched by somebody else":        {"8* 7 6", history("6", "7"), "7"},
		"no current":                       {"7 6", history("6", "7"), "7"},
		"no current and nothing known":     {"7 6", memory{}, ""},
		"live once and only before others": {"7 6* 5", history("7", "6"), "7"},
	} {
		t.Run(name, func(t *testing.T) {
			var releases []Release
			for word := range strings.FieldsSeq(test.releases) {
				r := Release{Name: strings.TrimRight(word, "*!?"), Current: strings.Contains(word, "*"), Failed: strings.Contains(word, "!"), Complete: !strings.Contains(word, "?")}
				r.id = id{Name: r.Name}
				releases = append(releases, r)
			}
			have := ""
			if i := test.history.previous(releases); i >= 0 {
				have = releases[i].Name
			}
			if have != test.want {
				t.Errorf("have %q, want %q", have, test.want)
			}
		})
	}
}

// A release of the same name that was made since is another one.
func TestNamesAreUsedAgain(t *testing.T) {
	dir, s := newSite(t)
	held := turn(t, s)
	if err := held.Activate(ctx, "3", s.server(errBad)); !errors.Is(err, errBad) {
		t.Fatal(err)
	}
	if err := os.Rename(dir+"/releases/3", dir+"/old"); err != nil { // keeps its number taken
		t.Fatal(err)
	}
	addRelease(t, dir, "3", time.Now())
	wantSummary(t, s, "3 2(current) 1(previous)")
}

func TestReleasesElsewhere(t *testing.T) {
	dir, s := newSite(t)
	write(t, dir+"/store/abc/REVISION", "x")
	held := turn(t, s)
	if err := held.Activate(ctx, dir+"/store/abc", nil); err != nil {
		t.Fatal(err)
	}
	if err := held.Activate(ctx, "3", nil); err != nil {
		t.Fatal(err)
	}
	releases, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range releases {
		if r.Previous != (r.Path == dir+"/store/abc") {
			t.Errorf("%s: previous is %v", r.Path, r.Previous)
		}
	}
	if pruned, err := held.Prune(ctx, 1); err != nil || !isDir(dir+"/store/abc") {
		t.Errorf("pruned %+v, %v", pruned, err)
	}
}
