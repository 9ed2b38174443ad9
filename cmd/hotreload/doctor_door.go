package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/hotreload/hotreload/config"
	"github.com/hotreload/hotreload/control"
	"github.com/hotreload/hotreload/signals"
	"github.com/hotreload/hotreload/supervisor"
)

// doorFacts are about the hotreload of this project: the one that runs, or the traces of one that ran.
type doorFacts struct {
	place    control.Place // where it is, or would be
	placeErr error         // there is no place for it

	running   bool
	owner     *control.Owner     // nil: nobody runs, or it has not written itself down
	status    *supervisor.Status // nil: nobody runs, or it does not answer
	statusErr error

	left    *supervisor.Adoption // what is known of the server that it started
	leftErr error
	socket  bool // a socket file lies there
}

func gatherDoor(ctx context.Context, cfg *config.Config) (doorFacts, error) {
	f := doorFacts{}
	project := projectOf(cfg)
	f.place, f.placeErr = project.Find()
	f.running = f.placeErr == nil
	if errors.Is(f.placeErr, control.ErrNotRunning) {
		f.place, f.placeErr = project.Where()
	}
	if f.placeErr != nil {
		return f, nil
	}
	f.left, f.leftErr = f.place.Load()
	_, err := os.Lstat(f.place.Socket)
	f.socket = err == nil
	if !f.running {
		return f, nil
	}
	if owner, err := f.place.Owner(); err == nil {
		f.owner = &owner
	}
	const patience = 3 * time.Second // less than factPatience, so that the rest is told
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	st, err := control.NewClient(f.place).Status(ctx)
	if f.statusErr = err; err == nil {
		f.status = &st
	}
	return f, nil
}

// master is the one that hotreload has started, as far as it lives.
func (f doorFacts) master() signals.Process {
	if f.left != nil && f.left.Master.Alive() {
		return f.left.Master
	}
	return signals.Process{}
}

func checkDoor(_ context.Context, p *patient) []finding {
	f, err := p.door()
	if err != nil {
		return []finding{warning("could not be looked at: %v", err)}
	}
	return judgeDoor(f, f.master().PID)
}

// judgeDoor: left is the pid of a master that a hotreload started and that lives.
func judgeDoor(f doorFacts, left int) []finding {
	var several *control.AmbiguousError
	switch {
	case errors.As(f.placeErr, &several):
		return []finding{warning("%v", several)}
	case f.placeErr != nil:
		return []finding{failure("%v", f.placeErr).remedy(`socket = "runtime/hotreload.sock" under [control] in %s`, config.FileName)}
	case f.running:
		return []finding{judgeRunning(f)}
	}
	var found []finding
	if f.leftErr != nil {
		found = append(found, warning("what an earlier hotreload left behind cannot be used: %v", f.leftErr).remedy("rm %s", shellWord(f.place.State())))
	}
	switch {
	case left != 0:
		found = append(found, warning("master %d still runs, and the hotreload that started it does not: nothing is reloaded", left).
			remedy("hotreload %s   # takes it over", f.left.Mode))
	case f.socket:
		found = append(found, fine("none runs; a killed one left its socket, which the next replaces (%s)", f.place.Socket))
	default:
		found = append(found, fine("none runs; it would listen on %s", f.place.Socket))
	}
	return found
}

func judgeRunning(f doorFacts) finding {
	who := "hotreload"
	if f.owner != nil {
		who = "hotreload " + f.owner.Command + " (pid " + signals.Process{PID: f.owner.PID}.String() + ")"
	}
	switch {
	case errors.Is(f.statusErr, context.DeadlineExceeded):
		return failure("%s runs and does not answer: is its process stopped?", who).remedy("kill -CONT %d", ownerPID(f))
	case errors.Is(f.statusErr, os.ErrPermission), f.statusErr != nil:
		return failure("%s: %v", who, f.statusErr)
	case f.status.State == supervisor.Degraded, f.status.State == supervisor.Crashed:
		return warning("%s runs; the server is %s: %s", who, f.status.State, f.status.Reason).remedy("hotreload status")
	case f.status.Owed != "":
		return warning("%s runs; not live yet: %s", who, f.status.Owed).remedy("hotreload status")
	}
	return fine("%s runs, the server is %s", who, f.status.State)
}

func ownerPID(f doorFacts) int {
	if f.owner == nil {
		return 0
	}
	return f.owner.PID
}

func checkDisks(_ context.Context, p *patient) []finding {
	cfg := p.cfg()
	places := []diskFacts{{what: "the server's files", dir: cfg.Server.Dir}}
	if cfg.Server.PIDFile != "" {
		places = append(places, diskFacts{what: "the pid file", dir: filepath.Dir(cfg.Server.PIDFile)})
	}
	if cfg.Server.Kind == config.KindHyperf {
		places = append(places, diskFacts{what: "Hyperf's proxies", dir: filepath.Join(cfg.Server.Dir, "runtime/container")})
	}
	if f, err := p.door(); err == nil && f.placeErr == nil {
		places = append(places, diskFacts{what: "hotreload's state", dir: filepath.Dir(f.place.Socket)})
	}
	for i := range places {
		places[i].gather()
	}
	return judgeDisks(places)
}
