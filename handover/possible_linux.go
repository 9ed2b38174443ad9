package handover

import (
	"errors"
	"fmt"
	"os"
	"os/exec"

	"golang.org/x/sys/unix"
)

// Possible says why sockets cannot be handed over on this machine, nil when they can. It starts a program through the shim and looks at one of
// its descriptors, as is done with a server. start starts a command, wait waits for its end.
func Possible(start func(*exec.Cmd) error, wait func(*exec.Cmd)) error {
	cmd := exec.Command("cat")
	input, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	shim, err := wrap(cmd)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrImpossible, err)
	}
	theirs := cmd.ExtraFiles[0]
	err = start(cmd)
	theirs.Close()
	if err != nil {
		shim.Close()
		return fmt.Errorf("%w: %w", ErrImpossible, err)
	}
	defer wait(cmd)
	defer input.Close()
	said, err := hear(shim)
	if err = errors.Join(err, proceed(shim)); err != nil {
		return fmt.Errorf("%w: %w", ErrImpossible, err)
	}
	defer unix.Close(said.notify)
	pidfd, err := unix.PidfdOpen(cmd.Process.Pid, 0)
	if err != nil {
		return fmt.Errorf("%w: pidfd_open: %w", ErrImpossible, err)
	}
	defer unix.Close(pidfd)
	fd, err := unix.PidfdGetfd(pidfd, int(os.Stdin.Fd()), 0)
	if err != nil {
		return fmt.Errorf("%w: pidfd_getfd: %w (kernel.yama.ptrace_scope is %s)", ErrImpossible, err, yama())
	}
	unix.Close(fd)
	return nil
}

func yama() string {
	text, err := os.ReadFile("/proc/sys/kernel/yama/ptrace_scope")
	if err != nil {
		return "not there"
	}
	return string(text[:len(text)-1])
}
