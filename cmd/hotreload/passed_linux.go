package main

import (
	"os"
	"syscall"
)

// passedOn are the signals that `run` hands to the server: those that a program may have a use for and that neither hotreload
// nor the Go runtime (SIGURG) nor job control needs. The runtime does not let go of 32 to 34.
func passedOn() []os.Signal {
	sigs := []os.Signal{
		syscall.SIGWINCH, syscall.SIGABRT, syscall.SIGALRM, syscall.SIGVTALRM, syscall.SIGIO, syscall.SIGPWR, syscall.SIGSYS,
	}
	const first, last = 35, 64 // real-time signals
	for sig := syscall.Signal(first); sig <= last; sig++ {
		sigs = append(sigs, sig)
	}
	return sigs
}

// passedToAny are those that `run` hands to a program of which nothing is known, besides. Sent by somebody they are signals as any others; the
// faults that the kernel reports by them are hotreload's own, and end it as ever. SIGPIPE is not among them, because a write of ours causes
// it, nor is SIGPROF, which the runtime keeps.
func passedToAny() []os.Signal {
	return []os.Signal{
		syscall.SIGILL, syscall.SIGTRAP, syscall.SIGBUS, syscall.SIGFPE, syscall.SIGSEGV, syscall.SIGSTKFLT, syscall.SIGXCPU, syscall.SIGXFSZ,
	}
}
