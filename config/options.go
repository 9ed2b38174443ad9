package config

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/BurntSushi/toml"
)

// Option describes one key of the configuration for people.
type Option struct {
	Key     string // "server.pid_file"
	Type    string // in words, or the values it can have
	Default string // as TOML
	Note    string // where the default differs: "`watch`: 500ms"
	Example string // as TOML
	Help    string // one sentence
}

// option is an Option with its code.
type option struct {
	Option
	text func(string) (any, *fault)
	read func(raw any, base string) (func(*Config), []*fault)
	show func(*Config) string
	json func(*Config) any
}

func opt[T any](key string, t valueType[T], field func(*Config) *T, doc Option) option {
	doc.Key = key
	if doc.Type == "" {
		doc.Type = t.name
	}
	o := option{Option: doc, text: t.text}
	o.read = func(raw any, base string) (func(*Config), []*fault) {
		v, faults := t.read(raw, base)
		return func(c *Config) { *field(c) = v }, faults
	}
	o.show = func(c *Config) string { return t.show(*field(c)) }
	o.json = func(c *Config) any {
		if t.json != nil {
			return t.json(*field(c))
		}
		return *field(c)
	}
	return o
}

// Kinds are the valid values of server.kind.
func Kinds() []string {
	return []string{KindSwoole, KindHyperf, KindWorkerman, KindWebman, KindOctane, KindPHPFPM, KindNone, KindCustom}
}

// table is the one list of keys. Everything that knows a key is made from it:
// decoding, defaults, environment, `hotreload config`, the README's table.
var table = sync.OnceValue(func() []option {
	return slices.Concat(serverOptions(), signalOptions(), watchOptions(), reloadOptions(), restartOptions(), releaseOptions(), deployOptions(), otherOptions())
})

func serverOptions() []option {
	return []option{
		opt("server.kind", kindType(), func(c *Config) *string { return &c.Server.Kind }, Option{
			Default: `""`, Note: "recognised", Example: `"swoole"`,
			Help: "What kind of server it is; decides signals, pid file, patterns and rules. Recognised from the command, composer.json and the entry script."}),
		opt("server.command", commandType(), func(c *Config) *[]string { return &c.Server.Command }, Option{
			Default: `[]`, Note: "what follows `--`", Example: `["php", "server.php"]`,
			Help: "Program and arguments that start the server in the foreground. No shell is involved."}),
		opt("server.dir", pathType(), func(c *Config) *string { return &c.Server.Dir }, Option{
			Default: `"."`, Note: "working directory for a command after `--`; `release.current`", Example: `"current"`,
			Help: "Working directory of the server. May be a symlink; it is resolved at every start."}),
		opt("server.pid_file", pathType(), func(c *Config) *string { return &c.Server.PIDFile }, Option{
			Default: `""`, Note: "preset", Example: `"runtime/server.pid"`,
			Help: "Where the server writes its pid. Empty: it has none, or the preset could not tell."}),
		opt("server.ready", readyType(), func(c *Config) *Ready { return &c.Server.Ready }, Option{
			Type: "tcp://, unix://, http(s)://, exec:, pid-file", Default: `""`, Note: "the ports the server binds", Example: `"tcp://127.0.0.1:9501"`,
			Help: "What must answer before the server counts as ready."}),
		opt("server.ready_status", statusType(), func(c *Config) *[]StatusRange { return &c.Server.ReadyStatus }, Option{
			Default: `"200-499"`, Example: `"200,204,300-399"`,
			Help: "HTTP statuses that count as ready when ready is a URL."}),
		opt("server.ready_timeout", durationType(false), func(c *Config) *time.Duration { return &c.Server.ReadyTimeout }, Option{
			Default: `"30s"`, Example: `"1m"`,
			Help: "How long a start may take."}),
		opt("server.stop_timeout", durationType(false), func(c *Config) *time.Duration { return &c.Server.StopTimeout }, Option{
			Default: `"30s"`, Example: `"10s"`,
			Help: "How long a stop may take before everything left is killed."}),
		opt("server.drain_delay", durationType(true), func(c *Config) *time.Duration { return &c.Server.DrainDelay }, Option{
			Default: `"0s"`, Example: `"5s"`,
			Help: "`run`: how long to be not ready before a stop, so that load balancers notice."}),
		opt("server.env", envType(), func(c *Config) *map[string]string { return &c.Server.Env }, Option{
			Default: `{}`, Example: `{ APP_ENV = "dev" }`,
			Help: "Environment variables for the server, added to hotreload's own."}),
	}
}

