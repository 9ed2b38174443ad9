package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hotreload/hotreload/php"
)

func TestJudgePHP(t *testing.T) {
	now := time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)
	f := phpFacts{php: php.PHP{Path: "/usr/bin/php"}, settings: php.Settings{Version: "8.2.36", VersionID: 80236}}
	wantFindings(t, judgePHP(f, nil, true, now), "ok: 8.2.36, /usr/bin/php")
	f.settings = php.Settings{Version: "8.1.2", VersionID: 80102, ThreadSafe: true}
	wantFindings(t, judgePHP(f, nil, false, now), "ok: 8.1.2, /usr/bin/php, thread safe, as there is no command (no security fixes since 2025-12-31)")
	wantFindings(t, judgePHP(f, fmt.Errorf("find: %w", php.ErrNoPHP), true, now), "fail: no php -> PATH")
	f.php.Args = []string{"-n"}
	wantFindings(t, judgePHP(f, errLate, true, now), "fail: no answer -> /usr/bin/php -n -v")
}

func TestSupportEnds(t *testing.T) {
	for id, want := range map[int]bool{80236: false, 80199: true, 70433: true, 90000: false} {
		if _, over := supportEnded(id, time.Date(2026, 12, 31, 12, 0, 0, 0, time.UTC)); over != want {
			t.Errorf("%d: over %v", id, over)
		}
	}
}

func TestJudgeExtensions(t *testing.T) {
	with := func(ini map[string]string, extensions ...string) phpFacts {
		f := phpFacts{settings: php.Settings{INI: ini, Extensions: map[string]string{}, Files: []string{"/etc/php.ini", "/etc/conf.d/25-swoole.ini"}}}
		for _, e := range extensions {
			f.settings.Extensions[e] = "1.2"
		}
		return f
	}
	bare, official, off, alike := with(nil), with(nil), with(nil), with(nil)
	alike.alike = true
	bare.php.Args, official.official, off.noScan = []string{"-n"}, true, true
	disabled := with(nil, "pcntl", "posix")
	disabled.ini = map[string]string{iniDisabled: "system, pcntl_fork,posix_kill,pcntl_exec"}
	for name, tt := range map[string]struct {
		kind   string
		signal bool
		facts  phpFacts
		want   []string
	}{
		"swoole":               {"swoole", true, with(nil, "swoole"), []string{"ok: swoole 1.2"}},
		"openswoole":           {"swoole", true, with(nil, "openswoole"), []string{"ok: openswoole 1.2"}},
		"no swoole":            {"swoole", true, with(nil), []string{"fail: neither swoole nor openswoole -> pecl install swoole"}},
		"no swoole, -n":        {"swoole", true, bare, []string{"fail: neither -> take -n out"}},
		"no swoole, image":     {"swoole", true, official, []string{"fail: neither -> docker-php-ext-enable"}},
		"no swoole, no conf.d": {"swoole", true, off, []string{"fail: neither -> unset PHP_INI_SCAN_DIR"}},
		"like swoole":          {"swoole", true, alike, []string{"warn: the same signals"}},
		"hyperf":               {"hyperf", true, with(map[string]string{"swoole.use_shortname": "Off"}, "swoole"), []string{"ok: swoole 1.2", "ok: use_shortname is off"}},
		"hyperf, short names":  {"hyperf", true, with(map[string]string{"swoole.use_shortname": "1"}, "swoole"), []string{"ok: swoole", "fail: refuses to start -> swoole.use_shortname=Off in /etc/conf.d/25-swoole.ini"}},
		"hyperf on swow":       {"hyperf", true, with(nil, "Swow"), []string{"ok: swow 1.2"}},
		"octane on swoole":     {"octane", true, with(nil), []string{"fail: neither -> pecl"}},
		"octane elsewhere":     {"octane", false, with(nil), nil},
		"workerman":            {"workerman", true, with(nil, "pcntl", "posix"), []string{"ok: event is not loaded"}},
		"workerman and event":  {"webman", true, with(nil, "pcntl", "posix", "event"), []string{"ok: pcntl, posix, event 1.2"}},
		"workerman alone":      {"workerman", true, official, []string{"fail: pcntl -> docker-php-ext-install pcntl", "fail: posix -> use a php"}},
		"workerman, disabled":  {"webman", true, disabled, []string{"fail: pcntl_fork, posix_kill -> disable_functions in /etc/php.ini"}},
		"php-fpm":              {"php-fpm", true, with(nil), nil},
	} {
		t.Run(name, func(t *testing.T) { wantFindings(t, judgeExtensions(tt.kind, tt.signal, tt.facts), tt.want...) })
	}
}

