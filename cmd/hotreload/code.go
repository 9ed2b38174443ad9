package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/hotreload/hotreload/config"
	"github.com/hotreload/hotreload/control"
	"github.com/hotreload/hotreload/php"
	"github.com/hotreload/hotreload/signals"
	"github.com/hotreload/hotreload/supervisor"
)

// code is what `watch` knows of the PHP that runs the server. Its zero value knows none and checks nothing.
type code struct {
	php      php.PHP
	settings php.Settings
	cfg      *config.Config
	notes    []string // what a person should know, once
	found    bool
	ahead    *ahead
	stuck    string // why new workers of this server may get old code; "" when they do not
}

// inspect finds the server's php and asks it for its settings. That there is none is worth a line, and no reason to stop.
func inspect(ctx context.Context, cfg *config.Config, reaper *signals.Reaper) *code {
	c := &code{cfg: cfg}
	c.ahead = &ahead{check: c.lint, answers: map[string]*answer{}}
	var err error
	if c.php, err = php.FromCommand(cfg.Server.Command, cfg.Server.Dir, environment(cfg, nil)); err != nil {
		if cfg.Reload.Lint && cfg.Server.Kind != config.KindNone {
			c.note("the syntax of changed files is not checked: %v", err)
		}
		return c
	}
	c.php.Run = reaper.Run
	if _, err := os.Stat(cfg.Server.Dir); err != nil && cfg.Release != nil {
		return c // the first release is waited for
	}
	if c.settings, err = c.php.Settings(ctx); err != nil {
		c.note("%v", err)
		return c
	}
	c.found = true
	return c
}

func (c *code) note(format string, args ...any) {
	c.notes = append(c.notes, fmt.Sprintf(format, args...))
}

// revalidate makes the server's OPcache look at every file again, and returns what its environment needs for that. Where that
// cannot be, new workers may get old code, and only a restart will do.
func (c *code) revalidate(place control.Place) []string {
	if !c.found || c.cfg.Server.Kind == config.KindNone {
		return nil
	}
	o, err := c.overrides(place)
	if err != nil {
		c.note("OPcache cannot be told to look at changed files: %v", err)
		if c.settings.OPcache {
			c.stuck = "OPcache keeps old code"
		}
		return nil
	}
	if len(o.Replaced) > 0 {
		c.note("so that workers see new code, the server runs with %s", joinSettings(o.Replaced))
	}
	for _, s := range o.Fixed {
		c.note("the command sets %s to %q, with which workers may keep old code; it should be %q", s.Name, s.Was, s.Now)
		if strings.HasPrefix(s.Name, "opcache.") {
			c.stuck = fmt.Sprintf("the command sets %s=%s", s.Name, s.Was)
		}
	}
	return o.Env
}

func (c *code) overrides(place control.Place) (php.Overrides, error) {
	dir, err := place.PrivateDir()
	if err != nil {
		return php.Overrides{}, err
	}
	if c.cfg.Server.Kind != config.KindHyperf || !c.settings.OPcache {
		return c.php.WriteOverrides(dir, c.settings)
	}
	// The master opens no file that its own scan has compiled before, so that nobody sees which classes it loads.
	o, err := c.php.WriteOverrides(dir, c.settings, php.Setting{Name: enableCLI, Now: "0"})
	if err == nil && !slices.ContainsFunc(o.Fixed, func(s php.Setting) bool { return s.Name == enableCLI }) {
		c.settings.OPcache = false
	}
	o.Fixed = slices.DeleteFunc(o.Fixed, func(s php.Setting) bool { return s.Name == enableCLI }) // workers see new code all the same
	return o, err
}

const enableCLI = "opcache.enable_cli"

func joinSettings(settings []php.Setting) string {
	words := make([]string, len(settings))
	for i, s := range settings {
		words[i] = s.String()
	}
	return strings.Join(words, ", ")
}

// gate refuses changed files that do not compile; nil when nothing can or shall be checked.
func (c *code) gate(warn func(string)) func(context.Context, []string) error {
	if !c.checks() {
		return nil
	}
	return func(ctx context.Context, files []string) error {
		result, files := c.ahead.take(ctx, c.checked(files))
		var err error
		if len(files) > 0 {
			var rest php.Result
			rest, err = c.lint(ctx, files)
			result.Problems = append(result.Problems, rest.Problems...)
			result.Unreadable = append(result.Unreadable, rest.Unreadable...)
		}
		if len(result.Problems) > 0 {
			p := result.Problems[0]
			return &supervisor.Refusal{File: c.relative(p.File), Line: p.Line, Message: p.Message, More: len(result.Problems) - 1}
		}
		for _, u := range result.Unreadable {
			warn(fmt.Sprintf("%s could not be checked: %v", c.relative(u.File), u.Err))
		}
		return err
	}
}

func (c *code) lint(ctx context.Context, files []string) (php.Result, error) {
	return c.php.Lint(ctx, files, php.LintOptions{ShortOpenTag: c.settings.ShortOpenTag})
}

// early begins to check files that are likely to be the next batch; nil when nothing is checked.
func (c *code) early(ctx context.Context) func([]string) {
	if !c.checks() {
		return nil
	}
	return func(files []string) { c.ahead.start(ctx, c.checked(files)) }
}

// checks reports whether changed files are checked at all.
func (c *code) checks() bool { return c.cfg.Reload.Lint && c.php.Path != "" }

// checked are the files whose syntax matters.
func (c *code) checked(files []string) []string {
	var out []string
	for _, file := range files {
		if filepath.Ext(file) == ".php" && !c.excluded(c.relative(file)) {
			out = append(out, file)
		}
	}
	return out
}

func (c *code) excluded(rel string) bool {
	for _, pattern := range c.cfg.Reload.LintExclude {
		if doublestar.MatchUnvalidated(pattern, rel) {
			return true
		}
	}
	return false
}

func (c *code) relative(file string) string {
	rel, err := filepath.Rel(c.cfg.Dir, file)
	if err != nil {
		return file
	}
	return filepath.ToSlash(rel)
}

// ruleOf says what the supervisor does about a changed file. stuck says why nothing but a restart helps; "" when a reload does.
func ruleOf(cfg *config.Config, stuck string) supervisor.Rule {
	return func(rel string) supervisor.Need {
		v := cfg.Decide(rel)
		action, err := supervisor.ParseAction(v.Action)
		need := supervisor.Need{Action: action, Ruled: v.Ruled, Suspect: v.Suspect}
		switch {
		case err != nil: // a new name that nobody taught us: the largest action is never wrong
			need.Action, need.Why = supervisor.Restart, err.Error()
		case stuck != "" && action != supervisor.None && action != supervisor.Restart:
			need.Action, need.Why = supervisor.Restart, stuck
		case action == supervisor.Restart && v.Ruled:
			need.Why = v.Origin
		}
		return need
	}
}
