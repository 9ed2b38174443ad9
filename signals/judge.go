package signals

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Verdict is what a pid file turned out to mean.
type Verdict int

// What a pid file can mean.
const (
	// NoFile: there is none. A server may start.
	NoFile Verdict = iota
	// Incomplete: its writer is not done. Look again.
	Incomplete
	// Garbage: not a pid file, or not readable. Neither signal nor overwrite it
	// without telling the user.
	Garbage
	// Ours: it names this very process, as happens when a container starts again and
	// gives the same small numbers. A server may start once the file is removed.
	Ours
	// Stale: its process has ended, or the number is a later process' now.
	Stale
	// Foreign: its process lives and is not the server.
	Foreign
	// Master: its process is the server.
	Master
)

var verdicts = [...]string{"no file", "incomplete", "garbage", "ours", "stale", "foreign", "master"}

func (v Verdict) String() string {
	if v < 0 || int(v) >= len(verdicts) {
		return "unknown"
	}
	return verdicts[v]
}

// Judgement is a verdict with its reason.
type Judgement struct {
	Verdict Verdict
	PID     int     // the number in the file; 0 when there is none
	Master  Process // set only when the verdict is Master
	Reason  string  // for people: "process 4211 has ended"
}

// Expectation is what is known about the process that a pid file should name.
// The zero value expects any PHP.
type Expectation struct {
	// Known is the master as it was recorded when it was last seen. It is
	// recognised whatever else speaks against it.
	Known Process

	// Tree, when not nil, is the tree of the command that was started to be the
	// server: the master must be in it.
	Tree []Process

	// Programs are patterns ([path.Match]) for the name of the executable. nil:
	// php*, swoole-cli*, frankenphp*. {"*"}: any program.
	Programs []string
}

var phpPrograms = []string{"php*", "swoole-cli*", "frankenphp*"}

// Judge looks at a pid file and at the process it names, and decides whether that
// is the master it should be. Only a Master may be signalled.
//
// A master is recognised by what it cannot change: its start (a server writes its
// pid file, so it was started before the file was last written), its user and its
// executable. The command line is no help: Hyperf overwrites it.
func Judge(path string, want Expectation) Judgement {
	return judge(examine(path), want)
}

// evidence is all that the decision depends on.
type evidence struct {
	file     pidFileContent
	fileErr  error
	self     int // pid
	selfUID  int
	ancestor bool // the process is an ancestor of this one

	process   Info
	lookErr   error
	startedAt time.Time
	exe       string // "" when it may not be read; Comm has to do then
}

func examine(path string) evidence {
	e := evidence{self: os.Getpid(), selfUID: os.Geteuid()}
	e.file, e.fileErr = readPIDFile(path)
	if e.fileErr != nil || e.file.pid == e.self {
		return e
	}
	if e.process, e.lookErr = lookup(e.file.pid); e.lookErr != nil {
		return e
	}
	if e.startedAt, e.lookErr = e.process.StartedAt(); e.lookErr != nil {
		return e
	}
	var err error
	if e.exe, err = e.process.Exe(); errors.Is(err, ErrGone) {
		e.lookErr = err
	}
	ancestors, err := Ancestors()
	e.ancestor = err != nil || slices.Contains(ancestors, e.process.Process) // in doubt: not to be signalled
	return e
}

func judge(e evidence, want Expectation) Judgement {
	j := Judgement{PID: e.file.pid}
	say := func(v Verdict, format string, args ...any) Judgement {
		j.Verdict, j.Reason = v, fmt.Sprintf(format, args...)
		return j
	}
	p := e.process
	owner := e.file.owner
	switch {
	case errors.Is(e.fileErr, fs.ErrNotExist):
		return say(NoFile, "there is no pid file")
	case errors.Is(e.fileErr, ErrIncomplete):
		return say(Incomplete, "the pid file has no pid in it yet")
	case e.fileErr != nil:
		return say(Garbage, "%v", e.fileErr)
	case e.file.pid == e.self:
		return say(Ours, "the pid file names hotreload itself (%d), so it is left from an earlier start of this container", e.self)
	case errors.Is(e.lookErr, ErrGone):
		return say(Stale, "process %d has ended", e.file.pid)
	case e.lookErr != nil:
		return say(Foreign, "%v", e.lookErr)
	}
	switch {
	case want.Known == p.Process:
		j.Master = p.Process
		return say(Master, "process %d is the master seen before", p.PID)
	case want.Tree != nil && !slices.Contains(want.Tree, p.Process):
		return say(Foreign, "process %d (%s) does not belong to the server that was started", p.PID, p.program(e.exe))
	case !e.file.remote && e.startedAfter():
		return say(Stale, "process %d (%s) was started %s after the pid file was written, so it is not the one that wrote it",
			p.PID, p.program(e.exe), e.startedAt.Sub(e.file.modTime).Round(10*time.Millisecond))
	case e.file.remote && e.ancestor:
		return say(Stale, "process %d (%s) started hotreload; the pid file is likely left from an earlier container", p.PID, p.program(e.exe))
	case !want.accepts(p, e.exe):
		return say(Foreign, "process %d is %s, not %s", p.PID, p.program(e.exe), strings.Join(want.programs(), " or "))
	case e.selfUID != 0 && p.UID != e.selfUID:
		return say(Foreign, "process %d (%s) belongs to user %d, and hotreload runs as user %d", p.PID, p.program(e.exe), p.UID, e.selfUID)
	case !e.file.remote && p.UID != 0 && owner != 0 && p.UID != owner:
		return say(Foreign, "process %d (%s) belongs to user %d, and the pid file to user %d", p.PID, p.program(e.exe), p.UID, owner)
	}
	j.Master = p.Process
	return say(Master, "process %d (%s) is the master", p.PID, p.program(e.exe))
}

// startedAfter reports whether the process was started after the file was
// written. The start is rounded down to 10 ms; the time of the file lags by up to a
// tick of the kernel, and some file systems keep whole seconds, or every other one.
func (e evidence) startedAfter() bool {
	tolerance := 50 * time.Millisecond
	if e.file.modTime.Nanosecond() == 0 {
		tolerance += 2 * time.Second
	}
	return e.startedAt.After(e.file.modTime.Add(tolerance))
}

func (x Expectation) programs() []string {
	if x.Programs == nil {
		return phpPrograms
	}
	return x.Programs
}

// accepts compares the name of the executable, or, where that says nothing
// (another user's process, an emulator), the name of the process.
func (x Expectation) accepts(p Info, exe string) bool {
	name := p.program(exe)
	return slices.ContainsFunc(x.programs(), func(pattern string) bool {
		matched, err := path.Match(pattern, name)
		return err == nil && matched
	})
}

// program names what the process runs.
func (i Info) program(exe string) string {
	name := filepath.Base(exe)
	if exe == "" || strings.HasPrefix(name, "qemu-") || strings.HasPrefix(name, "rosetta") {
		name = i.Comm
	}
	return cmp.Or(name, "a kernel thread")
}
