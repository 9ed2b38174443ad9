package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/hotreload/hotreload/signals"
)

// linger is how long processes may outlive their master before they are orphans, and how long a hard stop
// signal may take before SIGKILL.
const linger = time.Second

// killTime bounds how long the kernel may take to end what was sent SIGKILL.
const killTime = 10 * time.Second

// bury ends what a dead master left behind. Its sockets stay open for the next one.
func (d *processes) bury(g generation) error {
	var patience time.Duration // workers without their master are of no use
	if d.opt.Server.Layout == LayoutSingle {
		patience = linger
	}
	short, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	g.(*tree).sockets.Abandon()
	return d.finish(short, g.(*tree))
}

// end stops the tree and closes its sockets.
func (d *processes) end(ctx context.Context, g generation) error {
	err := d.finish(ctx, g.(*tree))
	g.(*tree).sockets.Retire()
	return err
}

// finish stops the tree gracefully until ctx is done or the stop timeout has passed, then by force, and returns when
// all of it is gone.
func (d *processes) finish(ctx context.Context, t *tree) error {
	begin := time.Now()
	var notWell error
	if ctx.Err() == nil && t.master.Alive() {
		notWell = d.ask(ctx, t)
	}
	patience := linger
	if d.opt.Server.Layout == LayoutSingle && ctx.Err() == nil {
		d.askRest(t)
		patience = max(patience, d.opt.Server.StopTimeout-time.Since(begin))
	}
	left := d.waitGone(ctx, t, patience)
	if len(left) > 0 {
		if notWell == nil && ctx.Err() == nil {
			notWell = fmt.Errorf("%d processes outlived their master %d and were killed", len(left), t.master.PID)
		}
		if err := d.kill(t); err != nil {
			return err
		}
	}
	t.out.drained(linger)
	d.log.Debug("server ended", zap.Duration("took", time.Since(begin)))
	d.dropPIDFile(t)
	return errors.Join(notWell, d.endHolders(t))
}

// ask sends the stop signals and waits for the master.
func (d *processes) ask(ctx context.Context, t *tree) error {
	s := &d.opt.Server
	steps := []struct {
		sig  syscall.Signal
		wait time.Duration
	}{{s.Signals.Stop, s.StopTimeout}, {s.Signals.StopHard, linger}}
	for _, step := range steps {
		if step.sig == 0 {
			continue
		}
		if err := t.master.Signal(step.sig); err != nil {
			if errors.Is(err, signals.ErrGone) {
				return nil
			}
			return fmt.Errorf("send %s to master %d: %w", signals.SignalName(step.sig), t.master.PID, err)
		}
		if d.opt.Server.Layout == LayoutSingle {
			goOnMaster(t) // of any program nobody knows what it makes of a signal that it has no use for
		} else {
			_ = t.master.Signal(syscall.SIGCONT) // also where it is about to stop
		}
		wait, cancel := context.WithTimeout(ctx, step.wait)
		nudge := time.AfterFunc(linger, func() { goOnMaster(t); d.nudge(wait, t) })
		err := t.master.Wait(wait)
		nudge.Stop()
		cancel()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return nil // whoever cancelled wants it ended at once, and knows
		}
	}
	return fmt.Errorf("the server did not stop within %s and was killed", s.StopTimeout)
}

// askRest has what a program leaves behind end by itself: a shell that was told to stop does not tell what it has started. Of any program
// nothing more is known than that SIGTERM ends it. Each process is told once.
func (d *processes) askRest(t *tree) {
	left, err := t.everybody()
	if err != nil {
		return // it is ended by force
	}
	for _, info := range left {
		if info.Process == t.master || d.spares(info.PID) {
			continue
		}
		if err := info.Signal(syscall.SIGTERM); err == nil {
			goOn(info)
		}
	}
}

// goOnMaster continues the master if that is stopped.
func goOnMaster(t *tree) {
	if info, err := t.master.Info(); err == nil {
		goOn(info)
	}
}

// goOn continues a process that is stopped: it takes its signals only then.
func goOn(info signals.Info) {
	if info.State == 'T' {
		_ = info.Signal(syscall.SIGCONT) // else it has ended
	}
}

// nudge ends a Swoole server whose master does not act on its signal: one that has a timer of its own never leaves its event loop
// (seen with Octane's tick on Swoole 6.2.2). The manager ends the workers as the master would have had it do, and a master with
// nobody left below it serves nothing any more.
func (d *processes) nudge(ctx context.Context, t *tree) {
	manager, ok := t.manager()
	if !ok || manager.Signal(d.opt.Server.Signals.Stop) != nil || manager.Wait(ctx) != nil {
		return
	}
	last, cancel := context.WithTimeout(ctx, linger)
	defer cancel()
	if t.master.Wait(last) != nil && ctx.Err() == nil {
		_ = t.master.Signal(syscall.SIGKILL) // else it ended meanwhile
	}
}

// waitGone gives the rest of the tree a moment to follow its master, and returns who is left.
func (d *processes) waitGone(ctx context.Context, t *tree, wait time.Duration) []signals.Info {
	deadline := time.After(wait)
	for {
		left, err := t.everybody()
		if err != nil || len(left) == 0 || t.master.Alive() {
			return left
		}
		select {
		case <-ctx.Done():
			return left
		case <-deadline:
			return left
		case <-time.After(paceMin):
		}
	}
}

// kill ends the whole tree with SIGKILL.
func (d *processes) kill(t *tree) error {
	ctx, cancel := context.WithTimeout(context.Background(), killTime)
	defer cancel()
	return signals.KillTree(ctx, t.everybody)
}

func (d *processes) spares(pid int) bool { return d.opt.Handover != nil && d.opt.Handover.Spares(pid) }

// dropPIDFile removes the pid file of a master that could not do it itself, and no other's.
func (d *processes) dropPIDFile(t *tree) {
	file := t.home.pidFile
	if file == "" {
		return
	}
	if pid, err := signals.ReadPIDFile(file); err != nil || pid != t.master.PID || t.master.Alive() {
		return
	}
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.note(fmt.Sprintf("remove pid file of the ended master: %v", err))
	}
}

// endHolders ends what still holds a listening socket of t after the whole tree has ended: a process that left the tree
// (its own session, its parent dead) without ever having been seen in it. It would go on answering with old code.
func (d *processes) endHolders(t *tree) error {
	left := func() ([]signals.Info, error) {
		infos, err := signals.Holders(t.listeners())
		return slices.DeleteFunc(infos, func(i signals.Info) bool { return !t.mayHaveEscaped(i) || d.spares(i.PID) }), err
	}
	infos, err := left()
	if err != nil || len(infos) == 0 {
		return nil // where sockets cannot be looked at, the next start will say that the port is taken
	}
	d.note(fmt.Sprintf("ending %d processes that still held a port of the old server (%d)", len(infos), infos[0].PID))
	ctx, cancel := context.WithTimeout(context.Background(), killTime)
	defer cancel()
	return signals.KillTree(ctx, left)
}
