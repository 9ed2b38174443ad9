package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hotreload/hotreload/config"
)

func checkExtensions(_ context.Context, p *patient) []finding {
	f, err := p.php()
	if err != nil {
		return nil
	}
	cfg := p.cfg()
	if script := cfg.Script(); cfg.Server.Kind == config.KindSwoole && script != "" {
		f.alike = !strings.HasPrefix(cfg.Origin("server.kind"), "recognised") && !strings.Contains(strings.ToLower(config.Code(script)), "swoole")
	}
	return judgeExtensions(cfg.Server.Kind, cfg.Server.Signals.Reload != 0, f)
}

// judgeExtensions looks for what the kind needs. signal: there is one that reloads, so that Octane's server is Swoole.
func judgeExtensions(kind string, signal bool, f phpFacts) []finding {
	switch {
	case kind == config.KindSwoole, kind == config.KindOctane && signal:
		return judgeSwoole(f, "swoole", "openswoole")
	case kind == config.KindHyperf:
		return append(judgeSwoole(f, "swoole", "swow"), judgeShortnames(f)...)
	case kind == config.KindWorkerman, kind == config.KindWebman:
		return judgeWorkerman(f)
	}
	return nil
}

func judgeSwoole(f phpFacts, either, or string) []finding {
	for _, name := range []string{either, or} {
		if version, ok := loaded(f, name); ok {
			return []finding{fine("%s", strings.TrimSpace(name+" "+version))}
		}
	}
	if f.alike {
		return []finding{warning("neither %s nor %s is loaded, and the script does not mention Swoole: it has to have the same signals and processes", either, or)}
	}
	return []finding{missing(f, either, "neither "+either+" nor "+or+" is loaded: the server cannot start")}
}

// missing is about an extension that this php does not load.
func missing(f phpFacts, name, text string) finding {
	install := fmt.Sprintf("pecl install %s   # then extension=%s in %s", name, name, mainINI(f.settings.Files))
	switch {
	case slices.Contains(f.php.Args, "-n"):
		install = fmt.Sprintf("take -n out of the command, or say -d extension=%s", name)
	case f.noScan:
		install = "unset " + scanDir + "   # it is empty, so php reads none of the files that load extensions"
	case name == "pcntl" && f.official:
		install = "docker-php-ext-install pcntl"
	case name == "pcntl" || name == "posix":
		install = "use a php with " + name + ": the command line packages of the distributions have it"
	case f.official:
		install = fmt.Sprintf("pecl install %s && docker-php-ext-enable %s", name, name)
	}
	return failure("%s", text).remedy("%s", install)
}

// judgeShortnames: Hyperf refuses to start with Swoole's short names (Hyperf\Server\Command\StartServer::checkEnvironment).
func judgeShortnames(f phpFacts) []finding {
	if _, swoole := loaded(f, "swoole"); !swoole {
		return nil
	}
	value := f.settings.INI["swoole.use_shortname"]
	switch strings.ToLower(strings.TrimSpace(strings.ReplaceAll(value, "0", ""))) {
	case "", "off", "false":
		return []finding{fine("swoole.use_shortname is off")}
	}
	return []finding{failure("swoole.use_shortname=%s, with which Hyperf refuses to start", value).
		remedy("swoole.use_shortname=Off in %s, or: php -d swoole.use_shortname=Off …", iniFile(f.settings.Files, "swoole"))}
}

// workermanNeeds are the functions that Workerman asks for when it starts (Workerman\Worker::checkSapiEnv).
var workermanNeeds = []string{
	"stream_socket_server", "stream_socket_accept", "stream_socket_client", "pcntl_signal_dispatch", "pcntl_signal", "pcntl_alarm",
	"pcntl_fork", "pcntl_wait", "posix_getuid", "posix_getpwuid", "posix_kill", "posix_setsid", "posix_getpid", "posix_getpwnam",
	"posix_getgrnam", "posix_getgid", "posix_setgid", "posix_initgroups", "posix_setuid", "posix_isatty", "proc_open",
	"proc_get_status", "proc_close", "shell_exec", "exec", "putenv", "getenv",
}

func judgeWorkerman(f phpFacts) []finding {
	var found []finding
	for _, name := range []string{"pcntl", "posix"} {
		if _, ok := loaded(f, name); !ok {
			found = append(found, missing(f, name, name+" is not loaded: the server cannot start"))
		}
	}
	var disabled []string
	for name := range strings.SplitSeq(f.ini[iniDisabled], ",") {
		name = strings.TrimSpace(name)
		if slices.Contains(workermanNeeds, name) {
			disabled = append(disabled, name)
		}
	}
	if len(disabled) > 0 {
		found = append(found, failure("disable_functions takes away %s, without which Workerman refuses to start", strings.Join(disabled, ", ")).
			remedy("take them out of disable_functions in %s", mainINI(f.settings.Files)))
	}
	if len(found) > 0 {
		return found
	}
	text := "pcntl, posix; event is not loaded, which is faster with many connections"
	if version, ok := loaded(f, "event"); ok {
		text = "pcntl, posix, event " + version
	}
	return []finding{fine("%s", text)}
}

func checkXdebug(_ context.Context, p *patient) []finding {
	f, err := p.php()
	if err != nil {
		return nil
	}
	version, ok := loaded(f, "xdebug")
	if !ok {
		return nil
	}
	mode := f.ini[iniXdebugMode]
	if v, ok := environValue(p.env(), "XDEBUG_MODE"); ok && v != "" {
		mode = v // it wins over the ini files
	}
	return judgeXdebug(version, mode, mainINI(f.settings.Files), iniFile(f.settings.Files, "xdebug"))
}

// judgeXdebug: version 2 has no modes, and is always on.
func judgeXdebug(version, mode, main, own string) []finding {
	old := strings.HasPrefix(version, "2.")
	if mode == "off" && !old {
		return []finding{fine("xdebug %s, off", version)}
	}
	f := warning("xdebug %s is on (%s): the server is slow, and a break point stops all requests of a worker; Swoole's coroutines do not bear it", version, mode)
	if old {
		f = warning("xdebug %s is loaded: the server is slow, and a break point stops all requests of a worker; Swoole's coroutines do not bear it", version)
		if own == main {
			return []finding{f.remedy("take its zend_extension out of %s", main)}
		}
		return []finding{f.remedy("take its zend_extension out of %s", own)}
	}
	return []finding{f.remedy(`env = { XDEBUG_MODE = "off" } under [server] in %s`, config.FileName)}
}

// loaded looks an extension up: names are as php has them, in any case.
func loaded(f phpFacts, name string) (version string, ok bool) {
	for n, version := range f.settings.Extensions {
		if strings.EqualFold(n, name) {
			return version, true
		}
	}
	return "", false
}

// iniFile is where a setting of the extension most likely stands.
func iniFile(files []string, extension string) string {
	for _, file := range files {
		if strings.Contains(filepath.Base(file), extension) {
			return file
		}
	}
	return mainINI(files)
}

func mainINI(files []string) string {
	if len(files) > 0 {
		return files[0]
	}
	return "php.ini"
}
