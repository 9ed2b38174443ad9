package signals

import "syscall"

// SignalSet is a set of signals: bit n-1 is signal n, as the kernel prints it.
type SignalSet uint64

// SetOf returns the set of these signals.
func SetOf(sigs ...syscall.Signal) SignalSet {
	var s SignalSet
	for _, sig := range sigs {
		s |= 1 << (sig - 1)
	}
	return s
}

// Has reports whether sig is in s.
func (s SignalSet) Has(sig syscall.Signal) bool {
	return sig >= 1 && sig <= 64 && s&(1<<(sig-1)) != 0
}

// Without returns the signals of s that are not in t.
func (s SignalSet) Without(t SignalSet) SignalSet { return s &^ t }

// Masks are the signals that a process treats specially: those blocked in its main thread, and those ignored and caught
// by the whole process (SigBlk, SigIgn, SigCgt of /proc/PID/status).
type Masks struct {
	Blocked SignalSet
	Ignored SignalSet
	Caught  SignalSet
}