func signalOptions() []option {
	return []option{
		opt("server.signals.reload", signalType(), func(c *Config) *sig { return &c.Server.Signals.Reload }, Option{
			Default: `""`, Note: "preset", Example: `"SIGUSR1"`,
			Help: "Kind `custom` only: replaces the workers, requests finish. Empty: there is no such signal."}),
		opt("server.signals.reload_hard", signalType(), func(c *Config) *sig { return &c.Server.Signals.ReloadHard }, Option{
			Default: `""`, Note: "preset", Example: `"SIGUSR2"`,
			Help: "Kind `custom` only: replaces the workers at once."}),
		opt("server.signals.reload_tasks", signalType(), func(c *Config) *sig { return &c.Server.Signals.ReloadTasks }, Option{
			Default: `""`, Note: "preset", Example: `"SIGUSR2"`,
			Help: "Kind `custom` only: replaces the task workers."}),
		opt("server.signals.stop", signalType(), func(c *Config) *sig { return &c.Server.Signals.Stop }, Option{
			Default: `"SIGTERM"`, Note: "preset", Example: `"SIGQUIT"`,
			Help: "Kind `custom` only: stops the server, requests finish."}),
		opt("server.signals.stop_hard", signalType(), func(c *Config) *sig { return &c.Server.Signals.StopHard }, Option{
			Default: `""`, Note: "preset", Example: `"SIGINT"`,
			Help: "Kind `custom` only: stops the server at once."}),
	}
}

func watchOptions() []option {
	return []option{
		opt("watch.paths", pathsType(), func(c *Config) *[]string { return &c.Watch.Paths }, Option{
			Default: `["."]`, Note: "`server.dir` if that lies elsewhere", Example: `["app", "config", ".env"]`,
			Help: "Directories (with all below them) and files to watch."}),
		opt("watch.include", patternsType(), func(c *Config) *[]string { return &c.Watch.Include }, Option{
			Default: `["..."]`, Note: "preset", Example: `["...", "**/*.twig"]`,
			Help: "Files that matter. `\"...\"` stands for the preset's patterns."}),
		opt("watch.exclude", patternsType(), func(c *Config) *[]string { return &c.Watch.Exclude }, Option{
			Default: `["..."]`, Note: "preset", Example: `["...", "storage/**"]`,
			Help: "Files that do not, unless an include is more specific. `\"...\"` stands for the preset's patterns."}),
		opt("watch.quiet", durationType(false), func(c *Config) *time.Duration { return &c.Watch.Quiet }, Option{
			Default: `"20ms"`, Example: `"100ms"`,
			Help: "Changes are taken together when nothing changed for this long."}),
		opt("watch.max_wait", durationType(false), func(c *Config) *time.Duration { return &c.Watch.MaxWait }, Option{
			Default: `"2s"`, Example: `"5s"`,
			Help: "They are taken at the latest after this."}),
		opt("watch.poll", enumType("auto", "always", "never"), func(c *Config) *string { return &c.Watch.Poll }, Option{
			Default: `"auto"`, Example: `"always"`,
			Help: "Compare files at intervals instead of waiting for events. `auto`: where a file system sends none."}),
		opt("watch.poll_interval", durationType(false), func(c *Config) *time.Duration { return &c.Watch.PollInterval }, Option{
			Default: `"500ms"`, Example: `"1s"`,
			Help: "Interval of polling."}),
	}
}