func TestJudgeXdebug(t *testing.T) {
	wantFindings(t, judgeXdebug("3.3.0", "off", "php.ini", "xdebug.ini"), "ok: xdebug 3.3.0, off")
	wantFindings(t, judgeXdebug("3.3.0", "debug", "php.ini", "xdebug.ini"), "warn: is on (debug) -> XDEBUG_MODE")
	wantFindings(t, judgeXdebug("2.9.8", "off", "php.ini", "xdebug.ini"), "warn: 2.9.8 is loaded -> zend_extension out of xdebug.ini")
}

// stale are settings as php.PHP.Stale has them.
func stale(fixed bool, nameAndWas ...string) []php.StaleSetting {
	var all []php.StaleSetting
	now := map[string]string{"opcache.validate_timestamps": "1"}
	for i := 0; i < len(nameAndWas); i += 2 {
		s := php.Setting{Name: nameAndWas[i], Was: nameAndWas[i+1], Now: "0"}
		if v := now[s.Name]; v != "" {
			s.Now = v
		}
		all = append(all, php.StaleSetting{Setting: s, Fixed: fixed})
	}
	return all
}

func TestJudgeOPcache(t *testing.T) {
	freq := []string{"opcache.revalidate_freq", "2"}
	for name, tt := range map[string]struct {
		facts opcacheFacts
		want  string
	}{
		"off":              {opcacheFacts{watch: true}, "ok: off"},
		"on and well":      {opcacheFacts{watch: true, on: true}, "ok: looks at every file"},
		"nothing serious":  {opcacheFacts{watch: true, on: true, stale: stale(false, "opcache.file_update_protection", "0")}, "ok: looks at every file"},
		"watch":            {opcacheFacts{watch: true, on: true, stale: stale(false, freq...)}, "ok: `watch` overrides"},
		"watch, fixed":     {opcacheFacts{watch: true, on: true, stale: stale(true, freq...)}, "warn: has to restart at every change -> php -d opcache.revalidate_freq=0 … in the command"},
		"run":              {opcacheFacts{run: true, on: true, stale: stale(false, "opcache.validate_timestamps", "")}, "warn: validate_timestamps=0 -> opcache.validate_timestamps=1 in o.ini"},
		"attach":           {opcacheFacts{attach: true, on: true, stale: stale(false, freq...)}, "fail: cannot change that -> opcache.revalidate_freq=0"},
		"all":              {opcacheFacts{watch: true, attach: true, run: true, on: true, stale: stale(false, freq...)}, "warn: `watch` overrides that; under `run`, `hotreload reload` has to restart the server; `watch --attach` cannot -> enable_cli=0"},
		"all, fixed by -d": {opcacheFacts{watch: true, attach: true, run: true, on: true, stale: stale(true, freq...)}, "warn: the command says so -> in the command"},
	} {
		tt.facts.file = "o.ini"
		t.Run(name, func(t *testing.T) { wantFindings(t, judgeOPcache(tt.facts), tt.want) })
	}
}

func TestJudgeBlind(t *testing.T) {
	f := opcacheFacts{watch: true, master: 7, blind: "it does not look", titled: true, file: "o.ini"}
	wantFindings(t, judgeBlind(f), "fail: master 7, if it was started by this command: it does not look -> start it by hotreload watch")
	f.titled = false
	wantFindings(t, judgeBlind(f), "fail: master 7: it does not look -> o.ini")
	f.watch, f.run = false, true
	wantFindings(t, judgeBlind(f))
}

