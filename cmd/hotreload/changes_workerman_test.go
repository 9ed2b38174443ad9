package main

import (
	"testing"
	"time"

	"github.com/hotreload/hotreload/supervisor"
)

// workerman is a server of one's own on Workerman.
func workerman(t *testing.T) *app {
	php := phpWith(t, "pcntl", "posix")
	a := copyOf(t, checkout(t, "HOTRELOAD_TEST_WORKERMAN"), "testdata/changes/workerman")
	a.autoload(t, "app/helpers.php")
	a.run(t, "mkdir", "-p", "runtime")
	a.patch("server.php", "9501", a.port)
	a.command = append(php, "server.php", "start")
	return a
}

// ownServerChanges are those of testdata/changes/swoole and workerman, which are alike.
var ownServerChanges = []change{
	// What each worker loads.
	{"file that each worker loads", save("app/handler.php", "v1", "v2"), reloaded, "/handler", "handler v2"},
	{"class", save("app/Plain.php", "v1", "v2"), reloaded, "/class", "class v2"},
	{"trait", save("app/Talks.php", "v1", "v2"), reloaded, "/trait", "trait v2"},
	{"parent class", save("app/Plain.php", "v2", "v3"), reloaded, "/parent", "class v3"},
	{"new class", create("app/Fresh.php", classThatSays("App", "Fresh", "new class")), reloaded, "/classes", "old class, new class"},
	{"deleted class", remove("app/Doomed.php"), reloaded, "/classes", "new class"},
	{"new class in new directories", create("app/Deep/Down.php", classThatSays("App\\Deep", "Down", "deep class")), reloaded, "/classes", "new class, deep class"},
	{"view that is no .php, and read each time", save("app/view.phtml", "v1", "v2"), ignored, "/view", "view v2"},

	// What the master loads.
	{"file loaded before the start", save("bootstrap.php", "v1", "v2"), restarted, "/master", "entry v1, bootstrap v2, config v1, env v1, helper v1, no more"},
	{"configuration loaded before the start", save("config.php", "v1", "v2"), restarted, "/master", "entry v1, bootstrap v2, config v2, env v1, helper v1, no more"},
	{".env", save(".env", "v1", "v2"), restarted, "/master", "entry v1, bootstrap v2, config v2, env v2, helper v1, no more"},
	{"helper that composer loads", save("app/helpers.php", "v1", "v2"), restarted, "/master", "entry v1, bootstrap v2, config v2, env v2, helper v2, no more"},
	{"entry script", save("server.php", "entry v1", "entry v2"), restarted, "/master", "entry v2, bootstrap v2, config v2, env v2, helper v2, no more"},
	{"composer dump-autoload", dumpAutoload("app/helpers.php", "app/more.php"), restarted, "/master", "entry v2, bootstrap v2, config v2, env v2, helper v2, more v1"},

	// Ways to save a file.
	{"saved", save("app/handler.php", "v2", "v3"), reloaded, "/handler", "handler v3"},
	{"saved in the same second", saveAt(0, "app/handler.php", "v3", "v4"), reloaded, "/handler", "handler v4"},
	{"replaced by an older one", saveAt(-time.Hour, "app/handler.php", "v4", "v5"), reloaded, "/handler", "handler v5"},
	{"renamed over", saveOver("app/handler.php", "v5", "v6"), reloaded, "/handler", "handler v6"},
	{"touched", touch("app/handler.php"), ignored, "/handler", "handler v6"},
	{"same content", save("app/handler.php", "v6", "v6"), ignored, "/handler", "handler v6"},
	{"several files, one of them the master's", together(save("app/handler.php", "v6", "v7"), save("bootstrap.php", "v2", "v3")), restarted, "/handler", "handler v7"},

	// Code that does not work.
	{"syntax error", save("app/handler.php", "'handler v7", "handler v7"), refused(supervisor.Reload, "app/handler.php:5: syntax error"), "/handler", "handler v7"},
	{"… mended", save("app/handler.php", "handler v7", "'handler v8"), reloaded, "/handler", "handler v8"},
	{"syntax error before the start", save("bootstrap.php", "'bootstrap v3'", "bootstrap v3"), refused(supervisor.Restart, "bootstrap.php:3: syntax error"), "/handler", "handler v8"},
	{"something else meanwhile", save("app/handler.php", "v8", "v9"), refused(supervisor.Restart, "bootstrap.php:3: syntax error"), "/handler", "handler v8"},
	{"… mended, with all that is owed", save("bootstrap.php", "bootstrap v3", "'bootstrap v3'"), restarted, "/handler", "handler v9"},
}
