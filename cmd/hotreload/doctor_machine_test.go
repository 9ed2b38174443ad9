package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hotreload/hotreload/config"
	"github.com/hotreload/hotreload/signals"
	"github.com/hotreload/hotreload/watcher"
)

func TestJudgeFiles(t *testing.T) {
	well := watcher.Stats{Files: 40, Dirs: 17}
	wantFindings(t, judgeFiles(treeFacts{stats: well}), "ok: 40 files in 17 directories")
	wantFindings(t, judgeFiles(treeFacts{}), "fail: no file is watched -> include under [watch]")
	wantFindings(t, judgeFiles(treeFacts{stats: well, missing: []string{"/app/gone"}, unreadable: 2, example: "/app/a b"}),
		"ok: 40", "warn: /app/gone -> paths", "warn: 2 files or directories may not be read -> chmod -R a+rX '/app/a b'")
}

func TestGatherTree(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a.php", "vendor/late.php", "app/late.php", "app/late.txt"} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("<?php"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	later := time.Now().Add(time.Hour)
	for _, name := range []string{"vendor/late.php", "app/late.php", "app/late.txt"} {
		if err := os.Chtimes(filepath.Join(dir, name), later, later); err != nil {
			t.Fatal(err)
		}
	}
	cfg := &config.Config{Dir: dir, Watch: config.Watch{
		Paths: []string{dir, filepath.Join(dir, "gone")}, Include: []string{"**/*.php"}, Exclude: []string{"**/vendor/**"},
	}}
	f, err := gatherTree(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if f.stats.Files != 2 || f.future != 1 || f.futureName != filepath.Join(dir, "app/late.php") || len(f.missing) != 1 || f.unreadable != 0 {
		t.Errorf("%+v", f)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := gatherTree(ended, cfg); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestJudgeFileSystems(t *testing.T) {
	local, remote := fsPlace{"/app", "ext4", false}, fsPlace{"/app/src", "9p", true}
	judge := func(poll string, places ...fsPlace) []finding {
		return judgeFileSystems(fsFacts{poll: poll, interval: 500 * time.Millisecond, places: places})
	}
	wantFindings(t, judge("auto", local, local, fsPlace{"/x", "tmpfs", false}), "ok: ext4, tmpfs: changes send events")
	wantFindings(t, judge("always", local), "ok: ext4; polled every 500ms")
	wantFindings(t, judge("auto", local, remote), "ok: ext4", "warn: /app/src is on 9p -> poll_interval")
	wantFindings(t, judge("never", remote), `fail: not noticed -> poll = "auto"`)
	wantFindings(t, judge("auto", fsPlace{"/app", "", false}))
}

func TestMounts(t *testing.T) {
	mounts := []mount{
		{point: "/", kind: "ext4"}, {point: "/app", kind: "overlay"}, {point: "/app", kind: "9p"}, {point: "/app/vendor", kind: "nfs4"},
		{point: "/app/proc", kind: "proc"}, {point: "/apples", kind: "xfs"},
	}
	for path, want := range map[string]string{"/": "ext4", "/etc": "ext4", "/app": "9p", "/app/src": "9p", "/app/vendor/x": "nfs4", "/apples": "xfs"} {
		if have := mountOf(mounts, path).kind; have != want {
			t.Errorf("%s: %s, want %s", path, have, want)
		}
	}
	if have := mountsBelow(mounts, "/app"); len(have) != 1 || have[0] != "/app/vendor" {
		t.Errorf("below /app: %v", have)
	}
}

func TestJudgeInotify(t *testing.T) {
	well := inotifyFacts{maxWatches: 100, maxInstances: 10, maxEvents: 16384, watches: 50, instances: 2, dirs: 50}
	many, full, never, running, exhausted := well, well, well, well, well
	many.dirs, full.instances = 51, 10
	never.dirs, never.poll = 51, "never"
	running.dirs, running.watching = 51, true
	exhausted.exhausted = true
	wantFindings(t, judgeInotify(well), "ok: 50 directories to watch; in use by this user: 50 of 100 watches, 2 of 10 instances; a queue of 16384")
	wantFindings(t, judgeInotify(many), "warn: 51 directories to watch, and 50 of 100 watches are in use by this user: the rest is polled -> fs.inotify.max_user_watches=524288")
	wantFindings(t, judgeInotify(never), "fail: the rest is not watched -> max_user_watches")
	wantFindings(t, judgeInotify(full), "warn: all 10 inotify instances of this user are in use: everything is polled -> max_user_instances=1024")
	wantFindings(t, judgeInotify(exhausted), "warn: everything is polled -> max_user_instances=1024")
	wantFindings(t, judgeInotify(running), "ok: 51")
}

func TestInotifyInUse(t *testing.T) {
	if sysctl("fs.inotify.max_user_watches") == 0 {
		t.Skip("no inotify here")
	}
	table, err := signals.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	watches, instances := inotifyInUse(table, os.Geteuid())
	dir := t.TempDir()
	w, err := watcher.New(watcher.Options{Base: dir, Paths: []string{dir}, Include: []string{"**"}})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { ended <- w.Run(ctx) }()
	<-w.Ready()
	// Others come and go meanwhile, so this process is counted alone.
	own, err := signals.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	more, also := inotifyInUse(own, os.Geteuid())
	if more < 1 || also < 1 {
		t.Errorf("%d watches, %d instances; before: %d, %d", more, also, watches, instances)
	}
	cancel()
	<-ended
}

func TestJudgeClock(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	wantFindings(t, judgeClock(clockFacts{}))
	wantFindings(t, judgeClock(clockFacts{skews: []skew{{"/app", -4 * time.Millisecond}}}), "ok: ")
	wantFindings(t, judgeClock(clockFacts{skews: []skew{{"/app", -3 * time.Second}}}), "warn: 3s behind -> hwclock")
	wantFindings(t, judgeClock(clockFacts{skews: []skew{{"/app", 2 * time.Hour}}}), "warn: 2h0m0s ahead -> hwclock")
	f := clockFacts{dir: "/app", now: now, tree: treeFacts{future: 3, futureName: "/app/a.php", futureNewest: now.Add(time.Minute)}}
	wantFindings(t, judgeClock(f), "warn: 3 files with a time in the future, such as a.php (1m0s ahead) -> find /app -name")
}

func TestFileClock(t *testing.T) {
	dir := t.TempDir()
	before := time.Now()
	at, ok := fileClock(dir)
	if !ok {
		t.Skip("no files without a name here")
	}
	if d := at.Sub(before); d.Abs() > tolerance {
		t.Errorf("a new file is %s from the clock", d)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	if _, ok := fileClock(filepath.Join(dir, "gone")); ok {
		t.Error("a file was made in no directory")
	}
}

func TestJudgeEnvironment(t *testing.T) {
	for name, tt := range map[string]struct {
		facts envFacts
		want  []string
	}{
		"unset":               {envFacts{kind: "swoole"}, nil},
		"dev":                 {envFacts{env: "dev"}, []string{"ok: APP_ENV=dev"}},
		"prod":                {envFacts{env: "prod"}, []string{"ok: right for `run`, and not for `watch`"}},
		"prod, watch":         {envFacts{env: "production", mode: "watch"}, []string{"warn: made for development -> APP_ENV = \"dev\""}},
		"prod, run":           {envFacts{env: "prod", mode: "run"}, []string{"ok: APP_ENV=prod"}},
		"dev, run":            {envFacts{env: "dev", debug: "(true)", mode: "run"}, []string{"warn: made for production -> APP_ENV = \"prod\"", "warn: APP_DEBUG=(true) -> false"}},
		"local, run":          {envFacts{kind: "octane", env: "local", mode: "run"}, []string{"warn: made for production -> APP_ENV = \"production\""}},
		"hyperf, unset, run":  {envFacts{kind: "hyperf", mode: "run"}, []string{"warn: takes for dev -> APP_ENV"}},
		"webman's debug, run": {envFacts{kind: "webman", mode: "run", webmanFile: "config/app.php"}, []string{"warn: 'debug' => true -> 'debug' => false in config/app.php"}},
		"webman's debug":      {envFacts{kind: "webman", webmanFile: "config/app.php"}, nil},
	} {
		t.Run(name, func(t *testing.T) { wantFindings(t, judgeEnvironment(tt.facts), tt.want...) })
	}
}

func TestJudgeKernel(t *testing.T) {
	for want, f := range map[string]kernelFacts{
		"ok: Linux 6":                                        {release: "Linux 6", proc: true},
		"ok: no pidfd (function not)":                        {release: "Linux 5", proc: true, pidfd: errors.New("function not")},
		"fail: /proc is not mounted -> mount":                {release: "Linux 6"},
		"warn: hidepid -> remount,hidepid=0":                 {proc: true, hidepid: true},
		"ok: Darwin, where less is known":                    {release: "Darwin", proc: true, pidfd: errors.ErrUnsupported, subreaper: errors.ErrUnsupported},
		"ok: Linux 7":                                        {release: "Linux 7", proc: true, hidepid: true, root: true},
		"warn: outlive the server's master -> first process": {proc: true, subreaper: os.ErrInvalid},
	} {
		wantFindings(t, []finding{judgeKernel(f)}, want)
	}
}

func TestJudgeLimits(t *testing.T) {
	wantFindings(t, judgeLimits(limitFacts{}), "ok: any number")
	wantFindings(t, judgeLimits(limitFacts{soft: 1024}), "ok: the server may open 1024 files")
	wantFindings(t, judgeLimits(limitFacts{soft: 1024, run: true, master: 7}), "warn: master 7 may open 1024 files -> ulimit -n 65535")
	wantFindings(t, judgeLimits(limitFacts{soft: 256}), "warn: 256 -> LimitNOFILE")
	if n := openFiles("Limit  Soft  Hard  Units\nMax open files            1024                 524288               files     \n"); n != 1024 {
		t.Errorf("%d open files", n)
	}
	if n := openFiles("Max open files  unlimited unlimited files\n"); n != 0 {
		t.Errorf("%d open files, want no limit", n)
	}
}

func TestJudgeDisks(t *testing.T) {
	const plenty = 1 << 40
	code := diskFacts{what: "the server's files", dir: "/app", device: 1, free: plenty}
	pid := diskFacts{what: "the pid file", dir: "/app/runtime", device: 1, free: plenty}
	other, readOnly, full, fewFiles, gone, image := pid, pid, pid, pid, pid, code
	other.device, other.dir = 2, "/run"
	readOnly.device, readOnly.readOnly = 2, true
	full.device, full.free = 2, 0
	fewFiles.device, fewFiles.inodes, fewFiles.files = 2, true, 5
	gone.err = os.ErrPermission
	image.readOnly = true
	wantFindings(t, judgeDisks([]diskFacts{code, pid}), "ok: 1099.5 GB free in /app")
	wantFindings(t, judgeDisks([]diskFacts{code, other}), "ok: free in /app, 1099.5 GB free in /run")
	wantFindings(t, judgeDisks([]diskFacts{code, readOnly}), "fail: the pid file lies on a read-only -> remount,rw /app/runtime")
	wantFindings(t, judgeDisks([]diskFacts{image, pid}), "ok: free in /app/runtime")
	wantFindings(t, judgeDisks([]diskFacts{image, readOnly}), "fail: the pid file lies on a read-only -> volume")
	wantFindings(t, judgeDisks([]diskFacts{code, full}), "fail: full -> df -h /app/runtime; df -i /app/runtime")
	wantFindings(t, judgeDisks([]diskFacts{code, fewFiles}), "warn: nearly full -> df -h")
	wantFindings(t, judgeDisks([]diskFacts{gone}), "warn: permission denied")
}

func TestDiskOfADirectoryThatIsNotThere(t *testing.T) {
	dir := t.TempDir()
	f := diskFacts{dir: filepath.Join(dir, "a/b")}
	if f.gather(); f.err != nil || f.dir != dir || f.free == 0 {
		t.Errorf("%+v", f)
	}
}

func TestWritable(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := writable(dir); err != nil {
		t.Error(err)
	}
	if err := writable(filepath.Join(dir, "gone")); !errors.Is(err, errNotThere) {
		t.Errorf("gone: %v", err)
	}
	if err := writable(file); err == nil {
		t.Error("a file was taken for a directory")
	}
	if err := writableAbove(filepath.Join(dir, "a/b")); err != nil {
		t.Errorf("above: %v", err)
	}
}
