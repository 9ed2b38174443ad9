package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/hotreload/hotreload/config"
	"github.com/hotreload/hotreload/control"
	"github.com/hotreload/hotreload/supervisor"
)

func loadFor(t *testing.T, toml string) *config.Config {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, config.FileName), []byte(toml), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(config.Source{WorkDir: dir, Mode: config.ModeWatch})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestServerOfEachKind(t *testing.T) {
	for _, test := range []struct {
		toml    string
		layout  supervisor.Layout
		signals supervisor.Signals
	}{
		{`kind = "swoole"`, supervisor.LayoutSwoole, supervisor.Signals{Reload: syscall.SIGUSR1, ReloadTasks: syscall.SIGUSR2, Stop: syscall.SIGTERM}},
		{`kind = "hyperf"`, supervisor.LayoutSwoole, supervisor.Signals{Reload: syscall.SIGUSR1, ReloadTasks: syscall.SIGUSR2, Stop: syscall.SIGTERM}},
		{`kind = "workerman"`, supervisor.LayoutWorkerman, supervisor.Signals{Reload: syscall.SIGUSR2, EndWorker: syscall.SIGINT, Stop: syscall.SIGQUIT, StopHard: syscall.SIGINT}},
		{`kind = "webman"`, supervisor.LayoutWorkerman, supervisor.Signals{Reload: syscall.SIGUSR2, EndWorker: syscall.SIGINT, Stop: syscall.SIGQUIT, StopHard: syscall.SIGINT}},
		{`kind = "php-fpm"`, supervisor.LayoutForked, supervisor.Signals{Reload: syscall.SIGUSR2, Stop: syscall.SIGQUIT, StopHard: syscall.SIGTERM}},
		{`kind = "octane"`, supervisor.LayoutSingle, supervisor.Signals{Stop: syscall.SIGTERM}},
		{"kind = \"octane\"\ncommand = [\"php\", \"artisan\", \"octane:start\", \"--server=swoole\"]", supervisor.LayoutSwoole,
			supervisor.Signals{Reload: syscall.SIGUSR1, ReloadTasks: syscall.SIGUSR2, Stop: syscall.SIGTERM}},
		{`kind = "none"`, supervisor.LayoutSingle, supervisor.Signals{Stop: syscall.SIGTERM}},
		{"kind = \"custom\"\nsignals = { reload = \"SIGHUP\" }", supervisor.LayoutForked, supervisor.Signals{Reload: syscall.SIGHUP, Stop: syscall.SIGTERM}},
	} {
		cfg := loadFor(t, "[server]\n"+test.toml)
		s := serverOf(cfg, nil, nil)
		if s.Layout != test.layout || s.Signals != test.signals {
			t.Errorf("%s: layout %v, signals %+v; want %v, %+v", test.toml, s.Layout, s.Signals, test.layout, test.signals)
		}
		// Workerman takes it for "stop".
		if strings.Contains(test.toml, "man\"") && slices.Contains([]syscall.Signal{s.Signals.Reload, s.Signals.EndWorker, s.Signals.Stop, s.Signals.StopHard}, syscall.SIGHUP) {
			t.Errorf("%s is sent SIGHUP", test.toml)
		}
	}
}

func TestRule(t *testing.T) {
	const rules = "\n[[reload.rules]]\nmatch = [\"config/**\"]\naction = \"restart\"\n[[reload.rules]]\nmatch = [\"docs/**\"]\naction = \"ignore\"\n"
	for _, test := range []struct {
		kind, stuck, file string
		action            supervisor.Action
		why               string
	}{
		{"swoole", "", "app/a.php", supervisor.Reload, ""},
		{"swoole", "", "config/a.php", supervisor.Restart, "hotreload.toml:3"},
		{"swoole", "", "docs/a.php", supervisor.None, ""},
		{"swoole", "", ".env", supervisor.Restart, "preset swoole"},
		{"swoole", "OPcache", "app/a.php", supervisor.Restart, "OPcache"},
		{"swoole", "OPcache", "config/a.php", supervisor.Restart, "hotreload.toml:3"},
		{"swoole", "OPcache", "docs/a.php", supervisor.None, ""},
		{"hyperf", "", "app/a.php", supervisor.Reload, ""},
		{"hyperf", "", "config/routes.php", supervisor.Restart, "hotreload.toml:3"},
		{"hyperf", "", "docs/a.php", supervisor.None, ""},
		{"none", "", "a.php", supervisor.Restart, ""},
	} {
		cfg := loadFor(t, "[server]\nkind = \""+test.kind+"\""+rules)
		need := ruleOf(cfg, test.stuck)(test.file)
		if need.Action != test.action || !strings.HasPrefix(need.Why, test.why) || (need.Why == "") != (test.why == "") {
			t.Errorf("%s, %s: %v (%s), want %v (%s)", test.kind, test.file, need.Action, need.Why, test.action, test.why)
		}
	}
}

