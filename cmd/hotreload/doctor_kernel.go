package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/hotreload/hotreload/config"
	"github.com/hotreload/hotreload/signals"
)

// kernelFacts are about what hotreload needs of the system.
type kernelFacts struct {
	release   string // "Linux 6.18.1"
	root      bool
	proc      bool  // processes can be looked at
	hidepid   bool  // ... our own alone
	pidfd     error // why there is none
	subreaper error // why orphans cannot be found
}

func checkKernel(context.Context, *patient) []finding {
	f := kernelFacts{release: systemRelease(), root: os.Geteuid() == 0, proc: signals.Self().Start != 0}
	m := mountOf(mountTable(), "/proc")
	f.hidepid = m.kind == "proc" && m.options["hidepid"] != "" && m.options["hidepid"] != "0" && m.options["hidepid"] != "off"
	f.pidfd = tryPidfd()
	f.subreaper = signals.BecomeSubreaper() // of a process that ends soon
	return []finding{judgeKernel(f)}
}

func judgeKernel(f kernelFacts) finding {
	text := f.release
	switch {
	case !f.proc:
		return failure("%s: processes cannot be looked at, as /proc is not mounted or not what it should be", text).remedy("sudo mount -t proc proc /proc")
	case f.hidepid && !f.root:
		return warning("%s: /proc hides the processes of others (hidepid), so that a server of another user, or who else holds its port, is not seen", text).
			remedy("sudo mount -o remount,hidepid=0 /proc")
	case errors.Is(f.subreaper, errors.ErrUnsupported):
		return fine("%s, where less is known of processes: what outlives the server's master is not found", text)
	case f.subreaper != nil:
		return warning("%s: %v: processes that outlive the server's master are not found", text, f.subreaper).
			remedy("run hotreload as the first process of the container")
	}
	if f.pidfd != nil {
		text += fmt.Sprintf("; no pidfd (%v): processes are told apart by pid and start time alone", f.pidfd)
	}
	return fine("%s", text)
}

// limitFacts are about the number of files that the server may open.
type limitFacts struct {
	soft   int // 0: unlimited, or not known
	master int // pid of the server that runs, whose limit it is; 0: it is what one would get that is started now
	run    bool
}

func checkLimits(ctx context.Context, p *patient) []finding {
	f := limitFacts{run: p.mode == config.ModeRun}
	if _, err := p.config(); err == nil {
		if s, err := p.server(); err == nil && s.master.PID != 0 {
			text, _ := os.ReadFile("/proc/" + strconv.Itoa(s.master.PID) + "/limits")
			if f.soft = openFiles(string(text)); f.soft > 0 {
				f.master = s.master.PID
			}
		}
	}
	if f.master == 0 {
		// Go has raised our own at the start, and gives the old one back to what it starts.
		out, _ := exec.CommandContext(ctx, "/bin/sh", "-c", "ulimit -n").Output()
		f.soft, _ = strconv.Atoi(strings.TrimSpace(string(out)))
	}
	return judgeLimits(f)
}

// openFiles is the soft limit in /proc/PID/limits: "Max open files  1024  524288  files"; 0 when it is not there.
func openFiles(text string) int {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, "Max open files"); ok {
			if fields := strings.Fields(rest); len(fields) > 0 {
				n, _ := strconv.Atoi(fields[0])
				return n
			}
		}
	}
	return 0
}

// What a server needs: a descriptor for each connection, and some.
const (
	fewDescriptors        = 1024
	fewDescriptorsForMany = 4096
)

func judgeLimits(f limitFacts) []finding {
	whose := "the server may open"
	if f.master != 0 {
		whose = fmt.Sprintf("master %d may open", f.master)
	}
	least := fewDescriptors
	if f.run {
		least = fewDescriptorsForMany
	}
	switch {
	case f.soft == 0:
		return []finding{fine("any number of open files")}
	case f.soft < least:
		return []finding{warning("%s %d files, and each connection is one", whose, f.soft).
			remedy("ulimit -n 65535   # LimitNOFILE=65535 under systemd, --ulimit nofile=65535:65535 for docker run")}
	}
	return []finding{fine("%s %d files", whose, f.soft)}
}
