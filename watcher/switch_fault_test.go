package watcher

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"
)

const (
	firstRelease  = "mnt/x/app/releases/1"
	secondRelease = "mnt/x/app/releases/2"
)

// switched checks that a switch is noticed.
func (d *deploy) switched() {
	d.Helper()
	d.want(firstRelease)
	d.do("relink releases/2", "app/current")
	d.want(secondRelease)
}

// TestLinkNamesThatMatterChange: after a switch another name in the same directory decides.
func TestLinkNamesThatMatterChange(t *testing.T) {
	t.Parallel()
	d := newDeploy(t, PollNever)
	d.watch()
	d.switched()
	d.do("rm", secondRelease, "mkdir", secondRelease)
	d.want(secondRelease)
}

func TestLinkBeyondTheWatchLimit(t *testing.T) {
	t.Parallel()
	d := newDeploy(t, PollAuto)
	d.env.retry = 20 * time.Millisecond
	var raised, watched atomic.Bool
	d.env.add = func(w *fsnotify.Watcher, path string) error {
		if path == d.path("mnt/x/app") {
			if !raised.Load() {
				return unix.ENOSPC
			}
			watched.Store(true)
		}
		return w.Add(path)
	}
	d.watch()
	d.switched()
	if line := d.said("watch limit reached"); !strings.Contains(line, remedy(unix.ENOSPC)) {
		t.Errorf("%q does not contain %q", line, remedy(unix.ENOSPC))
	}
	raised.Store(true)
	waitFor(t, "a watch after the limit was raised", watched.Load)
	d.do("relink releases/1", "app/current")
	d.want(firstRelease)
}

func TestLinkWithoutNotifier(t *testing.T) {
	t.Parallel()
	d := newDeploy(t, PollAuto)
	d.env.newNotifier = func() (*fsnotify.Watcher, error) {
		return nil, fmt.Errorf("couldn't initialize inotify: %w", unix.EMFILE)
	}
	d.watch()
	d.switched()
	d.said("watch limit reached")
}

func TestLinkInDirectoryThatMayNotBeWatched(t *testing.T) {
	t.Parallel()
	d := newDeploy(t, PollAuto)
	d.env.add = func(*fsnotify.Watcher, string) error { return unix.EACCES }
	d.watch()
	d.switched()
	d.said("cannot be watched")
}

func TestLinkOnRemoteFileSystem(t *testing.T) {
	t.Parallel()
	d := newDeploy(t, PollAuto)
	d.env.events = silent
	d.env.fileSystem = func(path string) (string, bool) { return "nfs", path == d.path("mnt/x/app") }
	d.watch()
	d.switched()
	d.said("polling it")
}

// TestLinkChangeWithoutEvent moves a directory far above the link. A mount, too, sends no event.
func TestLinkChangeWithoutEvent(t *testing.T) {
	t.Parallel()
	d := newDeploy(t, PollAuto)
	d.env.recheck = 5 * time.Millisecond
	d.opt.Path = d.path("mnt/x/app/current")
	d.watch()
	d.switched()
	d.do("mv mnt", "away", "mkdirs", firstRelease, "ln releases/1", "mnt/x/app/current")
	d.want(firstRelease)
}

func TestLinkEventsLost(t *testing.T) {
	t.Parallel()
	d := newDeploy(t, PollNever)
	d.env.events = silent
	d.watch()
	d.want(firstRelease)
	d.do("relink releases/2", "app/current")
	d.w.sight.intake.fail(fsnotify.ErrEventOverflow)
	d.want(secondRelease)
}

// TestLinkAnchorIsAwayForAMoment: a directory is not there when it is to be watched, and there again when the way is looked at.
func TestLinkAnchorIsAwayForAMoment(t *testing.T) {
	t.Parallel()
	d := newDeploy(t, PollNever)
	away := 3
	d.env.add = func(w *fsnotify.Watcher, path string) error {
		if path == d.path("mnt/x/app") && away > 0 {
			away--
			return unix.ENOENT
		}
		return w.Add(path)
	}
	d.watch()
	d.switched()
}

// gate is between the notifier and the reader of its events.
type gate struct {
	closed  sync.Mutex // held: events wait
	drop    atomic.Bool
	dropped atomic.Pointer[string] // the last one
	added   atomic.Int32           // how often mnt/x/app/releases was watched
}

func newGate(d *deploy) *gate {
	g := &gate{}
	d.env.add = func(w *fsnotify.Watcher, path string) error {
		if path == d.path("mnt/x/app/releases") {
			g.added.Add(1)
		}
		return w.Add(path)
	}
	d.env.events = func(w *fsnotify.Watcher) <-chan fsnotify.Event {
		out := make(chan fsnotify.Event, 1<<10)
		go func() {
			for ev := range w.Events {
				g.closed.Lock()
				if g.drop.Load() {
					g.dropped.Store(&ev.Name)
				} else {
					out <- ev
				}
				g.closed.Unlock()
			}
		}()
		return out
	}
	return g
}

