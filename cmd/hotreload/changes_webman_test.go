package main

import (
	"testing"
	"time"

	"github.com/hotreload/hotreload/supervisor"
)

// webman is webman as its skeleton has it, but for its own monitor, which would reload the workers once more a second later, and
// with a process of its own.
func webman(t *testing.T) *app {
	php := phpWith(t, "pcntl", "posix")
	a := copyOf(t, checkout(t, "HOTRELOAD_TEST_WEBMAN"), "testdata/changes/webman")
	a.autoload(t, "app/helpers.php")
	if !a.composer {
		a.patch("start.php", "support\\App", "require __DIR__ . '/app/helpers.php';\nsupport\\App")
	}
	a.patch("config/process.php", "8787", a.port)
	a.patch("config/process.php", "cpu_count() * 4", "8")
	a.patch("config/process.php", "!in_array('-d', $argv)", "false")
	// The clock has a port of its own, since one that waits for nothing but timers is believed to serve only after 10 s.
	a.patch("config/process.php", "'monitor' => [", "'clock' => ['handler' => app\\process\\Clock::class, 'listen' => 'text://127.0.0.1:"+freePort(t)+"'],\n    'monitor' => [")
	// A worker that ends in the second in which it was started waits for one more; rows follow one another faster than people save.
	a.patch("vendor/workerman/webman-framework/src/support/bootstrap.php", "sleep(1)", "sleep(0)")
	a.aside = 1 // the clock
	a.patch("config/plugin/lab/bell/process.php", "9501", freePort(t))
	a.command = append(php, "start.php", "start")
	return a
}

