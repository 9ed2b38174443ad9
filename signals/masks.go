package signals

// Masks are what /proc/PID/status tells of signals, at the price of one look: those blocked in its main thread, and
// those ignored and caught by the whole process (SigBlk, SigIgn, SigCgt of /proc/PID/status). [Dispositions] looks
// deeper: at all threads, and for signalfds.
type Masks struct {
	Blocked Set
	Ignored Set
	Caught  Set

	// Switches is how often the main thread has begun to wait since it started (voluntary_ctxt_switches). As long as it
	// does not change, a thread that waits has not been woken.
	Switches uint64
}
