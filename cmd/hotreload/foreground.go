package main

import (
	"os"
	"runtime"
	"syscall"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/hotreload/hotreload/config"
	"github.com/hotreload/hotreload/signals"
	"github.com/hotreload/hotreload/supervisor"
)

// job is the program that `run` was given a terminal for: a shell in `docker run -it`, say. It uses the terminal as if it had been
// started without hotreload: it reads from it, is its foreground process group, and is stopped and continued by it. A nil job
// is a server, which has no use for one.
type job struct {
	tty   *os.File
	stops chan halt
}

// halt says that a program was stopped, to go on some time, and by what.
type halt struct {
	pid int
	sig syscall.Signal
}

// newJob returns nil when the program gets no terminal. A part of a pipeline has none to give, because the others in it need it too;
// nor has a background process.
func newJob(mode supervisor.Mode, cfg *config.Config) *job {
	if mode != supervisor.Run || cfg.Server.Kind != config.KindNone || runtime.GOOS != "linux" { // elsewhere nobody would tell that it was stopped
		return nil
	}
	if !term.IsTerminal(int(os.Stdin.Fd())) || !term.IsTerminal(int(os.Stdout.Fd())) {
		return nil
	}
	if group, err := signals.ForegroundGroup(os.Stdin); err != nil || group != unix.Getpgrp() {
		return nil
	}
	return &job{tty: os.Stdin, stops: make(chan halt, 1)}
}

// stopped tells that the program was stopped. What nobody has taken yet says the same.
func (j *job) stopped(pid int, sig syscall.Signal) {
	select {
	case j.stops <- halt{pid, sig}:
	default:
	}
}

func (j *job) halts() <-chan halt {
	if j == nil {
		return nil
	}
	return j.stops
}

// leave takes back the terminal from a program that has ended, for whoever comes after us: the rest of a script.
func (j *job) leave() {
	if j == nil {
		return
	}
	if group, err := signals.ForegroundGroup(j.tty); err == nil && !signals.GroupLives(group) {
		_ = signals.SetForegroundGroup(j.tty, unix.Getpgrp()) // else it is gone
	}
}

// jobStopped does what the stop of the program means: the keyboard has stopped all that it sees as one job, of which hotreload is
// the part that the shell knows. Where no shell is, as in a container, the program goes on: nobody else could continue it.
func (c *conductor) jobStopped(h halt) {
	switch h.sig {
	case syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU:
	default:
		return // whoever sent SIGSTOP has a reason, and will send SIGCONT
	}
	var err error
	if c.halted, err = signals.Lookup(h.pid); err != nil {
		return // it has ended
	}
	program, err := c.halted.Info()
	if err != nil || program.State != 'T' {
		return // it goes on already
	}
	if continuable() {
		c.halt(0)
		return // what continues us is a signal too
	}
	c.front(program)
	c.tellGroup(program, syscall.SIGCONT)
}

// jobContinued follows on the SIGCONT that a shell sends to what it brings to the foreground or lets go on in the background.
func (c *conductor) jobContinued() {
	program, err := c.program()
	if err != nil {
		return
	}
	if c.s.job != nil {
		if group, err := signals.ForegroundGroup(c.s.job.tty); err == nil && group == unix.Getpgrp() {
			c.front(program)
		}
	}
	c.tellGroup(program, syscall.SIGCONT)
}

// jobSuspended passes on what somebody has sent to hotreload and meant for the program: SIGTSTP. In the foreground its stop is noticed; else
// hotreload stops beside it.
func (c *conductor) jobSuspended() {
	if program, err := c.program(); err == nil {
		c.tellGroup(program, syscall.SIGTSTP)
	}
	if c.s.job == nil && continuable() {
		c.halt(os.Getpid())
	}
}

// program is the one that runs. One that is stopped as soon as it is started is known by that alone.
func (c *conductor) program() (signals.Info, error) {
	if master := c.s.master.Load(); master != nil {
		if info, err := master.Info(); err == nil {
			return info, nil
		}
	}
	if c.halted == (signals.Process{}) {
		return signals.Info{}, errNoServer
	}
	return c.halted.Info()
}

func (c *conductor) front(program signals.Info) {
	if c.s.job == nil {
		return
	}
	if err := signals.SetForegroundGroup(c.s.job.tty, program.PGID); err != nil {
		c.s.log.Debug("give the terminal to the program", zap.Error(err))
	}
}

// tellGroup sends a signal of job control to the whole process group of the program, as a shell does. All members are identified before.
func (c *conductor) tellGroup(program signals.Info, sig syscall.Signal) {
	table, err := signals.Snapshot()
	if err != nil {
		c.s.log.Debug("signal not passed on", zap.String("signal", signals.SignalName(sig)), zap.Error(err))
		return
	}
	for _, member := range table.Select(func(i signals.Info) bool { return i.PGID == program.PGID }) {
		_ = member.Signal(sig) // else it has ended
	}
}
