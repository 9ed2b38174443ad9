package main

import (
	"strings"

	"github.com/hotreload/hotreload/signals"
	"github.com/hotreload/hotreload/supervisor"
)

// serverFacts are about the server that runs, if one does.
type serverFacts struct {
	judgement signals.Judgement // of the pid file, if one is known
	owner     int               // user of the process that the pid file names; -1 when that is not known

	master  signals.Process // zero: none runs, as far as can be told
	foreign bool            // hotreload did not start it
	look    supervisor.Inspection
	lookErr error
}

func gatherServer(p *patient) (serverFacts, error) {
	cfg := p.cfg()
	door, err := p.door()
	if err != nil {
		return serverFacts{}, err
	}
	f := serverFacts{owner: -1}
	want := signals.Expectation{Programs: programsOf(cfg)}
	if door.left != nil {
		want.Known = door.left.Master
	}
	if cfg.Server.PIDFile != "" {
		f.judgement = signals.Judge(cfg.Server.PIDFile, want)
		f.master = f.judgement.Master
		f.owner = ownerOf(f.judgement.PID)
	}
	ours := door.master() // by what hotreload itself says
	if f.master.PID == 0 {
		f.master = ours
	}
	if f.master.PID == 0 {
		return f, nil
	}
	f.foreign = ours.PID == 0 || !belongs(f.master, ours)
	f.look, f.lookErr = supervisor.Inspect(layoutOf(cfg), f.master, cfg.Server.Signals.Reload)
	return f, nil
}

// hidden reports whether a server runs that belongs to somebody else, so that it may be neither signalled nor looked at.
// Judge has looked at its program first.
func (f serverFacts) hidden() bool {
	return f.judgement.Verdict == signals.Foreign && f.owner >= 0 && strings.Contains(f.judgement.Reason, "hotreload runs as user")
}

// ownerOf is the user of a process, -1 when there is none.
func ownerOf(pid int) int {
	process, err := signals.Lookup(pid)
	if err != nil {
		return -1
	}
	info, err := process.Info()
	if err != nil {
		return -1
	}
	return info.UID
}
