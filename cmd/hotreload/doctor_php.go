package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/hotreload/hotreload/config"
	"github.com/hotreload/hotreload/php"
)

// phpFacts are what the server's php says about itself.
type phpFacts struct {
	php      php.PHP
	settings php.Settings
	ini      map[string]string // of those below
	official bool              // an official image, where docker-php-ext-install adds extensions
	noScan   bool              // PHP_INI_SCAN_DIR is set, and empty
	alike    bool              // it is said to be a Swoole server, and nothing shows that it is more than alike
}

const (
	iniXdebugMode = "xdebug.mode"
	iniDisabled   = "disable_functions"
)

// errNoPHPServer says that the server is none of PHP's, as far as hotreload knows.
var errNoPHPServer = errors.New("not a PHP server")

func gatherPHP(ctx context.Context, p *patient) (phpFacts, error) {
	cfg := p.cfg()
	if cfg.Server.Kind == config.KindNone {
		return phpFacts{}, errNoPHPServer
	}
	f := phpFacts{}
	var err error
	if f.php, err = findPHP(p); err != nil {
		return f, err
	}
	if f.settings, err = f.php.Settings(ctx); err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("%s: %w within %s", f.php.Path, errLate, took(factPatience))
		}
		return f, err
	}
	_, statErr := os.Stat("/usr/local/bin/docker-php-ext-install")
	f.official = statErr == nil
	dir, set := environValue(f.php.Env, scanDir)
	f.noScan = set && dir == ""
	f.ini, err = f.php.INI(ctx, iniXdebugMode, iniDisabled)
	return f, err
}

// findPHP is the php of the command, or of the master that runs where there is none.
func findPHP(p *patient) (php.PHP, error) {
	cfg := p.cfg()
	found, err := php.FromCommand(cfg.Server.Command, cfg.Server.Dir, p.env())
	if len(cfg.Server.Command) > 0 || err != nil {
		return found, err
	}
	s, err := p.server()
	if err != nil || s.master.PID == 0 {
		return found, nil
	}
	if theirs, err := (&code{cfg: cfg, php: found}).phpOf(s.master); err == nil {
		return theirs, nil
	}
	return found, nil
}

func checkPHP(_ context.Context, p *patient) []finding {
	f, err := p.php()
	if errors.Is(err, errNoPHPServer) {
		return nil
	}
	return judgePHP(f, err, len(p.cfg().Server.Command) > 0, time.Now())
}

// judgePHP is about the binary. command: it was found by a command, and not just in PATH.
func judgePHP(f phpFacts, err error, command bool, now time.Time) []finding {
	switch {
	case errors.Is(err, php.ErrNoPHP):
		return []finding{failure("%v: neither syntax nor settings can be checked", err).
			remedy(`command = ["/usr/bin/php", "…"] under [server] in %s   # or add its directory to PATH`, config.FileName)}
	case err != nil:
		return []finding{failure("%v; what depends on its settings is not checked", err).
			remedy("%s -v   # does it answer?", strings.Join(append([]string{f.php.Path}, f.php.Args...), " "))}
	}
	text := fmt.Sprintf("%s, %s", f.settings.Version, f.php.Path)
	if f.settings.ThreadSafe {
		text += ", thread safe"
	}
	if !command {
		text += ", as there is no command"
	}
	if end, over := supportEnded(f.settings.VersionID, now); over {
		text += " (no security fixes since " + end + ")"
	}
	return []finding{fine("%s", text)}
}

// supportEnds is when php.net stops to mend security problems of a version (php.net/supported-versions).
var supportEnds = map[int]string{
	702: "2020-11-30", 703: "2021-12-06", 704: "2022-11-28",
	800: "2023-11-26", 801: "2025-12-31", 802: "2026-12-31", 803: "2027-12-31", 804: "2028-12-31", 805: "2029-12-31",
}

func supportEnded(versionID int, now time.Time) (end string, over bool) {
	end = supportEnds[versionID/100]
	t, err := time.Parse(time.DateOnly, end)
	return end, err == nil && now.After(t.AddDate(0, 0, 1))
}
