package supervisor_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hotreload/hotreload/signals"
	"github.com/hotreload/hotreload/supervisor"
)

func TestStartReloadRestartStop(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	r := p.start(p.options(behaviour{Workers: 3, Reload: syscall.SIGUSR1}))
	first := r.status()
	if first.Generation != 1 || len(workersOf(first)) != 3 {
		t.Errorf("started: %+v", first)
	}
	p.serves("v1", workersOf(first))

	p.save("v2")
	out := r.do(supervisor.Reload, supervisor.Verified)
	if out.Action != supervisor.Reload || len(out.NewWorkers) != 3 || len(common(out.OldWorkers, out.NewWorkers)) > 0 {
		t.Errorf("reloaded: %+v", out)
	}
	p.serves("v2", out.NewWorkers)
	if st := r.status(); st.Master.PID != first.Master.PID || st.Generation != 1 {
		t.Errorf("the reload made another master: %+v", st)
	}

	p.save("v3")
	out = r.do(supervisor.Restart, supervisor.Verified)
	st := r.status()
	if out.Action != supervisor.Restart || st.Master.PID == first.Master.PID || st.Generation != 2 {
		t.Errorf("restarted: %+v, %+v", out, st)
	}
	p.serves("v3", out.NewWorkers)
	if want := (supervisor.Counters{Reloads: 1, Restarts: 1}); st.Counters != want {
		t.Errorf("counters %+v, want %+v", st.Counters, want)
	}
	if err := r.end(); err != nil {
		t.Errorf("the stop: %v", err)
	}
	if r.err != nil {
		t.Errorf("Run: %v", r.err)
	}
	if _, err := r.Do(context.Background(), supervisor.Request{Action: supervisor.Reload}); !errors.Is(err, supervisor.ErrStopping) {
		t.Errorf("a request after the end: %v", err)
	}
}

// How a server stops, and what hotreload says about it.

func TestServerThatIgnoresStopIsKilled(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	opt := p.options(behaviour{IgnoreStop: true})
	opt.Server.StopTimeout = 300 * time.Millisecond
	r := p.start(opt)
	if err := r.end(); err == nil || !strings.Contains(err.Error(), "did not stop within 300ms") {
		t.Errorf("the stop: %v", err)
	}
}

func TestRestartOfAServerThatIgnoresStop(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	opt := p.options(behaviour{IgnoreStop: true})
	opt.Server.StopTimeout = 300 * time.Millisecond
	r := p.start(opt)
	old := r.status()
	p.save("v2")
	out := r.do(supervisor.Restart, supervisor.Verified)
	for _, pid := range workersOf(old) {
		if _, err := signals.Lookup(pid); !errors.Is(err, signals.ErrGone) {
			t.Errorf("worker %d of the old master: %v", pid, err)
		}
	}
	p.serves("v2", out.NewWorkers)
	r.end()
}

func TestForceCutsAStopShort(t *testing.T) {
	t.Parallel()
	ways := map[string]func(r *running){
		"force channel": func(r *running) { close(r.force) },
		"second Stop":   func(r *running) { go r.Stop(context.Background()) },
	}
	for name, cut := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			opt := p.options(behaviour{IgnoreStop: true})
			opt.Server.StopTimeout = time.Hour
			r := p.start(opt)
			stopped := make(chan error, 1)
			go func() { stopped <- r.Stop(context.Background()) }()
			eventually(t, "it stops", func() bool { return r.status().State == supervisor.Stopped })
			cut(r)
			if err := r.waitEnd(); !errors.Is(err, supervisor.ErrForced) {
				t.Errorf("Run: %v, want %v", err, supervisor.ErrForced)
			}
			if err := <-stopped; !errors.Is(err, supervisor.ErrForced) {
				t.Errorf("Stop: %v, want %v", err, supervisor.ErrForced)
			}
			r.nothingLeft()
		})
	}
}

func TestEndOfTheContextStopsGracefully(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	r := p.start(p.options(behaviour{}))
	r.cancel()
	if err := r.waitEnd(); err != nil {
		t.Errorf("Run: %v", err)
	}
	r.nothingLeft()
}

