package signals

import "strings"

// Environ returns the environment that p was started with, as far as p has not overwritten it (setting a process title
// does, in PHP too). It needs the right to look: same user, or root.
func (p Process) Environ() ([]string, error) {
	data, err := p.read("environ")
	if err := p.still(err, "environment"); err != nil {
		return nil, err
	}
	return strings.Split(strings.TrimRight(string(data), "\x00"), "\x00"), nil
}
