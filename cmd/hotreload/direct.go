package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hotreload/hotreload/config"
	"github.com/hotreload/hotreload/control"
	"github.com/hotreload/hotreload/signals"
	"github.com/hotreload/hotreload/supervisor"
)

// direct reloads a server without a hotreload: a supervisor that is attached to it lives for one operation. It holds
// the project's lock meanwhile, because a server drops a signal that arrives during a reload.
func (o *operation) direct(ctx context.Context, action supervisor.Action) (supervisor.Outcome, error) {
	before, err := o.findMaster()
	if err != nil {
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
	tree, err := signals.Tree(before)
	if err != nil {
		return supervisor.Outcome{}, errors.Join(err, lock.Release())
	}
	out, err := o.attached(ctx, action)
	if err == nil && o.cfg.Server.Kind == config.KindPHPFPM && len(out.OldWorkers) > 0 && !o.hears(before) {
		out = o.successor(ctx, out, tree)
	}
	return out, errors.Join(err, lock.Release())
}

// hears reports whether a master could be reloaded now. One that has just executed itself anew and waits for its successor to be
// in the background has no handler, and ends any moment (fpm_unix_init_main in sapi/fpm/fpm/fpm_unix.c).
func (o *operation) hears(master signals.Process) bool {
	d, err := master.Disposition(o.cfg.Server.Signals.Reload)
	return err == nil && d == signals.Handled || errors.Is(err, errors.ErrUnsupported) && master.Alive()
}

// successor is the outcome of a reload of a php-fpm that daemonizes: its master executes itself anew, and puts itself into the
// background a second time, under another pid. It keeps its sockets meanwhile. tree is what ran before.
func (o *operation) successor(ctx context.Context, out supervisor.Outcome, tree []signals.Info) supervisor.Outcome {
	ctx, cancel := context.WithTimeout(ctx, o.cfg.Server.ReadyTimeout)
	defer cancel()
	for {
		j := signals.Judge(o.cfg.Server.PIDFile, signals.Expectation{Programs: programsOf(o.cfg)})
		remains := slices.ContainsFunc(tree, func(old signals.Info) bool { return old.Alive() })
		if j.Verdict == signals.Master && !remains && o.hears(j.Master) {
			if now, err := signals.Tree(j.Master); err == nil && len(now) > 1 {
				return succeeded(out, now)
			}
		}
		select {
		case <-ctx.Done():
			return out
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// succeeded is the outcome of a reload that led to a new master, whose tree this is.
func succeeded(out supervisor.Outcome, tree []signals.Info) supervisor.Outcome {
	out.Action, out.Result, out.Error, out.Output = supervisor.Restart, supervisor.Verified, "", nil
	out.Reasons = append(out.Reasons, fmt.Sprintf("php-fpm daemonized again, master %d", tree[0].PID))
	out.DurationMS = float64(time.Since(out.StartedAt).Microseconds()) / 1000
	out.NewWorkers = []int{}
	for _, worker := range tree[1:] {
		out.NewWorkers = append(out.NewWorkers, worker.PID)
	}
	return out
}

// findMaster finds the master to reload.
func (o *operation) findMaster() (signals.Process, error) {
	file := o.cfg.Server.PIDFile
	if file == "" {
		return signals.Process{}, hinted(fmt.Errorf("%w, and no pid file is known", control.ErrNotRunning),
			"start one with `hotreload watch` or `hotreload run`, or name the server with --pid-file and --kind")
	}
	j := signals.Judge(file, signals.Expectation{Programs: programsOf(o.cfg)})
	if j.Verdict != signals.Master {
		return signals.Process{}, fmt.Errorf("%w, and no master in %s: %s", control.ErrNotRunning, file, j.Reason)
	}
	return j.Master, nil
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