func TestStopDuringBoot(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	r := p.run(p.options(behaviour{BootDelay: time.Hour}))
	eventually(t, "the server was started", func() bool { return len(left(p.dir, p.out)) > 1 })
	if err := r.end(); err != nil {
		t.Errorf("the stop: %v", err)
	}
}

func TestStopDuringReload(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	r := p.start(p.options(behaviour{ReloadDropped: true}))
	answered := make(chan error, 1)
	go func() {
		out, err := r.Do(context.Background(), supervisor.Request{Action: supervisor.Reload})
		if err == nil && out.Result == supervisor.Verified {
			err = errors.New("verified")
		}
		answered <- err
	}()
	r.until(supervisor.Reloading)
	if err := r.end(); err != nil {
		t.Errorf("the stop: %v", err)
	}
	if err := <-answered; !errors.Is(err, supervisor.ErrStopping) {
		t.Errorf("whoever asked for the reload is told %v, want %v", err, supervisor.ErrStopping)
	}
}

func TestStopOfAStoppedServer(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	r := p.start(p.options(behaviour{}))
	m := masterOf(t, r.status())
	if err := m.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := r.end(); err != nil {
		t.Errorf("the stop: %v", err)
	}
}

// How a server starts.

func TestServerThatEndsBeforeItIsReady(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	r := p.run(p.options(behaviour{Say: "cannot find the database", Exit: 3}))
	e := r.told(supervisor.EventCrashed, "exit code 3")
	if !slices.Equal(e.Output, []string{"cannot find the database"}) {
		t.Errorf("its last lines: %q", e.Output)
	}
	r.told(supervisor.EventWaiting, "exit code 3")
	st := r.until(supervisor.Crashed)
	if st.Master != nil || !strings.Contains(st.Reason, "exit code 3") {
		t.Errorf("status %+v", st)
	}
	// A request is another try, and says the same.
	out := r.do(supervisor.Reload, supervisor.Failed)
	if out.Action != supervisor.Restart || !slices.Contains(out.Output, "cannot find the database") || !strings.Contains(out.Error, "exit code 3") {
		t.Errorf("outcome %+v with %q", out, out.Output)
	}
	if err := r.end(); err != nil {
		t.Errorf("the stop: %v", err)
	}
}

func TestServerThatNeverListens(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	opt := p.options(behaviour{NoPort: true})
	opt.Server.Probe = supervisor.ProbeDial("tcp", "127.0.0.1:"+strconv.Itoa(p.port))
	opt.Server.ReadyTimeout = time.Second
	r := p.run(opt)
	e := r.told(supervisor.EventCrashed, "not ready within 1s")
	if !strings.Contains(e.Detail, "connection refused") {
		t.Errorf("the reason: %s", e.Detail)
	}
	r.until(supervisor.Crashed)
	r.nothingLeft()
	if out := r.do(supervisor.Restart, supervisor.TimedOut); out.Action != supervisor.Restart {
		t.Errorf("outcome %+v", out)
	}
	r.end()
}

func TestServerWithoutAPort(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	r := p.start(p.options(behaviour{NoPort: true}))
	if st := r.status(); len(workersOf(st)) != 0 {
		t.Errorf("status %+v", st)
	}
	out := r.do(supervisor.Reload, supervisor.Verified)
	if out.Action != supervisor.Restart || out.Escalated == "" {
		t.Errorf("without workers a reload is a restart: %+v", out)
	}
	r.end()
}

func TestServerThatDaemonizes(t *testing.T) {
	for name, delay := range map[string]time.Duration{"at once": 0, "after its parent has ended": 500 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			r := p.start(p.options(behaviour{Daemonize: true, BootDelay: delay}))
			p.save("v2")
			out := r.do(supervisor.Reload, supervisor.Verified)
			p.serves("v2", out.NewWorkers)
			p.save("v3")
			out = r.do(supervisor.Restart, supervisor.Verified)
			p.serves("v3", out.NewWorkers)
			if err := r.end(); err != nil {
				t.Errorf("the stop: %v", err)
			}
		})
	}
}

func TestPIDFileThatIsWrittenBitByBit(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	r := p.start(p.options(behaviour{Half: true}))
	text, err := os.ReadFile(p.pid)
	if err != nil || string(text) != strconv.Itoa(r.status().Master.PID) {
		t.Errorf("ready with %q in the pid file (%v), master %+v", text, err, r.status().Master)
	}
	out := r.do(supervisor.Reload, supervisor.Verified)
	p.serves("v1", out.NewWorkers)
	r.end()
}

