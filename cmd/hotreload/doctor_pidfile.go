package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/hotreload/hotreload/config"
	"github.com/hotreload/hotreload/signals"
)

func checkPIDFile(_ context.Context, p *patient) []finding {
	cfg := p.cfg()
	s, err := p.server()
	if err != nil {
		return []finding{warning("could not be looked at: %v", err)}
	}
	f := pidFacts{file: cfg.Server.PIDFile, server: s, kind: cfg.Server.Kind, attaches: p.mode == forAttach, reloads: cfg.Server.Signals.Reload != 0, me: userName(os.Geteuid())}
	for _, note := range cfg.Preset.Notes {
		if why, ok := strings.CutPrefix(note, pidNote); ok {
			f.note = why
		}
	}
	if f.file != "" {
		f.dirErr = writable(filepath.Dir(f.file))
	}
	if s.owner >= 0 {
		f.owner = userName(s.owner)
	}
	f.made = cfg.Script() != "" && strings.Contains(config.Code(cfg.Script()), "mkdir(")
	return judgePIDFile(f)
}

// pidFacts are about the pid file.
type pidFacts struct {
	file     string // "": none is known
	note     string // why not
	kind     string
	reloads  bool  // the kind has a signal that reloads
	attaches bool  // `watch --attach` was asked about by name
	dirErr   error // its directory cannot be written to
	made     bool  // the entry script makes directories
	server   serverFacts
	me       string
	owner    string // the user of the process that it names; "" when there is none
}

func judgePIDFile(f pidFacts) []finding {
	if f.file == "" {
		return judgeNoPIDFile(f)
	}
	j := f.server.judgement
	switch {
	case j.Verdict == signals.Master && f.server.foreign:
		return []finding{fine("%s names master %d, which hotreload did not start: `hotreload watch --attach` reloads it and never stops it", f.file, j.PID)}
	case j.Verdict == signals.Master:
		return []finding{fine("%s names master %d", f.file, j.PID)}
	case j.Verdict == signals.Garbage:
		return []finding{failure("%s", strings.TrimPrefix(j.Reason, "pid file ")).remedy(`pid_file = "FILE" under [server] in %s, or --pid-file FILE   # what the server really writes`, config.FileName)}
	case f.server.hidden():
		return []finding{failure("%s names process %d of user %s, which %s may not signal", f.file, j.PID, f.owner, f.me).
			remedy("sudo -u %s hotreload watch --attach", f.owner)}
	case j.Verdict == signals.Foreign:
		return []finding{warning("%s: %s; it is never signalled", f.file, j.Reason).remedy("rm %s   # unless that is your server", shellWord(f.file))}
	case j.Verdict == signals.Incomplete:
		return []finding{warning("%s is empty: a server is starting, or was killed", f.file).remedy("rm %s   # if it stays so", shellWord(f.file))}
	}
	if trouble, bad := judgePIDDir(f); bad {
		return []finding{trouble}
	}
	switch j.Verdict {
	case signals.Stale, signals.Ours:
		return []finding{warning("%s is stale: %s; it is never signalled, and replaced at the next start", f.file, j.Reason).remedy("rm %s", shellWord(f.file))}
	}
	return []finding{fine("%s, not there yet: no server runs", f.file)}
}

func judgeNoPIDFile(f pidFacts) []finding {
	cure := fmt.Sprintf(`pid_file = "FILE" under [server] in %s, or --pid-file FILE`, config.FileName)
	switch {
	case f.attaches:
		return []finding{failure("none is known%s: `watch --attach` finds the server by it", because(f.note)).remedy("%s", cure)}
	case !f.reloads:
		return nil
	}
	return []finding{warning("none is known%s: hotreload knows the server that it starts by its processes, and finds none that runs already", because(f.note)).remedy("%s", cure)}
}

func because(why string) string {
	if why == "" {
		return ""
	}
	return " (" + why + ")"
}

// judgePIDDir is about the directory, which matters when a server is to be started.
func judgePIDDir(f pidFacts) (finding, bool) {
	dir := filepath.Dir(f.file)
	switch {
	case f.dirErr == nil, f.attaches, f.made && errors.Is(f.dirErr, errNotThere):
		return finding{}, false
	case errors.Is(f.dirErr, errNotThere):
		return warning("%s is not there, and the server may not make it for its pid file", dir).remedy("mkdir -p %s", shellWord(dir)), true
	}
	cure := "sudo chown " + f.me + " " + shellWord(dir)
	if errors.Is(f.dirErr, syscall.EROFS) {
		cure = "mount a volume there, or pid_file elsewhere, in the server's settings and under [server] in " + config.FileName
	}
	return failure("%s: %s: a server started by %s cannot write its pid file", dir, plainReason(f.dirErr), f.me).remedy("%s", cure), true
}