// restored checks that the directory of the releases is watched again, and not only at the next look.
func (g *gate) restored(d *deploy) {
	d.Helper()
	waitFor(d.T, "another watch", func() bool { return g.added.Load() > 1 })
	d.do("rm", firstRelease, "mkdir", firstRelease)
	d.want(firstRelease)
}

// TestLinkWatchIsRestored: a watch ends when its directory is moved, also when it is moved back before anybody looks.
func TestLinkWatchIsRestored(t *testing.T) {
	t.Parallel()
	d := newDeploy(t, PollNever)
	g := newGate(d)
	d.watch()
	d.want(firstRelease)
	g.closed.Lock()
	d.do("mv mnt/x/app/releases", "away", "mv away", "mnt/x/app/releases")
	g.closed.Unlock()
	g.restored(d)
}

// TestLinkWatchIsRestoredAfterOverflow: that it was moved is among the events that were lost.
func TestLinkWatchIsRestoredAfterOverflow(t *testing.T) {
	t.Parallel()
	d := newDeploy(t, PollNever)
	g := newGate(d)
	d.watch()
	d.want(firstRelease)
	g.drop.Store(true)
	d.do("mv mnt/x/app/releases", "away", "mv away", "mnt/x/app/releases", "write mnt/x/app/mark", "x")
	waitFor(t, "the loss of all events", func() bool {
		name := g.dropped.Load()
		return name != nil && *name == d.path("mnt/x/app/mark")
	})
	g.drop.Store(false)
	d.w.sight.intake.fail(fsnotify.ErrEventOverflow)
	g.restored(d)
}

func TestLinkPollNeverSaysWhatIsNotNoticed(t *testing.T) {
	t.Parallel()
	d := newDeploy(t, PollNever)
	d.env.add = func(*fsnotify.Watcher, string) error { return unix.ENOSPC }
	d.watch()
	d.want(firstRelease)
	d.said("polling is off")
}

func TestLinkGapIsNoticed(t *testing.T) {
	t.Parallel()
	d := newDeploy(t, PollNever)
	d.env.gap = time.Millisecond
	d.watch()
	d.want(firstRelease)
	d.do("relink releases/9", "app/current")
	waitFor(t, "the notice", func() bool { return d.log.FilterMessageSnippet("leads to no directory").Len() > 0 })
	if line := d.said("leads to no directory"); !strings.Contains(line, d.path("mnt/x/app/releases/9")) {
		t.Errorf("%q does not say where the way ends", line)
	}
	d.do("relink releases/1", "app/current")
	waitFor(t, "the end of it", func() bool { return d.log.FilterMessageSnippet("again").Len() > 0 })
}

// TestLinkIgnoresEventsBesideIt: what goes on beside the link does not cause a look.
func TestLinkIgnoresEventsBesideIt(t *testing.T) {
	t.Parallel()
	d := newDeploy(t, PollNever)
	d.watch()
	d.want(firstRelease)
	d.looked()
	before := d.opens.Load()
	for i := range 200 {
		d.do("write log", fmt.Sprint("mnt/x/app/log", i), "save x", fmt.Sprint("mnt/x/app/releases/", i+100))
	}
	d.do("relink releases/2", "app/current")
	d.want(secondRelease)
	if n := d.opens.Load() - before; n > 50 {
		t.Errorf("%d directories opened", n)
	}
}

func TestTrace(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	at := func(rel string) string { return filepath.Join(dir, rel) }
	if err := os.MkdirAll(at("a/b"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at("file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	links := map[string]string{"slash": "a/b/", "dots": "./a/../a/./b/.", "up": "a/b/..", "abs": at("a"), "via": "abs/b", "self": "self",
		"under": "file/x", "gone": "a/c/d", "root": "/", "n1": "a"}
	for i := 2; i <= 42; i++ {
		links[fmt.Sprint("n", i)] = fmt.Sprint("n", i-1)
	}
	for name, target := range links {
		if err := os.Symlink(target, at(name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"slash", "dots", "up", "abs", "via", "self", "under", "gone", "root", "n1", "n40", "n41", "n42", "a/b", "nothing", "file"} {
		hops, end, err := trace(dir, name)
		info, statErr := os.Stat(at(name)) // what the kernel says
		if (err == nil) != (statErr == nil) {
			t.Errorf("%s: %v, by the kernel %v", name, err, statErr)
			continue
		}
		if err != nil {
			if end != "" || len(hops) == 0 {
				t.Errorf("%s: end %q, hops %v", name, end, hops)
			}
			continue
		}
		got, err := os.Lstat(end)
		if err != nil || !os.SameFile(info, got) {
			t.Errorf("%s leads to %s: %v", name, end, err)
		}
	}
	for _, name := range []string{"slash", "dots"} {
		hops, _, _ := trace(dir, name)
		if want := []hop{{dir, name}, {at("a"), "b"}}; !slices.Equal(hops, want) {
			t.Errorf("hops %v, want %v", hops, want)
		}
	}
}