func TestPIDFileWithAWrongPID(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	other := bystander(t)
	r := p.start(p.options(behaviour{WrongPID: other.PID}))
	r.told(supervisor.EventNote, "is pid_file right?")
	p.save("v2")
	out := r.do(supervisor.Reload, supervisor.Verified)
	p.serves("v2", out.NewWorkers)
	r.do(supervisor.Restart, supervisor.Verified)
	r.end()
}

func TestStalePIDFile(t *testing.T) {
	ended := exec.Command("true")
	if err := reaper.Run(ended); err != nil {
		t.Fatal(err)
	}
	other := bystander(t)
	long := time.Now().Add(-time.Hour)
	for name, content := range map[string]string{
		"reused":    strconv.Itoa(other.PID),
		"ended":     strconv.Itoa(ended.Process.Pid),
		"our own":   strconv.Itoa(os.Getpid()),
		"empty":     "",
		"not a pid": "hello\n",
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			if err := os.WriteFile(p.pid, []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(p.pid, long, long); err != nil {
				t.Fatal(err)
			}
			r := p.start(p.options(behaviour{Workers: 1}))
			r.told(supervisor.EventNote, "removed "+p.pid)
			r.end()
		})
	}
}

func TestPIDFileOfALivingMasterIsRefused(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	other := bystander(t)
	if err := os.WriteFile(p.pid, []byte(strconv.Itoa(other.PID)), 0o644); err != nil {
		t.Fatal(err)
	}
	r := p.run(p.options(behaviour{}))
	e := r.told(supervisor.EventCrashed, "a master already runs")
	if !strings.Contains(e.Detail, strconv.Itoa(other.PID)) || !strings.Contains(e.Detail, "--attach") {
		t.Errorf("refused with %q", e.Detail)
	}
	if _, err := os.Stat(p.pid); err != nil {
		t.Errorf("the pid file of the other: %v", err)
	}
	if err := os.Remove(p.pid); err != nil {
		t.Fatal(err)
	}
	r.end()
}

func TestPIDFileOfAnotherProgramIsReplaced(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	other := bystander(t)
	if err := os.WriteFile(p.pid, []byte(strconv.Itoa(other.PID)), 0o644); err != nil {
		t.Fatal(err)
	}
	opt := p.options(behaviour{Exit: 3})
	opt.Server.Layout = supervisor.LayoutSwoole // whose master is a PHP
	r := p.run(opt)
	r.told(supervisor.EventNote, "removed "+p.pid)
	r.end()
}

// What a reload may meet.

func TestReloadSignalThatIsIgnored(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	r := p.start(p.options(behaviour{ReloadIgnored: true}))
	p.save("v2")
	out := r.do(supervisor.Reload, supervisor.Verified)
	if out.Action != supervisor.Restart || !strings.Contains(out.Escalated, "ignores SIGHUP") {
		t.Errorf("outcome %+v", out)
	}
	p.serves("v2", out.NewWorkers)
	r.end()
}

func TestReloadThatIsNotVerifiedInTime(t *testing.T) {
	for name, b := range map[string]behaviour{
		"nothing happens":      {ReloadDropped: true},
		"the old workers stay": {ReloadStuck: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			opt := p.options(b)
			opt.Server.ReloadTimeout = time.Second
			r := p.start(opt)
			p.save("v2")
			out := r.do(supervisor.Reload, supervisor.Verified)
			if out.Action != supervisor.Restart || !strings.Contains(out.Escalated, "2 of 2 old workers still run") {
				t.Errorf("outcome %+v", out)
			}
			p.serves("v2", out.NewWorkers)
			r.end()
		})
	}
}

func TestMasterThatDiesOfItsReload(t *testing.T) {
	t.Parallel()
	for name, b := range map[string]behaviour{
		"with its workers":      {ReloadDies: 7},
		"leaving them":          {ReloadDies: 7, Orphans: true},
		"leaving them anywhere": {ReloadDies: 7, Orphans: true, Leave: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			r := p.start(p.options(b))
			p.save("v2")
			out := r.do(supervisor.Reload, supervisor.Verified)
			if out.Action != supervisor.Restart || !strings.Contains(out.Escalated, "exit code 7") {
				t.Errorf("outcome %+v", out)
			}
			p.serves("v2", out.NewWorkers)
			r.end()
		})
	}
}

