package config

import (
	"path/filepath"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// What a change of a file leads to.
const (
	ActionIgnore      = "ignore"
	ActionReloadTasks = "reload-tasks"
	ActionReload      = "reload"
	ActionRestart     = "restart"
)

func actions() []string {
	return []string{ActionIgnore, ActionReloadTasks, ActionReload, ActionRestart}
}

// Rule says what a change of the files it matches leads to.
type Rule struct {
	Match  []string // doublestar patterns relative to Config.Dir
	Action string   // one of the Action constants
	Origin string   // "hotreload.toml:12" or "preset hyperf"
}

func (r Rule) matches(rel string) bool {
	for _, pattern := range r.Match {
		if doublestar.MatchUnvalidated(pattern, rel) {
			return true
		}
	}
	return false
}

// Resolve takes the first rule that matches, the user's before the preset's,
// else fallback. rel is relative to [Config].Dir, with slashes; it may begin
// with "../". rule is the Origin of the rule that decided, empty for fallback.
func Resolve(user, preset []Rule, fallback, rel string) (action, rule string) {
	for _, rules := range [][]Rule{user, preset} {
		for _, r := range rules {
			if r.matches(rel) {
				return r.Action, r.Origin
			}
		}
	}
	return fallback, ""
}

// Verdict is what the configuration says of a change of one file.
type Verdict struct {
	Action string // one of the Action constants
	Origin string // what says so: "hotreload.toml:12", "preset hyperf", "kind none"
	Ruled  bool   // a rule does, and not only the kind of the server
	// Suspect: masters of this kind load such files before they fork, as a rule.
	Suspect bool
}

// Decide says what a change of a file leads to. The path is absolute or relative to Dir.
func (c *Config) Decide(path string) Verdict {
	rel := path
	if filepath.IsAbs(path) {
		if r, err := filepath.Rel(c.Dir, path); err == nil {
			rel = r
		}
	}
	rel = filepath.ToSlash(filepath.Clean(rel))
	action, rule := Resolve(c.Reload.Rules, c.Preset.Rules, c.Preset.Action, rel)
	v := Verdict{Action: action, Origin: rule, Ruled: rule != "", Suspect: Rule{Match: c.Preset.Suspects}.matches(rel)}
	if !v.Ruled {
		v.Origin = "kind " + c.Server.Kind
	}
	return v
}

// rebase makes patterns that are relative to the application's directory
// relative to the configuration's. Patterns that float ("**/…") reach
// everywhere, also above ("../app/a.php").
func rebase(patterns []string, prefix string) []string {
	if prefix == "." {
		return patterns
	}
	out := make([]string, len(patterns))
	for i, p := range patterns {
		out[i] = p
		if !strings.HasPrefix(p, "**/") {
			out[i] = escapePattern(prefix) + "/" + p
		}
	}
	return out
}

// escapePattern makes a path a pattern that matches only itself.
func escapePattern(path string) string {
	var b strings.Builder
	for _, r := range path {
		if strings.ContainsRune(`*?[]{}\`, r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}
