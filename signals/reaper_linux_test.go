package signals

import (
	"bytes"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const orphans = "300"

func TestReaperAsSubreaper(t *testing.T) {
	runReaper(t, command("reaper:"+orphans))
}

func TestReaperAsInit(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("a new pid namespace needs root")
	}
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		t.Skip("no unshare(1)")
	}
	if out, err := exec.Command(unshare, "--pid", "--fork", "--mount-proc", "true").CombinedOutput(); err != nil {
		t.Skipf("no pid namespaces here: %s", out)
	}
	init := command("reaper:" + orphans)
	cmd := exec.Command(unshare, "--pid", "--fork", "--mount-proc", "--kill-child", init.Path)
	cmd.Env = init.Env
	runReaper(t, cmd)
}

func runReaper(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = nil, &stderr
	kill := time.AfterFunc(patience, func() { cmd.Process.Kill() })
	defer kill.Stop()
	out, err := cmd.Output()
	if err != nil || string(out) != "ready\n" {
		t.Errorf("got %q, %v: %s", out, err, &stderr)
	}
}

// What a child that a Reaper starts finds: no blocked signals, no handlers, and of what
// was ignored only what this program has not asked for itself.
func TestChildSignals(t *testing.T) {
	show := command("show-status")
	cmd := exec.Command("sh", "-c", `trap "" INT HUP; exec "$0"`, show.Path)
	cmd.Env, cmd.Stderr = show.Env, os.Stderr
	out, err := outputBlocking(cmd, unix.SIGTERM, unix.SIGUSR1)
	if err != nil {
		t.Fatal(err)
	}
	status, err := parseStatus(out)
	if err != nil {
		t.Fatal(err)
	}
	if status.blocked != 0 || status.caught != 0 {
		t.Errorf("blocked %x, caught %x, want none", status.blocked, status.caught)
	}
	if status.ignored.Has(syscall.SIGINT) {
		t.Error("SIGINT is ignored, though signal.Notify asked for it")
	}
	if !status.ignored.Has(syscall.SIGHUP) {
		t.Error("SIGHUP is not ignored, as under nohup it must be")
	}
	if status.ignored.Has(syscall.SIGPIPE) || status.ignored.Has(syscall.SIGCHLD) {
		t.Errorf("ignored: %x", status.ignored)
	}
}

// outputBlocking is cmd.Output of a program that is started with these signals blocked.
func outputBlocking(cmd *exec.Cmd, sigs ...unix.Signal) ([]byte, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var set, before unix.Sigset_t
	for _, sig := range sigs {
		set.Val[0] |= 1 << (sig - 1)
	}
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, &set, &before); err != nil {
		return nil, err
	}
	defer unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil)
	return cmd.Output()
}

func TestReaperTellsOfStops(t *testing.T) {
	r := NewReaper()
	served := make(chan error, 1)
	go func() { served <- r.Serve(t.Context()) }()
	stopped := make(chan syscall.Signal, 1)
	child := command("sleep")
	child.Stdin = nil
	child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // signals of a terminal do not stop a group that nobody could continue
	stdin, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	r.OnStop(child, func(sig syscall.Signal) { stopped <- sig })
	if err := r.Start(child); err != nil {
		t.Fatal(err)
	}
	p, err := Lookup(child.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	for _, sig := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGTTIN, syscall.SIGTSTP} {
		if err := p.Signal(sig); err != nil {
			t.Fatal(err)
		}
		select {
		case have := <-stopped:
			if have != sig {
				t.Errorf("stopped by %s, want %s", SignalName(have), SignalName(sig))
			}
		case err := <-served:
			t.Fatal(err)
		case <-time.After(patience):
			t.Fatalf("nobody was told of %s", SignalName(sig))
		}
		if err := p.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
	}
	stdin.Close()
	if err := r.Wait(child); err != nil {
		t.Error(err)
	}
	if len(r.stops) != 0 {
		t.Errorf("still to be told: %v", r.stops)
	}
}

func TestReaperRunReportsStartErrors(t *testing.T) {
	r := NewReaper()
	if err := r.Run(exec.Command("/nonexistent")); !os.IsNotExist(err) {
		t.Errorf("got %v", err)
	}
	missing := exec.Command("/nonexistent")
	r.OnStop(missing, func(syscall.Signal) {})
	if err := r.Start(missing); !os.IsNotExist(err) {
		t.Errorf("got %v", err)
	}
	if len(r.children) != 0 || len(r.stops) != 0 {
		t.Errorf("registered: %v, %d", r.children, len(r.stops))
	}
	if err := r.Wait(exec.Command("never-started")); err == nil || strings.Contains(err.Error(), "nil pointer") {
		t.Errorf("Wait for what was never started: got %v", err)
	}
}
