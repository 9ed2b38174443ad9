package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
)

func TestPresetSignals(t *testing.T) {
	usr1, usr2, term, quit, interrupt := syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGINT
	swoole := Signals{Reload: usr1, ReloadTasks: usr2, Stop: term}
	workerman := Signals{Reload: usr2, ReloadHard: usr1, Stop: quit, StopHard: interrupt}
	for _, tc := range []struct {
		kind, command string
		want          Signals
		action        string
	}{
		{KindSwoole, "", swoole, ActionReload},
		{KindHyperf, "", swoole, ActionReload},
		{KindOctane, "php artisan octane:start --server=swoole", swoole, ActionReload},
		{KindOctane, "php artisan octane:start --server frankenphp", Signals{Stop: term}, ActionRestart},
		{KindOctane, "php artisan octane:start", Signals{Stop: term}, ActionRestart},
		{KindWorkerman, "", workerman, ActionReload},
		{KindWebman, "", workerman, ActionReload},
		{KindPHPFPM, "", Signals{Reload: usr2, Stop: quit, StopHard: term}, ActionReload},
		{KindNone, "", Signals{Stop: term}, ActionRestart},
		{KindCustom, "", Signals{Stop: term}, ActionRestart},
	} {
		c := mustLoad(t, Source{WorkDir: t.TempDir(), Command: strings.Fields(tc.command), Flags: []Flag{{"--kind", "server.kind", tc.kind}}})
		if c.Server.Signals != tc.want || c.Preset.Signals != tc.want || c.Preset.Action != tc.action {
			t.Errorf("%s %s: %+v, %s", tc.kind, tc.command, c.Server.Signals, c.Preset.Action)
		}
		if c.Preset.Kind != tc.kind || len(c.Preset.Include) == 0 || len(c.Preset.Exclude) == 0 {
			t.Errorf("%+v", c.Preset)
		}
	}
	if len(Kinds()) != 8 {
		t.Error("a kind is not tested")
	}
}

func TestPresetPIDFile(t *testing.T) {
	swoole := func(expr string) map[string]string {
		return map[string]string{"bin/s.php": "<?php $s = new Swoole\\Server('x');\n$s->set(['pid_file' => " + expr + ", 'x' => 1]);"}
	}
	w5 := "<?php static::$pidFile = static::$pidFile ?: sprintf('%s/workerman.%s.pid', $startFileDir, $startFilePrefix);"
	for _, tc := range []struct {
		name, kind string
		files      map[string]string
		command    string
		want, note string
	}{
		{"swoole, literal", KindSwoole, swoole(`'run/s.pid'`), "php bin/s.php", "run/s.pid", ""},
		{"swoole, absolute", KindSwoole, swoole(`"/run/s.pid"`), "php bin/s.php", "/run/s.pid", ""},
		{"swoole, beside the script", KindSwoole, swoole(`__DIR__ . '/s.pid'`), "php bin/s.php", "bin/s.pid", ""},
		{"swoole, above the script", KindSwoole, swoole(`dirname(__DIR__).'/s.pid'`), "php bin/s.php", "s.pid", ""},
		{"swoole, computed", KindSwoole, swoole(`getenv('X') ?: null`), "php bin/s.php", "", "pid file: s.php computes it (getenv('X') ?: null); set server.pid_file"},
		{"swoole, interpolated", KindSwoole, swoole(`"$dir/s.pid"`), "php bin/s.php", "", `pid file: s.php computes it ("$dir/s.pid"); set server.pid_file`},
		{"swoole, constant", KindSwoole, map[string]string{"s.php": "<?php [Constant::OPTION_PID_FILE => __DIR__ . '/s.pid']"}, "php s.php", "s.pid", ""},
		{"swoole, property", KindSwoole, map[string]string{"s.php": "<?php $set['pid_file'] = 's.pid';"}, "php s.php", "s.pid", ""},
		{"swoole, commented out", KindSwoole, map[string]string{"s.php": "<?php // 'pid_file' => 's.pid'"}, "php s.php", "", ""},
		{"hyperf", KindHyperf, nil, "", "runtime/hyperf.pid", ""},
		{"hyperf, its own", KindHyperf, map[string]string{"config/autoload/server.php": "<?php return ['settings' => [Constant::OPTION_PID_FILE => BASE_PATH . '/runtime/x.pid',]];"}, "", "runtime/x.pid", ""},
		{"webman", KindWebman, nil, "", "runtime/webman.pid", ""},
		{"webman, its own", KindWebman, map[string]string{"config/server.php": "<?php return ['pid_file' => runtime_path() . '/w.pid'];"}, "", "runtime/w.pid", ""},
		{"webman, function", KindWebman, map[string]string{"config/server.php": "<?php return ['pid_file' => runtime_path('w.pid'), 1];"}, "", "runtime/w.pid", ""},
		{"octane", KindOctane, nil, "php artisan octane:start --server=swoole", "storage/logs/octane-server-state.json", ""},
		{"workerman, set", KindWorkerman, map[string]string{"s.php": "<?php Workerman\\Worker::$pidFile = __DIR__ . '/w.pid';"}, "php s.php start", "w.pid", ""},
		{"workerman 5", KindWorkerman, map[string]string{"s.php": "<?php", "vendor/workerman/workerman/src/Worker.php": w5}, "php s.php start", "workerman.s.php.pid", ""},
		{"workerman 4", KindWorkerman, map[string]string{"s.php": "<?php", "vendor/workerman/workerman/Worker.php": "<?php"}, "php s.php start", "vendor/workerman/{script}.pid", ""},
		{"workerman unknown", KindWorkerman, map[string]string{"s.php": "<?php"}, "php s.php start", "", "pid file: Workerman was not found in vendor, and its versions differ; set server.pid_file"},
		{"workerman without a script", KindWorkerman, nil, "", "", "pid file: the command runs no script that names it; set server.pid_file"},
		{"none", KindNone, nil, "php x.php", "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := project(t, tc.files)
			c := mustLoad(t, Source{WorkDir: dir, Command: strings.Fields(tc.command), Flags: []Flag{{"--kind", "server.kind", tc.kind}}})
			want := tc.want
			if want != "" && !filepath.IsAbs(want) {
				script, err := filepath.EvalSymlinks(dir)
				if err != nil {
					t.Fatal(err)
				}
				want = strings.ReplaceAll(want, "{script}", strings.ReplaceAll(script+"/s.php", "/", "_"))
				want = filepath.Join(dir, want)
			}
			if c.Server.PIDFile != want || strings.Join(c.Preset.Notes, "\n") != tc.note {
				t.Errorf("got %q, %q", c.Server.PIDFile, c.Preset.Notes)
			}
			if wantFormat := map[bool]string{true: PIDOctane, false: PIDText}[tc.kind == KindOctane]; c.Preset.PIDFormat != wantFormat {
				t.Error(c.Preset.PIDFormat)
			}
		})
	}
}

