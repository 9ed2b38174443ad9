package main

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hotreload/hotreload/config"
	"github.com/hotreload/hotreload/control"
	"github.com/hotreload/hotreload/signals"
	"github.com/hotreload/hotreload/supervisor"
)

func TestJudgeUser(t *testing.T) {
	www := []userSetting{{"server.php", "user", "www", true}}
	for name, tt := range map[string]struct {
		facts userFacts
		want  []string
	}{
		"alice":                 {userFacts{me: "alice"}, []string{"ok: hotreload runs as alice"}},
		"root, workers www":     {userFacts{me: "root", root: true, settings: www}, []string{"ok: as root, the workers as www (server.php)"}},
		"alice, workers www":    {userFacts{me: "alice", settings: www}, []string{"warn: only root can change to it: they run as alice -> sudo hotreload"}},
		"www, workers www":      {userFacts{me: "www", settings: www}, []string{"ok: runs as www"}},
		"no such user":          {userFacts{me: "root", root: true, settings: []userSetting{{"s.php", "user", "no", false}}}, []string{"warn: no, which does not exist: they run as root -> useradd -r no"}},
		"no such group":         {userFacts{me: "root", root: true, settings: []userSetting{{"s.php", "group", "no", false}}}, []string{"warn: no, which does not exist -> groupadd -r no"}},
		"alice, by sudo":        {userFacts{me: "alice", changer: "sudo"}, []string{"fail: whom alice may not signal -> without sudo"}},
		"root, by gosu":         {userFacts{me: "root", root: true, changer: "gosu"}, []string{"ok: runs as root"}},
		"started with a signal": {userFacts{me: "alice", blocked: []string{"SIGUSR1"}}, []string{"fail: blocked SIGUSR1 -> another shell"}},
	} {
		t.Run(name, func(t *testing.T) { wantFindings(t, judgeUser(tt.facts), tt.want...) })
	}
}

func TestUserSettings(t *testing.T) {
	set := func(what, value string) userSetting { return userSetting{file: "f.php", what: what, value: value} }
	for _, tt := range []struct {
		kind, code string
		want       []userSetting
	}{
		{config.KindSwoole, "new PDO(['user' => 'db']); $s->set(['worker_num' => 2, 'user' => 'www', 'group' => 'web']);", []userSetting{set("user", "www"), set("group", "web")}},
		{config.KindHyperf, "Constant::OPTION_USER => 'www', 'user' => 'www'", []userSetting{set("user", "www")}},
		{config.KindWebman, "'user' => '', 'group' => ''", nil},
		{config.KindWorkerman, "$w->user = 'www'; ['user' => 'db'];", []userSetting{set("user", "www")}},
		{config.KindOctane, "'user' => 'db'", nil},
	} {
		if have := userSettings(tt.kind, []phpFile{{"f.php", tt.code}}); !slices.Equal(have, tt.want) {
			t.Errorf("%s: %s: %v, want %v", tt.kind, tt.code, have, tt.want)
		}
	}
}

// inspected is a server that runs.
func inspected(handles, ignores bool, state byte, roles map[supervisor.Role]int) serverFacts {
	p := signals.Process{PID: 7, Start: 1}
	f := serverFacts{master: p}
	f.look = supervisor.Inspection{Master: signals.Info{Process: p, State: state}, Roles: roles, Handles: handles, Ignores: ignores, Tree: []signals.Process{p}}
	for range roles {
		f.look.Tree = append(f.look.Tree, signals.Process{PID: 8})
	}
	return f
}