func reloadOptions() []option {
	return []option{
		opt("reload.lint", boolType(), func(c *Config) *bool { return &c.Reload.Lint }, Option{
			Default: `true`, Example: `false`,
			Help: "Check the syntax of changed PHP files before anything is signalled."}),
		opt("reload.lint_exclude", patternsType(), func(c *Config) *[]string { return &c.Reload.LintExclude }, Option{
			Default: `[]`, Example: `["**/*.tpl.php", "tests/broken/**"]`,
			Help: "Files that are not checked: templates and broken fixtures."}),
		opt("reload.timeout", durationType(false), func(c *Config) *time.Duration { return &c.Reload.Timeout }, Option{
			Default: `"30s"`, Example: `"10s"`,
			Help: "How long a reload may take to be verified before it becomes a restart."}),
		opt(rulesKey, rulesType(), func(c *Config) *[]Rule { return &c.Reload.Rules }, Option{
			Default: `[]`, Example: `[{ match = ["config/**"], action = "restart" }]`,
			Help: "What a change leads to: `ignore`, `reload-tasks`, `reload` or `restart`. First match wins; the preset's rules follow. Written as `[[reload.rules]]`."}),
	}
}

func restartOptions() []option {
	return []option{
		opt("restart.handover", enumType("auto", "interpose", "pass", "off"), func(c *Config) *string { return &c.Restart.Handover }, Option{
			Default: `"auto"`, Example: `"off"`,
			Help: "How the new server takes over from the old one. `auto`: the best way that works. `interpose`: with sockets that the server binds by itself. `pass`: with those of `listen`, given to the server as systemd does (`LISTEN_FDS`). `off`: stop and start."}),
		opt("restart.listen", listenType(), func(c *Config) *[]string { return &c.Restart.Listen }, Option{
			Default: `"auto"`, Example: `["0.0.0.0:9501"]`,
			Help: "Addresses to hand over, and with `pass` to open. `auto`: every stream port the server binds before it is ready."}),
		opt("restart.drain_timeout", durationType(true), func(c *Config) *time.Duration { return &c.Restart.DrainTimeout }, Option{
			Default: `"10s"`, Note: "`watch`: 500ms", Example: `"30s"`,
			Help: "How long connections of the old server may last."}),
		opt("restart.backoff.min", durationType(false), func(c *Config) *time.Duration { return &c.Restart.BackoffMin }, Option{
			Default: `"200ms"`, Example: `"1s"`,
			Help: "Pause before a server that died is started again; doubles each time."}),
		opt("restart.backoff.max", durationType(false), func(c *Config) *time.Duration { return &c.Restart.BackoffMax }, Option{
			Default: `"30s"`, Example: `"5m"`,
			Help: "The longest such pause."}),
		opt("restart.max_failures", countType(), func(c *Config) *int { return &c.Restart.MaxFailures }, Option{
			Default: `0`, Note: "`run` as PID 1: 5", Example: `5`,
			Help: "`run`: failed starts in a row after which hotreload gives up and exits. 0: never."}),
	}
}

func otherOptions() []option {
	return []option{
		opt("control.socket", pathType(), func(c *Config) *string { return &c.Control.Socket }, Option{
			Default: `""`, Note: "one per project", Example: `"runtime/hotreload.sock"`,
			Help: "Unix socket through which the other commands talk to a running hotreload."}),
		opt("log.level", enumType("debug", "info", "warn", "error"), func(c *Config) *string { return &c.Log.Level }, Option{
			Default: `"info"`, Example: `"debug"`,
			Help: "The least important lines that are written."}),
		opt("log.format", enumType("auto", "console", "json"), func(c *Config) *string { return &c.Log.Format }, Option{
			Default: `"auto"`, Example: `"json"`,
			Help: "How they look. `auto`: `console` on a terminal, else `json`."}),
	}
}

// Options are all keys in file order.
func Options() []Option {
	out := make([]Option, len(table()))
	for i, o := range table() {
		out[i] = o.Option
	}
	return out
}

func findOption(key string) *option {
	for i, o := range table() {
		if o.Key == key {
			return &table()[i]
		}
	}
	return nil
}

// isTable reports whether key is a section or a table within one.
func isTable(key string) bool {
	return slices.ContainsFunc(table(), func(o option) bool { return strings.HasPrefix(o.Key, key+".") })
}

func keyNames() []string {
	names := make([]string, len(table()))
	for i, o := range table() {
		names[i] = o.Key
	}
	return names
}

// sections are the top-level tables in file order.
func sections() []string {
	var out []string
	for _, o := range table() {
		name, _, _ := strings.Cut(o.Key, ".")
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// decodeTOML decodes the TOML text of one value.
func decodeTOML(text string) (any, error) {
	var v struct{ V any }
	_, err := toml.Decode("V = "+text, &v)
	return v.V, err
}
