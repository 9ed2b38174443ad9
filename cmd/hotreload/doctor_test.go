package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hotreload/hotreload/config"
)

// wantFindings compares findings with "GRADE: part of what was found -> part of the remedy"; without an arrow there must be
// no remedy.
func wantFindings(t *testing.T, have []finding, want ...string) {
	t.Helper()
	if len(have) != len(want) {
		t.Errorf("%d findings, want %d: %v", len(have), len(want), have)
		return
	}
	for i, w := range want {
		g, rest, _ := strings.Cut(w, ": ")
		found, remedy, cure := strings.Cut(rest, " -> ")
		f := have[i]
		if string(f.Grade) != g || !strings.Contains(f.Found, found) || !strings.Contains(f.Remedy, remedy) || (f.Remedy != "") != cure {
			t.Errorf("finding %d: %s: %s -> %s\nwant %s", i, f.Grade, f.Found, f.Remedy, w)
		}
	}
}

func TestDiagnosisIsTold(t *testing.T) {
	var out bytes.Buffer
	d := diagnosis{out: &out}
	for _, f := range []finding{
		{Check: "kind", Grade: gradeOK, Found: "swoole"},
		{Check: "port", Grade: gradeFail, Found: "taken by \x1b[31mevil\nprogram\x9b", Remedy: "kill 1\r\nrm -rf /"},
		{Check: "clock", Grade: gradeWarn, Found: "late"},
	} {
		d.add(f)
	}
	err := d.conclude(&out)
	if exitCode(err) != exitFailed || err.Error() != "" {
		t.Errorf("error %q with exit code %d, want a silent %d", err, exitCode(err), exitFailed)
	}
	want := "ok   kind          swoole\n" +
		"fail port          taken by \ufffd[31mevil; program\ufffd\n" +
		"                -> kill 1; rm -rf /\n" +
		"warn clock         late\n" +
		"1 failed, 1 warning\n"
	if out.String() != want {
		t.Errorf("printed:\n%s\nwant:\n%s", out.String(), want)
	}
}

func TestDiagnosisAsJSON(t *testing.T) {
	var out bytes.Buffer
	d := diagnosis{For: "run", Findings: []finding{}}
	if err := d.conclude(&out); err != nil {
		t.Fatal(err)
	}
	if want := `{"for":"run","failed":0,"warnings":0,"findings":[]}` + "\n"; out.String() != want {
		t.Errorf("printed %s, want %s", out.String(), want)
	}
}

// A check that hangs costs its own line; the others are told, in their order.
func TestChecksNeverHang(t *testing.T) {
	p := &patient{config: func() (*config.Config, error) { return &config.Config{}, nil }}
	hangs := make(chan struct{})
	defer close(hangs)
	stuck := check{name: "stuck", run: func(context.Context, *patient) []finding { <-hangs; return nil }}
	wantFindings(t, stuck.examine(t.Context(), p, time.Millisecond), "warn: no answer within -> mount")

	var told []string
	all := []check{
		{name: "slow", run: func(context.Context, *patient) []finding { return []finding{fine("a"), fine("b")} }},
		{name: "nothing", run: func(context.Context, *patient) []finding { return nil }},
		{name: "fast", run: func(context.Context, *patient) []finding { return []finding{fine("c")} }},
	}
	examineAll(t.Context(), p, all, func(f finding) { told = append(told, f.Check+" "+f.Found) })
	if have := strings.Join(told, ", "); have != "slow a, slow b, fast c" {
		t.Errorf("told %s", have)
	}
}

func TestWithoutConfigurationTheMachineIsChecked(t *testing.T) {
	p := &patient{config: func() (*config.Config, error) { return nil, errors.New("broken") }}
	run := func(context.Context, *patient) []finding { return []finding{fine("x")} }
	wantFindings(t, check{bare: true, run: run}.examine(t.Context(), p, time.Minute), "ok: x")
	wantFindings(t, check{run: run}.examine(t.Context(), p, time.Minute))
	wantFindings(t, checkConfiguration(t.Context(), p), "fail: broken")
}

func TestCheckNamesFitTheirColumn(t *testing.T) {
	for _, c := range checks() {
		if len(c.name) > checkWidth {
			t.Errorf("%q is longer than %d", c.name, checkWidth)
		}
	}
}

func TestJudgeConfiguration(t *testing.T) {
	wantFindings(t, judgeConfiguration("/app/hotreload.toml", nil), "ok: /app/hotreload.toml")
	wantFindings(t, judgeConfiguration("", nil), "ok: no hotreload.toml")
	errs := config.Errors{{File: "hotreload.toml", Line: 2, Col: 1, Key: "a", Msg: "x"}, {Key: "b", Msg: "y"}}
	wantFindings(t, judgeConfiguration("", errs), "fail: hotreload.toml:2:1: a: x", "fail: b: y", "ok: nothing but the machine")
	wantFindings(t, judgeConfiguration("", errLate), "fail: no answer")
}