func TestJudgeMaster(t *testing.T) {
	workers := map[supervisor.Role]int{supervisor.Manager: 1, supervisor.Worker: 4, supervisor.TaskWorker: 1}
	with := func(more supervisor.Role) map[supervisor.Role]int {
		return map[supervisor.Role]int{supervisor.Worker: 2, more: 1}
	}
	swoole := masterFacts{layout: supervisor.LayoutSwoole, kind: "swoole", has: true, reload: "SIGUSR1"}
	workerman := masterFacts{layout: supervisor.LayoutWorkerman, kind: "webman", has: true, reload: "SIGUSR2"}
	for name, tt := range map[string]struct {
		facts  masterFacts
		server serverFacts
		attach bool
		want   []string
	}{
		"well":                 {swoole, inspected(true, false, 'S', workers), false, []string{"ok: 7 handles SIGUSR1: a manager, 4 workers, 1 task worker"}},
		"single":               {swoole, inspected(true, false, 'S', nil), false, []string{"warn: single process -> worker_num"}},
		"single, not ours":     {swoole, inspected(true, false, 'S', nil), true, []string{"fail: single process -> SWOOLE_PROCESS"}},
		"user process":         {swoole, inspected(true, false, 'S', with(supervisor.UserProcess)), false, []string{"ok: 2 workers", "warn: 1 user process (addProcess) -> hotreload restart"}},
		"user process, theirs": {swoole, inspected(true, false, 'S', with(supervisor.UserProcess)), true, []string{"ok: 2 workers", "warn: 1 user process (addProcess) -> restart the server"}},
		"webman's monitor":     {workerman, inspected(true, false, 'S', with(supervisor.UserProcess)), false, []string{"ok: 7 handles SIGUSR2: 2 workers"}},
		"ignores":              {workerman, inspected(false, true, 'S', workers), false, []string{"fail: ignores SIGUSR2"}},
		"unprepared":           {workerman, inspected(false, false, 'S', workers), false, []string{"fail: no handler for SIGUSR2 -> --kind"}},
		"stopped":              {swoole, inspected(true, false, 'T', workers), false, []string{"fail: is stopped -> kill -CONT 7"}},
		"nothing to reload":    {masterFacts{layout: supervisor.LayoutSingle}, inspected(false, false, 'S', nil), false, []string{"ok: 7 runs; nothing reloads it"}},
		"gone":                 {swoole, serverFacts{master: signals.Process{PID: 7}, lookErr: signals.ErrGone}, false, []string{"warn: ended just now -> again"}},
		"forbidden":            {swoole, serverFacts{master: signals.Process{PID: 7}, lookErr: os.ErrPermission}, false, []string{"fail: permission"}},
	} {
		tt.facts.server, tt.facts.attach = tt.server, tt.attach
		t.Run(name, func(t *testing.T) { wantFindings(t, judgeMaster(tt.facts), tt.want...) })
	}
}

