package supervisor

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestARestartIsAHandoverWhereThatIsPossible(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, &fakeDriver{hands: true}, nil)
		defer r.end()
		r.save("config/app.php")
		r.wantCalls("boot", "handover", "boot")
		r.wantState(Ready, "")
		last := r.status().Last
		if last.Action != Restart || last.Result != Verified || last.ConnectionsCut != 2 || last.ConnectionsIdle != 3 || last.OldWorkers[0] != 2001 || last.NewWorkers[0] != 2002 {
			t.Errorf("outcome = %+v", last)
		}
		var seen []EventKind
		for _, e := range r.events {
			seen = append(seen, e.Kind)
		}
		if n := len(seen); seen[n-2] != EventSwitched || seen[n-1] != EventDone {
			t.Errorf("events %v: the switch comes before the end of the old server", seen)
		}
	})
}

// The new generation does not get ready: the old one never noticed, and what was wanted stays owed.
func TestAHandoverToAServerThatCannotBootIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &fakeDriver{hands: true}
		r := newRig(t, d, nil)
		defer r.end()
		d.setBootErr(&bootError{what: "exit code 255", lines: []string{"Fatal error: x"}})
		r.save("config/app.php")
		r.wantCalls("boot", "handover", "boot")
		r.wantState(Degraded, "config/app.php changed (config)")
		st := r.status()
		if st.Last.Result != Refused || !strings.Contains(st.Reason, "the old server serves on") || st.Master.PID != 1001 || st.Counters.Refused != 1 {
			t.Errorf("status %+v, outcome %+v", st, st.Last)
		}
		d.setBootErr(nil)
		r.save("app.php")
		r.wantCalls("boot", "handover", "boot", "handover", "boot") // the restart was owed
		r.wantState(Ready, "")
	})
}

// A server that cannot run beside another one, whatever its code, is stopped and started.
func TestAHandoverThatAnotherServerIsInTheWayOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &fakeDriver{hands: true, conflicts: true}
		r := newRig(t, d, nil)
		defer r.end()
		r.save("config/app.php")
		r.wantCalls("boot", "handover", "end", "boot")
		r.wantState(Ready, "")
	})
}

// An adopted server whose sockets are lost is replaced at once, and none of its workers before.
func TestACrippledServerIsReplacedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, &fakeDriver{hands: true, found: true, crippled: "its sockets are lost"}, nil)
		defer r.end()
		r.wantCalls("boot", "handover", "boot")
		if last := r.status().Last; last.Reasons[0] != "its sockets are lost" {
			t.Errorf("outcome %+v", last)
		}
	})
}

func TestPreloadedFilesOfTheGenerationThatServes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &fakeDriver{preloaded: [][]string{{"/p/a.php"}, {"/p/b.php"}}}
		r := newRig(t, d, nil)
		defer r.end()
		r.save("b.php")
		r.wantCalls("boot", "reload")
		elapse(time.Second)
		r.save("a.php")
		r.wantCalls("boot", "reload", "end", "boot")
		elapse(time.Second)
		r.save("a.php")
		r.wantCalls("boot", "reload", "end", "boot", "reload")
		elapse(time.Second)
		r.save("b.php")
		r.wantCalls("boot", "reload", "end", "boot", "reload", "end", "boot")
	})
}

func TestConflictLine(t *testing.T) {
	for line, is := range map[string]bool{
		"PHP Fatal error: failed to listen server port[127.0.0.1:9501], Error: Address already in use[98]": true,
		"Workerman[start.php] already running":                 true,
		"Unable to start server. Port 8000 is already in use.": true,
		"listen EADDRINUSE: address already in use :::80":      true,
		"Class App\\Foo not found":                             false,
		"the port of this function is taken from elsewhere":    false,
	} {
		if have := conflictLine([]string{"x", line, "y"}); (have != "") != is {
			t.Errorf("%q: %q", line, have)
		}
	}
}

func TestThePIDFileIsThatOfTheNewMaster(t *testing.T) {
	for _, test := range []struct {
		name string
		play func(t *testing.T, file string, p *pidAside) string
	}{
		{"the old one removes it when it ends", func(t *testing.T, file string, p *pidAside) string {
			written := save(t, file, "2")
			release := p.guard(p.written())
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
			until(t, file, written)
			release()
			p.keep([]byte(written))
			return written
		}},
		{"the new one does not get ready", func(t *testing.T, file string, p *pidAside) string {
			save(t, file, "2")
			p.back()
			return "1"
		}},
		{"the new one writes none", func(t *testing.T, file string, p *pidAside) string {
			p.guard(p.written())()
			p.keep(p.written())
			return ""
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "pid")
			save(t, file, "1")
			d := &processes{opt: &Options{Server: Server{}}, note: func(text string) { t.Error(text) }}
			p, err := d.setPIDFileAside(2, file, file)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
				t.Fatalf("the new master finds a pid file: %v", err)
			}
			want := test.play(t, file, p)
			text, _ := os.ReadFile(file)
			if string(text) != want {
				t.Errorf("the file has %q, want %q", text, want)
			}
			if left, _ := filepath.Glob(file + ".*"); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

func save(t *testing.T, file, text string) string {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return text
}

func until(t *testing.T, file, text string) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; <-time.After(time.Millisecond) {
		if have, _ := os.ReadFile(file); string(have) == text {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s never has %q", file, text)
		}
	}
}
