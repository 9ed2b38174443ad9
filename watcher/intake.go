package watcher

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"
)

// hint is what the events said about one path since the last look.
type hint struct {
	op          fsnotify.Op
	first, last time.Time
}

const (
	// maxHints bounds what is remembered between two looks; beyond it the tree is compared as a whole.
	maxHints = 1 << 15
	// patient is how often in a row the same name of no interest may come before the reader takes a rest after each one.
	// While nobody reads, the kernel merges the writes to a log file into one event; to read each of them costs a third of a
	// processor. There is no danger that the queue overflows: equal neighbours in it have been merged, so that an equal one
	// that follows says that the queue was empty.
	patient = 16
	// maxVerdicts bounds the cache of names that do not matter.
	maxVerdicts = 1 << 13
)

// intake reads the events, as fast as they come, into a set of paths. It never waits for the rest of the watcher: a
// kernel queue that is not read overflows.
type intake struct {
	match *matcher
	wake  chan struct{} // capacity 1

	mu    sync.Mutex
	hints map[string]hint
	lost  bool // events were lost, or there were too many
	errs  []error

	// special is set by the owner of the tree and read for each event.
	special atomic.Pointer[map[string]special]
}

// special is a directory in which more, or less, than the files that match is of interest.
type special struct {
	all    bool                // events under this path stand for another path, too
	anchor bool                // nothing but names is of interest
	names  map[string]struct{} // of interest whether they match or not
}

func newIntake(m *matcher) *intake {
	in := &intake{match: m, wake: make(chan struct{}, 1), hints: map[string]hint{}}
	in.special.Store(&map[string]special{})
	return in
}

// listen opens a notifier and has its events read until stop is called, which closes it. It is read to its very end: fsnotify
// waits for somebody to take an error while it holds the lock that it needs to be closed.
func (e *env) listen(in *intake) (n *fsnotify.Watcher, stop func(), err error) {
	if n, err = e.newNotifier(); err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		in.read(ctx, e.events(n), n.Errors)
	}()
	return n, func() { n.Close(); cancel(); <-done }, nil
}

// read returns when ctx is done or the notifier is closed.
func (in *intake) read(ctx context.Context, events <-chan fsnotify.Event, errs <-chan error) {
	verdicts := map[string]bool{}
	again, last := 0, ""
	for {
		select {
		case <-ctx.Done():
			return
		case ev, ok := <-events:
			if !ok {
				return
			}
			if in.matters(ev, verdicts) {
				in.add(ev)
				again, last = 0, ""
			} else if ev.Name != last {
				again, last = 0, ev.Name
			} else if again++; again > patient {
				pause(ctx, time.Millisecond)
			}
		case err, ok := <-errs:
			if !ok {
				return
			}
			in.fail(err)
		}
	}
}

// matters drops what can be dropped by name alone. A log file that is written to at full speed ends here. A name that
// comes or goes may be a directory and is passed on.
func (in *intake) matters(ev fsnotify.Event, verdicts map[string]bool) bool {
	dir, name := split(ev.Name)
	sp := *in.special.Load()
	if d, ok := sp[dir]; ok {
		if _, ok := d.names[name]; ok || d.all {
			return true
		}
		if d.anchor {
			_, self := sp[ev.Name]
			return self
		}
	}
	if ev.Op != fsnotify.Write {
		return true
	}
	verdict, ok := verdicts[ev.Name]
	if !ok {
		if len(verdicts) >= maxVerdicts {
			clear(verdicts)
		}
		verdict = in.match.path(ev.Name)
		verdicts[ev.Name] = verdict
	}
	return verdict
}

func (in *intake) add(ev fsnotify.Event) {
	now := time.Now()
	path := ev.Name
	if strings.HasPrefix(path, "//") { // fsnotify joins "/" and the name
		path = path[1:]
	}
	in.mu.Lock()
	h, ok := in.hints[path]
	switch {
	case in.lost:
	case !ok && len(in.hints) >= maxHints:
		in.lost = true
		clear(in.hints)
	default:
		if !ok {
			h.first = now
		}
		h.last = now
		h.op |= ev.Op
		in.hints[path] = h
	}
	in.mu.Unlock()
	in.signal()
}

func (in *intake) fail(err error) {
	in.mu.Lock()
	if errors.Is(err, fsnotify.ErrEventOverflow) {
		in.lost = true
		clear(in.hints)
	} else if len(in.errs) < 16 {
		in.errs = append(in.errs, err)
	}
	in.mu.Unlock()
	in.signal()
}

func (in *intake) signal() {
	select {
	case in.wake <- struct{}{}:
	default:
	}
}

// take hands over what has come together.
func (in *intake) take() (hints map[string]hint, lost bool, errs []error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.hints) > 0 {
		hints, in.hints = in.hints, make(map[string]hint)
	}
	lost, in.lost = in.lost, false
	errs, in.errs = in.errs, nil
	return hints, lost, errs
}

func split(path string) (dir, name string) {
	return filepath.Dir(path), filepath.Base(path)
}
