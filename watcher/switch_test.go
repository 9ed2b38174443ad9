package watcher

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/sys/unix"
)

// deploy is a directory with releases, a link to one of them, and its watcher.
type deploy struct {
	*testing.T
	dir   string
	env   *env
	opt   LinkOptions
	log   *observer.ObservedLogs
	w     *LinkWatcher
	opens atomic.Int64 // two or more in a look that finds a target
	got   chan string  // what was reported; somebody is always receiving

	consume func() // what the consumer does with a target
}

// newDeploy makes mnt/x/app and mnt/y/app, where the directories releases/1 and releases/2 are, and the link current to
// releases/1; and app, a link to mnt/x/app. The link that is watched is app/current.
func newDeploy(t *testing.T, poll PollMode) *deploy {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	core, log := observer.New(zapcore.DebugLevel)
	d := &deploy{T: t, dir: dir, env: testEnv(), log: log, got: make(chan string, 1<<12), consume: func() {},
		opt: LinkOptions{Path: dir + "/app/current", Poll: poll, PollInterval: 2 * time.Millisecond, Log: zap.New(core)}}
	d.env.recheck = time.Hour // so that nothing but an event tells
	d.env.open = func(path string, flags int) (int, error) {
		d.opens.Add(1)
		return openForReading(path, flags)
	}
	for _, app := range []string{"mnt/x/app", "mnt/y/app"} {
		d.do("mkdirs", app+"/releases/1", "mkdir", app+"/releases/2", "ln releases/1", app+"/current")
	}
	d.do("ln mnt/x/app", "app")
	return d
}

func (d *deploy) path(rel string) string {
	if filepath.IsAbs(rel) {
		return rel
	}
	return filepath.Join(d.dir, rel)
}

// do takes pairs: a command of the scripts with all arguments but the last one, and that one. DIR is the directory of the test.
func (d *deploy) do(pairs ...string) {
	d.Helper()
	for i := 0; i < len(pairs); i += 2 {
		words := append(strings.Fields(strings.ReplaceAll(pairs[i], "DIR", d.dir)), pairs[i+1])
		var err error
		if words[0] == "mvT" { // mv -T, which replaces an empty directory
			err = unix.Rename(d.path(words[1]), d.path(words[2]))
		} else {
			err = fileCommand(words[0], words[1:], d.path)
		}
		if err != nil {
			d.Fatalf("%s: %v", words, err)
		}
	}
}

func (d *deploy) watch() {
	d.Helper()
	w, err := newLinkWatcher(d.opt, d.env)
	if err != nil {
		d.Fatal(err)
	}
	d.w = w
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	go func() {
		defer close(d.got)
		for target := range w.Targets() {
			d.got <- target
			d.consume()
		}
	}()
	d.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				d.Errorf("Run: %v", err)
			}
		case <-time.After(patience):
			d.Fatal("Run does not end")
		}
		for target := range d.got {
			d.Errorf("also reported: %s", target)
		}
		if got := d.heldOpen(); len(got) > 0 {
			d.Errorf("still held open: %q", got)
		}
	})
}

// want reads what is reported until the target comes. What is on the way to it may come before.
func (d *deploy) want(rel string, onTheWay ...string) {
	d.Helper()
	for deadline := time.After(patience); ; {
		select {
		case got := <-d.got:
			if got == d.path(rel) {
				return
			}
			if !slices.ContainsFunc(onTheWay, func(rel string) bool { return d.path(rel) == got }) {
				d.Fatalf("reported %s, want %s", got, d.path(rel))
			}
		case <-deadline:
			d.Fatalf("%s is not reported", rel)
		}
	}
}

// looked waits until the link, which must lead somewhere, was looked at several times. One more look may follow.
func (d *deploy) looked() {
	d.Helper()
	before := d.opens.Load()
	waitFor(d.T, "another look", func() bool {
		d.w.sight.intake.signal()
		return d.opens.Load() > before+8
	})
}

// heldOpen returns which directories of the test are open.
func (d *deploy) heldOpen() (rel []string) {
	fds, _ := filepath.Glob("/proc/self/fd/*")
	for _, fd := range fds {
		if path, err := os.Readlink(fd); err == nil && strings.HasPrefix(path, d.dir+"/") {
			rel = append(rel, strings.TrimPrefix(path, d.dir+"/"))
		}
	}
	return rel
}

func (d *deploy) said(text string) string {
	d.Helper()
	return (&fault{T: d.T, log: d.log}).said(text)
}

