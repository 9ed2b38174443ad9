package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hotreload/hotreload/signals"
)

// container is a pid and mount namespace whose first process is hotreload, which is what a container is to it; or, bare, hotreload without one.
type container struct {
	t     *testing.T
	image image
	cmd   *exec.Cmd
	first signals.Process // as it is called outside
	out   *shown
	done  chan struct{}
}

// image says what a container is like.
type image struct {
	bare     bool     // no container: hotreload is a process like any other, and a subreaper
	dir      string   // of the application, by the same name inside
	nobody   bool     // its user, without capabilities
	readOnly bool     // its root file system; dir/runtime is not
	env      []string // besides PATH
	session  bool     // the first process leads a session, with its standard input as the terminal
}

// shown is what a program prints, and stays readable.
type shown struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *shown) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *shown) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// needContainers skips the test where no containers can be made.
func needContainers(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("new namespaces need root")
	}
	out, err := exec.Command("unshare", "--mount", "--pid", "--fork", "--mount-proc", "setpriv", "--reuid=65534", "nsenter", "--version").CombinedOutput()
	if err != nil {
		t.Skipf("no namespaces here: %v %s", err, out)
	}
}

// appDir is a directory for an application that any user can enter, with a runtime directory in it that any can write to.
func appDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "hr")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for name, mode := range map[string]os.FileMode{"": 0o755, "bin": 0o755, "runtime": 0o777} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(path, mode), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"hotreload", "fakeserver", "signalprinter"} {
		if err := copyProgram(self, filepath.Join(dir, "bin", name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// copyProgram makes the test binary, which may lie where only we may look, a program that any user can execute.
func copyProgram(from, to string) error {
	if os.Link(from, to) == nil {
		return os.Chmod(to, 0o755)
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	return out.Close()
}

// command is what is started in place of `docker run`.
func (m image) command(args []string) *exec.Cmd {
	if m.bare {
		cmd := exec.Command(filepath.Join(m.dir, "bin", args[0]), args[1:]...)
		cmd.Args[0], cmd.Dir = args[0], m.dir
		cmd.Env = append(append(os.Environ(), "PATH="+filepath.Join(m.dir, "bin")+":"+os.Getenv("PATH"), "XDG_RUNTIME_DIR="+m.dir), m.env...)
		return cmd
	}
	script := "set -e\ncd \"$DIR\"\nmount -t tmpfs tmpfs /run\nmount -t tmpfs -o mode=1777 tmpfs /dev/shm\n"
	if m.readOnly {
		// Each on its own: what is mounted elsewhere stays writable, as a volume does.
		script += "mount -t tmpfs -o mode=777 tmpfs \"$DIR/runtime\"\n" +
			"for d in / /run /tmp /var /var/tmp; do if mountpoint -q $d; then mount -o remount,bind,ro $d; fi; done\n"
	}
	script += "exec "
	if m.session {
		script += "setsid --ctty "
	}
	if m.nobody {
		script += "setpriv --reuid=65534 --regid=65534 --clear-groups --bounding-set=-all --inh-caps=-all --no-new-privs "
	}
	script += `env -i PATH="$DIR/bin:$PATH" ` + strings.Join(m.env, " ") + ` "$@"`
	cmd := exec.Command("unshare", append([]string{"--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", script, "sh"}, args...)...)
	cmd.Env = append(os.Environ(), "DIR="+m.dir)
	return cmd
}

// start starts the image with `hotreload ARGS...` as the first process.
func (m image) start(t *testing.T, args ...string) *container {
	t.Helper()
	if !m.bare {
		needContainers(t)
	}
	c := &container{t: t, image: m, out: &shown{}, done: make(chan struct{})}
	c.cmd = m.command(append([]string{"hotreload"}, args...))
	c.begin()
	return c
}

func (c *container) begin() {
	c.t.Helper()
	c.cmd.Stdout, c.cmd.Stderr = c.out, c.out
	if err := c.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	go func() { defer close(c.done); _ = c.cmd.Wait() }() // its state says how it ended
	c.t.Cleanup(func() {
		_ = c.cmd.Process.Kill()
		<-c.done
		if c.t.Failed() {
			c.t.Logf("output of %q:\n%s", c.cmd.Args, c.out)
		}
	})
	c.first = c.findFirst()
}

// findFirst waits until the child of unshare has become hotreload, or has ended.
func (c *container) findFirst() signals.Process {
	c.t.Helper()
	var first signals.Process
	c.until("the first process is hotreload", func() bool {
		select {
		case <-c.done:
			return true
		default:
		}
		if c.image.bare {
			first, _ = signals.Lookup(c.cmd.Process.Pid)
			return true
		}
		children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", c.cmd.Process.Pid))
		if err != nil {
			return false
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(children)))
		if err != nil {
			return false
		}
		if first, err = signals.Lookup(pid); err != nil {
			return false
		}
		args, err := first.Cmdline()
		return err == nil && len(args) > 0 && args[0] == "hotreload"
	})
	return first
}

func (c *container) until(what string, is func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(patience); !is(); {
		if time.Now().After(deadline) {
			c.t.Fatalf("it did not become true that %s", what)
		}
		<-time.After(10 * time.Millisecond)
	}
}

// prints waits until the output matches.
func (c *container) prints(pattern string) {
	c.t.Helper()
	re := regexp.MustCompile("(?m)" + pattern)
	c.until("the output matches "+pattern, func() bool { return re.MatchString(c.out.String()) })
}

// kill is `docker kill`.
func (c *container) kill(sig syscall.Signal) {
	c.t.Helper()
	if err := c.first.Signal(sig); err != nil {
		c.t.Fatal(err)
	}
}

// exec is `docker exec`, and what a HEALTHCHECK does: the same user, the environment of the image, its output and its exit code.
func (c *container) exec(args ...string) (string, int) {
	c.t.Helper()
	if c.image.bare {
		return combined(c.t, c.image.command(args))
	}
	script := `cd "$1"; shift; exec `
	if c.image.nobody {
		script += "setpriv --reuid=65534 --regid=65534 --clear-groups --bounding-set=-all --inh-caps=-all --no-new-privs "
	}
	script += `env -i PATH="$0:$PATH" ` + strings.Join(c.image.env, " ") + ` "$@"`
	return combined(c.t, exec.Command("nsenter", append([]string{"--target", strconv.Itoa(c.first.PID), "--mount", "--pid", "sh", "-c", script,
		filepath.Join(c.image.dir, "bin"), c.image.dir}, args...)...))
}

func combined(t *testing.T, cmd *exec.Cmd) (out string, code int) {
	t.Helper()
	text, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(text), cmd.ProcessState.ExitCode()
}

// ready waits for `hotreload status --ready`.
func (c *container) ready() {
	c.t.Helper()
	c.until("it is ready", func() bool {
		_, code := c.exec("hotreload", "status", "--ready")
		return code == 0
	})
}

// exits waits for the end of the container, and returns the exit code.
func (c *container) exits() int {
	c.t.Helper()
	select {
	case <-c.done:
		return c.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		c.t.Fatal("it still runs")
		return -1
	}
}

// inside are the processes of the container but the first, and those that pass its output on.
func (c *container) inside() []signals.Info {
	c.t.Helper()
	if c.image.bare {
		tree, err := signals.Tree(c.first)
		if err != nil {
			c.t.Fatal(err)
		}
		return slices.DeleteFunc(tree, func(i signals.Info) bool {
			args, _ := i.Cmdline()
			return i.PID == c.first.PID || len(args) > 0 && args[0] == "hotreload: output relay"
		})
	}
	namespace := func(pid int) string {
		name, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", pid))
		return name
	}
	table, err := signals.Snapshot()
	if err != nil {
		c.t.Fatal(err)
	}
	own := namespace(c.first.PID)
	return table.Select(func(i signals.Info) bool { return i.PID != c.first.PID && namespace(i.PID) == own })
}
