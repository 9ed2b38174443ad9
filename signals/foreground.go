package signals

import (
	"os"

	"golang.org/x/sys/unix"
)

// ForegroundGroup is the process group in the foreground of a terminal: it may read, and gets the signals of the keyboard. The error
// says that tty is no terminal, or not the controlling terminal of our session.
func ForegroundGroup(tty *os.File) (int, error) {
	group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return group, os.NewSyscallError("ioctl TIOCGPGRP", err)
}

// GroupLives reports whether a process group has a member that has not been reaped.
func GroupLives(group int) bool { return group > 1 && unix.Kill(-group, 0) != unix.ESRCH }
