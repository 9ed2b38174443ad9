package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/hotreload/hotreload/config"
)

func checkConfiguration(_ context.Context, p *patient) []finding {
	cfg, err := p.config()
	if err == nil {
		return judgeConfiguration(cfg.File, nil)
	}
	return judgeConfiguration("", err)
}

// judgeConfiguration has a line for each problem of the file. file is "" when there is none.
func judgeConfiguration(file string, err error) []finding {
	var wrong config.Errors
	switch {
	case errors.As(err, &wrong):
		var found []finding
		for _, e := range wrong {
			found = append(found, failure("%v", e))
		}
		return append(found, fine("nothing but the machine is checked until that is mended"))
	case err != nil:
		return []finding{failure("%v", err)}
	case file == "":
		return []finding{fine("no %s: command line, presets and defaults", config.FileName)}
	}
	return []finding{fine("%s", file)}
}

func checkKind(_ context.Context, p *patient) []finding {
	cfg := p.cfg()
	return judgeKind(kindFacts{
		kind: cfg.Server.Kind, why: cfg.KindWhy,
		said:  !strings.HasPrefix(cfg.Origin("server.kind"), "recognised"),
		notes: slices.DeleteFunc(slices.Clone(cfg.Preset.Notes), func(n string) bool { return strings.HasPrefix(n, pidNote) }),
	})
}

// pidNote is how notes of the preset begin that are about the pid file.
const pidNote = "pid file: "

type kindFacts struct {
	kind, why string
	said      bool // somebody chose it; else it was recognised
	notes     []string
}

func judgeKind(f kindFacts) []finding {
	kind := fine("%s (%s)", f.kind, f.why)
	if f.kind == config.KindNone && !f.said {
		kind = warning("none (%s): nothing can be reloaded; `watch` restarts it on every change", f.why).
			remedy(`kind = "swoole" under [server] in %s, or --kind swoole   # one of %s`, config.FileName, strings.Join(knownKinds(), ", "))
	}
	found := []finding{kind}
	for _, note := range f.notes {
		found = append(found, warning("%s", note))
	}
	return found
}

// knownKinds are all but none.
func knownKinds() []string {
	return slices.DeleteFunc(config.Kinds(), func(kind string) bool { return kind == config.KindNone })
}

func checkCommand(_ context.Context, p *patient) []finding {
	cfg := p.cfg()
	code, _ := p.code()
	return judgeCommand(gatherCommand(cfg, p.env(), code, !p.watches() && !p.runs()))
}

// commandFacts are what the command leads to.
type commandFacts struct {
	command  []string
	dir      string
	dirErr   error
	link     string // release.current, in release mode
	path     string // of the program
	pathErr  error
	script   string // "" when it runs none
	readErr  error  // of the script
	assumed  string // why this command, when nobody gave one
	optional bool   // nobody wants to start anything
	daemon   string // the file that sends the server into the background; "" when none does
}

func gatherCommand(cfg *config.Config, env []string, code []phpFile, optional bool) commandFacts {
	f := commandFacts{command: cfg.Server.Command, dir: cfg.Server.Dir, script: cfg.Script(), optional: optional}
	if why, assumed := strings.CutPrefix(cfg.Origin("server.command"), "assumed: "); assumed {
		f.assumed = why
	}
	if cfg.Release != nil {
		f.link = cfg.Release.Current
	}
	st, err := os.Stat(f.dir)
	if err == nil && !st.IsDir() {
		err = errors.New("not a directory")
	}
	f.dirErr = err
	if len(f.command) == 0 {
		return f
	}
	f.path, f.pathErr = findProgram(f.command[0], f.dir, env)
	if f.script != "" {
		f.readErr = readable(f.script)
	}
	for _, file := range code {
		if daemonizes.MatchString(file.code) {
			f.daemon = file.name
		}
	}
	return f
}

// daemonizes matches Swoole's setting and Workerman's.
var daemonizes = regexp.MustCompile(`(?i)(?:['"]daemonize['"]|\bOPTION_DAEMONIZE)\s*=>\s*(?:true|[1-9])\b|::\$daemonize\s*=\s*true\b`)

// outside are programs that run a command where no signal of ours reaches, and no process is seen.
var outside = regexp.MustCompile(`^(docker|docker-compose|podman|podman-compose|nerdctl|kubectl|lando|ddev|sail|ssh|vagrant)$`)

func judgeCommand(f commandFacts) []finding {
	switch {
	case f.link != "" && f.dir == f.link && errors.Is(f.dirErr, os.ErrNotExist):
		return []finding{failure("there is no release to start: %s leads nowhere", f.link).
			remedy("hotreload deploy, or: hotreload release activate DIR")}
	case f.dirErr != nil:
		return []finding{failure("the server is to be started in %s: %s", f.dir, plainReason(f.dirErr)).
			remedy(`dir = "." under [server] in %s, or --dir DIR`, config.FileName)}
	case len(f.command) == 0 && f.optional:
		return []finding{fine("none, and `watch --attach` needs none")}
	case len(f.command) == 0:
		return []finding{failure("there is none, so `watch` and `run` have nothing to start").
			remedy(`command = ["php", "server.php"] under [server] in %s, or: hotreload doctor -- php server.php`, config.FileName)}
	case f.pathErr != nil:
		return []finding{failure("%s cannot be started: %s", f.command[0], plainReason(f.pathErr))}
	case outside.MatchString(filepath.Base(f.command[0])):
		return []finding{failure("%s starts the server where hotreload sees and signals none of its processes: it cannot be reloaded", f.command[0]).
			remedy("run hotreload where the server runs, as the command of the container")}
	case f.script != "" && errors.Is(f.readErr, os.ErrPermission):
		return []finding{failure("%s: %s", relativeTo(f.dir, f.script), plainReason(f.readErr)).remedy("sudo chmod a+r %s", shellWord(f.script))}
	case f.script != "" && f.readErr != nil:
		return []finding{failure("%s: %s", relativeTo(f.dir, f.script), plainReason(f.readErr)).
			remedy(`dir = "DIR" under [server] in %s, or --dir DIR   # now %s`, config.FileName, f.dir)}
	}
	text := fmt.Sprintf("%s, which is %s", strings.Join(f.command, " "), f.path)
	if f.assumed != "" {
		text += "; assumed, as " + f.assumed
	}
	found := []finding{fine("%s", text)}
	if f.daemon != "" {
		found = append(found, warning("%s sends the server into the background: its output is lost to hotreload, and it outlives a killed container process", f.daemon).
			remedy("'daemonize' => false in %s", f.daemon))
	}
	return found
}

// findProgram finds an executable as execvp(3) does, in the PATH of env or relative to dir.
func findProgram(name, dir string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name)
		}
		return name, executable(name)
	}
	path, _ := environValue(env, "PATH")
	err := fmt.Errorf("it is not in PATH (%s)", path)
	for _, in := range filepath.SplitList(path) {
		file := filepath.Join(in, name)
		if !filepath.IsAbs(file) {
			file = filepath.Join(dir, file)
		}
		switch e := executable(file); {
		case e == nil:
			return file, nil
		case !errors.Is(e, os.ErrNotExist):
			err = e
		}
	}
	return "", err
}

// readable returns an error unless a script could be run. A FIFO is not opened.
func readable(file string) error {
	st, err := os.Stat(file)
	switch {
	case err != nil:
		return err
	case !st.Mode().IsRegular():
		return errors.New("not a regular file")
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	return f.Close()
}
