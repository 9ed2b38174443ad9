// Package config reads hotreload.toml: strictly, with every problem of a file
// reported at once, each with its line, its column and the nearest name that
// exists.
//
// A value comes from the first of these that has it: a flag, a HOTRELOAD_
// environment variable, the file, the preset of the server's kind, the default.
// [Config.Explain] says which one it was. The keys themselves are one table
// (see [Options]), from which decoding, the environment's names, the README and
// `hotreload config` are all made.
//
// The package only reads. It starts nothing, follows no FIFO, and knows no
// process: what is written in the file is checked, whether a path exists is not.
package config

import (
	"syscall"
	"time"
)

// FileName is the name that [Load] looks for.
const FileName = "hotreload.toml"

// Modes of [Source]; some defaults depend on them.
const (
	ModeWatch = "watch"
	ModeRun   = "run"
)

// Source is everything that a configuration is made from.
type Source struct {
	// Path is an explicit file (-c), absolute or relative to WorkDir; it must
	// exist. Empty: HOTRELOAD_CONFIG, else hotreload.toml is looked for in
	// WorkDir and its parents, and it is no error when there is none.
	Path string
	// WorkDir is the absolute working directory. Empty: the process's own.
	WorkDir string
	// Environ is the environment as os.Environ gives it; nil: none.
	Environ []string
	// Flags are the values given on the command line.
	Flags []Flag
	// Command is what follows "--"; empty: server.command of the file.
	Command []string
	// Mode is the command that asks: "watch", "run", or empty for the others,
	// which get the defaults of "run".
	Mode string
	// PID1 says that hotreload is the first process of a container.
	PID1 bool
}

// Flag is a command line flag that overrides one key.
type Flag struct {
	// Name is what the user typed, for messages: "--pid-file".
	Name string
	// Key is the key it overrides: "server.pid_file".
	Key string
	// Value is a string (read like an environment variable), []string, bool,
	// int or time.Duration. Relative paths are relative to Source.WorkDir.
	Value any
}

// Config is an effective, validated configuration. All paths are absolute;
// symlinks in them are left alone, because a link such as "current" is resolved
// anew at every start of the server.
type Config struct {
	// File is the file that was read; empty if none.
	File string
	// Dir is the directory of File, else the working directory. Relative paths
	// of the file are relative to it, and so are all patterns.
	Dir string
	// KindWhy says how Server.Kind was found out.
	KindWhy string
	// Preset is what hotreload knows about Server.Kind.
	Preset Preset

	Server  Server
	Watch   Watch
	Reload  Reload
	Restart Restart
	Control Control
	Log     Log

	Release *Release // nil: no [release], that is, no release mode
	Deploy  *Deploy  // nil: no [deploy]

	release Release // what Release points to; the defaults where there is none
	deploy  Deploy
	origins map[string]string // key: where its value comes from
}

// Server is the [server] section: what is started and how one talks to it.
type Server struct {
	Kind         string            // one of Kinds
	Command      []string          // program and arguments; empty: none configured
	Dir          string            // working directory of Command
	PIDFile      string            // empty: none
	Ready        Ready             // zero: the ports that the server binds
	ReadyStatus  []StatusRange     // HTTP statuses that count as ready
	ReadyTimeout time.Duration     // > 0
	StopTimeout  time.Duration     // > 0
	DrainDelay   time.Duration     // >= 0
	Env          map[string]string // added to the environment of Command
	Signals      Signals           // the preset's, or the user's for kind custom
}

// Watch is the [watch] section. Patterns are doublestar patterns, relative to
// Config.Dir, with slashes.
type Watch struct {
	Paths        []string
	Include      []string
	Exclude      []string
	Quiet        time.Duration // > 0
	MaxWait      time.Duration // > 0, >= Quiet
	Poll         string        // auto, always, never
	PollInterval time.Duration // > 0
}

// Reload is the [reload] section.
type Reload struct {
	Lint        bool
	LintExclude []string // patterns relative to Config.Dir
	Timeout     time.Duration
	Rules       []Rule // the user's own; the preset's are in Config.Preset
}

// Restart is the [restart] section.
type Restart struct {
	Handover     string        // auto, interpose, pass, off
	Listen       []string      // host:port or unix:/path; nil: what the server binds
	DrainTimeout time.Duration // >= 0
	BackoffMin   time.Duration // > 0
	BackoffMax   time.Duration // >= BackoffMin
	MaxFailures  int           // 0: never give up
}

// Control is the [control] section.
type Control struct {
	Socket string // empty: one per project, named by a hash
}

// Log is the [log] section.
type Log struct {
	Level  string // debug, info, warn, error
	Format string // auto, console, json
}

// Signals are the signals one kind of server understands; 0: it has none.
type Signals struct {
	Reload      syscall.Signal // replace the workers, let requests finish
	ReloadHard  syscall.Signal // replace the workers at once
	ReloadTasks syscall.Signal // replace the task workers only
	Stop        syscall.Signal // stop, let requests finish
	StopHard    syscall.Signal // stop at once
}

// Ready says how to find out that the server serves.
type Ready struct {
	// Scheme is "tcp", "unix", "http", "https", "exec", "pid-file", or empty.
	Scheme string
	// Target is host:port (tcp), an absolute path (unix), a URL (http, https),
	// a command for /bin/sh -c (exec), or empty.
	Target string
}

// StatusRange is an inclusive range of HTTP statuses.
type StatusRange struct{ Min, Max int }
