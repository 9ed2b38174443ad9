package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Recognise tells the kind of server, and why, from the command, from what its
// script starts, and from composer.json. "none" when nothing is known: a wrong
// guess would send signals that end a program which does not expect them.
func Recognise(dir string, command []string) (kind, why string) {
	composer := readComposer(dir)
	if len(command) == 0 {
		return composer.project(dir)
	}
	program := filepath.Base(append(withoutEnv(command), "env")[0])
	if fpmProgram.MatchString(program) {
		return KindPHPFPM, "command " + program
	}
	e := entryOf(dir, command)
	if e.file == "" {
		return KindNone, "command " + program + " runs no PHP script"
	}
	if kind, why, ok := fromScriptName(e); ok {
		return kind, why
	}
	name := filepath.Base(e.file)
	if kind, what := fromSource(source(e.file)); kind != "" {
		return kind, name + " uses " + what
	}
	// The script starts its server through other files: a library it can only
	// have for that purpose decides. Frameworks have their own entry scripts.
	for _, r := range composer.requires {
		if r.kind == KindSwoole || r.kind == KindWorkerman {
			return r.kind, "composer.json requires " + r.name
		}
	}
	return KindNone, name + " starts no server that is known" + composer.problem
}

// fromScriptName knows the frameworks by their command. ok is also true for
// commands of theirs that are no servers.
func fromScriptName(e entry) (kind, why string, ok bool) {
	name := filepath.Base(e.file)
	action := ""
	for _, a := range e.args {
		if !strings.HasPrefix(a, "-") {
			action = a
			break
		}
	}
	words := strings.TrimSpace(name + " " + action)
	switch {
	case name == "hyperf.php" && action == "start":
		return KindHyperf, "command bin/" + words, true
	case name == "artisan" && slices.Contains(octaneCommands, action):
		return KindOctane, "command " + words, true
	case name == "hyperf.php", name == "artisan":
		return KindNone, "command " + words + " is no server that is known", true
	}
	return "", "", false
}

// fpmProgram knows the names that distributions give it: php-fpm8.2, php82-fpm.
var fpmProgram = regexp.MustCompile(`^php[0-9.]*-fpm[0-9.]*$`)

var octaneCommands = []string{"octane:start", "octane:swoole", "octane:roadrunner", "octane:frankenphp"}

// markers are what only a script that starts a server has in its code. Class
// names are case-insensitive in PHP.
var markers = []struct {
	kind string
	code *regexp.Regexp
}{
	{KindWebman, regexp.MustCompile(`(?i)\bsupport\\App\s*(::\s*run\b|;)`)},
	{KindHyperf, regexp.MustCompile(`(?i)\bHyperf\\Contract\\ApplicationInterface\b`)},
	{KindWorkerman, regexp.MustCompile(`(?i)\bGatewayWorker\\(Gateway|BusinessWorker|Register)\b`)},
	{KindWorkerman, regexp.MustCompile(`(?i)\bWorkerman\\(Worker\b|\{[^}]*\bWorker\b)`)},
	{KindSwoole, regexp.MustCompile(`(?i)\b(Open)?Swoole\\((Coroutine\\)?(Http\\|WebSocket\\|Redis\\|MQTT\\)?Server\b|\{[^}]*\bServer\b)`)},
	{KindSwoole, regexp.MustCompile(`(?i)\b(Open)?Swoole\\Process\\(Pool|Manager)\b`)},
	{KindSwoole, regexp.MustCompile(`(?i)\bnew\s+\\?swoole_(http_|websocket_)?server\b`)},
}

func fromSource(code string) (kind, what string) {
	for _, m := range markers {
		if found := m.code.FindString(code); found != "" {
			return m.kind, strings.Join(strings.Fields(found), " ")
		}
	}
	return "", ""
}

// packages say what a project is, the most specific first: webman requires
// Workerman, Hyperf requires Swoole.
var packages = []struct{ name, kind string }{
	{"hyperf/framework", KindHyperf},
	{"hyperf/http-server", KindHyperf},
	{"workerman/webman-framework", KindWebman},
	{"laravel/octane", KindOctane},
	{"workerman/gateway-worker", KindWorkerman},
	{"workerman/workerman", KindWorkerman},
	{"ext-swoole", KindSwoole},
	{"ext-openswoole", KindSwoole},
}