func TestJudgeKind(t *testing.T) {
	wantFindings(t, judgeKind(kindFacts{kind: "webman", why: "start.php", notes: []string{"-d leaves the foreground"}}),
		"ok: webman (start.php)", "warn: -d leaves")
	wantFindings(t, judgeKind(kindFacts{kind: "none", why: "no idea"}), "warn: none (no idea) -> --kind swoole")
	wantFindings(t, judgeKind(kindFacts{kind: "none", why: "hotreload.toml:2", said: true}), "ok: none")
}

func TestJudgeCommand(t *testing.T) {
	php := []string{"php", "server.php"}
	for name, tt := range map[string]struct {
		facts commandFacts
		want  []string
	}{
		"well":             {commandFacts{command: php, path: "/usr/bin/php", dir: "/app"}, []string{"ok: php server.php, which is /usr/bin/php"}},
		"assumed":          {commandFacts{command: php, path: "/usr/bin/php", assumed: "server.php is there"}, []string{"ok: assumed, as server.php is there"}},
		"no directory":     {commandFacts{command: php, dirErr: os.ErrNotExist}, []string{"fail: not exist -> --dir"}},
		"none":             {commandFacts{}, []string{"fail: nothing to start -> hotreload doctor -- "}},
		"none, to attach":  {commandFacts{optional: true}, []string{"ok: none"}},
		"not found":        {commandFacts{command: php, pathErr: errors.New("it is not in PATH")}, []string{"fail: not in PATH"}},
		"container":        {commandFacts{command: []string{"docker", "compose", "up"}, path: "/usr/bin/docker"}, []string{"fail: docker -> where the server runs"}},
		"no script":        {commandFacts{command: php, script: "/app/server.php", dir: "/app", readErr: os.ErrNotExist}, []string{"fail: server.php: -> --dir DIR"}},
		"forbidden script": {commandFacts{command: php, script: "/app/server.php", dir: "/app", readErr: os.ErrPermission}, []string{"fail: server.php: -> chmod a+r /app/server.php"}},
		"no release yet": {commandFacts{command: php, dir: "/srv/current", link: "/srv/current", dirErr: os.ErrNotExist},
			[]string{"fail: no release to start -> hotreload deploy"}},
		"in the background": {commandFacts{command: php, daemon: "server.php"}, []string{"ok: php", "warn: background -> 'daemonize' => false"}},
	} {
		t.Run(name, func(t *testing.T) { wantFindings(t, judgeCommand(tt.facts), tt.want...) })
	}
}

func TestDaemonizes(t *testing.T) {
	for code, want := range map[string]bool{
		"'daemonize' => true": true, `"daemonize"=>1`: true, "Constant::OPTION_DAEMONIZE => true": true, "Worker::$daemonize = true;": true,
		"'daemonize' => false": false, "'daemonize' => 0": false, "'daemonize' => $daemon": false,
	} {
		if have := daemonizes.MatchString(code); have != want {
			t.Errorf("%s: %v", code, have)
		}
	}
}

func TestFindProgram(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"run": 0o755, "text": 0o644} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	env := []string{"PATH=/nowhere:" + dir}
	for name, ok := range map[string]bool{"run": true, "./run": true, filepath.Join(dir, "run"): true, "absent": false, "./absent": false} {
		path, err := findProgram(name, dir, env)
		if (err == nil) != ok || ok && path != filepath.Join(dir, "run") {
			t.Errorf("%s: %s, %v", name, path, err)
		}
	}
	if _, err := findProgram(".", dir, nil); err == nil {
		t.Error("a directory was taken for a program")
	}
}

func TestReadableDoesNotWaitForAWriter(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if readable(fifo) == nil {
		t.Error("a FIFO was taken for a script")
	}
	if _, err := readSmall(fifo); err == nil {
		t.Error("a FIFO was read")
	}
}

func TestShellWord(t *testing.T) {
	for word, want := range map[string]string{"/srv/a-b.pid": "/srv/a-b.pid", "a b": "'a b'", "it's": `'it'\''s'`, "": "''", "$(x)": "'$(x)'"} {
		if have := shellWord(word); have != want {
			t.Errorf("%q: %s, want %s", word, have, want)
		}
	}
}

func TestAppValue(t *testing.T) {
	dir := t.TempDir()
	text := "# APP_ENV=no\nAPP_ENV=dev # really\nexport APP_DEBUG = \"true\"\nEMPTY=\nQ='a b'\nMY_APP_ENV=x\n"
	if err := os.WriteFile(filepath.Join(dir, ".env"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"APP_ENV": "dev", "APP_DEBUG": "true", "EMPTY": "", "Q": "a b", "OUTER": "1"} {
		if have, ok := appValue(dir, []string{"OUTER=0", "OUTER=1"}, name); !ok || have != want {
			t.Errorf("%s: %q, %v, want %q", name, have, ok, want)
		}
	}
	if v, ok := appValue(dir, nil, "ABSENT"); ok {
		t.Errorf("ABSENT: %q", v)
	}
	if v, _ := appValue(dir, []string{"APP_ENV=prod"}, "APP_ENV"); v != "prod" {
		t.Errorf("the environment does not win: %q", v)
	}
}
