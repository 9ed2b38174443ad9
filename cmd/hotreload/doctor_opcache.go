package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hotreload/hotreload/config"
	"github.com/hotreload/hotreload/php"
)

// opcacheFacts decide whether new workers get old code.
type opcacheFacts struct {
	watch, attach, run bool   // what was asked about
	master             int    // pid of a master that runs and that hotreload did not start; 0: none
	blind              string // why its workers get old code; "" when they do not, as far as can be told
	titled             bool   // it has overwritten its arguments, so that those of the command are taken for them

	on      bool // OPcache works on the command line
	stale   []php.StaleSetting
	ini     map[string]string
	preload string
	prepend string // auto_prepend_file
	file    string // the ini file to change
}

func checkOPcache(ctx context.Context, p *patient) []finding {
	f, err := p.php()
	cfg := p.cfg()
	switch {
	case err != nil:
		return nil
	case cfg.Server.Kind == config.KindPHPFPM:
		return []finding{fine("php-fpm has its own, which is empty after a reload")}
	}
	facts := opcacheFacts{
		watch: p.watches(), attach: p.attaches(), run: p.runs(),
		on: f.settings.OPcache, stale: f.php.Stale(f.settings), ini: f.settings.INI, preload: f.settings.Preload,
		prepend: f.settings.INI["auto_prepend_file"], file: iniFile(f.settings.Files, "opcache"),
	}
	if s, err := p.server(); err == nil && s.foreign {
		facts.master = s.master.PID
		args, err := s.master.Cmdline()
		facts.titled = err != nil || len(args) == 0 || !strings.HasPrefix(filepath.Base(args[0]), "php")
		facts.blind = (&code{cfg: cfg, php: f.php}).blind(ctx, s.master)
	}
	return slices.Concat(judgeOPcache(facts), judgeBlind(facts), judgeFileCache(facts), judgePreload(facts))
}

// judgeOPcache: `watch` overrides what would keep old code, where no argument of the command stands against it; `run` starts
// the server as it is, and restarts it where it was asked to reload; a server that somebody else started is as it is.
func judgeOPcache(f opcacheFacts) []finding {
	bad, fixed := settingsNamed(f.stale, "opcache.validate_timestamps", "opcache.revalidate_freq")
	switch {
	case !f.on:
		return []finding{fine("off on the command line")}
	case len(bad) == 0:
		return []finding{fine("on, and looks at every file again (opcache.revalidate_freq=0)")}
	}
	cure := fmt.Sprintf("%s in %s   # or opcache.enable_cli=0", wanted(bad), f.file)
	if fixed {
		cure = "php " + arguments(bad) + " … in the command"
	}
	text := fmt.Sprintf("on, with %s: workers that are forked later keep old code", asSet(bad))
	var effects []string
	g := gradeOK
	add := func(asked bool, level grade, effect string) {
		if asked {
			effects = append(effects, effect)
			g = worse(g, level)
		}
	}
	switch {
	case fixed:
		add(f.watch, gradeWarn, "the command says so, and `watch` has to restart at every change")
	default:
		add(f.watch, gradeOK, "`watch` overrides that")
	}
	add(f.run, gradeWarn, "under `run`, `hotreload reload` has to restart the server")
	level := gradeWarn
	if !f.watch { // asked for by name
		level = gradeFail
	}
	add(f.attach, level, "`watch --attach` cannot change that")
	found := graded(g, "%s; %s", text, strings.Join(effects, "; "))
	if g != gradeOK {
		found = found.remedy("%s", cure)
	}
	return []finding{found}
}

// judgeBlind is about a master that runs as somebody else started it.
func judgeBlind(f opcacheFacts) []finding {
	if f.blind == "" || !f.watch && !f.attach {
		return nil
	}
	who := fmt.Sprintf("master %d", f.master)
	if f.titled {
		who += ", if it was started by this command"
	}
	return []finding{failure("%s: %s: no reload makes a change live", who, f.blind).
		remedy("stop it, and start it by hotreload watch; or opcache.revalidate_freq=0 in %s before its next start", f.file)}
}

func worse(a, b grade) grade {
	if a == gradeFail || b == gradeOK {
		return a
	}
	return b
}

// judgeFileCache: what OPcache keeps on disk outlives a restart.
func judgeFileCache(f opcacheFacts) []finding {
	dir := f.ini["opcache.file_cache"]
	bad, fixed := settingsNamed(f.stale, "opcache.validate_timestamps")
	switch {
	case !f.on || dir == "":
		return nil
	case len(bad) == 0, !f.run && !f.attach && !fixed:
		return []finding{fine("keeps compiled files in %s, and compares their times", dir)}
	}
	return []finding{failure("keeps compiled files in %s and never looks at their sources again: not even a restart loads new code", dir).
		remedy("%s in %s   # or opcache.file_cache=, or empty the directory in each deployment", wanted(bad), f.file)}
}

// judgePreload: what the master has loaded no reload renews. `watch` and `run` see it open these files when they start it.
func judgePreload(f opcacheFacts) []finding {
	var found []finding
	for _, p := range []struct{ name, file string }{{"opcache.preload", f.preload}, {"auto_prepend_file", f.prepend}} {
		switch {
		case p.file == "", p.name == "opcache.preload" && !f.on:
		case f.attach && !f.watch, f.master != 0:
			found = append(found, warning("%s=%s: what it loads becomes live by a restart, and hotreload does not know what that is of a master that it did not start", p.name, p.file).
				remedy("restart the server after a change of those files"))
		default:
			found = append(found, fine("%s=%s: a change of what it loads restarts the server, where it is watched", p.name, p.file))
		}
	}
	return found
}

// settingsNamed picks settings by name; fixed when the command decides one of them.
func settingsNamed(all []php.StaleSetting, names ...string) (picked []php.StaleSetting, fixed bool) {
	for _, s := range all {
		if slices.Contains(names, s.Name) {
			picked = append(picked, s)
			fixed = fixed || s.Fixed
		}
	}
	return picked, fixed
}

// asSet is how the settings are: "opcache.revalidate_freq=2".
func asSet(settings []php.StaleSetting) string {
	words := make([]string, len(settings))
	for i, s := range settings {
		words[i] = s.Name + "=" + shownINI(s.Was)
	}
	return strings.Join(words, ", ")
}

// wanted is how they should be.
func wanted(settings []php.StaleSetting) string {
	words := make([]string, len(settings))
	for i, s := range settings {
		words[i] = s.Name + "=" + s.Now
	}
	return strings.Join(words, " and ")
}

// arguments are those with which they would be so.
func arguments(settings []php.StaleSetting) string {
	words := make([]string, len(settings))
	for i, s := range settings {
		words[i] = "-d " + s.Name + "=" + s.Now
	}
	return strings.Join(words, " ")
}

// shownINI writes off as "0": ini_get has "" for it.
func shownINI(value string) string {
	if value == "" {
		return "0"
	}
	return value
}