func TestJudgePIDFile(t *testing.T) {
	judged := func(v signals.Verdict, reason string) serverFacts {
		return serverFacts{owner: -1, judgement: signals.Judgement{Verdict: v, PID: 7, Reason: reason}}
	}
	foreign := judged(signals.Master, "")
	foreign.foreign = true
	others := judged(signals.Foreign, "process 7 (php) belongs to user 33, and hotreload runs as user 1000")
	others.owner = 33
	for name, tt := range map[string]struct {
		facts pidFacts
		want  []string
	}{
		"none needed":          {pidFacts{}, nil},
		"none known":           {pidFacts{reloads: true, note: "it is computed"}, []string{"warn: none is known (it is computed) -> --pid-file FILE"}},
		"none to attach by":    {pidFacts{attaches: true}, []string{"fail: none is known -> --pid-file FILE"}},
		"ours":                 {pidFacts{file: "/r/p", server: judged(signals.Master, "")}, []string{"ok: names master 7"}},
		"theirs":               {pidFacts{file: "/r/p", server: foreign}, []string{"ok: hotreload did not start: `hotreload watch --attach`"}},
		"another user's":       {pidFacts{file: "/r/p", me: "alice", owner: "www", server: others}, []string{"fail: process 7 of user www, which alice may not signal -> sudo -u www"}},
		"another program":      {pidFacts{file: "/r/p", server: judged(signals.Foreign, "process 7 is nginx")}, []string{"warn: process 7 is nginx -> rm /r/p"}},
		"no pid file":          {pidFacts{file: "/r/p", server: judged(signals.Garbage, "is a FIFO")}, []string{"fail: is a FIFO -> --pid-file"}},
		"empty":                {pidFacts{file: "/r/p", server: judged(signals.Incomplete, "")}, []string{"warn: is empty -> rm /r/p"}},
		"stale":                {pidFacts{file: "/r/p", server: judged(signals.Stale, "process 7 has ended")}, []string{"warn: process 7 has ended -> rm /r/p"}},
		"not yet":              {pidFacts{file: "/r/p", server: judged(signals.NoFile, "")}, []string{"ok: not there yet"}},
		"no directory":         {pidFacts{file: "/r/p", dirErr: errNotThere, server: judged(signals.NoFile, "")}, []string{"warn: /r is not there -> mkdir -p /r"}},
		"no directory, made":   {pidFacts{file: "/r/p", dirErr: errNotThere, made: true, server: judged(signals.NoFile, "")}, []string{"ok: not there yet"}},
		"forbidden directory":  {pidFacts{file: "/r/p", me: "alice", dirErr: os.ErrPermission, server: judged(signals.NoFile, "")}, []string{"fail: alice cannot write -> sudo chown alice /r"}},
		"forbidden, to attach": {pidFacts{file: "/r/p", attaches: true, dirErr: os.ErrPermission, server: judged(signals.NoFile, "")}, []string{"ok: not there yet"}},
	} {
		t.Run(name, func(t *testing.T) { wantFindings(t, judgePIDFile(tt.facts), tt.want...) })
	}
}

func TestModelOf(t *testing.T) {
	for code, want := range map[string]modelFacts{
		"new Swoole\\Http\\Server('0.0.0.0', 9501);":                                {mode: "SWOOLE_BASE", workers: 4},
		"new Server('0.0.0.0', 9501, SWOOLE_PROCESS); ['worker_num' => 1]":          {mode: "SWOOLE_PROCESS", workers: 1},
		"$mode = $base ? SWOOLE_BASE : SWOOLE_PROCESS; new Server($h, $p, $mode)":   {workers: 4},
		"new Server($h, $p, $mode)":                                                 {workers: 4},
		"'mode' => SWOOLE_BASE, OPTION_WORKER_NUM => swoole_cpu_num(),":             {mode: "SWOOLE_BASE", workers: 4},
		"SWOOLE_BASE 'worker_num' => env('N', 2), 'task_worker_num' => 3":           {mode: "SWOOLE_BASE", workers: -1, tasks: 3},
		"SWOOLE_BASE Constant::OPTION_WORKER_NUM => 1, OPTION_MAX_REQUEST => 1000,": {mode: "SWOOLE_BASE", workers: 1, maxRequest: 1000},
	} {
		if have := modelOf(phpFile{code: code}, 4); have != want {
			t.Errorf("%s: %+v, want %+v", code, have, want)
		}
	}
}

func TestJudgeModel(t *testing.T) {
	wantFindings(t, judgeModel(modelFacts{}))
	wantFindings(t, judgeModel(modelFacts{mode: "SWOOLE_PROCESS", workers: 1}), "ok: SWOOLE_PROCESS")
	wantFindings(t, judgeModel(modelFacts{mode: "SWOOLE_THREAD"}), "fail: threads -> SWOOLE_PROCESS")
	wantFindings(t, judgeModel(modelFacts{mode: "SWOOLE_BASE", workers: 2}), "ok: closes every keep-alive")
	wantFindings(t, judgeModel(modelFacts{mode: "SWOOLE_BASE", workers: 2, run: true}), "warn: closes every keep-alive -> SWOOLE_PROCESS")
	single := modelFacts{file: "s.php", mode: "SWOOLE_BASE", workers: 1}
	wantFindings(t, judgeModel(single), "warn: single process -> 'worker_num' => 2")
	single.seen = true
	wantFindings(t, judgeModel(single), "ok: closes")
	wantFindings(t, judgeModel(modelFacts{mode: "SWOOLE_BASE", workers: 1, maxRequest: 1000}), "ok: closes")
}

