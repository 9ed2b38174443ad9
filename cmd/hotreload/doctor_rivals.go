package main

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/hotreload/hotreload/config"
	"github.com/hotreload/hotreload/signals"
)

// rivalFacts are about others that reload or restart the same server.
type rivalFacts struct {
	command   string // the server's command is a watcher itself: which; "" when it is not
	instead   string // what to start instead
	monitor   string // the file that configures webman's monitor; "" when that watches no files
	processes []rival
}

// rival is a process that watches files of this project.
type rival struct {
	pid  int
	name string
	user string // whose hotreload it is; "" for other programs
}

func checkRivals(_ context.Context, p *patient) []finding {
	cfg := p.cfg()
	code, _ := p.code()
	f := rivalFacts{monitor: webmanMonitor(cfg.Server.Kind, code)}
	f.command = watcherOf(cfg.Server.Command)
	f.instead = withoutWatcher(cfg.Server.Command)
	table, err := p.table()
	if err != nil {
		return []finding{warning("the processes cannot be looked at: %v", err)}
	}
	f.processes = rivalsIn(table, cfg.Server.Dir)
	return judgeRivals(f)
}

func judgeRivals(f rivalFacts) []finding {
	var found []finding
	if f.command != "" {
		found = append(found, failure("the command starts %s, which watches and reloads by itself", f.command).remedy("hotreload watch -- %s", f.instead))
	}
	if f.monitor != "" {
		found = append(found, warning("%s: webman's monitor watches the files, too, and reloads by SIGUSR1, which ends requests that take longer than stop_timeout", f.monitor).
			remedy("'enable_file_monitor' => false in %s", f.monitor))
	}
	for _, r := range f.processes {
		if r.user != "" {
			found = append(found, warning("a hotreload of user %s (pid %d) is at work here, too: two that reload lose each other's signals", r.user, r.pid).
				remedy("sudo -u %s hotreload status   # one of the two is enough", r.user))
			continue
		}
		found = append(found, warning("%s (pid %d) watches here, too: two that reload lose each other's signals", r.name, r.pid).remedy("kill %d", r.pid))
	}
	if len(found) == 0 {
		return []finding{fine("nobody else is seen to watch these files")}
	}
	return found
}

// watchers are programs that run a command, or send a signal, when files change.
var watchers = []string{"entr", "air", "reflex", "watchexec", "nodemon", "inotifywait", "fswatch", "modd", "wgo", "gow", "chokidar"}

// interpreters are what some of them are run by.
var interpreters = []string{"node", "nodejs", "bun", "sh", "bash"}

// watcherOf names the watcher that a command line is; "" when it is none.
func watcherOf(args []string) string {
	for i, arg := range args {
		base := filepath.Base(arg)
		switch {
		case arg == "server:watch":
			return "hyperf/watcher"
		case base == "file-watcher.cjs":
			return "octane --watch"
		case strings.HasPrefix(arg, "octane:") && slices.Contains(args[i:], "--watch"):
			return "octane --watch"
		case (i == 0 || i == 1 && slices.Contains(interpreters, filepath.Base(args[0]))) && slices.Contains(watchers, strings.TrimSuffix(base, ".js")):
			return strings.TrimSuffix(base, ".js")
		}
	}
	return ""
}

// withoutWatcher is the command that starts the server alone.
func withoutWatcher(command []string) string {
	words := []string{}
	for _, word := range command {
		switch word {
		case "server:watch":
			word = "start"
		case "--watch":
			continue
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

var (
	monitorEntry = regexp.MustCompile(`['"]monitor['"]\s*=>`)
	monitorOff   = regexp.MustCompile(`['"]enable_file_monitor['"]\s*=>\s*(?:false|0)\b`)
)

// webmanMonitor is the file that has the monitor watch files; "" when none does.
func webmanMonitor(kind string, code []phpFile) string {
	if kind != config.KindWebman {
		return ""
	}
	for _, file := range code {
		if monitorEntry.MatchString(file.code) && !monitorOff.MatchString(file.code) {
			return file.name
		}
	}
	return ""
}

// rivalsIn are the watchers that run in dir or were told to watch it. This process and those that it runs below are none.
func rivalsIn(table signals.Table, dir string) []rival {
	above, _ := signals.Ancestors()
	var found []rival
	table.Select(func(i signals.Info) bool {
		if i.PID == os.Getpid() || slices.Contains(above, i.Process) {
			return false
		}
		args, err := i.Cmdline()
		if err != nil {
			return false
		}
		r := rival{pid: i.PID, name: watcherOf(args)}
		if i.UID != os.Geteuid() && isHotreload(args) { // ours are kept apart by their lock
			r.name, r.user = "hotreload", userName(i.UID)
		}
		if r.name == "" || !concerns(i.Process, args, dir) {
			return false
		}
		found = append(found, r)
		return true
	})
	slices.SortFunc(found, func(a, b rival) int { return a.pid - b.pid })
	return found
}

// isHotreload reports whether a command line is that of a hotreload that reloads a server.
func isHotreload(args []string) bool {
	return len(args) > 1 && filepath.Base(args[0]) == "hotreload" && (slices.Contains(args, "watch") || slices.Contains(args, "run"))
}

// concerns reports whether a process works in dir, or has a path in it among its arguments.
func concerns(p signals.Process, args []string, dir string) bool {
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	if cwd, err := p.Cwd(); err == nil && isBelow(cwd, dir) {
		return true
	}
	return slices.ContainsFunc(args, func(arg string) bool { return filepath.IsAbs(arg) && isBelow(arg, dir) })
}

func isBelow(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}
