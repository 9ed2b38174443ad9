package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/hotreload/hotreload/config"
	"github.com/hotreload/hotreload/signals"
	"github.com/hotreload/hotreload/supervisor"
)

func checkMaster(_ context.Context, p *patient) []finding {
	cfg := p.cfg()
	s, err := p.server()
	if err != nil || s.master.PID == 0 {
		return nil
	}
	return judgeMaster(masterFacts{
		server: s, layout: layoutOf(cfg), kind: cfg.Server.Kind,
		reload: signals.SignalName(cfg.Server.Signals.Reload), has: cfg.Server.Signals.Reload != 0,
		attach: s.foreign,
	})
}

// masterFacts are about the master that runs, and the signal that is to reload it.
type masterFacts struct {
	server serverFacts
	layout supervisor.Layout
	kind   string
	has    bool // there is such a signal
	reload string
	attach bool // hotreload may not stop it
}

// judgeMaster says what a reload of the server that runs would meet.
func judgeMaster(f masterFacts) []finding {
	in := f.server.look
	pid := f.server.master.PID
	switch {
	case errors.Is(f.server.lookErr, signals.ErrGone):
		return []finding{warning("master %d ended just now", pid).remedy("hotreload doctor   # again")}
	case f.server.lookErr != nil:
		return []finding{failure("master %d: %v", pid, f.server.lookErr)}
	case in.Master.State == 'T' || in.Master.State == 't':
		return []finding{failure("master %d is stopped: no signal is carried out", pid).remedy("kill -CONT %d", pid)}
	case f.layout == supervisor.LayoutSingle || !f.has:
		return []finding{fine("%d runs; nothing reloads it, so it is restarted", pid)}
	}
	workers := in.Roles[supervisor.Worker] + in.Roles[supervisor.TaskWorker]
	switch {
	case workers == 0 && f.layout == supervisor.LayoutSwoole && len(in.Tree) == 1:
		g := gradeWarn
		if f.attach {
			g = gradeFail
		}
		return []finding{graded(g, "master %d is a single process (SWOOLE_BASE with one worker): it ignores %s, and only a restart loads new code", pid, f.reload).
			remedy("'worker_num' => 2 in the server's settings, or SWOOLE_PROCESS")}
	case in.Ignores:
		return []finding{failure("master %d ignores %s: a reload does nothing", pid, f.reload)}
	case !in.Handles:
		return []finding{failure("master %d has no handler for %s, which would end it: it is still starting, or not a server of kind %s", pid, f.reload, f.kind).
			remedy("--kind KIND, or server.kind in %s   # one of %s", config.FileName, strings.Join(knownKinds(), ", "))}
	}
	found := []finding{fine("%d handles %s: %s", pid, f.reload, processesOf(in))}
	if n := in.Roles[supervisor.UserProcess]; n > 0 && f.layout == supervisor.LayoutSwoole {
		cure := "hotreload restart   # after a change that it uses"
		if f.attach {
			cure = "restart the server after a change that it uses"
		}
		found = append(found, warning("%s (addProcess), which no reload replaces: the code is as old as the process", userProcesses(n)).remedy("%s", cure))
	}
	return found
}

// processesOf counts the processes below a master.
func processesOf(in supervisor.Inspection) string {
	var parts []string
	if in.Roles[supervisor.Manager] > 0 {
		parts = append(parts, "a manager")
	}
	parts = append(parts, count(in.Roles[supervisor.Worker], "worker"))
	if n := in.Roles[supervisor.TaskWorker]; n > 0 {
		parts = append(parts, count(n, "task worker"))
	}
	return strings.Join(parts, ", ")
}

func userProcesses(n int) string {
	if n == 1 {
		return "1 user process"
	}
	return fmt.Sprintf("%d user processes", n)
}
