package signals

// Masks reads the signal masks of p. It returns [ErrGone] when p has ended.
func (p Process) Masks() (Masks, error) {
	status, err := readStatus(p.PID, p.PID)
	if err != nil {
		return Masks{}, p.still(err, "signal masks")
	}
	return Masks{
		Blocked: status.blocked,
		Ignored: status.ignored,
		Caught:  status.caught,

		Switches: status.switches,
	}, p.still(nil, "signal masks")
}
