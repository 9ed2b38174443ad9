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
