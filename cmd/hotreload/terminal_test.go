package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// terminal is a program that runs in a terminal of its own, and what it shows.
type terminal struct {
	t    *testing.T
	ptmx *os.File
	tty  *os.File // kept open, so that its settings outlive the program
	cmd  *exec.Cmd
	done chan error

	mu    sync.Mutex
	shown bytes.Buffer
}

func inTerminal(t *testing.T, env []string, args ...string) *terminal {
	t.Helper()
	runtime, err := os.MkdirTemp("", "hr")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = t.TempDir()
	cmd.Env = append(append(os.Environ(), "XDG_RUNTIME_DIR="+runtime, "LC_ALL=C.UTF-8", "TERM=xterm"), env...)
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true, Setctty: true}
	t.Cleanup(func() { os.RemoveAll(runtime) })
	return onTerminal(t, cmd)
}

// onTerminal starts a program with a new terminal.
func onTerminal(t *testing.T, cmd *exec.Cmd) *terminal {
	t.Helper()
	ptmx, tty, err := pty.Open()
	if err != nil {
		t.Skip(err)
	}
	ptmx = pollable(t, ptmx)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	x := &terminal{t: t, ptmx: ptmx, tty: tty, cmd: cmd, done: make(chan error, 1)}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { x.done <- cmd.Wait() }()
	go x.read()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		ptmx.Close()
		tty.Close()
	})
	return x
}

// pollable makes a file whose Close ends a Read that waits: else the terminal would never be hung up.
func pollable(t *testing.T, f *os.File) *os.File {
	t.Helper()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return os.NewFile(uintptr(fd), "ptmx")
}

func (x *terminal) read() {
	buf := make([]byte, 4096)
	for {
		n, err := x.ptmx.Read(buf)
		x.mu.Lock()
		x.shown.Write(buf[:n])
		x.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (x *terminal) screen() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.shown.String()
}

// press waits until what was pressed before was read: what comes together is taken for pasted, and not acted upon.
func (x *terminal) press(keys string) {
	x.t.Helper()
	x.until(func() error {
		fds := []unix.PollFd{{Fd: int32(x.tty.Fd()), Events: unix.POLLIN}}
		if n, err := unix.Poll(fds, 0); n != 0 || err != nil {
			return fmt.Errorf("keys are not read: %v", err)
		}
		return nil
	})
	if _, err := x.ptmx.WriteString(keys); err != nil {
		x.t.Fatal(err)
	}
}

// sees waits until the screen shows something.
func (x *terminal) sees(pattern string) {
	x.t.Helper()
	re := regexp.MustCompile(pattern)
	x.until(func() error {
		if !re.MatchString(x.screen()) {
			return fmt.Errorf("the screen does not show %q:\n%s", pattern, x.screen())
		}
		return nil
	})
}

func (x *terminal) until(try func() error) {
	x.t.Helper()
	deadline := time.Now().Add(patience)
	for err := try(); err != nil; err = try() {
		if time.Now().After(deadline) {
			x.t.Fatal(err)
		}
		<-time.After(10 * time.Millisecond)
	}
}

// exits waits for the end, and returns the exit code.
func (x *terminal) exits() int {
	x.t.Helper()
	select {
	case <-x.done:
		return x.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		x.t.Fatalf("it still runs:\n%s", x.screen())
		return -1
	}
}

// cooked reports whether lines are edited and echoed, as before.
func (x *terminal) cooked() bool {
	x.t.Helper()
	st, err := unix.IoctlGetTermios(int(x.tty.Fd()), ioctlGetTermios)
	if err != nil {
		x.t.Fatal(err)
	}
	return st.Lflag&(unix.ICANON|unix.ECHO) == unix.ICANON|unix.ECHO
}

func TestKeysAndTheTerminal(t *testing.T) {
	x := inTerminal(t, []string{"NO_COLOR=1"}, "hotreload", "watch", "--kind", "none", "--", "fakeserver")
	x.sees(`✓ serving after`)
	x.until(func() error {
		if x.cooked() {
			return fmt.Errorf("keys do not arrive one by one")
		}
		return nil
	})
	x.press("?")
	x.sees(`keys: r reload, R restart`)
	x.press("\x1bOR")         // F3
	x.press("\x1a")           // Ctrl-Z, with no shell that could continue us
	x.press("Restart please") // pasted
	x.press("s")
	x.sees(`ready; none, generation 1, master`)
	x.press("R")
	x.sees(`↻ restarted in .* · key R`)
	x.press("s")
	x.sees(`ready; none, generation 2, master \d+`)
	x.press("r")
	x.sees(`doing a restart instead`)
	x.sees(`↻ restarted in .* · key r, `)
	x.press("q")
	x.sees(`… stopping · key q`)
	if code := x.exits(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	x.sees(`✓ stopped`)
	if !x.cooked() {
		t.Error("the terminal was not given back")
	}
	if strings.Contains(x.screen(), "\x1b[") {
		t.Errorf("colours in spite of NO_COLOR:\n%q", x.screen())
	}
}

func TestCtrlCTwice(t *testing.T) {
	pidFile := filepath.Join(t.TempDir(), "pid")
	x := inTerminal(t, []string{"NO_COLOR=1", "LC_ALL=C"}, "hotreload", "watch", "--kind", "none", "--stop-timeout", "10m",
		"--", "fakeserver", "ignore=SIGTERM", "pidfile="+pidFile)
	x.sees(`\+ serving after`) // no UTF-8, no ticks
	x.press("\x03")
	x.sees(`stopping - SIGINT`)
	time.Sleep(atOnce) // a second press is one that comes later than this
	x.press("\x03")
	x.sees(`at once`)
	if code := x.exits(); code != exitFailed {
		t.Errorf("exit code %d, want %d: it was not a graceful stop", code, exitFailed)
	}
	if !x.cooked() {
		t.Error("the terminal was not given back")
	}
}

// The terminal is closed: hotreload ends, and the server with it.
func TestHangup(t *testing.T) {
	pidFile := filepath.Join(t.TempDir(), "pid")
	x := inTerminal(t, nil, "hotreload", "watch", "--kind", "none", "--", "fakeserver", "pidfile="+pidFile)
	x.sees(`serving after`)
	x.tty.Close()
	x.ptmx.Close()
	x.exits()
	if _, err := os.Stat(pidFile); err == nil {
		t.Error("the server was not stopped gracefully")
	}
}

// A panic in any goroutine of ours leaves a terminal that can be used.
func TestPanicGivesTheTerminalBack(t *testing.T) {
	x := inTerminal(t, nil, "panicker")
	x.sees(`panic: on purpose`)
	if code := x.exits(); code != 2 {
		t.Errorf("exit code %d, want that of a panic", code)
	}
	x.sees(`entered: true`)
	if !x.cooked() {
		t.Error("the terminal was not given back")
	}
}

// panicker is a program that takes the terminal and panics.
func panicker() {
	k := openKeyboard(os.Stdin)
	s := &session{keys: k}
	fmt.Println("entered:", k.enter())
	s.beside(func() { panic("on purpose") })
	s.all.Wait()
	select {}
}
