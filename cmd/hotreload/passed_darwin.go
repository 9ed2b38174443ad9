package main

import (
	"os"
	"syscall"
)

// passedOn are the signals that `run` hands to the server.
func passedOn() []os.Signal {
	return []os.Signal{syscall.SIGWINCH, syscall.SIGABRT, syscall.SIGALRM, syscall.SIGVTALRM, syscall.SIGIO, syscall.SIGSYS}
}