var webmanChanges = []change{
	// What each worker loads.
	{"controller", save("app/controller/PlainController.php", "v1", "v2"), reloaded, "/plain/index", "hello, plain v2"},
	{"new method, which is a route", save("app/controller/PlainController.php", "}\n}", "}\n\n    public function late()\n    {\n        return response('late v1');\n    }\n}"), reloaded, "/plain/late", "late v1"},
	{"constructor added", save("app/controller/PlainController.php", "// constructor", "public function __construct(private string $text = 'plain v3') {}"), reloaded, "/plain/index", "hello, plain v2"},
	{"… used", save("app/controller/PlainController.php", "'plain v2'", "$this->text"), reloaded, "/plain/index", "hello, plain v3"},
	{"service", save("app/service/Greeter.php", "hello, ", "dear "), reloaded, "/plain/index", "dear plain v3"},
	{"trait", save("app/service/Talks.php", "v1", "v2"), reloaded, "/child/talk", "trait v2"},
	{"parent class", save("app/service/Ancestor.php", "v1", "v2"), reloaded, "/child/index", "parent v2"},
	{"middleware", save("app/middleware/Answer.php", "v1", "v2"), reloaded, "/answered/index", "middleware v2"},
	{"exception handler", save("app/exception/Handler.php", "v1", "v2"), reloaded, "/plain/boom", "handler v2: boom"},
	{"view", save("app/view/page/index.html", "v1", "v2"), reloaded, "/view/index", "view v2"},
	{"new controller", create("app/controller/FreshController.php", "<?php\n\nnamespace app\\controller;\n\nclass FreshController\n{\n    public function index()\n    {\n        return response('fresh v1');\n    }\n}\n"), reloaded, "/fresh/index", "fresh v1"},
	{"new class", create("app/service/Fresh.php", classThatSays("app\\service", "Fresh", "new class")), reloaded, "/classes/index", "old class, new class"},
	{"deleted class", remove("app/service/Doomed.php"), reloaded, "/classes/index", "new class"},
	{"new class in new directories", create("app/service/deep/Down.php", classThatSays("app\\service\\deep", "Down", "deep class")), reloaded, "/classes/index", "new class, deep class"},
	{"plugin", save("plugin/shop/app/controller/IndexController.php", "v1", "v2"), reloaded, "/app/shop/index/index", "plugin v2, plugin config v1"},
	{"configuration of a plugin", save("plugin/shop/config/app.php", "v1", "v2"), reloaded, "/app/shop/index/index", "plugin v2, plugin config v2"},
	{"process of its own", save("app/process/Clock.php", "v1", "v2"), reloaded, "/texts/clock", "clock v2"},

	// What each worker loads when it starts.
	{"bootstrap class", save("app/bootstrap/Boot.php", "v1", "v2"), reloaded, "/texts/index", "boot v2, functions v1, request v1, config v1, no more, env v1"},
	{"functions", save("app/functions.php", "v1", "v2"), reloaded, "/texts/index", "boot v2, functions v2, request v1, config v1, no more, env v1"},
	{"request class", save("support/Request.php", "v1", "v2"), reloaded, "/texts/index", "boot v2, functions v2, request v2, config v1, no more, env v1"},
	{"configuration", save("config/table.php", "v1", "v2"), reloaded, "/texts/index", "boot v2, functions v2, request v2, config v2, no more, env v1"},
	{"new configuration", create("config/late.php", "<?php\nreturn ['text' => 'late v1'];\n"), reloaded, "/texts/index", "boot v2, functions v2, request v2, config v2, late v1, env v1"},
	{"route file", save("config/route.php", "v1", "v2"), reloaded, "/routed", "routed v2"},

	// What the master has.
	{".env", save(".env", "v1", "v2"), restarted, "/texts/index", "boot v2, functions v2, request v2, config v2, late v1, env v2"},
	{"entry script", save("start.php", "chdir(__DIR__);", "chdir(__DIR__);\nconst ENTRY = 'entry v2';"), restarted, "/texts/master", "entry v2, 8 workers, 10485760 bytes, logs from 100, public"},
	{"config/process.php", save("config/process.php", "=> 8", "=> 6"), restarted, "/texts/master", "entry v2, 6 workers, 10485760 bytes, logs from 100, public"},
	{"config/server.php", save("config/server.php", "10 * 1024 * 1024", "4096"), restarted, "/texts/master", "entry v2, 6 workers, 4096 bytes, logs from 100, public"},
	{"config/log.php", save("config/log.php", "Logger::DEBUG", "Logger::INFO"), restarted, "/texts/master", "entry v2, 6 workers, 4096 bytes, logs from 200, public"},
	{"config/app.php", save("config/app.php", "'public'", "'elsewhere'"), restarted, "/texts/master", "entry v2, 6 workers, 4096 bytes, logs from 200, elsewhere"},

	{"plugin that is switched on", together(save("config/plugin/lab/bell/app.php", "false", "true"), oneMoreAside), restarted, "/texts/bell", "bell v1"},

	// Composer.
	{"helper that composer loads", save("app/helpers.php", "v1", "v2"), restarted, "/texts/composer", "helper v2, no more"},
	{"composer dump-autoload", dumpAutoload("app/helpers.php", "app/more.php"), restarted, "/texts/composer", "helper v2, more v1"},

	// Ways to save a file.
	{"saved", save("app/controller/PlainController.php", "v3", "v4"), reloaded, "/plain/index", "dear plain v4"},
	{"saved in the same second", saveAt(0, "app/controller/PlainController.php", "v4", "v5"), reloaded, "/plain/index", "dear plain v5"},
	{"replaced by an older one", saveAt(-time.Hour, "app/controller/PlainController.php", "v5", "v6"), reloaded, "/plain/index", "dear plain v6"},
	{"renamed over", saveOver("app/controller/PlainController.php", "v6", "v7"), reloaded, "/plain/index", "dear plain v7"},
	{"touched", touch("app/controller/PlainController.php"), ignored, "/plain/index", "dear plain v7"},
	{"same content", save("app/controller/PlainController.php", "v7", "v7"), ignored, "/plain/index", "dear plain v7"},
	{"file that is served as it is", create("public/page.html", "<p>"), ignored, "/plain/index", "dear plain v7"},

	// Code that does not work.
	{"syntax error", save("app/controller/PlainController.php", "v7'", "v8"), refused(supervisor.Reload, "app/controller/PlainController.php:18: syntax error"), "/plain/index", "dear plain v7"},
	{"… mended", save("app/controller/PlainController.php", "v8", "v8'"), reloaded, "/plain/index", "dear plain v8"},
	{"syntax error in the configuration", save("config/process.php", "=> 6", "=> "), refused(supervisor.Restart, "config/process.php:25: syntax error"), "/texts/master", "entry v2, 6 workers, 4096 bytes, logs from 200, elsewhere"},
	{"… mended", save("config/process.php", "=> ,", "=> 3,"), restarted, "/texts/master", "entry v2, 3 workers, 4096 bytes, logs from 200, elsewhere"},
}

// oneMoreAside is no edit: from now on one more worker does not answer.
func oneMoreAside(_ *testing.T, a *app) []string {
	a.aside++
	return nil
}
