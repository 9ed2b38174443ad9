package signals

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
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

// What a child started by os/exec finds: no blocked signals, no handlers, and of what
// was ignored only what this program has not asked for itself.
func TestChildSignals(t *testing.T) {
	show := command("show-status")
	cmd := exec.Command("sh", "-c", `trap "" INT HUP; exec "$0"`, show.Path)
	cmd.Env, cmd.Stderr = show.Env, os.Stderr
	out, err := cmd.Output()
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

func TestReaperRunReportsStartErrors(t *testing.T) {
	r := NewReaper()
	if err := r.Run(exec.Command("/nonexistent")); !os.IsNotExist(err) {
		t.Errorf("got %v", err)
	}
	if len(r.children) != 0 {
		t.Errorf("registered: %v", r.children)
	}
	if err := r.Wait(exec.Command("never-started")); err == nil || strings.Contains(err.Error(), "nil pointer") {
		t.Errorf("Wait for what was never started: got %v", err)
	}
}
