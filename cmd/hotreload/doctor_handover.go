package main

import (
	"context"
	"os/exec"
	"strings"

	"github.com/hotreload/hotreload/config"
	"github.com/hotreload/hotreload/handover"
)

// handoverFacts are about whether a restart can be one that nobody notices.
type handoverFacts struct {
	kind     string
	method   string // restart.handover
	possible error  // why this machine cannot hand sockets over
	headroom string // why there is no room for two servers; "" when there is
}

func checkHandover(_ context.Context, p *patient) []finding {
	cfg := p.cfg()
	f := handoverFacts{kind: cfg.Server.Kind, method: cfg.Restart.Handover}
	if f.method != "off" {
		f.possible = handover.Possible((*exec.Cmd).Start, func(cmd *exec.Cmd) { _ = cmd.Wait() }) // how it ends tells nothing
		f.headroom = headroom(0)
	}
	return []finding{judgeHandover(f)}
}

func judgeHandover(f handoverFacts) finding {
	const meanwhile = "; for a moment two servers run: memory and connections to databases double, queue consumers and timers run twice"
	switch {
	case f.kind == config.KindNone || f.kind == config.KindPHPFPM:
		return fine("kind %s is not handed over: a restart is a stop and a start", f.kind)
	case f.method == "off":
		return fine("a restart is a stop and a start (restart.handover)")
	case f.possible != nil && strings.Contains(f.possible.Error(), "ptrace_scope"):
		return warning("%v: a restart is a stop and a start, and requests meanwhile fail", f.possible).remedy("sudo sysctl -w kernel.yama.ptrace_scope=1")
	case f.possible != nil:
		return warning("%v: a restart is a stop and a start, and requests meanwhile fail", f.possible).
			remedy("a seccomp profile that allows seccomp(2) and pidfd_getfd(2), on Linux 5.9 or newer")
	case f.headroom != "":
		return warning("%s: a restart is a stop and a start", f.headroom).remedy("a larger memory limit")
	case f.kind == config.KindOctane:
		return fine("possible, but octane:start refuses to start beside a server that runs: its restart is a stop and a start")
	}
	return fine("a restart starts the new server beside the old one" + meanwhile)
}
