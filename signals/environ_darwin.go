package signals

// Environ is not possible on macOS.
func (p Process) Environ() ([]string, error) { return nil, notHere("the environment of a process") }