// TestSwitch switches in every way that is in use, and in some that are not.
func TestSwitch(t *testing.T) {
	const one, two, other = "mnt/x/app/releases/1", "mnt/x/app/releases/2", "mnt/y/app/releases/1"
	for _, tt := range []struct {
		name     string
		before   []string // what is done before the start
		start    string   // where it leads then; "": nowhere
		change   []string
		want     string   // "": nothing is to be reported
		onTheWay []string // may be reported before
	}{
		{"rename", nil, one, []string{"relink releases/2", "app/current"}, two, nil},
		{"rename, absolute", nil, one, []string{"relink DIR/mnt/x/app/releases/2", "app/current"}, two, nil},
		{"trailing slash", nil, one, []string{"relink releases/2/", "app/current"}, two, nil},
		{"rm and ln", nil, one, []string{"rm", "app/current", "ln releases/2", "app/current"}, two, nil},
		{"rm and ln of the same", nil, one, []string{"rm", "app/current", "ln releases/1", "app/current"}, "", nil},
		{"the same again", nil, one, []string{"relink releases/1", "app/current"}, "", nil},
		{"the same in other words", nil, one, []string{"relink ./releases/../releases/1/.", "app/current"}, "", nil},
		{"two switches", nil, one, []string{"relink releases/2", "app/current", "relink DIR/" + other, "app/current"}, other, []string{two}},
		{"there and back again", nil, one, []string{"relink releases/2", "app/current", "relink releases/1", "app/current"}, "", []string{two, one}},
		{"parent symlink", nil, one, []string{"relink mnt/y/app", "app"}, other, nil},
		{"parent symlink, to the same", nil, one, []string{"relink DIR/mnt/x/app", "app"}, "", nil},
		{"parent symlink of the target", []string{"ln mnt/x", "m", "relink DIR/m/app/releases/1", "app/current"}, one,
			[]string{"relink mnt/y", "m"}, other, nil},
		{"two symlinks", []string{"relink releases/2", "mnt/y/app/current"}, one,
			[]string{"relink mnt/y/app", "app", "relink releases/1", "app/current"}, other, []string{"mnt/y/app/releases/2"}},
		{"the old is removed at once", nil, one, []string{"relink mnt/y/app", "app", "rm", "mnt/x"}, other, nil},
		{"parent directory is another", nil, one, []string{"mv mnt/x/app", "mnt/x/old", "mv mnt/y/app", "mnt/x/app"}, one, nil},
		{"ConfigMap", []string{"mkdirs", "vol/..1/app", "mkdirs", "vol/..2/app", "ln ..1", "vol/..data", "ln ..data/app", "vol/app",
			"relink DIR/vol/app", "app/current"}, "vol/..1/app", []string{"relink ..2", "vol/..data", "rm", "vol/..1"}, "vol/..2/app", nil},
		{"target made anew", nil, one, []string{"rm", one, "mkdir", one}, one, nil},
		{"another moved onto the target", nil, one, []string{"mkdir", "new", "mvT new", one}, one, nil},
		{"another moved to the place of the target", nil, one, []string{"mkdir", "new", "mv " + one, "old", "mv new", one}, one, nil},
		{"target moved away and back", nil, one, []string{"mv " + one, "away", "mv away", one}, "", nil},
		{"target moved and followed", nil, one, []string{"mv " + one, "away", "relink DIR/away", "app/current"}, "away", nil},
		{"writes to the target", nil, one, []string{"mkdir", one + "/d", "write " + one + "/a.php", "x", "touch", one, "chmod 700", one}, "", nil},
		{"dangling, then there", nil, one, []string{"relink releases/9", "app/current", "mkdir", "mnt/x/app/releases/9"},
			"mnt/x/app/releases/9", nil},
		{"dangling below what is to come", nil, one, []string{"relink later/on/9", "app/current", "mkdirs", "app/later/on/9"},
			"mnt/x/app/later/on/9", nil},
		{"a file, then a directory", nil, one, []string{"write file", "x", "relink DIR/file", "app/current", "rm", "file", "mkdir", "file"}, "file", nil},
		{"below a file, then a directory", nil, one, []string{"write file", "x", "relink DIR/file/1", "app/current", "rm", "file", "mkdirs", "file/1"},
			"file/1", nil},
		{"a loop, then a directory", nil, one, []string{"relink current", "app/current", "relink releases/2", "app/current"}, two, nil},
		{"a name too long, then a directory", nil, one,
			[]string{"relink " + strings.Repeat("n", 300), "app/current", "relink releases/2", "app/current"}, two, nil},
		{"the link becomes a directory", nil, one, []string{"rm", "app/current", "mkdir", "app/current"}, "mnt/x/app/current", nil},
		{"a directory becomes the link", []string{"rm", "app/current", "mkdir", "app/current"}, "mnt/x/app/current",
			[]string{"rm", "app/current", "ln releases/2", "app/current"}, two, nil},
		{"nothing at the start", []string{"rm", "app"}, "", []string{"ln mnt/y/app", "app"}, other, nil},
		{"everything made anew", nil, one,
			[]string{"rm", "app", "rm", "mnt", "mkdirs", two, "ln releases/2", "mnt/x/app/current", "ln mnt/x/app", "app"}, two, nil},
	} {
		for name, poll := range map[string]PollMode{"events": PollNever, "polls": PollAlways} {
			t.Run(name+"/"+tt.name, func(t *testing.T) {
				t.Parallel()
				d := newDeploy(t, poll)
				d.do(tt.before...)
				d.watch()
				if tt.start != "" {
					d.want(tt.start)
				}
				d.do(tt.change...)
				onTheWay := tt.onTheWay
				if tt.want != "" {
					d.want(tt.want, onTheWay...)
					onTheWay = nil
				}
				d.looked()
				d.do("mkdir", "last", "rm", "app/current", "ln DIR/last", "app/current")
				d.want("last", onTheWay...)
				waitFor(t, "the closing of the others", func() bool {
					open := d.heldOpen()
					return runtime.GOOS != "linux" || len(open) == 1 && open[0] == "last"
				})
			})
		}
	}
}
