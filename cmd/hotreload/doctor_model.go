package main

import (
	"context"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/hotreload/hotreload/config"
)

// modelFacts are what the settings say about the processes of a Swoole server. A number is -1 when it is computed.
type modelFacts struct {
	file       string
	mode       string // "SWOOLE_BASE", "SWOOLE_PROCESS", "SWOOLE_THREAD"; "" when it cannot be told
	workers    int
	tasks      int
	maxRequest int
	run        bool // `run` was asked about by name
	seen       bool // the server runs, and was looked at
}

func checkModel(_ context.Context, p *patient) []finding {
	cfg := p.cfg()
	code, err := p.code()
	if err != nil || len(code) == 0 || cfg.Server.Kind != config.KindHyperf && cfg.Server.Kind != config.KindSwoole {
		return nil
	}
	f := modelOf(code[0], runtime.NumCPU())
	f.run = p.mode == config.ModeRun
	if s, err := p.server(); err == nil {
		f.seen = s.master.PID != 0 && s.lookErr == nil
	}
	return judgeModel(f)
}

var (
	swooleMode = regexp.MustCompile(`\bSWOOLE_(?:BASE|PROCESS|THREAD)\b`)
	// noMode matches a constructor that leaves the mode out: new Server('127.0.0.1', 9501).
	noMode = regexp.MustCompile(`(?i)\bnew\s+[\\\w]*Server\s*\([^,()]*(?:,[^,()]*)?\)`)
	// cpuNumber matches swoole_cpu_num() and \swoole_cpu_num().
	cpuNumber = regexp.MustCompile(`^\\?swoole_cpu_num\(\s*\)$`)
)

// modelOf reads the settings. What is not set is as Swoole has it: BASE since 5.0, a worker for each processor.
func modelOf(file phpFile, cpus int) modelFacts {
	f := modelFacts{file: file.name}
	modes := swooleMode.FindAllString(file.code, -1)
	slices.Sort(modes)
	switch modes = slices.Compact(modes); {
	case len(modes) == 1:
		f.mode = modes[0]
	case len(modes) == 0 && noMode.MatchString(file.code):
		f.mode = "SWOOLE_BASE"
	}
	f.workers = numberSet(file.code, "worker_num", cpus, cpus)
	f.tasks = numberSet(file.code, "task_worker_num", 0, cpus)
	f.maxRequest = numberSet(file.code, "max_request", 0, cpus)
	return f
}

// numberSet is what an array sets name to; unset when it does not, -1 when it is computed.
func numberSet(code, name string, unset, cpus int) int {
	re := regexp.MustCompile(`(?:['"]` + name + `['"]|\bOPTION_` + strings.ToUpper(name) + `)\s*=>\s*([^,\n\]]+)`)
	m := re.FindStringSubmatch(code)
	if m == nil {
		return unset
	}
	value := strings.TrimSpace(m[1])
	if cpuNumber.MatchString(value) {
		return cpus
	}
	n, err := strconv.Atoi(value)
	if err != nil {
		return -1
	}
	return n
}

// judgeModel: a server without a manager cannot be reloaded (Swoole\Server::is_single_worker in swoole_server.h), threads
// are no processes that could be seen to be replaced, and in BASE mode each worker owns its connections.
func judgeModel(f modelFacts) []finding {
	switch {
	case f.mode == "":
		return nil
	case f.mode == "SWOOLE_THREAD":
		return []finding{failure("%s: SWOOLE_THREAD: its workers are threads, and hotreload sees processes: it cannot tell whether a reload has worked", f.file).
			remedy("SWOOLE_PROCESS in %s", f.file)}
	case f.mode == "SWOOLE_BASE" && f.workers == 1 && f.tasks == 0 && f.maxRequest == 0 && !f.seen:
		return []finding{warning("%s: SWOOLE_BASE with one worker is a single process unless it has processes of its own: it ignores the reload signal, and every change restarts it", f.file).
			remedy("'worker_num' => 2 or SWOOLE_PROCESS in %s", f.file)}
	case f.mode == "SWOOLE_BASE" && f.run:
		return []finding{warning("%s: SWOOLE_BASE: each reload closes every keep-alive connection", f.file).remedy("SWOOLE_PROCESS in %s, where load balancers keep connections open", f.file)}
	case f.mode == "SWOOLE_BASE":
		return []finding{fine("%s: SWOOLE_BASE, in which each reload closes every keep-alive connection", f.file)}
	}
	return []finding{fine("%s: %s", f.file, f.mode)}
}
