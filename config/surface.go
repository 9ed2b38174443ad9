package config

import (
	"errors"
	"syscall"
)

// Load makes the configuration. The error is an [Errors] when the configuration
// is wrong.
func Load(src Source) (*Config, error) { return nil, errors.New("not here yet") }

type origin struct{}

// Error is one problem of the configuration.
type Error struct {
	File       string // as the user would type it; empty: environment or flag
	Line, Col  int    // from 1, Col in characters; 0: no position
	Key        string // "server.pid_file", "HOTRELOAD_SERVER_KIND", "--kind"
	Msg        string
	Suggestion string // the nearest thing that would be right; may be empty
}

// Error renders `hotreload.toml:12:3: server.pid_fle: unknown key; did you mean server.pid_file?`.
func (e *Error) Error() string { return e.Msg }

// Errors is every problem that was found, in order of position.
type Errors []*Error

// Error renders one problem a line.
func (es Errors) Error() string { return "" }

// Unwrap makes errors.As find an *Error.
func (es Errors) Unwrap() []error { return nil }

// RequireCommand returns an [*Error] unless server.command (or a command after
// "--") is there: the caller knows whether it needs one.
func (c *Config) RequireCommand() error { return nil }

// Action says what a change of the file leads to, and which rule says so
// ("hotreload.toml:12", "preset hyperf", "kind none"). The path is absolute or
// relative to Dir.
func (c *Config) Action(path string) (action, rule string) { return "", "" }

// Resolve takes the first rule that matches, the user's before the preset's,
// else fallback. rel is relative to Config.Dir, with slashes.
func Resolve(user, preset []Rule, fallback, rel string) (action, rule string) { return "", "" }

// Entry is one key of the effective configuration.
type Entry struct {
	Key    string `json:"key"`
	Value  any    `json:"value"`  // as JSON shows it
	TOML   string `json:"-"`      // as TOML shows it
	Origin string `json:"origin"` // "default", "preset swoole", "hotreload.toml:12", "HOTRELOAD_…", "flag --x"
}

// Explain lists every key in file order with its effective value and where it
// comes from.
func (c *Config) Explain() []Entry { return nil }

// TOML renders the effective configuration as a hotreload.toml that loads to
// the same configuration, each value with a comment that says where it is from.
func (c *Config) TOML() string { return "" }

// Recognise tells the kind of server from its command, composer.json and the
// entry script, and why: "none" when nothing is known.
func Recognise(dir string, command []string) (kind, why string) { return "none", "" }

// Kinds are the valid values of server.kind.
func Kinds() []string { return nil }

// Option is one configuration key, for documentation.
type Option struct {
	Key, Type, Default, Example, Help string
}

// Options are all keys in file order.
func Options() []Option { return nil }

// MarkdownTable renders Options for the README.
func MarkdownTable() string { return "" }

// ParseSignal reads a signal's name, with or without SIG, in any case.
// The empty string is 0.
func ParseSignal(name string) (syscall.Signal, error) { return 0, nil }
