package main

import (
	"context"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hotreload/hotreload/config"
	"github.com/hotreload/hotreload/php"
)

// iniFacts decide whether the ini file that `watch` adds reaches the server's php.
type iniFacts struct {
	none    bool   // the command says -n: php reads no file
	ours    string // PHP_INI_SCAN_DIR as hotreload passes it on; "" with set false when it does not exist
	set     bool
	theirs  string // ... and as the command's own wrappers leave it
	kept    bool   // they leave it alone
	wrapper string // what empties the environment on the way: sudo, su; "" when nothing does
}

func checkINIFiles(_ context.Context, p *patient) []finding {
	f, err := p.php()
	cfg := p.cfg()
	if err != nil || !p.watches() || cfg.Server.Kind == config.KindPHPFPM {
		return nil
	}
	env := append(p.env(), scanDirProbe)
	facts := iniFacts{none: slices.Contains(f.php.Args, "-n"), wrapper: cleaner(cfg.Server.Command)}
	facts.ours, facts.set = environValue(p.env(), scanDir)
	facts.theirs, facts.kept = afterWrappers(cfg.Server.Command, cfg.Server.Dir, env)
	return judgeINIFiles(facts)
}

const (
	scanDir      = "PHP_INI_SCAN_DIR"
	scanDirProbe = scanDir + "=:/hotreload"
)

// afterWrappers is what PHP_INI_SCAN_DIR has become when php starts; kept when the command has left it alone.
func afterWrappers(command []string, dir string, env []string) (value string, kept bool) {
	p, err := php.FromCommand(command, dir, env)
	if err != nil {
		return "", true
	}
	value, _ = environValue(p.Env, scanDir)
	return value, scanDir+"="+value == scanDirProbe
}

// cleaner is the wrapper in front of php that starts it with another environment; "" when there is none. sudo -E keeps it.
func cleaner(command []string) string {
	words := wrappers(command)
	for i, word := range words {
		rest := words[i+1:]
		switch filepath.Base(word) {
		case "sudo", "doas":
			if !slices.Contains(rest, "-E") && !slices.Contains(rest, "--preserve-env") && !slices.Contains(rest, "--preserve-env="+scanDir) {
				return filepath.Base(word)
			}
		case "su", "runuser":
			if slices.Contains(rest, "-") || slices.Contains(rest, "-l") || slices.Contains(rest, "--login") {
				return filepath.Base(word)
			}
		}
	}
	return ""
}

// wrappers are the words in front of php.
func wrappers(command []string) []string {
	for i, word := range command {
		if strings.HasPrefix(filepath.Base(word), "php") {
			return command[:i]
		}
	}
	return command
}

func judgeINIFiles(f iniFacts) []finding {
	switch {
	case f.none:
		return []finding{warning("the command says -n: php reads no ini file, and `watch` can change no setting that keeps old code").
			remedy("take -n out of the command")}
	case f.wrapper == "sudo":
		return []finding{warning("sudo empties the environment: the ini file that `watch` adds for new code to be seen does not reach php").
			remedy("sudo --preserve-env=%s … in the command", scanDir)}
	case f.wrapper != "":
		return []finding{warning("%s empties the environment: the ini file that `watch` adds for new code to be seen does not reach php", f.wrapper).
			remedy("start hotreload itself by %s, and the server without it", f.wrapper)}
	case !f.kept && f.theirs == "":
		return []finding{warning("the command empties the environment: the ini file that `watch` adds for new code to be seen does not reach php").
			remedy("take env -i or -u %s out of the command", scanDir)}
	case !f.kept:
		return []finding{warning("the command sets %s=%s, so that the ini file that `watch` adds for new code to be seen is not read", scanDir, f.theirs).
			remedy(`env = { %s = "%s" } under [server] in %s, and not in the command`, scanDir, f.theirs, config.FileName)}
	case f.set && f.ours == "":
		return []finding{fine("%s is empty: php scans no directory but the one that `watch` adds", scanDir)}
	case f.set:
		return []finding{fine("%s=%s, and `watch` adds one", scanDir, f.ours)}
	}
	return nil
}
