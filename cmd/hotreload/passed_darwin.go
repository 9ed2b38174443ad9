package main

import (
	"os"
	"syscall"
)

// passedOn are the signals that `run` hands to the server.
func passedOn() []os.Signal {
	return []os.Signal{syscall.SIGWINCH, syscall.SIGABRT, syscall.SIGALRM, syscall.SIGVTALRM, syscall.SIGIO, syscall.SIGSYS}
}

// passedToAny are those that `run` hands to a program of which nothing is known, besides.
func passedToAny() []os.Signal { return nil }
