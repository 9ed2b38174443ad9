//go:build !linux

package main

import (
	"github.com/hotreload/hotreload/control"
	"github.com/hotreload/hotreload/supervisor"
)

// handoverOf is nil: only Linux can hand sockets over.
func (s *session) handoverOf(control.Place, bool, bool) (supervisor.Handover, error) { return nil, nil }
