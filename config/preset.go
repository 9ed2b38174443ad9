package config

import (
	"path/filepath"
	"strings"
	"syscall"
)

// Kinds of servers.
const (
	KindSwoole    = "swoole"
	KindHyperf    = "hyperf"
	KindWorkerman = "workerman"
	KindWebman    = "webman"
	KindOctane    = "octane"
	KindPHPFPM    = "php-fpm"
	KindNone      = "none"
	KindCustom    = "custom"
)

// Formats of a pid file.
const (
	PIDText   = "pid"    // a decimal number
	PIDOctane = "octane" // JSON whose masterProcessId is the pid
)

// Preset is what hotreload knows about one kind of server.
type Preset struct {
	Kind      string
	Signals   Signals
	PIDFile   string   // absolute; empty: unknown, see Notes
	PIDFormat string   // PIDText or PIDOctane
	Include   []string // relative to Config.Dir, as all patterns
	Exclude   []string
	Rules     []Rule
	Action    string   // for a change that no rule matches
	Suspects  []string // patterns of files that masters of this kind load before they fork, as a rule
	Notes     []string // what a person should know

	pidNote string // of PIDFile, for who has not configured one
}

var (
	swooleSignals = Signals{Reload: syscall.SIGUSR1, ReloadTasks: syscall.SIGUSR2, Stop: syscall.SIGTERM}
	// Workerman stops at SIGHUP, too; it is never sent.
	workermanSignals = Signals{Reload: syscall.SIGUSR2, ReloadHard: syscall.SIGUSR1, Stop: syscall.SIGQUIT, StopHard: syscall.SIGINT}
	fpmSignals       = Signals{Reload: syscall.SIGUSR2, Stop: syscall.SIGQUIT, StopHard: syscall.SIGTERM}
	onlyStop         = Signals{Stop: syscall.SIGTERM}
)

// Patterns are relative to the application's directory until rebase.
var (
	phpFiles = []string{"**/*.php", "**/.env", "vendor/composer/*.php"}
	// never are directories and files that no server reads as code: what tools
	// and servers write themselves, and what editors leave behind.
	never = []string{
		"**/vendor/**", "**/node_modules/**", "**/runtime/**",
		"**/.git/**", "**/.svn/**", "**/.hg/**", "**/.idea/**", "**/.vscode/**",
		"**/.phpunit.cache/**", "**/.php-cs-fixer.cache",
		"**/*~", "**/.*.sw?", "**/4913", "**/.#*", "**/._*", "**/*___jb_???___",
	}
	// loadedOnce are files that the master reads before it forks, whatever the
	// framework: workers inherit the class map and the environment.
	loadedOnce = []string{"vendor/composer/*.php", "composer.lock", "**/.env"}
)

// presetFor knows the kind; files of the application are read for hints only
// (where is the pid file?). dir is the configuration's directory, app the
// server's.
func presetFor(kind, dir, app string, command []string, environ func(string) string) Preset {
	p := Preset{Kind: kind, PIDFormat: PIDText, Include: phpFiles, Exclude: never, Action: ActionReload}
	entry := entryOf(app, command)
	switch kind {
	case KindSwoole:
		p.Signals = swooleSignals
		p.restartOn(loadedOnce...)
		p.pidFile(hintIn(entry.file, app, "pid_file", "OPTION_PID_FILE"))
	case KindHyperf:
		hyperfPreset(&p, app)
	case KindWorkerman:
		p.Signals = workermanSignals
		p.restartOn(loadedOnce...)
		p.pidFile(workermanPIDFile(entry.file, app))
	case KindWebman:
		webmanPreset(&p, app)
	case KindOctane:
		octanePreset(&p, app, command, environ)
	case KindPHPFPM:
		// The master executes itself anew: a reload reads everything again.
		p.Signals = fpmSignals
	case KindNone:
		p.Signals, p.Action = onlyStop, ActionRestart
	case KindCustom:
		p.Action = ActionRestart // until the user's signals are known
	}
	if kind != KindPHPFPM && p.Action != ActionRestart {
		p.entryRule(dir, entry.file)
	}
	p.daemonNote(command)
	p.rebase(dir, app)
	return p
}