func TestEndpointsIn(t *testing.T) {
	lookup := func(name string) (string, bool) { return "9555", name == "HTTP_PORT" }
	for _, tt := range []struct{ kind, code, want string }{
		{config.KindHyperf, "'host' => '0.0.0.0', 'port' => 9501, ['host' => '127.0.0.1', 'port' => (int) env('WS_PORT', 9502)]", "0.0.0.0:9501 127.0.0.1:9502"},
		{config.KindHyperf, "'host' => 'SYSTEMD', 'port' => 0", ""},
		{config.KindHyperf, "'port' => \\Hyperf\\Support\\env('HTTP_PORT', 9501)", ":9555"},
		{config.KindSwoole, `new Swoole\Http\Server('127.0.0.1', 9501); $s->listen("::", 9502, SWOOLE_SOCK_TCP6); new Client('x', 1)`, "127.0.0.1:9501 [::]:9502"},
		{config.KindSwoole, "new Server($host, $port)", ""},
		{config.KindWorkerman, `new Worker('http://0.0.0.0:8080'); new Worker("udp://0.0.0.0:53"); new AsyncTcpConnection('tcp://db:3306');`, "0.0.0.0:8080"},
		{config.KindWebman, "'listen' => 'http://127.0.0.1:8787', 'url' => 'http://x:1'", "127.0.0.1:8787"},
		{config.KindPHPFPM, "'port' => 9000", ""},
	} {
		var have []string
		for _, e := range endpointsIn(tt.kind, phpFile{"f.php", tt.code}, lookup) {
			have = append(have, e.String())
		}
		if strings.Join(have, " ") != tt.want {
			t.Errorf("%s: %q, want %s", tt.code, have, tt.want)
		}
	}
}

func TestOctaneEndpoint(t *testing.T) {
	lookup := func(name string) (string, bool) { return "8100", name == "OCTANE_PORT" }
	none := func(string) (string, bool) { return "", false }
	for _, tt := range []struct {
		command string
		lookup  func(string) (string, bool)
		want    string
	}{
		{"php artisan octane:start", none, "127.0.0.1:8000"},
		{"php artisan octane:start", lookup, "127.0.0.1:8100"},
		{"php artisan octane:start --port=8200 --host 0.0.0.0", lookup, "0.0.0.0:8200"},
	} {
		if have := octaneEndpoint(strings.Fields(tt.command), tt.lookup)[0].String(); have != tt.want {
			t.Errorf("%s: %s, want %s", tt.command, have, tt.want)
		}
	}
}

func TestEndpointMeets(t *testing.T) {
	for _, tt := range []struct {
		host, listener string
		want           bool
	}{
		{"127.0.0.1", "127.0.0.1:80", true},
		{"127.0.0.1", "127.0.0.1:81", false},
		{"127.0.0.1", "10.0.0.1:80", false},
		{"127.0.0.1", "0.0.0.0:80", true},
		{"0.0.0.0", "10.0.0.1:80", true},
		{"127.0.0.1", "[::]:80", true},
		{"127.0.0.1", "[::ffff:127.0.0.1]:80", true},
		{"", "10.0.0.1:80", true},
		{"localhost", "10.0.0.1:80", false},
		{"localhost", "[::1]:80", true},
	} {
		if have := (endpoint{tt.host, 80, ""}).meets(netip.MustParseAddrPort(tt.listener)); have != tt.want {
			t.Errorf("%s and %s: %v", tt.host, tt.listener, have)
		}
	}
}

