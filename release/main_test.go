package release

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const roleVariable = "RELEASE_TEST_ROLE"

// TestMain makes the test binary a hotreload that dies, and one that may not write.
func TestMain(m *testing.M) {
	if role := roles[os.Getenv(roleVariable)]; role != nil {
		role(os.Args[1:])
		return
	}
	check(os.Setenv("GORACE", "atexit_sleep_ms=0")) // else the race detector sleeps for a second in every process that ends
	os.Exit(m.Run())
}

// roles are what the test binary can be. Each ends the process.
var roles = map[string]func(args []string){
	// victim DIR ACTION STEP kills itself at the step of that number, or exits with 0 when there is none.
	"victim": func(args []string) {
		s := open(args[0])
		step, err := strconv.Atoi(args[2])
		check(err)
		s.at = func(string) error {
			if step--; step < 0 {
				check(syscall.Kill(os.Getpid(), syscall.SIGKILL))
			}
			return nil
		}
		check(actions[args[1]](s))
		os.Exit(0)
	},
	// holder DIR takes the turn and keeps it.
	"holder": func(args []string) {
		_, err := open(args[0]).Acquire("hotreload deploy")
		check(err)
		fmt.Println("ready")
		select {}
	},
	// unprivileged DIR ACTION does it as nobody, and prints the error.
	"unprivileged": func(args []string) {
		if os.Geteuid() == 0 {
			check(syscall.Setgid(65534))
			check(syscall.Setuid(65534))
		}
		fmt.Println(actions[args[1]](open(args[0])))
		os.Exit(0)
	},
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// actions are what somebody wants to have done, each with the recovery before it as everybody does.
var actions = map[string]func(s *Store) error{
	"activate": func(s *Store) error {
		return s.do(nil, func(t *Turn, serve Apply) error { return t.Activate(ctx, "3", serve) })
	},
	"activate, bad": func(s *Store) error {
		return s.do(errBad, func(t *Turn, serve Apply) error { return t.Activate(ctx, "3", serve) })
	},
	"rollback": func(s *Store) error {
		return s.do(nil, func(t *Turn, serve Apply) error { return t.Rollback(ctx, "1", serve) })
	},
	"prune": func(s *Store) error {
		return s.do(nil, func(t *Turn, _ Apply) error { _, err := t.Prune(ctx, 1); return err })
	},
	"create": func(s *Store) error {
		return s.do(nil, func(t *Turn, _ Apply) error { _, err := t.Create("4"); return err })
	},
	"share": func(s *Store) error {
		return s.do(nil, func(t *Turn, _ Apply) error { return t.Share("3") })
	},
}

var (
	ctx    = context.Background()
	errBad = errors.New("it does not boot")
)

// do takes the turn, recovers, and does something. The server refuses release 3 with the error.
func (s *Store) do(refusal error, what func(t *Turn, serve Apply) error) error {
	t, err := s.Acquire("hotreload test")
	if err != nil {
		return err
	}
	serve := s.server(refusal)
	_, err = t.Recover(ctx, serve)
	if err == nil {
		err = what(t, serve)
	}
	return errors.Join(err, t.Close())
}

// server is one that writes down which release it serves, and refuses release 3 with the error.
func (s *Store) server(err error) Apply {
	return func(context.Context) error {
		if stepErr := s.step("apply"); stepErr != nil {
			return stepErr
		}
		path, currentErr := s.Current()
		check(currentErr)
		if err != nil && filepath.Base(path) == "3" {
			return err
		}
		check(os.WriteFile(filepath.Join(filepath.Dir(s.opt.Current), "served"), []byte(filepath.Base(path)), 0o644))
		return s.step("applied")
	}
}

// open is the store of a site.
func open(dir string) *Store {
	s, err := Open(Options{
		Current: dir + "/current", Dir: dir + "/releases", SharedDir: dir + "/shared", Shared: []string{"data", ".env"}, Marker: "REVISION",
	})
	check(err)
	return s
}

// newSite makes a directory with three releases, of which the second is live, after the first.
func newSite(t *testing.T) (dir string, s *Store) {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"1", "2", "3"} {
		addRelease(t, dir, name, time.Now().Add(time.Duration(i-5)*time.Hour))
	}
	symlink(t, "releases/1", dir+"/current")
	s = open(dir)
	if err := s.do(nil, func(t *Turn, serve Apply) error { return t.Activate(ctx, "2", serve) }); err != nil {
		t.Fatal(err)
	}
	return dir, s
}

func addRelease(t *testing.T, dir, name string, at time.Time) {
	t.Helper()
	path := filepath.Join(dir, "releases", name)
	write(t, path+"/REVISION", "commit-"+name+"\n")
	write(t, path+"/src/index.php", "<?php")
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func symlink(t *testing.T, text, path string) {
	t.Helper()
	if err := os.Symlink(text, path); err != nil {
		t.Fatal(err)
	}
}

// turn takes the turn until the test ends.
func turn(t *testing.T, s *Store) *Turn {
	t.Helper()
	held, err := s.Acquire("hotreload test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := held.Close(); err != nil {
			t.Error(err)
		}
	})
	return held
}

// command prepares the test binary in a role.
func command(t *testing.T, role string, args ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, args...)
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	return cmd
}

// names are the entries of a directory, in order.
func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return strings.Join(all, " ")
}

func readlink(t *testing.T, path string) string {
	t.Helper()
	text, err := os.Readlink(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// summary is a list of releases in one line: "3 2(current) 1(previous)".
func summary(t *testing.T, s *Store) string {
	t.Helper()
	releases, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, r := range releases {
		var state []string
		for _, word := range []struct {
			text string
			is   bool
		}{{"failed", r.Failed}, {"current", r.Current}, {"previous", r.Previous}} {
			if word.is {
				state = append(state, word.text)
			}
		}
		if !r.Complete {
			state = append(state, "incomplete")
		}
		text := r.Name
		if len(state) > 0 {
			text += "(" + strings.Join(state, ",") + ")"
		}
		all = append(all, text)
	}
	return strings.Join(all, " ")
}

func wantSummary(t *testing.T, s *Store, want string) {
	t.Helper()
	if got := summary(t, s); got != want {
		t.Errorf("releases: %s; want %s", got, want)
	}
}

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error; want one that says %q", parts)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not say %q", err, part)
		}
	}
}
