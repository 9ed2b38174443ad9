package signals

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// SetForegroundGroup puts a process group of our session in the foreground of our terminal, also when we are in the background
// ourselves.
func SetForegroundGroup(tty *os.File, group int) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before unix.Sigset_t
	if err := blockSIGTTOU(&before); err != nil { // else that is what whoever is in the background gets for it
		return os.NewSyscallError("rt_sigprocmask", err)
	}
	defer unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil)
	return os.NewSyscallError("ioctl TIOCSPGRP", unix.IoctlSetPointerInt(int(tty.Fd()), unix.TIOCSPGRP, group))
}