func TestJudgePort(t *testing.T) {
	at := endpoint{"127.0.0.1", 9501, "server.ready"}
	taken := occupant{endpoint: at, taken: true, pid: 7, program: "nginx"}
	ours, unknown := taken, occupant{endpoint: at, taken: true}
	ours.ours = true
	judge := func(o occupant, f portFacts) []finding {
		f.occupants = []occupant{o}
		return judgePort(f)
	}
	wantFindings(t, judge(occupant{endpoint: at}, portFacts{}), "ok: 127.0.0.1:9501 (server.ready) is free")
	wantFindings(t, judge(ours, portFacts{runs: true}), "ok: the server listens")
	wantFindings(t, judge(taken, portFacts{}), "fail: process 7 (nginx) listens there, and the server cannot -> kill 7")
	wantFindings(t, judge(taken, portFacts{runs: true}), "fail: not the server that runs -> kill 7")
	wantFindings(t, judge(unknown, portFacts{}), "fail: may not look at -> sudo ss -ltnp 'sport = :9501'")
	wantFindings(t, judge(unknown, portFacts{hidden: true}), "ok: presumably the server")
	wantFindings(t, judge(occupant{endpoint: at}, portFacts{runs: true, ready: true}), "fail: nobody listens -> ready = ")
	wantFindings(t, judge(occupant{endpoint: at}, portFacts{runs: true}), "ok: may use another")
}

func TestJudgeDoor(t *testing.T) {
	place := control.Place{Socket: "/run/hotreload/x.sock"}
	left := &supervisor.Adoption{Mode: supervisor.Run}
	owner := &control.Owner{PID: 9, Command: "watch"}
	status := func(s supervisor.Status) doorFacts {
		return doorFacts{place: place, running: true, owner: owner, status: &s}
	}
	for name, tt := range map[string]struct {
		facts doorFacts
		left  int
		want  []string
	}{
		"none":          {doorFacts{place: place}, 0, []string{"ok: would listen on /run/hotreload/x.sock"}},
		"no place":      {doorFacts{placeErr: os.ErrPermission}, 0, []string{"fail: permission -> socket = "}},
		"several":       {doorFacts{placeErr: &control.AmbiguousError{Places: []control.Place{place}}}, 0, []string{"warn: --socket"}},
		"left a socket": {doorFacts{place: place, socket: true}, 0, []string{"ok: the next replaces"}},
		"left a server": {doorFacts{place: place, left: left}, 7, []string{"warn: master 7 still runs -> hotreload run"}},
		"left garbage":  {doorFacts{place: place, leftErr: errors.New("bad")}, 0, []string{"warn: bad -> rm /run/hotreload/x.sock.state", "ok: none runs"}},
		"runs":          {status(supervisor.Status{State: supervisor.Ready}), 7, []string{"ok: hotreload watch (pid 9) runs, the server is ready"}},
		"degraded":      {status(supervisor.Status{State: supervisor.Degraded, Reason: "old"}), 7, []string{"warn: degraded: old -> hotreload status"}},
		"owes":          {status(supervisor.Status{State: supervisor.Ready, Owed: "a.php"}), 7, []string{"warn: not live yet: a.php -> hotreload status"}},
		"silent":        {doorFacts{place: place, running: true, owner: owner, statusErr: context.DeadlineExceeded}, 7, []string{"fail: does not answer -> kill -CONT 9"}},
		"another's":     {doorFacts{place: place, running: true, statusErr: errors.New("belongs to another user")}, 0, []string{"fail: hotreload: belongs to another user"}},
	} {
		t.Run(name, func(t *testing.T) { wantFindings(t, judgeDoor(tt.facts, tt.left), tt.want...) })
	}
}

func TestJudgeRivals(t *testing.T) {
	wantFindings(t, judgeRivals(rivalFacts{}), "ok: nobody else")
	wantFindings(t, judgeRivals(rivalFacts{command: "hyperf/watcher", instead: "php bin/hyperf.php start", monitor: "config/process.php", processes: []rival{{pid: 7, name: "entr"}, {pid: 8, name: "hotreload", user: "www"}}}),
		"fail: hyperf/watcher -> hotreload watch -- php bin/hyperf.php start", "warn: monitor -> 'enable_file_monitor' => false", "warn: entr (pid 7) -> kill 7",
		"warn: hotreload of user www (pid 8) -> sudo -u www hotreload status")
}