func TestCrashLoop(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	r := p.start(p.options(behaviour{}))
	p.save(throws)
	out := r.do(supervisor.Reload, supervisor.Failed)
	if !strings.Contains(out.Error, "workers die as soon as they start") || !strings.Contains(out.Error, "boom in app/handler.php:3") {
		t.Errorf("the error: %s", out.Error)
	}
	if !slices.Contains(out.Output, fatal) {
		t.Errorf("its last lines: %q", out.Output)
	}
	if st := r.status(); st.State != supervisor.Crashed || st.Owed == "" {
		t.Errorf("status %+v", st)
	}
	r.nothingLeft()

	p.save("v2")
	out = r.do(supervisor.Reload, supervisor.Verified)
	p.serves("v2", out.NewWorkers)
	if st := r.status(); st.State != supervisor.Ready || st.Owed != "" || st.Counters.Failed != 1 {
		t.Errorf("status %+v", st)
	}
	r.end()
}

func TestCrashLoopAtTheStart(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.save(throws)
	r := p.run(p.options(behaviour{}))
	r.told(supervisor.EventCrashed, "boom in app/handler.php:3")
	r.until(supervisor.Crashed)
	r.nothingLeft()
	p.save("v1")
	out := r.do(supervisor.Reload, supervisor.Verified)
	p.serves("v1", out.NewWorkers)
	r.end()
}

func TestCommandOfAWorkerIsNoWorker(t *testing.T) {
	for _, workers := range []int{1, 2} {
		t.Run(fmt.Sprint(workers), func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			r := p.start(p.options(behaviour{Command: true, Workers: workers}))
			st := r.status()
			if n := len(workersOf(st)); n != workers || len(st.Workers) != workers {
				t.Errorf("workers %+v, want %d", st.Workers, workers)
			}
			p.serves("v1", workersOf(st))
			p.save("v2")
			out := r.do(supervisor.Reload, supervisor.Verified)
			if out.Action != supervisor.Reload || len(out.NewWorkers) != workers {
				t.Errorf("outcome %+v", out)
			}
			p.serves("v2", out.NewWorkers)
			r.end()
		})
	}
}

func TestHolderOfTheOutputIsEnded(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	r := p.start(p.options(behaviour{Holder: true}))
	if err := r.end(); err == nil || !strings.Contains(err.Error(), "outlived") {
		t.Errorf("the stop: %v", err)
	}
}

// A process that has left the tree (its parent has ended, its session is its own) is known by nothing but who it was seen with.
func TestEscapedHolderOfTheOutputIsEnded(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	r := p.start(p.options(behaviour{Escaped: true}))
	if err := r.end(); err == nil || !strings.Contains(err.Error(), "outlived") {
		t.Errorf("the stop: %v", err)
	}
}

// What a master may do by itself.

func TestKilledMasterIsStartedAgain(t *testing.T) {
	t.Parallel()
	for name, b := range map[string]behaviour{
		"with its workers":      {},
		"leaving them":          {Orphans: true},
		"leaving them anywhere": {Orphans: true, Leave: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			r := p.start(p.options(b))
			var old []signals.Process
			for _, pid := range workersOf(r.status()) {
				w, err := signals.Lookup(pid)
				if err != nil {
					t.Fatal(err)
				}
				old = append(old, w)
			}
			p.save("v2")
			kill(t, masterOf(t, r.status()))
			if e := r.told(supervisor.EventCrashed, ""); !strings.Contains(e.Detail, "ended by SIGKILL") {
				t.Errorf("reported as %q", e.Detail)
			}
			if e := r.told(supervisor.EventRetry, ""); e.Wait != 10*time.Millisecond {
				t.Errorf("the next start is in %s", e.Wait)
			}
			eventually(t, "the server is ready again", func() bool {
				st := r.status()
				return st.State == supervisor.Ready && st.Generation == 2
			})
			for _, w := range old {
				if w.Alive() {
					t.Errorf("old worker %d still runs", w.PID)
				}
			}
			st := r.status()
			p.serves("v2", workersOf(st))
			if want := (supervisor.Counters{Restarts: 1, Crashes: 1}); st.Counters != want {
				t.Errorf("counters %+v, want %+v", st.Counters, want)
			}
			r.end()
		})
	}
}

