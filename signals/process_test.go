package signals

import (
	"context"
	"errors"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"
)

func TestLookup(t *testing.T) {
	h := startHelper(t, "sleep")
	again, err := Lookup(h.Process.PID)
	if err != nil || again != h.Process {
		t.Errorf("second look: got %v, %v, want %v", again, err, h.Process)
	}
	if self := Self(); self.PID != os.Getpid() || self.Start == 0 || !self.Alive() {
		t.Errorf("Self: got %+v", self)
	}
	for _, pid := range []int{0, -1, -h.Process.PID} {
		if p, err := Lookup(pid); err == nil || errors.Is(err, ErrGone) || p != (Process{}) {
			t.Errorf("Lookup(%d): got %v, %v, want a refusal", pid, p, err)
		}
	}
	_, err = Lookup(maxPID)
	wantGone(t, "Lookup of a pid that is never given", err)
}

func TestInfo(t *testing.T) {
	h := startHelper(t, "sleep")
	info, err := h.Process.Info()
	if err != nil {
		t.Fatal(err)
	}
	if info.PPID != os.Getpid() || info.PGID != info.PID || info.SID != info.PID || info.UID != os.Geteuid() {
		t.Errorf("got %+v, want a session leader below %d", info, os.Getpid())
	}
}

// A later process with the same pid is another process. Here the later one is
// real and the earlier one made up.
func TestReusedPID(t *testing.T) {
	h := startHelper(t, "sleep")
	earlier := Process{PID: h.Process.PID, Start: h.Process.Start - 1}
	if earlier.Alive() {
		t.Error("alive")
	}
	wantGone(t, "Signal", earlier.Signal(syscall.SIGKILL))
	wantGone(t, "Signal without pidfd", earlier.checkAndKill(syscall.SIGKILL))
	if err := earlier.Wait(within(t)); err != nil {
		t.Errorf("Wait: %v", err)
	}
	_, err := earlier.Info()
	wantGone(t, "Info", err)
	if err := h.Process.Signal(0); err != nil {
		t.Errorf("the later process was hit: %v", err)
	}
}

func TestZeroProcess(t *testing.T) {
	var nobody Process
	if nobody.Alive() {
		t.Error("alive")
	}
	// kill(0, sig) would end this test with its whole group.
	wantGone(t, "Signal", nobody.Signal(syscall.SIGKILL))
	wantGone(t, "Signal without pidfd", nobody.checkAndKill(syscall.SIGKILL))
	if err := nobody.Wait(within(t)); err != nil {
		t.Errorf("Wait: %v", err)
	}
}

func TestZombieIsDead(t *testing.T) {
	h := startHelper(t, "keep-zombie")
	pid := h.fact(t, 0)
	var info Info
	eventually(t, "the child is a zombie", func() bool {
		var err error
		info, err = readInfo(pid)
		return err == nil && info.dead()
	})
	zombie := info.Process
	if zombie.Alive() {
		t.Error("alive")
	}
	_, err := Lookup(pid)
	wantGone(t, "Lookup", err)
	wantGone(t, "Signal", zombie.Signal(syscall.SIGTERM))
	wantGone(t, "Signal without pidfd", zombie.checkAndKill(syscall.SIGTERM))
	if err := zombie.Wait(within(t)); err != nil {
		t.Errorf("Wait: %v", err)
	}
	if tree, err := Tree(h.Process); err != nil || len(tree) != 1 {
		t.Errorf("Tree: got %v, %v, want the parent alone", tree, err)
	}
}

func TestSignal(t *testing.T) {
	for name, send := range map[string]func(Process, syscall.Signal) error{
		"pidfd": Process.Signal, "kill": Process.checkAndKill,
	} {
		t.Run(name, func(t *testing.T) {
			h := startHelper(t, "deaf")
			if err := send(h.Process, syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if err := send(h.Process, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			h.Cmd.Wait()
			status := h.ProcessState.Sys().(syscall.WaitStatus)
			if status.Signal() != syscall.SIGKILL {
				t.Errorf("ended by %v, want SIGKILL alone to end it", status.Signal())
			}
			wantGone(t, "second signal", send(h.Process, syscall.SIGTERM))
		})
	}
}

func TestWait(t *testing.T) {
	for name, wait := range map[string]func(Process, context.Context) error{
		"pidfd": Process.Wait, "polling": Process.waitByPolling,
	} {
		t.Run(name, func(t *testing.T) {
			h := startHelper(t, "sleep")
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- wait(h.Process, ctx) }()
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("cancelled: got %v", err)
			}

			go func() { done <- wait(h.Process, within(t)) }()
			if err := h.Process.Signal(syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			// Nobody has reaped it: only the exit can have ended the wait.
			if err := <-done; err != nil {
				t.Errorf("after its end: got %v", err)
			}
		})
	}
}

func TestWaitReturnsTheCause(t *testing.T) {
	cause := errors.New("out of patience")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	if err := Self().Wait(ctx); !errors.Is(err, cause) {
		t.Errorf("got %v, want the cause", err)
	}
}

func TestStartedAt(t *testing.T) {
	before := time.Now()
	h := startHelper(t, "sleep")
	after := time.Now()
	started, err := h.Process.StartedAt()
	if err != nil {
		t.Fatal(err)
	}
	const rounding = 20 * time.Millisecond
	if started.Before(before.Add(-rounding)) || started.After(after.Add(rounding)) {
		t.Errorf("got %v, want between %v and %v", started, before, after)
	}
}

func TestCmdlineAndExe(t *testing.T) {
	h := startHelper(t, "sleep")
	args, err := h.Process.Cmdline()
	if err != nil || !slices.Equal(args, h.Args) {
		t.Errorf("Cmdline: got %q, %v, want %q", args, err, h.Args)
	}
	exe, err := h.Process.Exe()
	if want, _ := os.Executable(); err != nil || exe != want {
		t.Errorf("Exe: got %q, %v, want %q", exe, err, want)
	}
}

func TestParseSignal(t *testing.T) {
	tests := map[string]syscall.Signal{
		"SIGUSR1": syscall.SIGUSR1, "USR1": syscall.SIGUSR1, " usr1 ": syscall.SIGUSR1, "15": syscall.SIGTERM,
		"": 0, "SIG": 0, "SIGNOPE": 0, "0": 0, "-1": 0, "65": 0, "SIGRTMIN-1": 0, "SIGRTMIN+": 0, "SIGRTMIN+31": 0, "SIGRTMINI": 0,
	}
	if lastSignal > int(SIGRTMIN) {
		tests["SIGRTMIN"], tests["rtmin+30"], tests["SIGRTMIN+1"] = SIGRTMIN, 64, 35
	}
	for name, want := range tests {
		got, err := ParseSignal(name)
		if got != want || (err == nil) != (want != 0) {
			t.Errorf("%q: got %v, %v, want %d", name, got, err, want)
		}
		if want == 0 {
			continue
		}
		if back, err := ParseSignal(SignalName(want)); err != nil || back != want {
			t.Errorf("%d: its name %q reads as %d, %v", want, SignalName(want), back, err)
		}
	}
}
