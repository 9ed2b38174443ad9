package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hotreload/hotreload/config"
	"github.com/hotreload/hotreload/control"
	"github.com/hotreload/hotreload/signals"
	"github.com/hotreload/hotreload/supervisor"
)

// direct reloads a server without a hotreload: a supervisor that is attached to it lives for one operation. It holds
// the project's lock meanwhile, because a server drops a signal that arrives during a reload.
func (o *operation) direct(ctx context.Context, action supervisor.Action) (supervisor.Outcome, error) {
	if err := o.findMaster(); err != nil {
		return supervisor.Outcome{}, err
	}
	if o.cfg.Server.Signals.Reload == 0 {
		return supervisor.Outcome{}, hinted(
			fmt.Errorf("a server of kind %q (%s) has no signal that reloads it", o.cfg.Server.Kind, o.cfg.KindWhy),
			"say what it is with --kind or server.kind in %s", config.FileName)
	}
	lock, err := o.turn(ctx)
	if err != nil {
		return supervisor.Outcome{}, err
	}
	out, err := o.attached(ctx, action)
	return out, errors.Join(err, lock.Release())
}

// findMaster makes sure that there is a master to reload.
func (o *operation) findMaster() error {
	file := o.cfg.Server.PIDFile
	if file == "" {
		return hinted(fmt.Errorf("%w, and no pid file is known", control.ErrNotRunning),
			"start one with `hotreload watch` or `hotreload run`, or name the server with --pid-file and --kind")
	}
	j := signals.Judge(file, signals.Expectation{Programs: programsOf(o.cfg)})
	if j.Verdict != signals.Master {
		return fmt.Errorf("%w, and no master in %s: %s", control.ErrNotRunning, file, j.Reason)
	}
	return nil
}

// turn waits until no other reload of this kind runs.
func (o *operation) turn(ctx context.Context) (*control.Lock, error) {
	for {
		lock, err := o.project.Acquire("reload")
		var taken *control.TakenError
		if !errors.As(err, &taken) {
			return lock, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w (waiting for process %d)", ctx.Err(), taken.Owner.PID)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// attached runs a supervisor until it has done one thing.
func (o *operation) attached(ctx context.Context, action supervisor.Action) (supervisor.Outcome, error) {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	reaper := signals.NewReaper()
	server := serverOf(o.cfg, environment(o.cfg, nil), reaper)
	server.Command = nil
	sup, err := supervisor.New(supervisor.Options{
		Mode: supervisor.Attach, Server: server, Version: version, Base: o.cfg.Dir, Reaper: reaper,
	})
	if err != nil {
		return supervisor.Outcome{}, err
	}
	ended := make(chan error, 1)
	go func() { ended <- sup.Run(life, nil) }()
	out, err := sup.Do(ctx, supervisor.Request{Action: action, Reason: o.who})
	end()
	return out, errors.Join(err, <-ended)
}