func TestOctaneServer(t *testing.T) {
	config := "<?php return ['server' => env('OCTANE_SERVER', 'roadrunner')];"
	for _, tc := range []struct {
		name, command, env string
		files              map[string]string
		want               string
	}{
		{"option", "php artisan octane:start --server=swoole", "x", nil, "swoole"},
		{"option in two words", "php artisan octane:start --server swoole", "x", nil, "swoole"},
		{"command", "php artisan octane:frankenphp", "x", nil, "frankenphp"},
		{"environment", "php artisan octane:start", "swoole", map[string]string{".env": "OCTANE_SERVER=x"}, "swoole"},
		{".env", "php artisan octane:start", "", map[string]string{".env": "A=1\nOCTANE_SERVER=\"swoole\"\n", "config/octane.php": config}, "swoole"},
		{".env, commented out", "php artisan octane:start", "", map[string]string{".env": "#OCTANE_SERVER=swoole\n", "config/octane.php": config}, "roadrunner"},
		{"unknown", "php artisan octane:start", "", nil, ""},
	} {
		got := octaneServer(project(t, tc.files), strings.Fields(tc.command), func(string) string { return tc.env })
		if got != tc.want {
			t.Errorf("%s: got %q", tc.name, got)
		}
	}
}

func TestResolve(t *testing.T) {
	user := []Rule{{[]string{"config/dev/**"}, ActionIgnore, "f:1"}, {[]string{"**/*.html", "config/**"}, ActionReload, "f:2"}}
	preset := []Rule{{[]string{"config/server.php", "**/.env"}, ActionRestart, "preset x"}}
	for rel, want := range map[string][2]string{
		"config/dev/a/b.php": {ActionIgnore, "f:1"},
		"config/server.php":  {ActionReload, "f:2"}, // the user's wins
		"a/b/c.html":         {ActionReload, "f:2"},
		".env":               {ActionRestart, "preset x"},
		"a/.env":             {ActionRestart, "preset x"},
		"../up/.env":         {ActionRestart, "preset x"},
		"app/A.php":          {ActionReloadTasks, ""},
		"config":             {ActionReload, "f:2"},
		"":                   {ActionReloadTasks, ""},
	} {
		action, rule := Resolve(user, preset, ActionReloadTasks, rel)
		if [2]string{action, rule} != want {
			t.Errorf("%q: %s by %s, want %v", rel, action, rule, want)
		}
	}
}

