package release

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// maxSteps is more than any action has.
const maxSteps = 60

// Whatever is killed at whatever step: current leads to a complete release, the next one recovers, what was asked for was then either
// done or not, and nothing of it is left half done.
func TestKilledAtEveryStep(t *testing.T) {
	for action := range actions {
		t.Run(action, func(t *testing.T) {
			t.Parallel()
			for step := range maxSteps {
				dir, s := newSite(t)
				prepare(t, dir, s, action)
				out, err := command(t, "victim", dir, action, strconv.Itoa(step)).CombinedOutput()
				if err == nil || strings.Contains(string(out), errBad.Error()) {
					if step < 3 {
						t.Fatalf("the action has only %d steps", step)
					}
					return
				}
				if string(out) != "" {
					t.Fatalf("step %d: %v: %s", step, err, out)
				}
				wantSound(t, s, fmt.Sprint("killed at step ", step))
				again(t, s, action, fmt.Sprint("killed at step ", step))
				if t.Failed() {
					return
				}
			}
			t.Fatalf("more than %d steps", maxSteps)
		})
	}
}

// What fails at whatever step, because the disk is full, leaves current leading to a complete release; and when there is room again
// the same succeeds.
func TestFullAtEveryStep(t *testing.T) {
	for action := range actions {
		t.Run(action, func(t *testing.T) {
			t.Parallel()
			for step := range maxSteps {
				dir, s := newSite(t)
				prepare(t, dir, s, action)
				before, _ := s.Current()
				n := 0
				s.at = func(string) error {
					if n++; n > step {
						return syscall.ENOSPC
					}
					return nil
				}
				err := actions[action](s)
				reached := n > step
				s.at = nil
				what := fmt.Sprintf("full from step %d on: %v", step, err)
				wantSound(t, s, what)
				if after, _ := s.Current(); err != nil && strings.Contains(err.Error(), "nothing was changed") && after != before {
					t.Errorf("%s; but current led to %s and leads to %s", what, before, after)
				}
				if !reached {
					return
				}
				again(t, s, action, what)
				if t.Failed() {
					return
				}
			}
			t.Fatalf("more than %d steps", maxSteps)
		})
	}
}

// prepare gives the actions something to do.
func prepare(t *testing.T, dir string, s *Store, action string) {
	t.Helper()
	switch action {
	case "prune":
		// Failed, current, and not complete: all but one may go.
		err := s.do(nil, func(turn *Turn, _ Apply) error {
			m := memory{}.bad(mustFind(t, s, "3").id, now(), "it failed").served(mustFind(t, s, "2").id, now())
			return errors.Join(turn.remember(m), os.Remove(dir+"/releases/1/REVISION"))
		})
		if err != nil {
			t.Fatal(err)
		}
	case "share":
		write(t, dir+"/releases/3/data/file", "data")
		write(t, dir+"/releases/3/.env", "secret")
	}
}