func TestRequestsDoNotWaitForTheNextTry(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	opt := p.options(behaviour{})
	opt.Restart.Min = time.Hour
	r := p.start(opt)
	kill(t, masterOf(t, r.status()))
	r.told(supervisor.EventRetry, "SIGKILL")
	p.save("v2")
	out := r.do(supervisor.Reload, supervisor.Verified)
	if out.Action != supervisor.Restart {
		t.Errorf("outcome %+v", out)
	}
	p.serves("v2", out.NewWorkers)

	kill(t, masterOf(t, r.status()))
	eventually(t, "the next try is planned", func() bool { return r.count(supervisor.EventRetry) == 2 })
	if err := r.end(); err != nil {
		t.Errorf("the stop: %v", err)
	}
}

func TestBackoffDoubles(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	opt := p.options(behaviour{Say: "no", Exit: 3})
	opt.Mode, opt.MaxFailures = supervisor.Run, 4
	opt.Restart = supervisor.Backoff{Min: 10 * time.Millisecond, Max: 30 * time.Millisecond}
	r := p.run(opt)
	var exit *supervisor.ExitError
	if err := r.waitEnd(); !errors.As(err, &exit) || exit.Code != 3 || !strings.Contains(exit.Reason, "4 failed starts") {
		t.Fatalf("Run: %v", err)
	}
	var waits []time.Duration
	for _, e := range r.events {
		if e.Kind == supervisor.EventRetry {
			waits = append(waits, e.Wait)
		}
	}
	const ms = time.Millisecond
	if want := []time.Duration{10 * ms, 20 * ms, 30 * ms}; !slices.Equal(waits, want) {
		t.Errorf("waits %v, want %v", waits, want)
	}
	r.nothingLeft()
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	script := func(text string) []string { return []string{"/bin/sh", "-c", text} }
	for _, c := range []struct {
		name    string
		kind    string
		command []string
		want    int
	}{
		{"a program that ends with a code", supervisor.KindNone, script("read line; exit 5"), 5},
		{"a program that ends well", supervisor.KindNone, script("read line; exit 0"), 0},
		{"a program that is ended by a signal", supervisor.KindNone, script("read line; kill -TERM $$"), 143},
		{"a server that never starts", "custom", script("exit 3"), 3},
		{"a server that ends well and never starts", "custom", script("exit 0"), 1},
		{"a server that is killed at its start", "custom", script("kill -KILL $$"), 137},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			opt := p.options(behaviour{})
			opt.Mode, opt.MaxFailures = supervisor.Run, 2
			stdin, release, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer stdin.Close()
			defer release.Close()
			opt.Output.Stdin = stdin
			opt.Server.Kind, opt.Server.Command = c.kind, c.command
			opt.Server.PIDFile, p.pid = "", filepath.Join(p.dir, "none")
			if c.kind == supervisor.KindNone {
				opt.Server.Layout, opt.Server.Probe = supervisor.LayoutSingle, supervisor.ProbeNothing
			}
			r := p.run(opt)
			if c.kind == supervisor.KindNone {
				r.told(supervisor.EventReady, "")
				if _, err := release.WriteString("\n"); err != nil {
					t.Fatal(err)
				}
			}
			var exit *supervisor.ExitError
			if err := r.waitEnd(); !errors.As(err, &exit) || exit.Code != c.want {
				t.Errorf("Run: %#v, want code %d", err, c.want)
			}
			r.nothingLeft()
		})
	}
}

// Somebody else's server.

