package signals

import "syscall"

// Disposition is what a signal would do to a process.
type Disposition int

// What a signal would do.
const (
	// Default: nobody handles it. SIGUSR1 and its like end the process.
	Default Disposition = iota
	// Ignored: nothing happens.
	Ignored
	// Handled: a handler is installed, or the signal is blocked and a signalfd
	// of the process receives it.
	Handled
	// Blocked: it stays pending until the process unblocks it. Not lost, not yet
	// heard; a process that is starting or ending, or one that uses sigwait(3).
	Blocked
)

func (d Disposition) String() string {
	switch d {
	case Default:
		return "default"
	case Ignored:
		return "ignored"
	case Handled:
		return "handled"
	case Blocked:
		return "blocked"
	}
	return "unknown"
}

// Set is a set of signals.
type Set uint64

// NewSet returns the set of sigs.
func NewSet(sigs ...syscall.Signal) Set {
	var s Set
	for _, sig := range sigs {
		s |= 1 << (sig - 1)
	}
	return s
}

// Has reports whether sig is in the set.
func (s Set) Has(sig syscall.Signal) bool {
	return sig >= 1 && sig <= 64 && s&(1<<(sig-1)) != 0
}

// Dispositions is what a process has arranged for all signals.
//
// Caught proves less than it seems to for PHP: its runtime (Zend signals) catches
// SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2 and SIGPROF from its first
// moment and carries out the default action when the script has installed nothing. Whether
// a PHP server has its handlers is told by a signal that PHP leaves alone and
// that the server installs last: [SIGRTMIN] for Swoole, SIGTSTP or SIGIO for Workerman.
type Dispositions struct {
	Caught   Set // a handler is installed (SigCgt)
	Ignored  Set // SigIgn
	Blocked  Set // in all threads (SigBlk)
	Received Set // a signalfd is open for them
}

// SIGRTMIN is what programs call by this name on Linux: the C library keeps the
// first two real-time signals for itself.
const SIGRTMIN = syscall.Signal(34)

// Of tells what sig would do if it were sent now.
func (d Dispositions) Of(sig syscall.Signal) Disposition {
	switch {
	case d.Caught.Has(sig):
		return Handled
	case d.Ignored.Has(sig):
		return Ignored
	case d.Blocked.Has(sig) && d.Received.Has(sig):
		return Handled
	case d.Blocked.Has(sig):
		return Blocked
	}
	return Default
}
