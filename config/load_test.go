package config

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite golden files, ../hotreload.toml and the table in ../README.md")

// project makes a directory with these files.
func project(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func mustLoad(t testing.TB, src Source) *Config {
	t.Helper()
	c, err := Load(src)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestErrors(t *testing.T) {
	files, err := filepath.Glob("testdata/errors/*.toml")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".toml")
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			_, err = Load(Source{WorkDir: project(t, map[string]string{FileName: string(text)})})
			if err == nil {
				t.Fatal("no error")
			}
			golden(t, strings.TrimSuffix(file, ".toml")+".golden", err.Error()+"\n")
		})
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s:\ngot\n%swant\n%s", file, got, want)
	}
}

// TestErrorPositions holds for line ends and byte order marks that golden
// files would not survive.
func TestErrorPositions(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"CRLF", "[server]\r\nkind = \"none\"\r\n  dri = \"x\"\r\n", "hotreload.toml:3:3: server.dri: unknown key; did you mean server.dir?"},
		{"BOM", "\ufeffdri = 1\n", "hotreload.toml:1:1: dri: unknown key; did you mean server.dir?"},
		{"BOM before a syntax error", "\ufeff[server]\nx = \n", "hotreload.toml:2:5: expected value but found '\\n' instead"},
		{"UTF-16", "\xff\xfe[\x00s\x00", "hotreload.toml:1:1: the file is UTF-16; save it as UTF-8"},
		{"UTF-16 without a mark", "[\x00s\x00e\x00", "hotreload.toml:1:2: files cannot contain NULL bytes; probably using UTF-16; TOML files must be UTF-8"},
		{"one line", "log.levle='x'", "hotreload.toml:1:5: log.levle: unknown key; did you mean log.level?"},
		{"multiline strings before", "server.env.A = '''\n\n[x]\n'''\nserver.env.B = \"\"\"\\\"\"\"\"\"\"\nlog.x.y = 1", "hotreload.toml:6:5: log.x: unknown key"},
		{"tabs", "\t[ log ]\n\t\tlevle = 1", "hotreload.toml:2:3: log.levle: unknown key; did you mean log.level?"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Load(Source{WorkDir: project(t, map[string]string{FileName: tc.text})})
			if got := errorText(err); got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

func TestErrorsAreTyped(t *testing.T) {
	_, err := Load(Source{WorkDir: project(t, map[string]string{FileName: "[server]\nkind = \"swole\"\ndri = 1\n"})})
	var all Errors
	if !errors.As(err, &all) || len(all) != 2 {
		t.Fatalf("%#v", err)
	}
	var first *Error
	if !errors.As(err, &first) {
		t.Fatal("no *Error")
	}
	want := Error{File: FileName, Line: 2, Col: 8, Key: "server.kind", Msg: first.Msg, Suggestion: `"swoole"`}
	if *first != want {
		t.Errorf("got %+v, want %+v", *first, want)
	}
}

func TestDefaults(t *testing.T) {
	dir := t.TempDir()
	c := mustLoad(t, Source{WorkDir: dir})
	want := &Config{
		Dir:     dir,
		KindWhy: "no command, and no server that is known",
		Server: Server{
			Kind: KindNone, Dir: dir, ReadyStatus: []StatusRange{{200, 499}},
			ReadyTimeout: 30 * time.Second, StopTimeout: 30 * time.Second,
			Env: map[string]string{}, Signals: Signals{Stop: syscall.SIGTERM},
		},
		Watch: Watch{
			Paths: []string{dir}, Include: phpFiles, Exclude: never,
			Quiet: 20 * time.Millisecond, MaxWait: 2 * time.Second, Poll: "auto", PollInterval: 500 * time.Millisecond,
		},
		Reload: Reload{Lint: true, LintExclude: []string{}, Timeout: 30 * time.Second},
		Restart: Restart{
			Handover: "auto", DrainTimeout: 10 * time.Second,
			BackoffMin: 200 * time.Millisecond, BackoffMax: 30 * time.Second,
		},
		Log: Log{Level: "info", Format: "auto"},
		release: Release{
			Keep: 5, Shared: []string{}, Lock: []string{".dep/deploy.lock", "deploy.lock"}, Wait: time.Minute, Preflight: [][]string{},
			Health: Health{Tries: 10, Interval: 500 * time.Millisecond}, Action: "auto",
		},
		deploy: Deploy{OnFailure: []string{}, Steps: DefaultSteps()},
	}
	want.Preset, want.origins = c.Preset, c.origins
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

func TestDefaultsOfModes(t *testing.T) {
	for _, tc := range []struct {
		mode     string
		pid1     bool
		drain    time.Duration
		failures int
	}{
		{"", false, 10 * time.Second, 0},
		{ModeRun, false, 10 * time.Second, 0},
		{ModeRun, true, 10 * time.Second, 5},
		{ModeWatch, false, 500 * time.Millisecond, 0},
		{ModeWatch, true, 500 * time.Millisecond, 0},
	} {
		c := mustLoad(t, Source{WorkDir: t.TempDir(), Mode: tc.mode, PID1: tc.pid1})
		if c.Restart.DrainTimeout != tc.drain || c.Restart.MaxFailures != tc.failures {
			t.Errorf("%+v: %v, %d", tc, c.Restart.DrainTimeout, c.Restart.MaxFailures)
		}
	}
}

func TestEverySetting(t *testing.T) {
	dir := project(t, map[string]string{FileName: `
[server]
kind = "custom"
command = ["php", "-d", "a=b", "server.php"]
dir = "app/../current"
pid_file = "run/x.pid"
ready = "https://127.0.0.1:9501/health?x=1"
ready_status = "200, 204,300-399"
ready_timeout = "1m"
stop_timeout = "1.5s"
drain_delay = "5s"
env = { APP_ENV = "dev", "odd name" = "x=y" }
signals = { reload = "usr1", reload_hard = "SIGHUP", reload_tasks = "SIGUSR2", stop = "Quit", stop_hard = "SIGTERM" }
[watch]
paths = ["app", "/etc/x", ".env"]
include = ["...", "./views/**"]
exclude = ["tmp/**"]
quiet = "50ms"
max_wait = "1s"
poll = "always"
poll_interval = "2s"
[reload]
lint = false
lint_exclude = ["**/*.tpl.php"]
timeout = "7s"
[[reload.rules]]
match = ["config/**", "x"]
action = "restart"
[[reload.rules]]
match = ["docs/**"]
action = "ignore"
[restart]
handover = "off"
listen = ["0.0.0.0:9501", "[::1]:80", "unix:run/s.sock"]
drain_timeout = "0s"
backoff.min = "1s"
backoff.max = "1s"
max_failures = 3
[control]
socket = "run/h.sock"
[log]
level = "debug"
format = "json"
[release]
current = "live"
releases = "/srv/releases"
keep = 3
shared = [".env", "storage/app"]
shared_dir = "common"
ready_marker = "var/REVISION"
lock = ["deploy.lock", "/run/deploy"]
wait = "0s"
preflight = [["php", "-l", "a.php"], ["true"]]
health = { url = "https://127.0.0.1/health", tries = 3, interval = "1s" }
action = "restart"
[deploy]
on_failure = ["echo a, b", "false"]
[[deploy.steps]]
name = "release"
from = "build"
[[deploy.steps]]
name = "migrate_2"
run = "php artisan migrate"
timeout = "10m"
retries = 2
[[deploy.steps]]
name = "activate"
`})
	c := mustLoad(t, Source{WorkDir: dir, Mode: ModeWatch})
	at := func(p string) string { return filepath.Join(dir, p) }
	want := &Config{
		File: at(FileName), Dir: dir, KindWhy: "", Preset: c.Preset, origins: c.origins,
		Server: Server{
			Kind: KindCustom, Command: []string{"php", "-d", "a=b", "server.php"}, Dir: at("current"), PIDFile: at("run/x.pid"),
			Ready:       Ready{"https", "https://127.0.0.1:9501/health?x=1"},
			ReadyStatus: []StatusRange{{200, 200}, {204, 204}, {300, 399}}, ReadyTimeout: time.Minute,
			StopTimeout: 1500 * time.Millisecond, DrainDelay: 5 * time.Second,
			Env:     map[string]string{"APP_ENV": "dev", "odd name": "x=y"},
			Signals: Signals{syscall.SIGUSR1, syscall.SIGHUP, syscall.SIGUSR2, syscall.SIGQUIT, syscall.SIGTERM},
		},
		Watch: Watch{
			Paths:   []string{at("app"), "/etc/x", at(".env")},
			Include: append(slices.Clone(rebase(phpFiles, "current")), "views/**"), Exclude: []string{"tmp/**"},
			Quiet: 50 * time.Millisecond, MaxWait: time.Second, Poll: "always", PollInterval: 2 * time.Second,
		},
		Reload: Reload{LintExclude: []string{"**/*.tpl.php"}, Timeout: 7 * time.Second, Rules: []Rule{
			{[]string{"config/**", "x"}, ActionRestart, "hotreload.toml:26"},
			{[]string{"docs/**"}, ActionIgnore, "hotreload.toml:29"},
		}},
		Restart: Restart{
			Handover: "off", Listen: []string{"0.0.0.0:9501", "[::1]:80", "unix:" + at("run/s.sock")},
			BackoffMin: time.Second, BackoffMax: time.Second, MaxFailures: 3,
		},
		Control: Control{Socket: at("run/h.sock")},
		Log:     Log{"debug", "json"},
		release: Release{
			Current: at("live"), Releases: "/srv/releases", Keep: 3, Shared: []string{".env", "storage/app"}, SharedDir: at("common"),
			ReadyMarker: "var/REVISION", Lock: []string{at("deploy.lock"), "/run/deploy"}, Preflight: [][]string{{"php", "-l", "a.php"}, {"true"}},
			Health: Health{"https://127.0.0.1/health", 3, time.Second}, Action: "restart",
		},
		deploy: Deploy{OnFailure: []string{"echo a, b", "false"}, Steps: []Step{
			{Name: StepRelease, From: at("build"), Origin: "hotreload.toml:58"},
			{Name: "migrate_2", Run: "php artisan migrate", Timeout: 10 * time.Minute, Retries: 2, Origin: "hotreload.toml:61"},
			{Name: StepActivate, Origin: "hotreload.toml:66"},
		}},
	}
	want.KindWhy = "hotreload.toml:3"
	want.Release, want.Deploy = &want.release, &want.deploy
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
	if c.Preset.Action != ActionReload || c.Preset.Signals != c.Server.Signals {
		t.Errorf("preset of kind custom: %+v", c.Preset)
	}
	for _, e := range c.Explain() {
		if !strings.HasPrefix(e.Origin, "hotreload.toml:") && e.Key != "preset.rules" {
			t.Errorf("%s is from %s: the test does not set every key", e.Key, e.Origin)
		}
	}
}

func TestPrecedence(t *testing.T) {
	file := "[server]\nkind = \"swoole\"\npid_file = \"file.pid\"\n"
	env := []string{"HOTRELOAD_SERVER_PID_FILE=env.pid"}
	flags := []Flag{{"--pid-file", "server.pid_file", "flag.pid"}}
	script := "<?php (new Swoole\\Http\\Server('127.0.0.1'))->set(['pid_file' => __DIR__ . '/preset.pid']);"
	for _, tc := range []struct {
		name, file string
		env        []string
		flags      []Flag
		want, from string
	}{
		{"flag", file, env, flags, "sub/flag.pid", "flag --pid-file"},
		{"environment", file, env, nil, "sub/env.pid", "HOTRELOAD_SERVER_PID_FILE"},
		{"file", file, nil, nil, "file.pid", "../hotreload.toml:3"},
		{"preset", "[server]\nkind = \"swoole\"\ncommand = [\"php\", \"server.php\"]\n", nil, nil, "preset.pid", "preset swoole"},
		{"default", "[server]\nkind = \"none\"\n", nil, nil, "", "default"},
		{"empty overrides", file, []string{"HOTRELOAD_SERVER_PID_FILE="}, nil, "", "HOTRELOAD_SERVER_PID_FILE"},
		{"the last of two", file, append([]string{"HOTRELOAD_SERVER_PID_FILE=first"}, env...), nil, "sub/env.pid", "HOTRELOAD_SERVER_PID_FILE"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := project(t, map[string]string{FileName: tc.file, "server.php": script, "sub/x": ""})
			c := mustLoad(t, Source{WorkDir: filepath.Join(dir, "sub"), Environ: tc.env, Flags: tc.flags})
			want := tc.want
			if want != "" {
				want = filepath.Join(dir, want)
			}
			if c.Server.PIDFile != want || c.Origin("server.pid_file") != tc.from {
				t.Errorf("%s from %s", c.Server.PIDFile, c.Origin("server.pid_file"))
			}
		})
	}
}

func TestEnvironment(t *testing.T) {
	c := mustLoad(t, Source{WorkDir: "/w", Environ: []string{
		"HOTRELOAD_SERVER_KIND=custom",
		"HOTRELOAD_SERVER_COMMAND=php, server.php",
		`HOTRELOAD_WATCH_PATHS=["a,b", "c"]`,
		"HOTRELOAD_WATCH_INCLUDE=...,x/**",
		"HOTRELOAD_SERVER_ENV=A=1,B=x=y",
		"HOTRELOAD_SERVER_SIGNALS_RELOAD=usr2",
		"HOTRELOAD_RELOAD_LINT=0",
		"HOTRELOAD_RESTART_BACKOFF_MIN=1s",
		"HOTRELOAD_RESTART_MAX_FAILURES=7",
		"HOTRELOAD_RESTART_LISTEN=auto",
		"HOTRELOAD_SOCKET=s.sock",
		"HOTRELOAD_RELEASE_CURRENT=live",
		"HOTRELOAD_RELEASE_SHARED=.env,storage",
		"HOTRELOAD_RELEASE_HEALTH_TRIES=3",
		`HOTRELOAD_RELEASE_PREFLIGHT=[["php", "-v"]]`,
		"HOTRELOAD_DEPLOY_ON_FAILURE=./notify.sh",
		"HOTRELOAD_TEST_PHP=/usr/bin/php", "HOTRELOAD=1", "OTHER=x", "broken",
		"HOTRELOAD_RELEASE_NAME=7", "HOTRELOAD_RELEASE_PATH=/w/7", "HOTRELOAD_CURRENT=/w/live", "HOTRELOAD_SHARED_DIR=/w/shared", "HOTRELOAD_FAILED_STEP=x",
	}})
	got := []any{c.Server.Kind, c.Server.Command, c.Watch.Paths, c.Watch.Include[len(c.Watch.Include)-1], c.Server.Env,
		c.Server.Signals.Reload, c.Reload.Lint, c.Restart.BackoffMin, c.Restart.MaxFailures, c.Restart.Listen, c.Control.Socket,
		c.Release.Current, c.Release.Shared, c.Release.Health.Tries, c.Release.Preflight, c.Deploy.OnFailure}
	want := []any{"custom", []string{"php", "server.php"}, []string{"/w/a,b", "/w/c"}, "x/**", map[string]string{"A": "1", "B": "x=y"},
		syscall.SIGUSR2, false, time.Second, 7, []string(nil), "/w/s.sock",
		"/w/live", []string{".env", "storage"}, 3, [][]string{{"php", "-v"}}, []string{"./notify.sh"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestErrorsOutsideTheFile(t *testing.T) {
	for _, tc := range []struct {
		name string
		src  Source
		want string
	}{
		{"unknown variable", Source{Environ: []string{"HOTRELOAD_SERVER_PID_FLE=x"}},
			"HOTRELOAD_SERVER_PID_FLE: unknown variable; did you mean HOTRELOAD_SERVER_PID_FILE?"},
		{"section alone", Source{Environ: []string{"HOTRELOAD_LOG=x"}}, "HOTRELOAD_LOG: unknown variable"},
		{"release without a link", Source{Environ: []string{"HOTRELOAD_RELEASE_KEEP=7"}},
			"[release]: needs release.current: which link names the release that is served?"},
		{"release that lies in itself", Source{Environ: []string{"HOTRELOAD_RELEASE_CURRENT=a/current", "HOTRELOAD_RELEASE_RELEASES=a"}},
			"HOTRELOAD_RELEASE_CURRENT: a/current lies in release.releases (a): it would be taken for a release"},
		{"deploy without a release", Source{Environ: []string{"HOTRELOAD_DEPLOY_ON_FAILURE=x"}},
			"[deploy]: needs [release]: which link names the release that is served?"},
		{"preflight", Source{Environ: []string{"HOTRELOAD_RELEASE_PREFLIGHT=php -v"}}, `HOTRELOAD_RELEASE_PREFLIGHT: "php -v" is not a TOML array`},
		{"steps", Source{Environ: []string{"HOTRELOAD_DEPLOY_STEPS=x"}}, "HOTRELOAD_DEPLOY_STEPS: steps can only be given in the file"},
		{"bad value", Source{Environ: []string{"HOTRELOAD_SERVER_READY_TIMEOUT=30"}},
			`HOTRELOAD_SERVER_READY_TIMEOUT: "30" needs a unit: use "30s" or "30ms"`},
		{"bad boolean", Source{Environ: []string{"HOTRELOAD_RELOAD_LINT=maybe"}}, `HOTRELOAD_RELOAD_LINT: "maybe" is not true or false`},
		{"bad number", Source{Environ: []string{"HOTRELOAD_RESTART_MAX_FAILURES=many"}}, `HOTRELOAD_RESTART_MAX_FAILURES: "many" is not a number`},
		{"bad array", Source{Environ: []string{"HOTRELOAD_WATCH_PATHS=[a"}}, `HOTRELOAD_WATCH_PATHS: "[a" is not a TOML array`},
		{"bad pair", Source{Environ: []string{"HOTRELOAD_SERVER_ENV=A"}}, `HOTRELOAD_SERVER_ENV: "A" is not NAME=VALUE`},
		{"rules", Source{Environ: []string{"HOTRELOAD_RELOAD_RULES=x"}}, "HOTRELOAD_RELOAD_RULES: rules can only be given in the file"},
		{"flag", Source{Flags: []Flag{{"--kind", "server.kind", "swole"}}},
			`--kind: "swole" is not one of swoole, hyperf, workerman, webman, octane, php-fpm, none, custom; did you mean "swoole"?`},
		{"flag's key", Source{Flags: []Flag{{"--x", "server.x", "y"}}}, "--x: overrides the unknown key server.x"},
		{"flag without a file's rule", Source{Flags: []Flag{{"--poll-interval", "watch.poll_interval", -time.Second}}}, `--poll-interval: "-1s" is negative`},
		{"explicit file", Source{Path: "nowhere.toml"}, "nowhere.toml: no such file or directory"},
		{"explicit file in the environment", Source{Environ: []string{"HOTRELOAD_CONFIG=sub/no.toml"}}, "sub/no.toml: no such file or directory"},
		{"all at once", Source{Environ: []string{"HOTRELOAD_LOG_LEVEL=x"}, Flags: []Flag{{"--kind", "server.kind", "zzz"}}},
			"HOTRELOAD_LOG_LEVEL: \"x\" is not one of debug, info, warn, error\n" +
				"--kind: \"zzz\" is not one of swoole, hyperf, workerman, webman, octane, php-fpm, none, custom"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.src.WorkDir = t.TempDir()
			_, err := Load(tc.src)
			if got := errorText(err); got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

func TestFlags(t *testing.T) {
	c := mustLoad(t, Source{WorkDir: "/w", Flags: []Flag{
		{"--kind", "server.kind", "none"},
		{"--path", "watch.paths", []string{"a", "b,c"}},
		{"--no-lint", "reload.lint", false},
		{"--max-failures", "restart.max_failures", 3},
		{"--quiet", "watch.quiet", 70 * time.Millisecond},
		{"--env", "server.env", map[string]string{"A": "1"}},
	}})
	got := []any{c.Server.Kind, c.Watch.Paths, c.Reload.Lint, c.Restart.MaxFailures, c.Watch.Quiet, c.Server.Env}
	want := []any{"none", []string{"/w/a", "/w/b,c"}, false, 3, 70 * time.Millisecond, map[string]string{"A": "1"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
	if c.KindWhy != "flag --kind" {
		t.Error(c.KindWhy)
	}
}

// TestDirectories: what is typed is meant where it was typed, what is written
// is meant where it is written.
func TestDirectories(t *testing.T) {
	dir := project(t, map[string]string{FileName: "[server]\ncommand=[\"php\", \"a.php\"]\n", "sub/x": ""})
	sub := filepath.Join(dir, "sub")
	if c := mustLoad(t, Source{WorkDir: sub}); c.Server.Dir != dir || c.Dir != dir || c.Watch.Paths[0] != dir {
		t.Errorf("file: %s, %s", c.Server.Dir, c.Dir)
	}
	c := mustLoad(t, Source{WorkDir: sub, Command: []string{"php", "b.php"}})
	if c.Server.Dir != sub || c.Server.Command[1] != "b.php" || c.Watch.Paths[0] != dir {
		t.Errorf("command line: %+v", c.Server)
	}
	if v := c.Decide(filepath.Join(sub, "b.php")); v.Action != ActionRestart {
		t.Errorf("kind none restarts, got %+v", v)
	}
	other := t.TempDir()
	c = mustLoad(t, Source{WorkDir: dir, Environ: []string{"HOTRELOAD_SERVER_DIR=" + other}})
	if c.Watch.Paths[0] != other || c.Origin("watch.paths") != "server.dir" {
		t.Errorf("a server elsewhere: watched is %v from %s", c.Watch.Paths, c.Origin("watch.paths"))
	}
	link := filepath.Join(dir, "current")
	if err := os.Symlink("sub", link); err != nil {
		t.Fatal(err)
	}
	c = mustLoad(t, Source{WorkDir: dir, Environ: []string{"HOTRELOAD_SERVER_DIR=current"}})
	if c.Server.Dir != link {
		t.Errorf("symlink was resolved: %s", c.Server.Dir)
	}
}

func TestRequireCommand(t *testing.T) {
	if err := mustLoad(t, Source{WorkDir: "/w", Command: []string{"php"}}).RequireCommand(); err != nil {
		t.Error(err)
	}
	want := "server.command: nothing to start: set it in hotreload.toml, or give the command after --"
	if got := errorText(mustLoad(t, Source{WorkDir: "/w"}).RequireCommand()); got != want {
		t.Error(got)
	}
}

func TestParseSignal(t *testing.T) {
	for name, want := range map[string]syscall.Signal{"": 0, "SIGUSR1": syscall.SIGUSR1, "usr2": syscall.SIGUSR2, "Term": syscall.SIGTERM} {
		if got, err := ParseSignal(name); got != want || err != nil {
			t.Errorf("%q: %v, %v", name, got, err)
		}
	}
	for name, want := range map[string]string{
		"SIGUSR": `SIGUSR: "SIGUSR" is not a signal; did you mean "SIGUSR1"?`,
		"10":     `10: "10" is not a signal`,
		"kill":   "kill: a server cannot handle SIGKILL",
	} {
		if _, err := ParseSignal(name); errorText(err) != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
