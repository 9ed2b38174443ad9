package release

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// endsWithParent has the kernel send SIGTERM to a process when the thread that started it dies (PR_SET_PDEATHSIG).
func endsWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} }

// adoptOrphans makes the caller the parent of all descendants that lose theirs, so that it knows when the last one has ended.
func adoptOrphans() error {
	return os.NewSyscallError("prctl", unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
}
