//go:build !linux

package handover

import "os/exec"

// Possible returns ErrImpossible: only Linux can hand sockets over.
func Possible(func(*exec.Cmd) error, func(*exec.Cmd)) error { return ErrImpossible }