type required struct{ name, kind string }

// composerFile is what a composer.json says about servers.
type composerFile struct {
	requires []required // known packages, the most specific first
	problem  string     // "; composer.json: …" when it cannot be used
}

func readComposer(dir string) composerFile {
	data, err := readFile(filepath.Join(dir, "composer.json"), scriptLimit)
	if errors.Is(err, fs.ErrNotExist) {
		return composerFile{}
	}
	if err != nil {
		return composerFile{problem: "; composer.json: " + reason(err)}
	}
	var file struct {
		Require json.RawMessage `json:"require"`
	}
	if err := json.Unmarshal(bytes.TrimPrefix(data, []byte("\ufeff")), &file); err != nil {
		return composerFile{problem: fmt.Sprintf("; composer.json: %v", err)}
	}
	// An empty "require" may be written as a list; then there is nothing in it.
	var require map[string]any
	_ = json.Unmarshal(file.Require, &require)
	var c composerFile
	for _, p := range packages {
		for name := range require {
			if strings.EqualFold(name, p.name) {
				c.requires = append(c.requires, required(p))
			}
		}
	}
	return c
}

// project is the answer when no command is known: what the project is by its
// requirements, else by the scripts that servers usually have.
func (c composerFile) project(dir string) (kind, why string) {
	if len(c.requires) > 0 {
		return c.requires[0].kind, "composer.json requires " + c.requires[0].name
	}
	for _, script := range []string{"server.php", "bin/server.php", "start.php", "bin/hyperf.php", "index.php"} {
		if kind, what := fromSource(source(filepath.Join(dir, script))); kind != "" {
			return kind, script + " uses " + what
		}
	}
	return KindNone, "no command, and no server that is known" + c.problem
}

// usualScripts are what servers of a kind are usually started with.
var usualScripts = map[string][][]string{
	KindHyperf:    {{"bin/hyperf.php", "start"}},
	KindWebman:    {{"start.php", "start"}},
	KindWorkerman: {{"start.php", "start"}, {"server.php", "start"}, {"bin/server.php", "start"}, {"index.php", "start"}},
	KindOctane:    {{"artisan", "octane:start"}},
	KindSwoole:    {{"server.php"}, {"bin/server.php"}, {"start.php"}, {"index.php"}},
}

// UsualCommand is how a server of this kind is started when nobody says otherwise: by the first of the usual scripts that is
// there. Empty: none is.
func UsualCommand(dir, kind string) (command []string, why string) {
	for _, args := range usualScripts[kind] {
		if isRegular(filepath.Join(dir, args[0])) {
			return append([]string{"php"}, args...), args[0] + " is there"
		}
	}
	return nil, ""
}

var octaneDefault = regexp.MustCompile(`(?m)env\(\s*['"]OCTANE_SERVER['"]\s*,\s*['"](\w+)['"]`)
var octaneDotEnv = regexp.MustCompile(`(?m)^\s*(?:export\s+)?OCTANE_SERVER\s*=\s*["']?(\w+)`)

// octaneServer is the server behind Octane, as octane:start decides it: its
// option, the environment, .env, config/octane.php. Empty: unknown.
func octaneServer(app string, command []string, environ func(string) string) string {
	for i, arg := range command {
		if server, ok := strings.CutPrefix(arg, "--server="); ok {
			return server
		}
		if server, ok := strings.CutPrefix(arg, "octane:"); ok && server != "start" {
			return server
		}
		if arg == "--server" && i+1 < len(command) {
			return command[i+1]
		}
	}
	if server := environ("OCTANE_SERVER"); server != "" {
		return server
	}
	env, _ := readFile(filepath.Join(app, ".env"), scriptLimit)
	if m := octaneDotEnv.FindSubmatch(env); m != nil {
		return string(m[1])
	}
	if m := octaneDefault.FindStringSubmatch(source(filepath.Join(app, "config/octane.php"))); m != nil {
		return m[1]
	}
	return ""
}
