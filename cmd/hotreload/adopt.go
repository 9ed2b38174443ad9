package main

import (
	"cmp"
	"fmt"
	"slices"
	"syscall"

	"github.com/hotreload/hotreload/config"
	"github.com/hotreload/hotreload/control"
	"github.com/hotreload/hotreload/signals"
	"github.com/hotreload/hotreload/supervisor"
)

// adoption decides whose master it is that runs already, if any does: one that an earlier hotreload started is adopted (or,
// when it has ended, what it left behind is cleared away); anybody else's is refused.
func adoption(cfg *config.Config, place control.Place) (a *supervisor.Adoption, note string, err error) {
	a, unusable := place.Load()
	if unusable != nil {
		note = unusable.Error()
	}
	file := cfg.Server.PIDFile
	want := signals.Expectation{Programs: programsOf(cfg)}
	if a != nil {
		want.Known = a.Master
		file = cmp.Or(a.PIDFile, file) // of the release that it was started from
	}
	if file == "" {
		return a, note, nil
	}
	j := signals.Judge(file, want)
	if j.Verdict != signals.Master || slices.ContainsFunc(a.Masters(), func(known signals.Process) bool { return belongs(j.Master, known) }) {
		return a, note, nil
	}
	return nil, "", hinted(
		fmt.Errorf("a master already runs (pid %d, from %s), and hotreload did not start it", j.PID, file),
		"watch it as it is with `hotreload watch --attach`, or stop it with `kill -%s %d`", signals.SignalName(stopSignal(cfg)), j.PID)
}

// belongs reports whether the master that a pid file names is the one that was written down, or below it: a server that was
// still starting is known by its command, which may be a shell.
func belongs(named, known signals.Process) bool {
	if named == known {
		return true
	}
	tree, err := signals.Tree(known)
	return err == nil && slices.ContainsFunc(tree, func(i signals.Info) bool { return i.Process == named })
}

func stopSignal(cfg *config.Config) syscall.Signal {
	if cfg.Server.Signals.Stop != 0 {
		return cfg.Server.Signals.Stop
	}
	return syscall.SIGTERM
}

// programsOf are the executables that a master of the configured kind may have; nil: any PHP.
func programsOf(cfg *config.Config) []string {
	switch layoutOf(cfg) {
	case supervisor.LayoutSingle, supervisor.LayoutForked:
		return []string{"*"}
	}
	return nil
}
