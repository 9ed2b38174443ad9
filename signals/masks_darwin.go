package signals

import "errors"

// Masks is not possible on macOS.
func (p Process) Masks() (Masks, error) {
	return Masks{}, errors.New("the signal masks of another process cannot be read on macOS")
}
