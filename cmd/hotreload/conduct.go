package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/hotreload/hotreload/signals"
	"github.com/hotreload/hotreload/supervisor"
)

// conductor turns signals and keys into requests. One goroutine, run, owns its state.
type conductor struct {
	s       *session
	sup     *supervisor.Supervisor
	sigs    chan os.Signal
	force   chan struct{} // closed when the stop may not be graceful any more
	stopped time.Time     // when it was last asked to stop
	why     string        // and by what
	stops   int           // how often a stop was asked for

	halted signals.Process // the program that was stopped by its terminal last
}

// newConductor takes over the signals: from here on none of them ends hotreload by itself.
func newConductor(s *session, sup *supervisor.Supervisor) *conductor {
	c := &conductor{s: s, sup: sup, sigs: make(chan os.Signal, 64), force: make(chan struct{})}
	for _, sig := range handled(s) {
		if !signal.Ignored(sig) {
			signal.Notify(c.sigs, sig)
			continue
		}
		// Whoever started us with a signal ignored (nohup; `&` in a script) meant us. The server ignores what we ignore, and nothing
		// that has a handler.
		signal.Notify(make(chan os.Signal, 1), sig)
	}
	// A reader of our output that goes away must not take us along: without this, writing to a closed stdout or
	// stderr ends the program.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	return c
}

// handled are the signals that mean something to us, or that are passed on.
func handled(s *session) []os.Signal {
	sigs := []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2}
	if s.mode == supervisor.Run {
		sigs = append(append(sigs, syscall.SIGQUIT), passedOn()...)
	}
	if s.plain() {
		sigs = append(append(sigs, syscall.SIGTSTP, syscall.SIGCONT), passedToAny()...)
	}
	if s.keys != nil {
		sigs = append(sigs, syscall.SIGTSTP, syscall.SIGCONT)
	}
	if s.notifier.Watches() { // SIGABRT says that we hang, and is to end us and show where
		sigs = slices.DeleteFunc(sigs, func(sig os.Signal) bool { return sig == syscall.SIGABRT })
	}
	return sigs
}

func (c *conductor) run(ctx context.Context) {
	defer signal.Stop(c.sigs)
	if c.s.keys != nil {
		c.s.beside(func() { c.s.keys.run(ctx) })
	}
	for {
		select {
		case sig := <-c.sigs:
			c.signal(ctx, sig.(syscall.Signal))
		case key := <-c.s.keys.pressed():
			c.key(ctx, key)
		case h := <-c.s.job.halts():
			c.jobStopped(h)
		case <-ctx.Done():
			return
		}
	}
}

func (c *conductor) signal(ctx context.Context, sig syscall.Signal) {
	name := signals.SignalName(sig)
	switch {
	case sig == syscall.SIGINT, sig == syscall.SIGTERM:
		c.stop(name)
	case c.s.plain():
		c.passToAny(sig)
	case sig == syscall.SIGQUIT: // how images of php-fpm and Workerman ask for a graceful stop
		c.stop(name)
	case sig == syscall.SIGTSTP:
		c.suspend()
	case sig == syscall.SIGCONT:
		c.s.keys.resume()
	case sig == syscall.SIGHUP && c.s.mode != supervisor.Run:
		c.stop(name)
	case sig == syscall.SIGUSR2 && c.s.cfg.Server.Signals.ReloadTasks != 0:
		c.ask(ctx, supervisor.ReloadTasks, name)
	case sig == syscall.SIGHUP, sig == syscall.SIGUSR1, sig == syscall.SIGUSR2:
		c.ask(ctx, supervisor.Reload, name)
	default:
		c.pass(sig)
	}
}

// passToAny sends a signal to a program of which nothing is known: it gets it as if it ran without hotreload, whatever that does
// to it.
func (c *conductor) passToAny(sig syscall.Signal) {
	switch sig {
	case syscall.SIGTSTP:
		c.jobSuspended()
	case syscall.SIGCONT:
		c.jobContinued()
	default:
		program, err := c.program()
		if err == nil {
			err = program.Signal(sig)
		}
		c.notPassed(sig, err)
	}
}

