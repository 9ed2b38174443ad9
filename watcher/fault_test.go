package watcher

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/sys/unix"
)

// fault is a watcher on a small tree whose kernel misbehaves.
type fault struct {
	*testing.T
	dir string
	env *env
	opt Options
	log *observer.ObservedLogs
	w   *Watcher
}

func newFault(t *testing.T) *fault {
	t.Helper()
	t.Parallel()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	core, log := observer.New(zapcore.DebugLevel)
	f := &fault{T: t, dir: dir, env: testEnv(), log: log, opt: Options{Base: dir, Paths: []string{dir},
		Include: defaultInclude, Exclude: defaultExclude, PollInterval: 5 * time.Millisecond, Log: zap.New(core)}}
	for _, name := range []string{"a/x.php", "b/y.php", "z.php"} {
		if err := os.MkdirAll(filepath.Dir(f.path(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		f.write(name, "one")
	}
	return f
}

func (f *fault) path(name string) string { return filepath.Join(f.dir, name) }

func (f *fault) write(name, text string) {
	f.Helper()
	if err := os.WriteFile(f.path(name), []byte(text), 0o644); err != nil {
		f.Fatal(err)
	}
}

func (f *fault) watch() { f.Helper(); f.w = startWatcher(f.T, f.opt, f.env) }

// until reads batches until each of the changes was reported, and fails on any other.
func (f *fault) until(want ...string) (rescan bool) {
	f.Helper()
	deadline := time.After(patience)
	for len(want) > 0 {
		select {
		case b := <-f.w.Batches():
			rescan = rescan || b.Rescan
			for _, c := range b.Changes {
				i := slices.Index(want, c.Op.String()+" "+c.Rel)
				if i < 0 {
					f.Fatalf("%v %s, want %q", c.Op, c.Rel, want)
				}
				want = slices.Delete(want, i, i+1)
			}
		case <-deadline:
			f.Fatalf("not reported: %q", want)
		}
	}
	return rescan
}

// said returns the one notice that contains the text, with its fields.
func (f *fault) said(text string) string {
	f.Helper()
	var found []string
	for _, e := range f.log.All() {
		if line := fmt.Sprint(e.Message, e.ContextMap()); strings.Contains(line, text) {
			found = append(found, line)
		}
	}
	if len(found) != 1 {
		f.Fatalf("%d notices contain %q: %q", len(found), text, found)
	}
	return found[0]
}

func TestTooManyWatchesArePolled(t *testing.T) {
	f := newFault(t)
	var added atomic.Int32
	f.env.add = func(w *fsnotify.Watcher, path string) error {
		if strings.HasPrefix(path, f.dir+"/") {
			added.Add(1)
			return unix.ENOSPC
		}
		return w.Add(path)
	}
	f.watch()
	if got := f.w.Stats(); got.PolledDirs != 2 || got.Dirs != 3 || got.Backend != eventBackend+"+poll" {
		t.Errorf("stats %+v", got)
	}
	f.write("a/x.php", "two")
	f.until("modified a/x.php")
	f.write("z.php", "two")
	f.until("modified z.php")
	if err := os.MkdirAll(f.path("b/new/deep"), 0o755); err != nil {
		t.Fatal(err)
	}
	f.write("b/new/deep/n.php", "one")
	f.until("created b/new/deep/n.php")
	f.write("b/new/deep/n.php", "two")
	f.until("modified b/new/deep/n.php")
	line := f.said("watch limit reached")
	if want := remedy(unix.ENOSPC); want != "" && !strings.Contains(line, want) {
		t.Errorf("%q does not contain %q", line, want)
	}
	if n := added.Load(); n != 4 {
		t.Errorf("%d attempts to watch", n)
	}
}

func TestNoNotifierIsPolled(t *testing.T) {
	f := newFault(t)
	f.env.newNotifier = func() (*fsnotify.Watcher, error) {
		return nil, fmt.Errorf("couldn't initialize inotify: %w", unix.EMFILE)
	}
	f.watch()
	if got := f.w.Stats(); got.Backend != "poll" || got.PolledDirs != 3 {
		t.Errorf("stats %+v", got)
	}
	f.write("a/x.php", "two")
	f.until("modified a/x.php")
	if line := f.said("watch limit reached"); !strings.Contains(line, remedy(unix.EMFILE)) {
		t.Errorf("%q does not contain %q", line, remedy(unix.EMFILE))
	}
}

func TestPollNever(t *testing.T) {
	f := newFault(t)
	f.opt.Poll = PollNever
	f.env.fileSystem = func(string) (string, bool) { return "nfs", true }
	f.env.add = func(w *fsnotify.Watcher, path string) error {
		if path == f.path("a") {
			return unix.ENOSPC
		}
		return w.Add(path)
	}
	f.watch()
	if got := f.w.Stats(); got.PolledDirs != 0 || got.Backend != eventBackend {
		t.Errorf("stats %+v", got)
	}
	f.said("polling is off")
}

func TestWatchBudget(t *testing.T) {
	f := newFault(t)
	f.env.budget = 1 // as on a system where each watched file takes a descriptor
	f.watch()
	if got := f.w.Stats(); got.PolledDirs == 0 {
		t.Errorf("stats %+v", got)
	}
	f.write("b/y.php", "two")
	f.until("modified b/y.php")
	f.said("watch limit reached")
}

// silent drops all events.
func silent(*fsnotify.Watcher) <-chan fsnotify.Event { return nil }

func TestRemoteFileSystemIsPolled(t *testing.T) {
	f := newFault(t)
	f.env.events = silent
	f.env.fileSystem = func(string) (string, bool) { return "9p", true }
	f.watch()
	if got := f.w.Stats(); got.Backend != eventBackend+"+poll" || got.PolledDirs != 3 {
		t.Errorf("stats %+v", got)
	}
	f.write("a/x.php", "two")
	f.until("modified a/x.php")
	f.write("a/x.php", "333")
	f.until("modified a/x.php")
	if line := f.said("polling it"); !strings.Contains(line, "9p") {
		t.Error(line)
	}
}

func TestChangeWithoutEventSwitchesToPolling(t *testing.T) {
	for _, what := range []string{"content", "new file"} {
		t.Run(what, func(t *testing.T) {
			f := newFault(t)
			f.env.events = silent
			f.env.patrol, f.env.doubt = time.Millisecond, 20*time.Millisecond
			f.watch()
			if got := f.w.Stats(); got.Backend != eventBackend {
				t.Errorf("stats %+v", got)
			}
			if what == "content" {
				f.write("a/x.php", "two")
				f.until("modified a/x.php")
			} else {
				f.write("a/n.php", "two")
				f.until("created a/n.php")
			}
			waitFor(t, "polling", func() bool { return f.w.Stats().PolledDirs == 3 })
			f.said("without an event")
			f.write("b/y.php", "two")
			f.until("modified b/y.php")
		})
	}
}

func TestAnnouncedChangesDoNotSwitchToPolling(t *testing.T) {
	f := newFault(t)
	f.env.patrol, f.env.doubt, f.env.patrolStep = time.Millisecond, 2*time.Second, 2
	f.watch()
	for i := range 100 {
		f.write("a/x.php", fmt.Sprint(i))
		f.until("modified a/x.php")
		if err := os.Chtimes(f.path("b/y.php"), time.Unix(1, 0), time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Link(f.path("z.php"), f.path("link")); err != nil { // changes the ctime, without an event
		t.Fatal(err)
	}
	f.write("a/n.php", "one")
	f.until("created a/n.php")
	// Everything that the patrol is in doubt about now is decided.
	waitFor(t, "the end of all doubts", func() bool {
		decided := false
		inTree(f.w, func(tr *tree) { decided = len(tr.unannounced) == 0 })
		return decided
	})
	if got := f.w.Stats(); got.PolledDirs != 0 {
		t.Errorf("stats %+v: %v", got, f.log.All())
	}
}

// TestMovedOverAnother: while the events of a move are still under way, fsnotify knows the directory by its old name, and the
// name it has now belongs to one that is gone. To add a watch then makes fsnotify 1.10 crash at its next removal.
func TestMovedOverAnother(t *testing.T) {
	f := newFault(t)
	if err := os.Mkdir(f.path("e"), 0o755); err != nil {
		t.Fatal(err)
	}
	f.env.events = silent
	f.watch()
	if err := unix.Rename(f.path("a"), f.path("e")); err != nil {
		t.Fatal(err)
	}
	inTree(f.w, func(tr *tree) { tr.visitSoon(tr.nodes[f.path("e")]) })
	f.until("deleted a/x.php", "created e/x.php")
	inTree(f.w, func(tr *tree) { tr.detach(tr.nodes[f.path("e")]) })
	waitFor(t, "the statistics without it", func() bool { return f.w.Stats().Dirs == 2 })
}

func TestLostEvents(t *testing.T) {
	f := newFault(t)
	f.env.events = silent
	f.watch()
	f.write("a/x.php", "two")
	if err := os.Rename(f.path("b"), f.path("c")); err != nil {
		t.Fatal(err)
	}
	f.w.tree.intake.fail(fsnotify.ErrEventOverflow)
	if rescan := f.until("modified a/x.php", "deleted b/y.php", "created c/y.php"); !rescan {
		t.Error("the batch does not say that it follows a rescan")
	}
	f.w.tree.intake.fail(fsnotify.ErrEventOverflow)
	f.write("z.php", "two")
	f.w.tree.intake.fail(fsnotify.ErrEventOverflow)
	f.until("modified z.php")
}

func TestUnreadable(t *testing.T) {
	f := newFault(t)
	var locked atomic.Bool
	f.env.open = func(path string, flags int) (int, error) {
		if locked.Load() && (path == f.path("a") || path == f.path("z.php")) {
			return -1, unix.EACCES
		}
		return openForReading(path, flags)
	}
	locked.Store(true)
	f.watch()
	f.said("cannot be read")
	f.write("b/y.php", "two")
	f.until("modified b/y.php")
	f.write("z.php", "two") // its content cannot be compared
	f.until("modified z.php")
	locked.Store(false)
	if err := os.Chmod(f.path("a"), 0o700); err != nil {
		t.Fatal(err)
	}
	f.until("created a/x.php") // as far as anybody could know
	f.write("a/x.php", "two")
	f.until("modified a/x.php")
}

func TestUnknownIsNotDeleted(t *testing.T) {
	f := newFault(t)
	f.watch()
	inTree(f.w, func(tr *tree) {
		d := tr.nodes[f.dir]
		tr.mark(d, "z.php", time.Now(), time.Now())
		tr.judge(finding{dir: d, name: "z.php", err: unix.ESTALE}, time.Now())
		if len(d.marks) != 0 || tr.pending != 0 {
			t.Errorf("%d marks, %d pending", len(d.marks), tr.pending)
		}
	})
}

func TestHugeFile(t *testing.T) {
	f := newFault(t)
	if err := os.Truncate(f.path("z.php"), maxContent+1); err != nil {
		t.Fatal(err)
	}
	f.watch()
	if err := os.Truncate(f.path("z.php"), maxContent+2); err != nil {
		t.Fatal(err)
	}
	f.until("modified z.php")
	f.write("z.php", "small again")
	f.until("modified z.php")
}
