package main

import (
	"context"
	"net"
	"os/exec"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"go.uber.org/zap"

	"github.com/hotreload/hotreload/config"
	"github.com/hotreload/hotreload/control"
	"github.com/hotreload/hotreload/handover"
	"github.com/hotreload/hotreload/signals"
	"github.com/hotreload/hotreload/supervisor"
)

// keeperPatience is how long it may take the keeper of a hotreload that was killed to notice that.
const keeperPatience = time.Second

// handoverOf is nil where every restart is to be a stop and a start. killed says that an earlier hotreload was killed, adopts that its
// server is taken over.
func (s *session) handoverOf(place control.Place, killed, adopts bool) (supervisor.Handover, error) {
	switch s.cfg.Server.Kind {
	case config.KindNone, config.KindPHPFPM:
		return nil, nil // of any program it is not known whether two of it get along; php-fpm keeps its sockets itself
	}
	if s.cfg.Restart.Handover == "off" || s.mode == supervisor.Attach {
		return nil, nil
	}
	path := place.Socket + ".keeper"
	var patience time.Duration
	if killed {
		patience = keeperPatience
	}
	sockets, err := handover.Resume(path, patience, s.startBeside, s.log, s.report.Warn)
	switch {
	case err != nil:
		s.log.Debug("take over the sockets", zap.Error(err))
		if sockets, err = handover.New(s.log, s.report.Warn); err != nil {
			return nil, err
		}
		sockets.KeepAt(path, s.startBeside)
	case !adopts: // a keeper holds the port until it has seen the end of the last process of a server that has ended
		sockets.AbandonAll()
	}
	s.closeSockets = sockets.Close
	sockets.Inherit(activation.Files(true))
	if mayListenOnPath(s.cfg) {
		sockets.ExpectPaths()
	}
	return handing{sockets}, sockets.Restrict(s.cfg.Restart.Listen, s.cfg.Restart.Handover == "pass")
}

// startBeside starts a command that is none of the server's.
func (s *session) startBeside(cmd *exec.Cmd) error {
	if err := s.reaper.Start(cmd); err != nil {
		return err
	}
	go s.reaper.Wait(cmd)
	return nil
}

// handing is handover.Sockets in the supervisor's words.
type handing struct{ *handover.Sockets }

func (h handing) Begin(number int, cmd *exec.Cmd) supervisor.Sockets {
	return generation{h.Sockets.Begin(number, cmd)}
}

func (h handing) Resume(number int, listen []string) (supervisor.Sockets, bool) {
	if g := h.Sockets.Generation(number); g != nil {
		return generation{g}, true
	}
	if len(listen) == 0 {
		return nil, true
	}
	return generation{h.Sockets.Lost(number, listen)}, false
}

// generation is handover.Generation in the supervisor's words.
type generation struct{ *handover.Generation }

func (g generation) Seal() []signals.Listener {
	var out []signals.Listener
	for _, l := range g.Generation.Seal() {
		if l.Address.IsUnix() {
			out = append(out, signals.Listener{Network: "unix", Addr: l.Address.Path, Inode: l.Inode})
			continue
		}
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
