package config

import (
	"slices"
	"strings"
)

// finish completes the configuration with what depends on several keys, and
// checks how they fit together.
func (l *loader) finish() {
	c := l.cfg
	c.Watch.Include = expand(c.Watch.Include, c.Preset.Include)
	c.Watch.Exclude = expand(c.Watch.Exclude, c.Preset.Exclude)
	if c.Server.Kind == KindCustom {
		c.Preset.Signals = c.Server.Signals
		if c.Server.Signals.Reload != 0 {
			c.Preset.Action = ActionReload
		}
	}
	l.finishRelease()
	if len(l.errs) > 0 {
		return // what is missing because it was wrong would only be reported again
	}
	l.checkKind()
	l.checkPairs()
	l.checkRules()
	l.checkRelease()
}

// expand puts the preset's patterns where "..." stands.
func expand(patterns, preset []string) []string {
	out := []string{}
	for _, p := range patterns {
		more := []string{p}
		if p == inherit {
			more = preset
		}
		for _, m := range more {
			if !slices.Contains(out, m) {
				out = append(out, m)
			}
		}
	}
	return out
}

// failKey reports a problem at the place where a key was given.
func (l *loader) failKey(key string, f *fault) {
	at, given := l.values[key]
	if !given {
		at.at = place{key: key}
	}
	l.fail(at.at, f)
}

func (l *loader) checkKind() {
	c := l.cfg
	if c.Server.Kind == KindCustom {
		if c.Server.Signals.Stop == 0 {
			l.failKey("server.signals.stop", faultf("kind custom needs a signal that stops the server").meaning(`"SIGTERM"`))
		}
		return
	}
	for _, o := range signalOptions() {
		if _, given := l.values[o.Key]; given {
			l.failKey(o.Key, faultf("signals are for kind \"custom\"; the kind is %q (%s)", c.Server.Kind, c.KindWhy))
		}
	}
}

func (l *loader) checkPairs() {
	c := l.cfg
	if c.Server.Ready.Scheme == "pid-file" && c.Server.PIDFile == "" {
		l.failKey("server.ready", faultf("\"pid-file\" needs server.pid_file"))
	}
	if c.Restart.Handover == "pass" && len(c.Restart.Listen) == 0 {
		l.failKey("restart.handover", faultf("\"pass\" needs restart.listen: the addresses to open"))
	}
	if c.Watch.MaxWait < c.Watch.Quiet {
		l.failKey(l.given("watch.max_wait", "watch.quiet"), faultf("max_wait (%s) is shorter than quiet (%s)",
			formatDuration(c.Watch.MaxWait), formatDuration(c.Watch.Quiet)))
	}
	if c.Restart.BackoffMax < c.Restart.BackoffMin {
		l.failKey(l.given("restart.backoff.max", "restart.backoff.min"), faultf("max (%s) is shorter than min (%s)",
			formatDuration(c.Restart.BackoffMax), formatDuration(c.Restart.BackoffMin)))
	}
}

// given is the first of the keys that somebody set.
func (l *loader) given(keys ...string) string {
	for _, key := range keys {
		if _, ok := l.values[key]; ok {
			return key
		}
	}
	return keys[0]
}

// checkRules refuses rules that ask for what the server cannot do: they would
// look like reloads and change nothing.
func (l *loader) checkRules() {
	c := l.cfg
	for i, r := range c.Reload.Rules {
		var f *fault
		switch {
		case r.Action == ActionReload && c.Server.Signals.Reload == 0:
			f = faultf("kind %q (%s) has no signal that reloads workers; use %q", c.Server.Kind, c.KindWhy, ActionRestart)
		case r.Action == ActionReloadTasks && c.Server.Signals.ReloadTasks == 0:
			instead := ActionReload
			if c.Server.Signals.Reload == 0 {
				instead = ActionRestart
			}
			f = faultf("kind %q (%s) has no signal that reloads task workers; use %q", c.Server.Kind, c.KindWhy, instead)
		}
		if f != nil && l.doc != nil {
			l.fail(l.doc.valueAt(keyPath(rulesKey).elem(i).join("action"), rulesKey+".action"), f)
		}
	}
}

// RequireCommand returns an [*Error] unless there is a command to start: the
// caller knows whether it needs one.
func (c *Config) RequireCommand() error {
	if len(c.Server.Command) > 0 {
		return nil
	}
	e := &Error{Key: "server.command", Msg: "nothing to start: set it in " + FileName + ", or give the command after --"}
	if c.File != "" {
		e.Msg = strings.Replace(e.Msg, "in "+FileName, "in "+c.File, 1)
	}
	return e
}
