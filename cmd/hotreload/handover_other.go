//go:build !linux

package main

import (
	"go.uber.org/zap"

	"github.com/hotreload/hotreload/config"
	"github.com/hotreload/hotreload/supervisor"
)

// handoverOf is nil: only Linux can hand sockets over.
func handoverOf(*config.Config, *zap.Logger, func(string)) (supervisor.Handover, error) {
	return nil, nil
}
