package release

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestAcquire(t *testing.T) {
	dir, s := newSite(t)
	cmd := command(t, "holder", dir)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		t.Fatal(line, err)
	}
	_, err = s.Acquire("x")
	var busy *BusyError
	if !errors.As(err, &busy) || busy.PID != cmd.Process.Pid || busy.What != "hotreload deploy" || time.Since(busy.Since) > time.Hour {
		t.Fatalf("error %v, want a BusyError that names process %d", err, cmd.Process.Pid)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	held, err := s.Acquire("x")
	if err != nil {
		t.Fatalf("the holder is dead: %v", err)
	}
	if _, err := s.Acquire("y"); !errors.As(err, &busy) || busy.PID != os.Getpid() {
		t.Errorf("within a process: %v", err)
	}
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	if held, err = s.Acquire("y"); err != nil {
		t.Fatal(err)
	}
	if err := held.Close(); err != nil {
		t.Error(err)
	}
}

// The commands that somebody runs who has the turn do not keep it when that ends.
func TestTurnIsNotInherited(t *testing.T) {
	_, s := newSite(t)
	held, err := s.Acquire("x")
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command("sleep", "600")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { child.Process.Kill(); child.Wait() })
	if err := held.file.Close(); err != nil { // as when the process ends
		t.Fatal(err)
	}
	next, err := s.Acquire("y")
	if err != nil {
		t.Fatal(err)
	}
	if err := next.Close(); err != nil {
		t.Error(err)
	}
}

// Files that hold something else are moved aside, said, and stop nothing.
func TestDamagedMemory(t *testing.T) {
	for name, text := range map[string]string{"empty": "", "cut off": `{"history":[{"na`, "garbage": "\x00\x00\x00", "another type": `[1]`} {
		t.Run(name, func(t *testing.T) {
			_, s := newSite(t)
			write(t, s.Home()+"/"+memoryName, text)
			write(t, s.Home()+"/"+journalName, text)
			wantSummary(t, s, "3 2(current) 1(previous)") // from the order alone
			held := turn(t, s)
			said, err := held.Recover(ctx, nil)
			if err != nil || !strings.Contains(said, memoryName) || !strings.Contains(said, journalName) || !strings.Contains(said, "moved to") {
				t.Errorf("said %q, %v", said, err)
			}
			if got := names(t, s.Home()); strings.Count(got, ".damaged-") != 2 {
				t.Errorf("in the home: %s", got)
			}
			if err := held.Activate(ctx, "3", nil); err != nil {
				t.Fatal(err)
			}
			wantSummary(t, s, "3(current) 2(previous) 1")
		})
	}
}

// What is not there any more, or was switched by somebody else, is no reason to change anything.
func TestRecoverAfterSomebodyElse(t *testing.T) {
	dir, s := newSite(t)
	held := turn(t, s)
	j, err := held.plan(activating, mustFind(t, s, "3"))
	if err != nil {
		t.Fatal(err)
	}
	if err := held.prepare(j); err != nil {
		t.Fatal(err)
	}
	if err := s.takePlace(nextSuffix); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(dir+"/current"), os.Symlink("releases/1", dir+"/current")); err != nil {
		t.Fatal(err)
	}
	said, err := held.Recover(ctx, s.server(nil))
	if err != nil || !strings.Contains(said, "somebody else") {
		t.Errorf("said %q, %v", said, err)
	}
	if got := readlink(t, dir+"/current"); got != "releases/1" {
		t.Errorf("current is %s", got)
	}
	if said, err := held.Recover(ctx, nil); said != "" || err != nil {
		t.Errorf("a second time: %q, %v", said, err)
	}
}

// A release that has become current while it was removed gets its name back.
func TestRecoverRestores(t *testing.T) {
	dir, s := newSite(t)
	held := turn(t, s)
	if err := os.Rename(dir+"/releases/2", dir+"/releases/"+trashPrefix+"2"); err != nil {
		t.Fatal(err)
	}
	said, err := held.Recover(ctx, nil)
	if err != nil || !strings.Contains(said, "it is back") {
		t.Errorf("said %q, %v", said, err)
	}
	wantSummary(t, s, "3 2(current) 1(previous)")
}

// Whoever may not write changes nothing, and is told why.
func TestWithoutPermission(t *testing.T) {
	for name, closed := range map[string][]string{
		"everything":       {"", ".hotreload", "releases", "releases/2", "releases/1"},
		"the home":         {".hotreload"},
		"beside current":   {""},
		"the releases":     {"releases"},
		"inside a release": {"releases/1/src"},
	} {
		for action := range actions {
			if action == "share" {
				continue // of a release that is not live
			}
			t.Run(name+", "+action, func(t *testing.T) {
				dir, s := newSite(t)
				prepare(t, dir, s, action)
				openUp(t, dir)
				for _, path := range closed {
					mode := os.FileMode(0o555)
					if os.Geteuid() == 0 {
						mode = 0o755 // of root, and the other is nobody
					}
					if err := os.Chmod(filepath.Join(dir, path), mode); err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { os.Chmod(filepath.Join(dir, path), 0o755) })
				}
				out, err := command(t, "unprivileged", dir, action).Output()
				if err != nil {
					t.Fatal(err)
				}
				wantSound(t, s, string(out))
				touched := strings.TrimSpace(string(out)) == "<nil>"
				if !touched && !strings.Contains(string(out), errBad.Error()) && !strings.Contains(string(out), "permission denied") {
					t.Errorf("said %s", out)
				}
				if !touched && (action == "activate" || action == "rollback") && name != "the home" && readlink(t, dir+"/current") != "releases/2" {
					t.Errorf("%s: current is %s", out, readlink(t, dir+"/current"))
				}
				if got := names(t, dir); strings.Contains(got, nextSuffix) || strings.Contains(got, backSuffix) {
					t.Errorf("left behind: %s", got)
				}
			})
		}
	}
}

// openUp lets everybody write everywhere below dir, and come there.
func openUp(t *testing.T, dir string) {
	t.Helper()
	for above := filepath.Dir(dir); above != "/" && above != os.TempDir(); above = filepath.Dir(above) {
		if err := os.Chmod(above, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("chmod", "-R", "a+rwX", dir).CombinedOutput(); err != nil {
		t.Fatal(string(out))
	}
}