// mustFind is Find for what is there.
func mustFind(t *testing.T, s *Store, name string) Release {
	t.Helper()
	r, err := s.Find(name)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// wantSound checks what must be true at every moment.
func wantSound(t *testing.T, s *Store, when string) {
	t.Helper()
	path, err := s.Current()
	if err == nil {
		err = s.Check(path)
	}
	if err != nil {
		t.Errorf("%s: current: %v", when, err)
	}
}

// again does an action another time, as whoever comes next, and checks that nothing is left of the first try.
func again(t *testing.T, s *Store, action, when string) {
	t.Helper()
	_ = actions[action](s) // some have been done already, and cannot be done twice
	wantSound(t, s, when+", and then again")
	dir := filepath.Dir(s.opt.Current)
	want := map[string]string{
		"activate":      "3(current) 2(previous) 1",
		"activate, bad": "3(failed) 2(current) 1(previous)",
		"rollback":      "3 2(failed) 1(current)",
		"prune":         "2(current)",
		"create":        "4(incomplete) 3 2(current) 1(previous)",
		"share":         "3 2(current) 1(previous)",
	}[action]
	served := map[string]string{"activate": "3", "rollback": "1"}[action]
	if served == "" {
		served = "2"
	}
	if got := summary(t, s); got != want {
		t.Errorf("%s, and then again: %s; want %s", when, got, want)
	}
	if got, err := os.ReadFile(dir + "/served"); err != nil || string(got) != served {
		t.Errorf("%s, and then again: %s is served, %v; want %s", when, got, err, served)
	}
	if pending, err := s.Pending(); pending != "" || err != nil {
		t.Errorf("%s, and then again: still under way: %s, %v", when, pending, err)
	}
	for where, entries := range map[string]string{"": names(t, dir), "the home": names(t, s.Home()), "the releases": names(t, s.opt.Dir)} {
		for name := range strings.FieldsSeq(entries) {
			if strings.HasPrefix(name, ".") && name != homeName {
				t.Errorf("%s, and then again: %s is left in %s", when, name, where)
			}
		}
	}
	if action == "share" {
		wantShared(t, s, "3")
	}
}

func wantShared(t *testing.T, s *Store, name string) {
	t.Helper()
	release := filepath.Join(s.opt.Dir, name)
	for path, want := range map[string]string{"data/file": "data", ".env": "secret"} {
		if got, err := os.ReadFile(filepath.Join(release, path)); err != nil || string(got) != want {
			t.Errorf("%s in the release: %q, %v", path, got, err)
		}
		if got, err := os.ReadFile(filepath.Join(s.opt.SharedDir, path)); err != nil || string(got) != want {
			t.Errorf("%s in what is shared: %q, %v", path, got, err)
		}
	}
	if got := names(t, release); got != ".env REVISION data src" {
		t.Errorf("the release holds %s", got)
	}
	for _, link := range []string{"data", ".env"} {
		if got, want := readlink(t, filepath.Join(release, link)), "../../shared/"+link; got != want {
			t.Errorf("%s leads to %s, want %s", link, got, want)
		}
	}
}

// A real file system that is full: refused, and what is live is untouched.
func TestFullDisk(t *testing.T) {
	mount := t.TempDir()
	tmpfs(t, mount, "size=1m,nr_inodes=40")
	for _, name := range []string{"1", "2", "3"} {
		write(t, mount+"/releases/"+name+"/REVISION", name)
	}
	symlink(t, "releases/1", mount+"/current")
	s := open(mount)
	if err := s.do(nil, func(turn *Turn, _ Apply) error { return turn.Activate(ctx, "2", nil) }); err != nil {
		t.Fatal(err)
	}
	for i := range 100 { // until there are no inodes, which symlinks need
		if err := os.WriteFile(fmt.Sprint(mount, "/fill", i), nil, 0o644); err != nil {
			if !errors.Is(err, syscall.ENOSPC) {
				t.Fatal(err)
			}
			break
		}
	}
	err := s.do(nil, func(turn *Turn, _ Apply) error { return turn.Activate(ctx, "3", nil) })
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("error %v, want ENOSPC", err)
	}
	wantError(t, err, "nothing was changed")
	wantSummary(t, s, "3 2(current) 1(previous)")
	if got := names(t, mount); strings.Contains(got, backSuffix) || strings.Contains(got, nextSuffix) {
		t.Errorf("left behind: %s", got)
	}
	// Full only after the switch: the way back needs no room.
	if err := errors.Join(os.Remove(mount+"/fill0"), os.Remove(mount+"/fill1"), os.Remove(mount+"/fill2"), os.Remove(mount+"/fill3")); err != nil {
		t.Fatal(err)
	}
	err = s.do(nil, func(turn *Turn, _ Apply) error {
		return turn.Activate(ctx, "3", func(context.Context) error {
			for i := 0; os.WriteFile(fmt.Sprint(mount, "/more", i), nil, 0o644) == nil; i++ {
			}
			if path, _ := s.Current(); filepath.Base(path) == "3" {
				return errBad
			}
			return nil
		})
	})
	var failed *ActivateError
	if !errors.As(err, &failed) || !errors.Is(err, errBad) || failed.Back != "2" {
		t.Fatalf("error %v, want that 3 is bad and 2 is back", err)
	}
	wantSummary(t, s, "3 2(current) 1(previous)")
	wantSound(t, s, "full after the switch")
}
