package config

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestRecognise(t *testing.T) {
	hyperf := `{"require": {"php": ">=8.1", "hyperf/framework": "~3.1.0", "ext-swoole": "*"}}`
	octane := `{"require": {"laravel/octane": "^2", "laravel/framework": "*"}}`
	for _, tc := range []struct {
		name    string
		files   map[string]string
		command string
		want    string
		why     string
	}{
		{"hyperf", nil, "php bin/hyperf.php start", KindHyperf, "command bin/hyperf.php start"},
		{"hyperf with options", nil, "/usr/bin/php8.2 -d swoole.use_shortname=Off bin/hyperf.php start", KindHyperf, "command bin/hyperf.php start"},
		{"hyperf, other command", map[string]string{"composer.json": hyperf}, "php bin/hyperf.php migrate", KindNone, "command hyperf.php migrate is no server that is known"},
		{"hyperf project, other script", map[string]string{"composer.json": `{"require":{"hyperf/framework":"*"}}`, "x.php": "<?php echo 1;"}, "php x.php", KindNone, "x.php starts no server that is known"},
		{"octane", nil, "php artisan octane:start --server=swoole", KindOctane, "command artisan octane:start"},
		{"octane, options first", nil, "php artisan --env=x octane:start", KindOctane, "command artisan octane:start"},
		{"artisan", map[string]string{"composer.json": octane}, "php artisan queue:work", KindNone, "command artisan queue:work is no server that is known"},
		{"php-fpm", nil, "php-fpm -F", KindPHPFPM, "command php-fpm"},
		{"php-fpm of Debian", nil, "/usr/sbin/php-fpm8.2 -F", KindPHPFPM, "command php-fpm8.2"},
		{"php-fpm of Alpine", nil, "php82-fpm -F", KindPHPFPM, "command php82-fpm"},
		{"webman", map[string]string{"start.php": "#!/usr/bin/env php\n<?php\nchdir(__DIR__);\nrequire_once __DIR__ . '/vendor/autoload.php';\nsupport\\App::run();\n"},
			"php start.php start", KindWebman, `start.php uses support\App::run`},
		{"workerman", map[string]string{"start.php": "<?php\nuse Workerman\\Worker;\n"}, "php start.php start", KindWorkerman, `start.php uses Workerman\Worker`},
		{"workerman, grouped", map[string]string{"s.php": "<?php use Workerman\\{Timer, Worker};"}, "php s.php start", KindWorkerman, `s.php uses Workerman\{Timer, Worker`},
		{"workerman with Swoole's loop", map[string]string{"s.php": "<?php use Swoole\\Coroutine; use Workerman\\Worker; Worker::$eventLoopClass = Workerman\\Events\\Swoole::class;"}, "php s.php", KindWorkerman, `s.php uses Workerman\Worker`},
		{"gateway", map[string]string{"s.php": "<?php new \\GatewayWorker\\Register('text://0.0.0.0:1');"}, "php s.php", KindWorkerman, `s.php uses GatewayWorker\Register`},
		{"swoole", map[string]string{"server.php": "<?php $s = new Swoole\\Http\\Server('127.0.0.1', 9501);"}, "php server.php", KindSwoole, `server.php uses Swoole\Http\Server`},
		{"swoole, lower case", map[string]string{"server.php": "<?php $s = new \\swoole\\websocket\\server('127.0.0.1', 9501);"}, "php server.php", KindSwoole, `server.php uses swoole\websocket\server`},
		{"swoole, old names", map[string]string{"server.php": "<?php new swoole_http_server('0.0.0.0', 1);"}, "php server.php", KindSwoole, "server.php uses new swoole_http_server"},
		{"swoole, plain", map[string]string{"server.php": "<?php use Swoole\\Server;"}, "php -f server.php", KindSwoole, `server.php uses Swoole\Server`},
		{"swoole, coroutine", map[string]string{"server.php": "<?php use Swoole\\Coroutine\\Http\\Server;"}, "php server.php", KindSwoole, `server.php uses Swoole\Coroutine\Http\Server`},
		{"swoole, pool", map[string]string{"server.php": "<?php $pool = new Swoole\\Process\\Pool(4);"}, "php server.php", KindSwoole, `server.php uses Swoole\Process\Pool`},
		{"swoole, grouped", map[string]string{"server.php": "<?php use Swoole\\{Http\\Request,\n Http\\Server};"}, "php server.php", KindSwoole, `server.php uses Swoole\{Http\Request, Http\Server`},
		{"openswoole", map[string]string{"server.php": "<?php new OpenSwoole\\Http\\Server('::', 1);"}, "php server.php", KindSwoole, `server.php uses OpenSwoole\Http\Server`},
		{"swoole client", map[string]string{"c.php": "<?php new Swoole\\Coroutine\\Http\\Client('::', 1); Swoole\\ServerX::y();"}, "php c.php", KindNone, "c.php starts no server that is known"},
		{"only in comments", map[string]string{"c.php": "<?php\n// like Swoole\\Server\n# Workerman\\Worker\n/* support\\App::run */ $x = 'it\\'s'; #[Attr]\n/** Swoole\\Process\\Pool"}, "php c.php", KindNone, "c.php starts no server that is known"},
		{"behind an attribute", map[string]string{"c.php": "<?php #[A] new Swoole\\Server('x');"}, "php c.php", KindSwoole, `c.php uses Swoole\Server`},
		{"executable script", map[string]string{"bin/serve": "#!/usr/bin/env php\n<?php new Swoole\\Server('x');"}, "./bin/serve", KindSwoole, `serve uses Swoole\Server`},
		{"executable, not PHP", map[string]string{"bin/serve": "#!/bin/sh\n# Swoole\\Server\n"}, "./bin/serve", KindNone, "command serve runs no PHP script"},
		{"env", map[string]string{"server.php": "<?php new Swoole\\Server('x');"}, "env A=1 php server.php", KindSwoole, `server.php uses Swoole\Server`},
		{"env alone", nil, "env A=1", KindNone, "command env runs no PHP script"},
		{"through files, swoole required", map[string]string{"composer.json": `{"require": {"EXT-Swoole": "*"}}`, "s.php": "<?php require 'x.php';"}, "php s.php", KindSwoole, "composer.json requires ext-swoole"},
		{"only for development", map[string]string{"composer.json": `{"require-dev": {"ext-swoole": "*"}, "suggest": {"workerman/workerman": "x"}}`, "s.php": "<?php"}, "php s.php", KindNone, "s.php starts no server that is known"},
		{"not PHP at all", map[string]string{"composer.json": hyperf}, "node server.js", KindNone, "command node runs no PHP script"},
		{"php -r", map[string]string{"composer.json": `{"require":{"ext-swoole":"*"}}`}, "php -r x", KindNone, "command php runs no PHP script"},
		{"php -S", nil, "php -S 127.0.0.1:80 index.php", KindNone, "command php runs no PHP script"},
		{"missing script", nil, "php nowhere.php", KindNone, "nowhere.php starts no server that is known"},
		{"broken composer.json", map[string]string{"composer.json": "{", "s.php": "<?php"}, "php s.php", KindNone, "s.php starts no server that is known; composer.json: unexpected end of JSON input"},
		{"composer.json with a mark and an empty list", map[string]string{"composer.json": "\ufeff{\"require\": []}", "s.php": "<?php"}, "php s.php", KindNone, "s.php starts no server that is known"},
		{"huge composer.json", map[string]string{"composer.json": strings.Repeat(" ", 1<<20), "s.php": ""}, "php s.php", KindNone, "s.php starts no server that is known; composer.json: too large: more than 256 KiB"},
		{"huge script", map[string]string{"s.php": "<?php new Swoole\\Server('x');" + strings.Repeat("\n", 1<<20)}, "php s.php", KindSwoole, `s.php uses Swoole\Server`},

		{"no command, hyperf", map[string]string{"composer.json": hyperf}, "", KindHyperf, "composer.json requires hyperf/framework"},
		{"no command, webman", map[string]string{"composer.json": `{"require": {"workerman/workerman": "*", "workerman/webman-framework": "*"}}`}, "", KindWebman, "composer.json requires workerman/webman-framework"},
		{"no command, octane", map[string]string{"composer.json": octane}, "", KindOctane, "composer.json requires laravel/octane"},
		{"no command, script", map[string]string{"bin/server.php": "<?php use Swoole\\Http\\Server;"}, "", KindSwoole, `bin/server.php uses Swoole\Http\Server`},
		{"nothing", nil, "", KindNone, "no command, and no server that is known"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			kind, why := Recognise(project(t, tc.files), strings.Fields(tc.command))
			if kind != tc.want || why != tc.why {
				t.Errorf("got  %s: %s\nwant %s: %s", kind, why, tc.want, tc.why)
			}
		})
	}
}

func TestRecogniseNeverBlocks(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"composer.json", "server.php"} {
		if err := syscall.Mkfifo(filepath.Join(dir, name), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	kind, why := Recognise(dir, []string{"php", "server.php"})
	if want := "server.php starts no server that is known; composer.json: not a regular file"; kind != KindNone || why != want {
		t.Errorf("%s: %s", kind, why)
	}
	if kind, _ := Recognise(dir, nil); kind != KindNone {
		t.Error(kind)
	}
}