func TestJudgeFileCache(t *testing.T) {
	ini := map[string]string{"opcache.file_cache": "/cache"}
	blind := stale(false, "opcache.validate_timestamps", "0")
	wantFindings(t, judgeFileCache(opcacheFacts{run: true, on: true}))
	wantFindings(t, judgeFileCache(opcacheFacts{run: true, ini: ini, stale: blind}))
	wantFindings(t, judgeFileCache(opcacheFacts{run: true, on: true, ini: ini}), "ok: /cache")
	wantFindings(t, judgeFileCache(opcacheFacts{watch: true, on: true, ini: ini, stale: blind}), "ok: /cache")
	wantFindings(t, judgeFileCache(opcacheFacts{watch: true, run: true, on: true, ini: ini, stale: blind}), "fail: not even a restart -> opcache.validate_timestamps=1")
	wantFindings(t, judgeFileCache(opcacheFacts{watch: true, on: true, ini: ini, stale: stale(true, "opcache.validate_timestamps", "0")}), "fail: not even a restart -> file_cache=")
}

func TestJudgePreload(t *testing.T) {
	wantFindings(t, judgePreload(opcacheFacts{watch: true, preload: "/p.php"})) // without OPcache nothing is
	wantFindings(t, judgePreload(opcacheFacts{watch: true, on: true, preload: "/p.php", prepend: "/a.php"}), "ok: opcache.preload=/p.php", "ok: auto_prepend_file=/a.php")
	wantFindings(t, judgePreload(opcacheFacts{attach: true, on: true, preload: "/p.php"}), "warn: did not start -> restart the server")
	wantFindings(t, judgePreload(opcacheFacts{watch: true, run: true, attach: true, master: 7, on: true, preload: "/p.php"}), "warn: did not start -> restart the server")
}

func TestJudgeRealpath(t *testing.T) {
	wantFindings(t, judgeRealpath("/srv/current", "realpath_cache_size=4096K", "php.ini"), "warn: realpath_cache_size=4096K -> hotreload restart")
	wantFindings(t, judgeRealpath("", "realpath_cache_size=4096K", "php.ini"))
	wantFindings(t, judgeRealpath("/srv/current", "", "php.ini"))
}