func TestWatcherOf(t *testing.T) {
	for line, want := range map[string]string{
		"php bin/hyperf.php server:watch":            "hyperf/watcher",
		"php artisan octane:start --watch":           "octane --watch",
		"php artisan octane:start":                   "",
		"php artisan queue:work --watch":             "",
		"node /app/vendor/laravel/file-watcher.cjs":  "octane --watch",
		"/usr/bin/entr -r php server.php":            "entr",
		"node /usr/lib/node_modules/bin/nodemon.js":  "nodemon",
		"inotifywait -m -r app":                      "inotifywait",
		"vim air":                                    "",
		"php start.php start entr":                   "",
		"tail -f /var/log/some.log with entr in it ": "",
	} {
		if have := watcherOf(strings.Fields(line)); have != want {
			t.Errorf("%s: %q, want %q", line, have, want)
		}
	}
	if have := withoutWatcher(strings.Fields("php artisan octane:start --watch --port=1")); have != "php artisan octane:start --port=1" {
		t.Error(have)
	}
}

func TestWebmanMonitor(t *testing.T) {
	for code, want := range map[string]string{
		"'monitor' => ['options' => ['enable_file_monitor' => !in_array('-d', $argv)]]": "p.php",
		"'monitor' => ['options' => ['enable_file_monitor' => false]]":                  "",
		"'webman' => []": "",
	} {
		if have := webmanMonitor(config.KindWebman, []phpFile{{"p.php", code}}); have != want {
			t.Errorf("%s: %q", code, have)
		}
	}
}

func TestServerCodeLeavesCommentsOut(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "config"), 0o700); err != nil {
		t.Fatal(err)
	}
	text := "<?php\n// 'monitor' => []\n/* 'user' => 'x' */\n# 'y'\nreturn ['webman' => 1];"
	if err := os.WriteFile(filepath.Join(dir, "config/process.php"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := &config.Config{Dir: dir, Server: config.Server{Kind: config.KindWebman, Dir: dir}}
	code := serverCode(cfg)
	if len(code) != 1 || code[0].name != "config/process.php" || strings.Contains(code[0].code, "monitor") || !strings.Contains(code[0].code, "webman") {
		t.Errorf("%+v", code)
	}
}

func TestJudgeHandover(t *testing.T) {
	for _, test := range []struct {
		name  string
		facts handoverFacts
		grade grade
		found string
	}{
		{"possible", handoverFacts{kind: "hyperf", method: "auto"}, gradeOK, "beside the old one"},
		{"off", handoverFacts{kind: "hyperf", method: "off"}, gradeOK, "restart.handover"},
		{"any program", handoverFacts{kind: "none", method: "auto"}, gradeOK, "kind none"},
		{"octane", handoverFacts{kind: "octane", method: "auto"}, gradeOK, "octane:start"},
		{"no seccomp", handoverFacts{kind: "swoole", method: "auto", possible: errors.New("seccomp: operation not permitted")}, gradeWarn, "seccomp"},
		{"no ptrace", handoverFacts{kind: "swoole", method: "auto", possible: errors.New("pidfd_getfd: x (kernel.yama.ptrace_scope is 2)")}, gradeWarn, "ptrace_scope"},
		{"no memory", handoverFacts{kind: "swoole", method: "auto", headroom: "the limit is 10 MB"}, gradeWarn, "10 MB"},
	} {
		if f := judgeHandover(test.facts); f.Grade != test.grade || !strings.Contains(f.Found, test.found) || (f.Remedy == "") != (f.Grade == gradeOK) {
			t.Errorf("%s: %+v", test.name, f)
		}
	}
}