// atOnce is how soon after the first a second wish to stop is taken for the same: what runs us in its process group (timeout,
// make) may pass on a signal that has reached us already. Nobody presses Ctrl-C twice within that time.
const atOnce = 50 * time.Millisecond

// stop stops gracefully, and the second time at once.
func (c *conductor) stop(why string) {
	if why == c.why && time.Since(c.stopped) < atOnce {
		return
	}
	c.why, c.stopped = why, time.Now()
	c.stops++
	switch c.stops {
	case 1:
		c.s.tell(supervisor.Event{Kind: supervisor.EventStopping, Detail: why})
		c.s.stop()
	case 2:
		c.s.tell(supervisor.Event{Kind: supervisor.EventStopping, Detail: why + " again, so at once"})
		close(c.force)
	}
}

// ask has the supervisor do something. What came of it is an event.
func (c *conductor) ask(ctx context.Context, action supervisor.Action, who string) {
	c.s.beside(func() {
		_, err := c.sup.Do(ctx, supervisor.Request{Action: action, Reason: who})
		if err != nil && !errors.Is(err, supervisor.ErrStopping) && ctx.Err() == nil {
			c.s.report.Warn(err.Error())
		}
	})
}

// pass sends the master of a server a signal that is not ours to understand, but none that would end it because it has no handler.
func (c *conductor) pass(sig syscall.Signal) { c.notPassed(sig, c.send(sig)) }

func (c *conductor) notPassed(sig syscall.Signal, err error) {
	if err != nil {
		c.s.log.Debug("signal not passed on", zap.String("signal", signals.SignalName(sig)), zap.Error(err))
	}
}

var errNoServer = errors.New("no server runs")

func (c *conductor) send(sig syscall.Signal) error {
	master := c.s.master.Load()
	if master == nil {
		return errNoServer
	}
	masks, err := master.Masks()
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	if err == nil && !masks.Caught.Has(sig) && !masks.Blocked.Has(sig) {
		return errors.New("the server has no handler for it")
	}
	return master.Signal(sig)
}

// suspend is Ctrl-Z: the terminal is given back as it was, then we stop as everybody does. The server goes on.
func (c *conductor) suspend() {
	if !continuable() {
		return
	}
	c.s.keys.suspend() // until SIGCONT
	c.halt(os.Getpid())
}

// halt stops a process, or with 0 our process group, which cannot fail. Not by SIGTSTP: signal.Reset does not give back its default
// action.
func (c *conductor) halt(pid int) { _ = syscall.Kill(pid, syscall.SIGSTOP) }

// continuable reports whether somebody could continue us once we are stopped: a shell in our session. The kernel
// asks the same before a Ctrl-Z takes effect (setpgid(2), orphaned process groups).
func continuable() bool {
	ancestors, err := signals.Ancestors()
	if err != nil {
		return false
	}
	session, _ := unix.Getsid(0)
	for _, p := range ancestors {
		if group, err := unix.Getpgid(p.PID); err == nil && group != unix.Getpgrp() {
			theirs, err := unix.Getsid(p.PID)
			return err == nil && theirs == session
		}
	}
	return false
}

// key does what a key stands for.
func (c *conductor) key(ctx context.Context, key byte) {
	switch key {
	case 'r':
		c.ask(ctx, supervisor.Reload, "key r")
	case 'R':
		c.ask(ctx, supervisor.Restart, "key R")
	case 's':
		c.s.beside(func() {
			if st, err := c.sup.Status(ctx); err == nil {
				for _, line := range summary(st) {
					c.s.report.Info(line)
				}
			}
		})
	case 'q':
		c.stop("key q")
	case '\n', '\r':
		fmt.Fprintln(c.s.out)
	case '?', 'h':
		c.s.report.Info(keysHelp)
	}
}

const keysHelp = "keys: r reload, R restart, s status, q quit, ? help"