func TestReleaseLink(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"current": "somewhere", "app": "releases/7", "home": "users"} {
		if err := os.MkdirAll(filepath.Join(dir, to, "sub"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{"current": "current", "current/sub": "current", "app/sub": "app", "home/sub": "", "releases": ""} {
		if want != "" {
			want = filepath.Join(dir, want)
		}
		if have := releaseLink(filepath.Join(dir, path)); have != want {
			t.Errorf("%s: %q, want %q", path, have, want)
		}
	}
}

func TestJudgeINIFiles(t *testing.T) {
	wantFindings(t, judgeINIFiles(iniFacts{kept: true}))
	wantFindings(t, judgeINIFiles(iniFacts{kept: true, set: true, ours: "/a:/b"}), "ok: PHP_INI_SCAN_DIR=/a:/b")
	wantFindings(t, judgeINIFiles(iniFacts{kept: true, set: true}), "ok: is empty")
	wantFindings(t, judgeINIFiles(iniFacts{none: true}), "warn: -n -> take -n out")
	wantFindings(t, judgeINIFiles(iniFacts{kept: true, wrapper: "sudo"}), "warn: sudo empties -> --preserve-env")
	wantFindings(t, judgeINIFiles(iniFacts{kept: true, wrapper: "su"}), "warn: su empties -> start hotreload itself by su")
	wantFindings(t, judgeINIFiles(iniFacts{}), "warn: empties -> env -i")
	wantFindings(t, judgeINIFiles(iniFacts{theirs: "/x"}), `warn: PHP_INI_SCAN_DIR=/x -> env = { PHP_INI_SCAN_DIR = "/x" }`)
}

func TestCleaner(t *testing.T) {
	for _, tt := range []struct {
		command []string
		want    string
	}{
		{[]string{"php", "s.php"}, ""},
		{[]string{"sudo", "-u", "www", "php", "s.php"}, "sudo"},
		{[]string{"/usr/bin/sudo", "-E", "php", "s.php"}, ""},
		{[]string{"sudo", "--preserve-env=PHP_INI_SCAN_DIR", "php"}, ""},
		{[]string{"su", "-", "www", "-c", "php s.php"}, "su"},
		{[]string{"su", "www", "-c", "php s.php"}, ""},
		{[]string{"gosu", "www", "php", "s.php"}, ""},
		{[]string{"php", "s.php", "--user", "sudo"}, ""},
	} {
		if have := cleaner(tt.command); have != tt.want {
			t.Errorf("%q: %q, want %q", tt.command, have, tt.want)
		}
	}
}

func TestAfterWrappers(t *testing.T) {
	if !hasPHP() {
		t.Skip("no php")
	}
	env := append(os.Environ(), scanDirProbe)
	for _, tt := range []struct {
		command []string
		value   string
		kept    bool
	}{
		{[]string{"php", "s.php"}, ":/hotreload", true},
		{[]string{"env", "A=1", "php", "s.php"}, ":/hotreload", true},
		{[]string{"env", "PHP_INI_SCAN_DIR=/x", "php", "s.php"}, "/x", false},
		{[]string{"sh", "-c", "PHP_INI_SCAN_DIR=/x exec php s.php"}, "/x", false},
		{[]string{"env", "-u", "PHP_INI_SCAN_DIR", "php", "s.php"}, "", false},
	} {
		if value, kept := afterWrappers(tt.command, "/", env); value != tt.value || kept != tt.kept {
			t.Errorf("%q: %q, %v", tt.command, value, kept)
		}
	}
}

func TestJudgeProxies(t *testing.T) {
	leads := proxyFacts{watch: true, run: true, leads: "/shared", link: "/a/runtime", container: "/a/runtime/container"}
	released, byName, frozen, dev := leads, leads, leads, leads
	released.release, byName.byName, dev.run = true, true, false
	frozen.release, frozen.cacheable = true, ".env"
	for name, tt := range map[string]struct {
		facts proxyFacts
		want  string
	}{
		"as usual":              {proxyFacts{watch: true, run: true}, "ok: generated at each start"},
		"shared":                {leads, "warn: load each other's proxies -> rm /a/runtime && mkdir -p /a/runtime/container"},
		"shared by releases":    {released, "fail: load each other's proxies -> rm"},
		"shared, asked for run": {byName, "fail: load each other's -> rm"},
		"shared and frozen":     {frozen, "fail: SCAN_CACHEABLE=true (.env) the oldest are kept -> rm"},
		"shared, development":   {dev, "ok: generated"},
		"not writable":          {proxyFacts{watch: true, container: "/a/runtime/container", writeErr: errors.New("denied")}, "fail: denied -> chown"},
		"frozen, not writable":  {proxyFacts{run: true, cacheable: ".env", writeErr: errors.New("denied")}, "ok: SCAN_CACHEABLE=true (.env)"},
		"frozen, watch":         {proxyFacts{watch: true, cacheable: "environment"}, "ok: `watch` overrides"},
		"frozen, config.php":    {proxyFacts{watch: true, run: true, cacheable: "config/config.php"}, "ok: scan_cacheable is true in config/config.php"},
		"frozen, both":          {proxyFacts{watch: true, run: true, cacheable: ".env"}, "ok: under `run` they stay"},
		"from the future":       {proxyFacts{run: true, future: "/a/x.proxy.php", container: "/a/runtime/container"}, "warn: future -> rm -r /a/runtime/container"},
	} {
		t.Run(name, func(t *testing.T) { wantFindings(t, judgeProxies(tt.facts), tt.want) })
	}
}

func TestLeadsOut(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"a/runtime/container", "b/var", "shared/container", "c"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"b/runtime": "var", "c/runtime": "../shared", "current": "a"} {
		if err := os.Symlink(to, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	for dir, want := range map[string]string{"a": "", "b": "", "current": "", "c": filepath.Join(root, "shared/container")} {
		if have := leadsOut(filepath.Join(root, dir), filepath.Join(root, dir, "runtime/container")); have != want {
			t.Errorf("%s: %q, want %q", dir, have, want)
		}
	}
}
