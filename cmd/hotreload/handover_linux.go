package main

import (
	"context"
	"net"
	"os/exec"
	"time"

	"go.uber.org/zap"

	"github.com/hotreload/hotreload/config"
	"github.com/hotreload/hotreload/handover"
	"github.com/hotreload/hotreload/signals"
	"github.com/hotreload/hotreload/supervisor"
)

// handoverOf is nil where every restart is to be a stop and a start.
func handoverOf(cfg *config.Config, log *zap.Logger, note func(string)) (supervisor.Handover, error) {
	switch cfg.Server.Kind {
	case config.KindNone, config.KindPHPFPM:
		return nil, nil // of any program it is not known whether two of it get along; php-fpm keeps its sockets itself
	}
	if cfg.Restart.Handover == "off" {
		return nil, nil
	}
	sockets, err := handover.New(log, note)
	if err != nil {
		return nil, err
	}
	return handing{sockets}, nil
}

// handing is handover.Sockets in the supervisor's words.
type handing struct{ *handover.Sockets }

func (h handing) Begin(number int, cmd *exec.Cmd) supervisor.Sockets {
	return generation{h.Sockets.Begin(number, cmd)}
}

// generation is handover.Generation in the supervisor's words.
type generation struct{ *handover.Generation }

func (g generation) Seal() []signals.Listener {
	var out []signals.Listener
	for _, l := range g.Generation.Seal() {
		out = append(out, signals.Listener{Network: "tcp", Addr: l.Address.String(), Inode: l.Inode})
	}
	return out
}

func (g generation) Dial(ctx context.Context, address string) (net.Conn, bool, error) {
	return g.Generation.Dial(ctx, address)
}

func (g generation) Drain(ctx context.Context, limit time.Duration, pids func() []int) (supervisor.Drained, error) {
	d, err := g.Generation.Drain(ctx, limit, pids)
	return supervisor.Drained{Idle: d.Idle, Cut: d.Cut}, err
}
