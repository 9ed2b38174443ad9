package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/hotreload/hotreload/config"
)

// envFacts are what the application is told about where it runs.
type envFacts struct {
	kind       string
	mode       string // what was asked about; "" for all
	env        string // APP_ENV; "" when nobody sets it
	debug      string // APP_DEBUG
	webmanFile string // config/app.php, when that turns webman's debug mode on; else ""
}

func checkEnvironment(_ context.Context, p *patient) []finding {
	cfg := p.cfg()
	if cfg.Server.Kind == config.KindNone {
		return nil
	}
	f := envFacts{kind: cfg.Server.Kind, mode: p.mode}
	f.env, _ = appValue(cfg.Server.Dir, p.env(), "APP_ENV")
	f.debug, _ = appValue(cfg.Server.Dir, p.env(), "APP_DEBUG")
	if f.kind == config.KindWebman {
		const file = "config/app.php"
		if webmanDebug.MatchString(config.Code(cfg.Server.Dir + "/" + file)) {
			f.webmanFile = file
		}
	}
	return judgeEnvironment(f)
}

// webmanDebug matches the debug mode, turned on without asking the environment.
var webmanDebug = regexp.MustCompile(`['"]debug['"]\s*=>\s*(?:true|1)\b`)

func judgeEnvironment(f envFacts) []finding {
	production := f.env == "prod" || f.env == "production"
	switch f.mode {
	case config.ModeRun:
		return judgeProduction(f)
	case config.ModeWatch:
		if production {
			return []finding{warning("APP_ENV=%s, and `hotreload watch` is made for development", f.env).
				remedy(`env = { APP_ENV = "dev" } under [server] in %s   # or hotreload run`, config.FileName)}
		}
	}
	if f.env == "" {
		return nil
	}
	text := fmt.Sprintf("APP_ENV=%s", f.env)
	if f.mode == "" && production {
		text += ", which is right for `run`, and not for `watch`"
	}
	return []finding{fine("%s", text)}
}

func judgeProduction(f envFacts) []finding {
	var found []finding
	development := f.env == "dev" || f.env == "local" || f.env == "development" || f.env == "test"
	prod := "prod"
	if f.kind == config.KindOctane {
		prod = "production"
	}
	switch {
	case development:
		found = append(found, warning("APP_ENV=%s, and `hotreload run` is made for production", f.env).
			remedy(`env = { APP_ENV = "%s" } under [server] in %s`, prod, config.FileName))
	case f.env == "" && f.kind == config.KindHyperf:
		found = append(found, warning("APP_ENV is not set, which Hyperf takes for dev").
			remedy(`env = { APP_ENV = "%s" } under [server] in %s`, prod, config.FileName))
	}
	switch strings.ToLower(strings.Trim(f.debug, "()")) {
	case "true", "1", "on", "yes":
		found = append(found, warning("APP_DEBUG=%s: errors are shown to whoever asks", f.debug).
			remedy(`env = { APP_DEBUG = "false" } under [server] in %s`, config.FileName))
	}
	if f.webmanFile != "" {
		found = append(found, warning("'debug' => true in %s: errors are shown to whoever asks", f.webmanFile).
			remedy("'debug' => false in %s", f.webmanFile))
	}
	if len(found) == 0 && f.env != "" {
		found = append(found, fine("APP_ENV=%s", f.env))
	}
	return found
}

// appValue is what an application in dir gets for a variable: from its environment, else from its .env file.
func appValue(dir string, env []string, name string) (string, bool) {
	if v, ok := environValue(env, name); ok {
		return v, true
	}
	text, err := readSmall(filepath.Join(dir, ".env"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", false
	}
	re := regexp.MustCompile(`(?m)^[ \t]*(?:export[ \t]+)?` + regexp.QuoteMeta(name) + `[ \t]*=[ \t]*(?:"([^"\n]*)"|'([^'\n]*)'|([^\s#]*))`)
	m := re.FindSubmatch(text)
	if m == nil {
		return "", false
	}
	return string(m[1]) + string(m[2]) + string(m[3]), true
}
