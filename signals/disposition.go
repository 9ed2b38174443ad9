package signals

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
	// heard; a process that is starting, or one that uses sigwait(3).
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