func TestDecide(t *testing.T) {
	web := project(t, map[string]string{"app/start.php": "<?php support\\App::run();", FileName: "[server]\ncommand=[\"php\", \"start.php\", \"start\"]\ndir=\"app\"\n"})
	for _, tc := range []struct {
		kind, file, want, rule string
	}{
		{KindWebman, "app/config/server.php", ActionRestart, "preset webman"},
		{KindWebman, "app/config/plugin/webman/x/process.php", ActionRestart, "preset webman"},
		{KindWebman, "app/config/plugin/webman/x/app.php", ActionRestart, "preset webman"},
		{KindWebman, "app/config/app.php", ActionRestart, "preset webman"},
		{KindWebman, "app/config/log.php", ActionRestart, "preset webman"},
		{KindWebman, "app/config/view.php", ActionReload, "preset webman"},
		{KindWebman, "app/plugin/shop/config/app.php", ActionReload, "preset webman"},
		{KindWebman, "app/app/view/x.html", ActionReload, "kind webman"},
		{KindWebman, "app/start.php", ActionRestart, "entry script"},
		{KindWebman, "app/.env", ActionRestart, "preset webman"},
		{KindWebman, "app/vendor/composer/autoload_static.php", ActionRestart, "preset webman"},
		{KindSwoole, "app/vendor/composer/installed.php", ActionRestart, "preset swoole"},
		{KindSwoole, "app/composer.lock", ActionRestart, "preset swoole"},
		{KindSwoole, "app/start.php", ActionRestart, "entry script"},
		{KindSwoole, "other/start.php", ActionReload, "kind swoole"},
		{KindHyperf, "app/app/X.php", ActionReload, "kind hyperf"},
		{KindHyperf, "app/config/routes.php", ActionRestart, "preset hyperf"},
		{KindHyperf, "app/.env", ActionRestart, "preset hyperf"},
		{KindPHPFPM, "app/.env", ActionReload, "kind php-fpm"},
		{KindNone, "x", ActionRestart, "kind none"},
	} {
		c := mustLoad(t, Source{WorkDir: web, Flags: []Flag{{"--kind", "server.kind", tc.kind}}})
		for _, path := range []string{tc.file, filepath.Join(web, tc.file), "./" + tc.file} {
			if v := c.Decide(path); v.Action != tc.want || v.Origin != tc.rule || v.Ruled == strings.HasPrefix(tc.rule, "kind ") {
				t.Errorf("%s %s: %+v", tc.kind, path, v)
			}
		}
	}
}

func TestRebase(t *testing.T) {
	patterns := []string{"**/*.php", "config/**"}
	for prefix, want := range map[string][]string{
		".":      patterns,
		"app":    {"**/*.php", "app/config/**"},
		"a[1]*":  {"**/*.php", `a\[1\]\*/config/**`},
		"../app": {"**/*.php", "../app/config/**"},
	} {
		if got := rebase(patterns, prefix); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v", prefix, got)
		}
	}
	if r := (Rule{Match: rebase([]string{"config/**"}, "a[1]*")}); !r.matches("a[1]*/config/x") || r.matches("a1x/config/x") {
		t.Error("an escaped prefix does not match itself alone")
	}
	if r := (Rule{Match: []string{"**/*.php"}}); !r.matches("../app/x.php") {
		t.Error("a floating pattern does not reach above")
	}
}

func TestDaemonNote(t *testing.T) {
	c := mustLoad(t, Source{WorkDir: t.TempDir(), Command: []string{"php", "start.php", "start", "-d"},
		Flags: []Flag{{"--kind", "server.kind", KindWebman}}})
	if len(c.Preset.Notes) != 1 || !strings.Contains(c.Preset.Notes[0], "foreground") {
		t.Error(c.Preset.Notes)
	}
}

func TestAConfiguredPIDFileNeedsNoNote(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "s.php"), []byte(`<?php $s->set(['pid_file' => getenv('X')]);`), 0o644); err != nil {
		t.Fatal(err)
	}
	src := Source{WorkDir: dir, Command: []string{"php", "s.php"}, Flags: []Flag{{Name: "--kind", Key: "server.kind", Value: KindSwoole}}}
	c, err := Load(src)
	if err != nil || len(c.Preset.Notes) != 1 {
		t.Fatalf("without one: notes %q, %v", c.Preset.Notes, err)
	}
	src.Flags = append(src.Flags, Flag{Name: "--pid-file", Key: "server.pid_file", Value: "s.pid"})
	if c, err = Load(src); err != nil || len(c.Preset.Notes) != 0 {
		t.Errorf("with one: notes %q, %v", c.Preset.Notes, err)
	}
}