func TestGitLock(t *testing.T) {
	root := t.TempDir()
	write := func(path, text string) {
		t.Helper()
		path = filepath.Join(root, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	write("repo/.git/HEAD", "")
	write("repo/app/deep/file", "")
	write("tree/.git", "gitdir: ../repo/.git/worktrees/tree\n")
	write("tree/app/file", "")
	write("absolute/.git", "gitdir: "+root+"/repo/.git/modules/absolute\n")
	write("odd/.git", "something else")
	for dir, want := range map[string]string{
		"repo":          "repo/.git/index.lock",
		"repo/app/deep": "repo/.git/index.lock",
		"tree/app":      "repo/.git/worktrees/tree/index.lock",
		"absolute":      "repo/.git/modules/absolute/index.lock",
	} {
		if have := gitLock(filepath.Join(root, dir)); have != filepath.Join(root, want) {
			t.Errorf("%s: %s, want %s", dir, have, want)
		}
	}
	if have := gitLock(filepath.Join(root, "odd")); strings.HasPrefix(have, root) {
		t.Errorf("a .git that says nothing: %s", have)
	}
}

func TestExitCodes(t *testing.T) {
	wrong := &config.Error{Msg: "wrong"}
	for _, test := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("x"), 1},
		{usageError("x"), 2},
		{config.Errors{wrong}, 2},
		{fmt.Errorf("load: %w", wrong), 2},
		{control.ErrNotRunning, 3},
		{hinted(fmt.Errorf("%w here", control.ErrNotRunning), "x"), 3},
		{coded(exitNotVerified, hinted(errors.New("late"), "x")), 4},
		{errors.Join(&supervisor.ExitError{Code: 137}, nil), 137},
		{&supervisor.ExitError{Code: 0}, 1},
		{outcomeCode(supervisor.Outcome{Result: supervisor.Verified}, nil), 0},
		{outcomeCode(supervisor.Outcome{Result: supervisor.Failed}, nil), 1},
		{outcomeCode(supervisor.Outcome{Result: supervisor.TimedOut}, nil), 4},
		{outcomeCode(supervisor.Outcome{Result: supervisor.Refused}, nil), 5},
		{supervisor.ErrForced, 1},
	} {
		if have := exitCode(test.err); have != test.want {
			t.Errorf("%v: exit code %d, want %d", test.err, have, test.want)
		}
	}
}

// Every flag that stands for a key stands for one that exists, and says what it does.
func TestFlagsAreKeys(t *testing.T) {
	var keys []string
	for _, o := range config.Options() {
		keys = append(keys, o.Key)
	}
	for _, o := range append(watchFlags(), runFlags()...) {
		if !slices.Contains(keys, o.key) {
			t.Errorf("--%s stands for %s, which is no key", o.flag.Names()[0], o.key)
		}
	}
	all := uniqueFlags(wordsOf(newApp()))
	for _, f := range all {
		if f.usage == "" {
			t.Errorf("%s has no explanation", f.names[0])
		}
	}
	for name := range choices() {
		if !slices.ContainsFunc(all, func(f flagWord) bool { return f.names[0] == "--"+name }) {
			t.Errorf("choices for --%s, which is no flag", name)
		}
	}
}
