package signals

// Masks are the signals that a process treats specially, at the price of one look: those blocked in its main thread, and
// those ignored and caught by the whole process (SigBlk, SigIgn, SigCgt of /proc/PID/status). [Dispositions] looks
// deeper: at all threads, and for signalfds.
type Masks struct {
	Blocked Set
	Ignored Set
	Caught  Set
}
