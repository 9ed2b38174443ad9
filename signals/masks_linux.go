package signals

// Masks reads the signal masks of p. It returns [ErrGone] when p has ended.
func (p Process) Masks() (Masks, error) {
	status, err := readStatus(p.PID, p.PID)
	if err != nil {
		return Masks{}, p.still(err, "signal masks")
	}
	return Masks{
		Blocked: SignalSet(status.blocked),
		Ignored: SignalSet(status.ignored),
		Caught:  SignalSet(status.caught),
	}, p.still(nil, "signal masks")
}
