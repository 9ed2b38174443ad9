package supervisor_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hotreload/hotreload/signals"
	"github.com/hotreload/hotreload/supervisor"
	"github.com/hotreload/hotreload/watcher"
)

// hotreloadEnv makes the test binary a small hotreload: its value is a killable.
const hotreloadEnv = "HOTRELOAD_TEST_HOTRELOAD"

// killable is a hotreload in a process of its own.
type killable struct {
	Command  []string
	Env      []string
	Dir      string
	PIDFile  string
	Layout   supervisor.Layout
	Signals  supervisor.Signals
	Terminal bool   // the server's output is a terminal
	Adoption string // the file in which the adoption is kept
}

func hotreloadMain() int {
	var k killable
	if err := json.Unmarshal([]byte(os.Getenv(hotreloadEnv)), &k); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	if err := adoptOrphans(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	opt := supervisor.Options{
		Mode: supervisor.Watch, Reaper: reaper,
		Output: supervisor.Output{Stdout: os.Stdout, Stderr: os.Stderr, Terminal: k.Terminal},
		Server: supervisor.Server{
			Command: k.Command, Env: k.Env, Dir: k.Dir, PIDFile: k.PIDFile, Layout: k.Layout, Signals: k.Signals,
		},
	}
	opt.Save = func(a supervisor.Adoption) error {
		text, err := json.Marshal(a)
		if err != nil {
			return err
		}
		if err := os.WriteFile(k.Adoption+"~", text, 0o644); err != nil {
			return err
		}
		return os.Rename(k.Adoption+"~", k.Adoption)
	}
	s, err := supervisor.New(opt)
	if err == nil {
		err = s.Run(context.Background(), nil)
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// abandon starts a server under a hotreload of its own, kills that when the server is ready, and returns what it left.
func (p *place) abandon(opt supervisor.Options) supervisor.Adoption {
	p.t.Helper()
	server := opt.Server
	k := killable{
		Command: server.Command, Env: server.Env, Dir: server.Dir, PIDFile: server.PIDFile, Layout: server.Layout,
		Signals: server.Signals, Terminal: opt.Output.Terminal, Adoption: filepath.Join(p.dir, "adoption"),
	}
	text, err := json.Marshal(k)
	if err != nil {
		p.t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		p.t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), hotreloadEnv+"="+string(text))
	cmd.Stdout, cmd.Stderr = p.to, p.to
	cmd.Dir = "/"
	hotreload, ended := spawn(p.t, cmd)
	var a supervisor.Adoption
	eventually(p.t, "the server's adoption is saved", func() bool {
		text, err := os.ReadFile(k.Adoption)
		return err == nil && json.Unmarshal(text, &a) == nil && a.Ready
	})
	p.t.Cleanup(func() { // whatever the test has not taken over
		for _, m := range a.Members {
			_ = m.Signal(syscall.SIGKILL)
		}
	})
	kill(p.t, hotreload)
	<-ended
	if a.Hotreload != hotreload.PID || a.BootID != supervisor.BootID() {
		p.t.Errorf("the adoption names hotreload %d of boot %q, want %d of %q", a.Hotreload, a.BootID, hotreload.PID, supervisor.BootID())
	}
	return a
}

// workersIn are the members of a's tree that are not its master.
func workersIn(a supervisor.Adoption) []signals.Process {
	var workers []signals.Process
	for _, m := range a.Members {
		if m != a.Master {
			workers = append(workers, m)
		}
	}
	return workers
}

func TestAdoptedServerServesAndPrintsAndObeys(t *testing.T) {
	t.Parallel()
	for name, terminal := range map[string]bool{"pipes": false, "terminal": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			adoptedServerServesAndPrintsAndObeys(t, terminal)
		})
	}
}

func adoptedServerServesAndPrintsAndObeys(t *testing.T, terminal bool) {
	p := newPlace(t)
	opt := p.options(behaviour{})
	opt.Output.Terminal = terminal
	a := p.abandon(opt)
	// Nobody reads the server's output any more but the relay, which has where hotreload's went.
	_, pid, err := p.ask()
	if err != nil {
		t.Fatalf("the server that hotreload left: %v", err)
	}
	line := fmt.Sprintf("answered v1 %d\n", pid)
	eventually(t, "the server's output arrives where hotreload's went", func() bool { return strings.Contains(p.output(), line) })
	if !a.Master.Alive() {
		t.Fatal("the server ended with hotreload")
	}

	opt.Adopt = &a
	var saved supervisor.Adoption
	opt.Save = func(a supervisor.Adoption) error { saved = a; return nil }
	r := p.start(opt)
	st := r.status()
	if st.Master.PID != a.Master.PID || st.Generation != a.Generation || r.count(supervisor.EventAdopted) != 1 {
		t.Errorf("it is %+v of generation %d, want master %d of %d, adopted once", st.Master, st.Generation, a.Master.PID, a.Generation)
	}
	p.save("v2")
	out := r.do(supervisor.Reload, supervisor.Verified)
	if out.Action != supervisor.Reload || len(out.OldWorkers) != 2 || len(out.NewWorkers) != 2 {
		t.Errorf("outcome %+v", out)
	}
	p.serves("v2", out.NewWorkers)
	if err := r.end(); err != nil {
		t.Errorf("the stop: %v", err)
	}
	if saved.Hotreload != os.Getpid() || saved.Master != a.Master {
		t.Errorf("saved %+v", saved)
	}
}

func TestAdoptedServerIsReloadedOnceForWhatNobodySaw(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	a := p.abandon(p.options(behaviour{}))
	p.save("v2")
	opt := p.options(behaviour{})
	opt.Adopt = &a
	opt.Batches = make(chan watcher.Batch) // from now on somebody watches
	asked := 0
	opt.ChangedSince = func(time.Time) []string {
		asked++
		return []string{p.app, filepath.Join(p.dir, "another")}
	}
	r := p.run(opt)
	done := r.told(supervisor.EventDone, "")
	if o := done.Outcome; o.Result != supervisor.Verified || o.Action != supervisor.Reload || len(o.Files) != 2 {
		t.Fatalf("outcome %+v", o)
	}
	p.serves("v2", done.Outcome.NewWorkers)
	if next := r.do(supervisor.Reload, supervisor.Verified); next.Seq != 2 {
		t.Errorf("there were %d operations before this one, want 1", next.Seq-1)
	}
	if err := r.end(); err != nil {
		t.Errorf("the stop: %v", err)
	}
	if asked != 1 {
		t.Errorf("ChangedSince was asked %d times", asked)
	}
}

func TestWhatADeadMasterLeftBehindIsEnded(t *testing.T) {
	for name, b := range map[string]behaviour{
		"in its group":         {Orphans: true},
		"in groups of its own": {Orphans: true, Leave: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			a := p.abandon(p.options(b))
			kill(t, a.Master)
			eventually(t, "the master is gone", func() bool { return !a.Master.Alive() })
			if _, _, err := p.ask(); err != nil {
				t.Fatalf("the orphans do not answer: %v", err)
			}
			p.save("v2")
			opt := p.options(b)
			opt.Adopt = &a
			r := p.start(opt)
			st := r.status()
			if st.Master.PID == a.Master.PID {
				t.Errorf("the master is the dead one")
			}
			for _, w := range workersIn(a) {
				if w.Alive() {
					t.Errorf("%d of the old server still runs", w.PID)
				}
			}
			p.serves("v2", workersOf(st))
			if err := r.end(); err != nil {
				t.Errorf("the stop: %v", err)
			}
		})
	}
}
