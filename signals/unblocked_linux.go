package signals

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// unblocked calls f on a thread that blocks no signal. What f starts blocks none either: a child gets the mask of the thread that
// forks it, and the runtime of Go keeps for its own threads what the program was started with.
func unblocked(f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, none unix.Sigset_t
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &none, &before); err != nil {
		return os.NewSyscallError("rt_sigprocmask", err)
	}
	defer unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil) // cannot fail: it was like that
	return f()
}

// AllowBackgroundWrites keeps the calling goroutine on its thread for good, and lets what it writes to the terminal through while
// another process group is in the foreground, whatever `stty tostop` says (tcsetattr(3), TOSTOP).
func AllowBackgroundWrites() {
	runtime.LockOSThread()
	_ = blockSIGTTOU(nil) // it fails only for a wrong argument
}

// blockSIGTTOU blocks it for the calling thread, and stores what was blocked before.
func blockSIGTTOU(before *unix.Sigset_t) error {
	var set unix.Sigset_t
	set.Val[0] = 1 << (unix.SIGTTOU - 1)
	return unix.PthreadSigmask(unix.SIG_BLOCK, &set, before)
}