func hyperfPreset(p *Preset, app string) {
	p.Signals = swooleSignals
	p.Include = append([]string{"config/**", "storage/{languages,view}/**"}, phpFiles...)
	// The configuration and the routes are read in the master.
	p.restartOn("config/**")
	p.restartOn(loadedOnce...)
	// The master makes its commands, its listeners and its processes before it
	// starts the server.
	p.Suspects = []string{"app/{Command,Listener,Process,Crontab,Bootstrap}/**"}
	file, note := hintIn(filepath.Join(app, "config/autoload/server.php"), app, "pid_file", "OPTION_PID_FILE")
	if file == "" && note == "" {
		file = filepath.Join(app, "runtime/hyperf.pid")
	}
	p.pidFile(file, note)
}

func webmanPreset(p *Preset, app string) {
	p.Signals = workermanSignals
	// Twig and Blade keep compiled views in memory; webman's own monitor
	// watches them, too.
	p.Include = append([]string{"{app,plugin,resource}/**/*.{html,htm}"}, phpFiles...)
	p.Exclude = append([]string{"public/**"}, never...)
	p.restartOn(loadedOnce...)
	// Read in the master: what listens where, and which processes there are;
	// a plugin's app.php says whether it is there at all. The monitor itself is
	// not reloadable.
	p.restartOn("config/server.php", "config/process.php", "config/plugin/*/*/{app,process}.php",
		"plugin/*/config/process.php", "app/process/Monitor.php", "process/Monitor.php")
	// The master reads the rest of the configuration, too, but so does each
	// worker when it starts (support/bootstrap.php). Not so what came of it
	// before: the logger that config/process.php asks for (support\Log), and the
	// paths that public_path() and runtime_path() keep.
	p.restartOn("config/log.php", "config/app.php")
	p.rule(ActionReload, "config/**", "plugin/*/config/**")
	file, note := hintIn(filepath.Join(app, "config/server.php"), app, "pid_file")
	if file == "" && note == "" {
		file = filepath.Join(app, "runtime/webman.pid")
	}
	p.pidFile(file, note)
}

func octanePreset(p *Preset, app string, command []string, environ func(string) string) {
	server := octaneServer(app, command, environ)
	p.PIDFile, p.PIDFormat = filepath.Join(app, "storage/logs/octane-server-state.json"), PIDOctane
	// Translations stay in the translator's memory.
	p.Include = append([]string{"lang/**/*.json", "resources/lang/**/*.json"}, phpFiles...)
	p.Exclude = append([]string{"storage/**", "bootstrap/cache/**", "public/build/**"}, never...)
	if server != "swoole" {
		p.Signals, p.Action = onlyStop, ActionRestart
		if server == "" {
			server = "an unknown server"
		}
		p.note("Octane runs " + server + ", which reloads on no signal: every change restarts it")
		return
	}
	p.Signals = swooleSignals
	p.restartOn(loadedOnce...)
	// octane:start hands these to the server when it starts it.
	p.restartOn("config/octane.php", "artisan")
}

func (p *Preset) note(text string) {
	if text != "" {
		p.Notes = append(p.Notes, text)
	}
}

func (p *Preset) pidFile(file, note string) {
	p.PIDFile, p.pidNote = file, note
}

func (p *Preset) restartOn(patterns ...string) { p.rule(ActionRestart, patterns...) }

func (p *Preset) rule(action string, patterns ...string) {
	p.Rules = append(p.Rules, Rule{Match: patterns, Action: action, Origin: "preset " + p.Kind})
}

// entryRule makes the script that the master runs a cause for a restart.
func (p *Preset) entryRule(dir, script string) {
	if script == "" {
		return
	}
	rel, err := filepath.Rel(dir, script)
	if err != nil {
		return
	}
	p.Rules = append(p.Rules, Rule{
		Match: []string{escapePattern(filepath.ToSlash(rel))}, Action: ActionRestart, Origin: "entry script",
	})
}

func (p *Preset) daemonNote(command []string) {
	if p.Kind != KindWorkerman && p.Kind != KindWebman {
		return
	}
	for i, arg := range command {
		if arg == "-d" && i > 0 && (command[i-1] == "start" || command[i-1] == "restart") {
			p.note(`"start -d" leaves the foreground; leave -d out so that hotreload can supervise the server`)
		}
	}
}

// rebase moves patterns from the application's directory to the configuration's.
func (p *Preset) rebase(dir, app string) {
	prefix, err := filepath.Rel(dir, app)
	if err != nil {
		return
	}
	prefix = filepath.ToSlash(prefix)
	p.Include, p.Exclude = rebase(p.Include, prefix), rebase(p.Exclude, prefix)
	p.Suspects = rebase(p.Suspects, prefix)
	for i, r := range p.Rules {
		if !strings.HasPrefix(r.Origin, "entry") {
			p.Rules[i].Match = rebase(r.Match, prefix)
		}
	}
}
