package main

import (
	"slices"
	"testing"
	"time"

	"github.com/hotreload/hotreload/supervisor"
)

// swoole is a server of mode process or base.
func swoole(t *testing.T, mode, workers, tasks, users string) *app {
	php := phpWith(t, "swoole", "pcntl")
	a := copyOf(t, "testdata/changes/swoole")
	a.autoload(t, "app/helpers.php")
	a.run(t, "mkdir", "-p", "runtime")
	a.command = append(php, "server.php", a.port, mode, workers, tasks, users)
	return a
}

// Not both task workers and user processes: Swoole 5.1 then starts a task worker twice now and then when it is reloaded (the new one
// writes its pid into the shared Worker before ProcessPool::spawn has looked up the old one there), and forgets one of the two.
func swooleProcess(t *testing.T) *app { return swoole(t, "process", "3", "2", "0") }
func swooleBase(t *testing.T) *app    { return swoole(t, "base", "3", "0", "1") }

// swooleSingle is one process that does everything.
func swooleSingle(t *testing.T) *app {
	a := swoole(t, "base", "1", "0", "0")
	a.marks = restarted
	return a
}

var swooleProcessChanges = append(slices.Clip(ownServerChanges),
	change{"file of a task worker, by a rule", save("app/task.php", "v1", "v2"), tasksReloaded, "/task", "task v2"},
	change{"… with one of all workers", together(save("app/task.php", "v2", "v3"), save("app/Plain.php", "v3", "v4")), reloaded, "/task", "task v3"},
	change{"file that a rule ignores", save("app/notes/note.php", "v1", "v2"), ignored, "/handler", "handler v9"},
)

var swooleBaseChanges = append(slices.Clip(ownServerChanges),
	// Without the rule in hotreload.toml the workers are reloaded, and the user process, which no reload replaces, keeps the old
	// code: nothing tells which files it has loaded.
	change{"file of a user process, by a rule", save("app/process.php", "v1", "v2"), restarted, "/process", "process v2"},
)

var swooleSingleChanges = []change{
	{"file of the worker", save("app/handler.php", "v1", "v2"), restarted, "/handler", "handler v2"},
	{"class", save("app/Plain.php", "v1", "v2"), restarted, "/class", "class v2"},
	{"new class", create("app/Fresh.php", classThatSays("App", "Fresh", "new class")), restarted, "/classes", "old class, new class"},
	{"replaced by an older one", saveAt(-time.Hour, "app/Plain.php", "v2", "v3"), restarted, "/class", "class v3"},
	{"touched", touch("app/handler.php"), ignored, "/handler", "handler v2"},
	{"syntax error", save("app/handler.php", "'handler v2", "handler v2"), refused(supervisor.Reload, "app/handler.php:5: syntax error"), "/handler", "handler v2"},
	{"… mended", save("app/handler.php", "handler v2", "'handler v3"), restarted, "/handler", "handler v3"},
}