func TestAttach(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	opt := p.options(behaviour{})
	own := func() (signals.Process, <-chan struct{}) {
		cmd := exec.Command(opt.Server.Command[0])
		cmd.Env, cmd.Dir = opt.Server.Env, p.dir
		cmd.Stdout, cmd.Stderr = p.to, p.to
		m, ended := spawn(t, cmd)
		eventually(t, "the owner's server answers", func() bool {
			_, _, err := p.ask()
			text, _ := os.ReadFile(p.pid)
			return err == nil && string(text) == strconv.Itoa(m.PID)
		})
		return m, ended
	}
	m, ended := own()
	attach := opt
	attach.Mode, attach.Server.Command = supervisor.Attach, nil
	r := p.run(attach)
	r.until(supervisor.Ready)
	p.save("v2")
	out := r.do(supervisor.Reload, supervisor.Verified)
	p.serves("v2", out.NewWorkers)
	if _, err := r.Do(context.Background(), supervisor.Request{Action: supervisor.Restart}); err == nil || !strings.Contains(err.Error(), "started by somebody else") {
		t.Errorf("a restart: %v", err)
	}
	if !m.Alive() || r.status().Master.PID != m.PID {
		t.Errorf("master %d lives: %v; status %+v", m.PID, m.Alive(), r.status().Master)
	}

	// The owner restarts it.
	if err := m.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-ended
	r.until(supervisor.Crashed)
	p.save("v3")
	m, ended = own()
	eventually(t, "the new master is found", func() bool {
		st := r.status()
		return st.State == supervisor.Ready && st.Master != nil && st.Master.PID == m.PID
	})
	out = r.do(supervisor.Reload, supervisor.Verified)
	p.serves("v3", out.NewWorkers)

	if err := r.Stop(context.Background()); err != nil {
		t.Errorf("the stop: %v", err)
	}
	r.waitEnd()
	if !m.Alive() {
		t.Error("the stop ended somebody else's server")
	}
	if _, _, err := p.ask(); err != nil {
		t.Errorf("somebody else's server after the stop: %v", err)
	}
	if err := m.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-ended
	r.nothingLeft()
}

// What the server prints.

func TestTerminal(t *testing.T) {
	t.Parallel()
	for _, terminal := range []bool{true, false} {
		t.Run(fmt.Sprint(terminal), func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			opt := p.options(behaviour{Terminal: true})
			opt.Output.Terminal = terminal
			r := p.start(opt)
			r.end()
			if got, want := p.output(), fmt.Sprintf("terminal=%v\n%s", terminal, payload); !strings.HasPrefix(got, want) {
				t.Errorf("it printed %q, and this arrived: %q", want, got)
			}
		})
	}
}

func TestDirectOutputNeedsNoRelay(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	opt := p.options(behaviour{Terminal: true})
	opt.Output.Direct = true
	r := p.start(opt)
	if i := slices.IndexFunc(left(p.dir, p.out), isRelay); i >= 0 {
		t.Errorf("there is a relay: %s", left(p.dir, p.out)[i])
	}
	r.end()
	if got, want := p.output(), "terminal=false\n"+payload; !strings.HasPrefix(got, want) {
		t.Errorf("it printed %q, and this arrived: %q", want, got)
	}
}

// A terminal that is stopped (Ctrl-S) takes nothing. The server's workers that print then stand still; hotreload must not.
func TestOutputThatNobodyReads(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	defer writer.Close()
	opt := p.options(behaviour{Flood: true})
	opt.Output = supervisor.Output{Stdout: writer, Stderr: p.to} // the relay is known by its output: see left
	r := p.start(opt)
	p.save("v2")
	out := r.do(supervisor.Reload, supervisor.Verified)
	p.serves("v2", out.NewWorkers)
	if err := r.Stop(context.Background()); err != nil {
		t.Errorf("the stop: %v", err)
	}
	r.waitEnd()
	reader.Close()
	r.nothingLeft()
}

func TestFloodArrives(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	script := "i=0; while [ $i -lt 20000 ]; do echo line $i of a server that says a lot, to see that all of it arrives; i=$((i+1)); done; exit 3"
	opt := p.options(behaviour{})
	opt.Server.Command = []string{"/bin/sh", "-c", script}
	r := p.run(opt)
	e := r.told(supervisor.EventCrashed, "exit code 3")
	lines := strings.Split(strings.TrimSpace(p.output()), "\n")
	if len(lines) != 20000 || !strings.HasPrefix(lines[19999], "line 19999 ") {
		t.Errorf("%d lines arrived, the last is %q", len(lines), lines[len(lines)-1])
	}
	if len(e.Output) != 50 || e.Output[49] != lines[len(lines)-1] {
		t.Errorf("the last lines end with %q", e.Output[max(0, len(e.Output)-1):])
	}
	r.end()
}
