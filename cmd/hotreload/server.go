package main

import (
	"maps"
	"os"
	"slices"
	"strings"

	"golang.org/x/term"

	"github.com/hotreload/hotreload/config"
	"github.com/hotreload/hotreload/control"
	"github.com/hotreload/hotreload/signals"
	"github.com/hotreload/hotreload/supervisor"
)

// serverOf is the configured server in the supervisor's words. env is its whole environment.
func serverOf(cfg *config.Config, env []string, reaper *signals.Reaper) supervisor.Server {
	s := cfg.Server
	return supervisor.Server{
		Kind:    s.Kind,
		Command: s.Command,
		Dir:     s.Dir,
		Env:     env,
		PIDFile: s.PIDFile,
		Signals: signalsOf(s),
		Layout:  layoutOf(cfg),
		Probe:   probeOf(s, env, reaper),

		ProbeSteers: s.Ready.Scheme == "tcp" || s.Ready.Scheme == "unix" || s.Ready.Scheme == "http" || s.Ready.Scheme == "https" || s.Ready.Scheme == "pid-file" || s.Ready.Scheme == "",

		RestartOnly: restartOnly(cfg),

		ReadyTimeout:  s.ReadyTimeout,
		ReloadTimeout: cfg.Reload.Timeout,
		DrainTimeout:  cfg.Restart.DrainTimeout,
		StopTimeout:   s.StopTimeout,
		DrainDelay:    s.DrainDelay,
	}
}

// restartOnly says why a worker reload, which the server would carry out, makes no change live.
func restartOnly(cfg *config.Config) string {
	if cfg.Preset.Action != config.ActionRestart || cfg.Server.Signals.Reload == 0 {
		return ""
	}
	return "kind " + cfg.Server.Kind + " always restarts"
}

func signalsOf(s config.Server) supervisor.Signals {
	out := supervisor.Signals{
		Reload: s.Signals.Reload, ReloadTasks: s.Signals.ReloadTasks,
		Stop: s.Signals.Stop, StopHard: s.Signals.StopHard,
	}
	if s.Kind == config.KindWorkerman || s.Kind == config.KindWebman {
		// A worker that waits for its last connections ignores further reloads, and ends at the hard stop
		// (Workerman\Worker::signalHandler); its master takes any end of a worker for a reason to fork the next.
		out.EndWorker = s.Signals.StopHard
	}
	return out
}

func layoutOf(cfg *config.Config) supervisor.Layout {
	switch cfg.Server.Kind {
	case config.KindSwoole, config.KindHyperf:
		return supervisor.LayoutSwoole
	case config.KindOctane:
		if cfg.Server.Signals.Reload != 0 {
			return supervisor.LayoutSwoole
		}
		return supervisor.LayoutSingle // RoadRunner, FrankenPHP: restarted as they are
	case config.KindWorkerman, config.KindWebman:
		return supervisor.LayoutWorkerman
	case config.KindPHPFPM, config.KindCustom:
		return supervisor.LayoutForked
	}
	return supervisor.LayoutSingle
}

func probeOf(s config.Server, env []string, reaper *signals.Reaper) supervisor.Probe {
	switch s.Ready.Scheme {
	case "tcp", "unix":
		return supervisor.ProbeDial(s.Ready.Scheme, s.Ready.Target)
	case "http", "https":
		return supervisor.ProbeHTTP(s.Ready.Target, func(status int) bool {
			return slices.ContainsFunc(s.ReadyStatus, func(r config.StatusRange) bool { return r.Min <= status && status <= r.Max })
		})
	case "exec":
		return supervisor.ProbeExec(s.Ready.Target, s.Dir, env, reaper.Run)
	case "pid-file":
		return supervisor.ProbeNothing
	}
	return nil // the ports that it binds
}

// environment is what the server gets: ours, but for what a service manager tells hotreload alone, what is configured, and what hotreload
// needs; the last of equal names counts.
func environment(cfg *config.Config, more []string) []string {
	env := slices.DeleteFunc(os.Environ(), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return slices.Contains(control.NotifyVariables(), name)
	})
	for _, name := range slices.Sorted(maps.Keys(cfg.Server.Env)) {
		env = append(env, name+"="+cfg.Server.Env[name])
	}
	return append(env, more...)
}

// outputFor decides where the server's output goes, and what it reads.
func outputFor(mode supervisor.Mode, j *job) supervisor.Output {
	if j != nil {
		return supervisor.Output{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Foreground: j.tty, Stopped: j.stopped}
	}
	out := supervisor.Output{
		Stdout: os.Stdout, Stderr: os.Stderr,
		Terminal: term.IsTerminal(int(os.Stdout.Fd())),
		Direct:   os.Getpid() == 1,
	}
	if mode == supervisor.Run && !term.IsTerminal(int(os.Stdin.Fd())) {
		out.Stdin = os.Stdin
	}
	return out
}
