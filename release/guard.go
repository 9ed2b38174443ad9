package release

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
)

// A command of a deploy must not go on when the hotreload that waits for it has been killed: nobody would know of it, and the next
// deploy might run the same command beside it. So a command is started by a guard, which is this program executed again. It leads
// the process group of the command, and reads from a pipe of which only hotreload has the other end. When that is closed, for whatever
// reason, it ends the group. Nobody else signals the group: its number is the guard's, and cannot become another's while it lives.

// guardEnv marks the guard process. Its value is how long the group gets to end after SIGTERM, as a Go duration.
const guardEnv = "HOTRELOAD_STEP_GUARD"

// lifeline is the guard's descriptor of the pipe: the first one behind the standard three, as os/exec numbers them.
const lifeline = 3

// atOnce is what hotreload writes into the pipe to have the group killed without grace.
const atOnce = 'k'

// exitNotStarted is how the guard ends when the shell cannot be started, as shells say it of commands (POSIX 2.8.2).
const exitNotStarted = 126

// GuardMain is the whole life of a guard process. A program that uses this package calls it first in main; it returns at once where
// the process is none.
func GuardMain() {
	grace, err := time.ParseDuration(os.Getenv(guardEnv))
	if err != nil || len(os.Args) != 2 {
		return
	}
	status, err := guard(os.Args[1], grace)
	if err != nil {
		fmt.Fprintln(os.Stderr, "hotreload:", err)
	}
	os.Exit(status)
}

// guard runs a command line and returns how it ended, as a shell would: its exit status, or 128+n for a signal.
func guard(line string, grace time.Duration) (int, error) {
	// Signals to the group are for the command. They are caught and not ignored: what is ignored stays so through execve(2), and the
	// command could not be ended.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGTSTP)
	syscall.CloseOnExec(lifeline)
	if err := os.Unsetenv(guardEnv); err != nil {
		return exitNotStarted, fmt.Errorf("guard a command: %w", err)
	}
	if err := adoptOrphans(); err != nil {
		return exitNotStarted, fmt.Errorf("guard a command: %w", err)
	}
	runtime.LockOSThread() // endsWithParent means this thread
	shell, err := syscall.ForkExec("/bin/sh", []string{"sh", "-c", line}, &syscall.ProcAttr{
		Env: os.Environ(), Files: []uintptr{0, 1, 2}, Sys: endsWithParent(),
	})
	if err != nil {
		return exitNotStarted, fmt.Errorf("start the shell: %w", err)
	}
	var ending atomic.Bool
	go endWith(os.NewFile(lifeline, "lifeline"), grace, &ending)
	return outlive(shell, &ending)
}

// outlive waits for the shell, and, when the group is being ended, for all of its descendants.
func outlive(shell int, ending *atomic.Bool) (status int, err error) {
	status = exitNotStarted
	for {
		var ws syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &ws, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.ECHILD):
			return status, nil
		case err != nil:
			return status, fmt.Errorf("wait for the command: %w", err)
		case pid == shell && ws.Signaled():
			status = 128 + int(ws.Signal())
		case pid == shell:
			status = ws.ExitStatus()
		}
		if pid == shell && !ending.Load() {
			return status, nil // what it left running in the background is its own affair
		}
	}
}

// endWith ends the process group of the caller when the pipe is closed or says so.
func endWith(life io.Reader, grace time.Duration, ending *atomic.Bool) {
	var word [1]byte
	n, _ := life.Read(word[:])
	ending.Store(true)
	group := -syscall.Getpgrp()
	if n == 0 || word[0] != atOnce {
		_ = syscall.Kill(group, syscall.SIGTERM)
		over := time.AfterFunc(grace, func() { _ = syscall.Kill(group, syscall.SIGKILL) })
		if n, _ := life.Read(word[:]); n == 0 || word[0] != atOnce {
			return
		}
		over.Stop()
	}
	_ = syscall.Kill(group, syscall.SIGKILL)
}
