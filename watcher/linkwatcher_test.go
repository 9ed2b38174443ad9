package watcher

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// road is a follower in a bubble of its own time, on a link that leads where the test says.
type road struct {
	t     *testing.T
	out   chan string
	wake  chan struct{}
	again time.Duration
	see   atomic.Pointer[view] // what the next look finds
	looks atomic.Int32
	log   *observer.ObservedLogs
}

func onRoad(t *testing.T, again time.Duration, test func(r *road)) {
	synctest.Test(t, func(t *testing.T) {
		core, log := observer.New(zapcore.DebugLevel)
		r := &road{t: t, out: make(chan string), wake: make(chan struct{}), log: log, again: again}
		r.lead("", 0)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		f := follower{path: "/current", look: func() view { r.looks.Add(1); return *r.see.Load() }, wake: r.wake, out: r.out,
			patience: time.Second, log: zap.New(core)}
		go f.run(ctx)
		synctest.Wait()
		test(r)
	})
}

// lead has the link lead to a directory, "" for none. The inode number tells directories of one name apart.
func (r *road) lead(path string, ino uint64) {
	v := view{again: r.again}
	if path == "" {
		v.err = errors.New("nothing there")
	} else {
		v.target = target{path: path, id: inode{1, ino}}
	}
	r.see.Store(&v)
}

// event has the link lead elsewhere, and be looked at.
func (r *road) event(path string, ino uint64) {
	r.lead(path, ino)
	r.wake <- struct{}{}
	synctest.Wait()
}

func (r *road) want(paths ...string) {
	r.t.Helper()
	for _, path := range paths {
		select {
		case got := <-r.out:
			if synctest.Wait(); got != path {
				r.t.Errorf("reported %q, want %q", got, path)
			}
		default:
			r.t.Errorf("%q is not reported", path)
		}
	}
	select {
	case got := <-r.out:
		r.t.Errorf("reported %q", got)
	default:
	}
}

func (r *road) notices(want ...string) {
	r.t.Helper()
	var got []string
	for _, e := range r.log.TakeAll() {
		got = append(got, e.Message)
	}
	if len(got) != len(want) {
		r.t.Fatalf("notices %q, want %q", got, want)
	}
	for i := range want {
		if !strings.Contains(got[i], want[i]) {
			r.t.Errorf("notices %q, want %q", got, want)
		}
	}
}

func TestTargetIsReportedWhenItIsAnother(t *testing.T) {
	onRoad(t, 0, func(r *road) {
		r.want()
		r.event("/releases/1", 1)
		r.want("/releases/1")
		r.event("/releases/1", 1)
		r.want()
		r.event("/releases/2", 2)
		r.want("/releases/2")
		r.event("/releases/2", 3) // another directory under the same name
		r.want("/releases/2")
		r.event("/elsewhere/2", 3) // the same directory under another name
		r.want("/elsewhere/2")
	})
}

func TestOfferFollowsTheLink(t *testing.T) {
	onRoad(t, 0, func(r *road) {
		r.event("/releases/1", 1)
		r.event("/releases/2", 2)
		r.want("/releases/2") // what nobody received is over
		r.event("/releases/3", 3)
		r.event("/releases/2", 2)
		r.want() // there and back again
		r.event("/releases/3", 3)
		r.event("", 0)
		r.want() // leads nowhere
		r.event("/releases/3", 3)
		r.want("/releases/3")
		r.event("/releases/1", 1)
		r.want("/releases/1")
		r.event("/releases/3", 3)
		r.want("/releases/3")
	})
}

func TestGapIsNoChange(t *testing.T) {
	onRoad(t, 0, func(r *road) {
		time.Sleep(time.Second - 1)
		r.notices()
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		r.notices("leads to no directory") // not yet
		r.event("/releases/1", 1)
		r.notices("again")
		r.want("/releases/1")

		r.event("", 0)
		time.Sleep(time.Second / 2)
		r.event("/releases/1", 1)
		time.Sleep(time.Hour)
		r.notices()
		r.want()

		r.event("", 0)
		time.Sleep(time.Hour)
		synctest.Wait()
		r.event("", 0)
		r.notices("leads to no directory")
		r.event("/releases/1", 1)
		r.notices("again")
		r.want()
	})
}

func TestLooksWithoutEvents(t *testing.T) {
	onRoad(t, 2*time.Second, func(r *road) {
		r.event("/releases/1", 1)
		r.want("/releases/1")
		before := r.looks.Load()
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if got := r.looks.Load() - before; got != 10 {
			t.Errorf("%d looks in 20 s", got)
		}
		r.lead("/releases/2", 2)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		r.want("/releases/2")
	})
	onRoad(t, 0, func(r *road) {
		r.event("/releases/1", 1)
		before := r.looks.Load()
		time.Sleep(time.Hour)
		synctest.Wait()
		if r.looks.Load() != before {
			t.Errorf("%d looks that nobody asked for", r.looks.Load()-before)
		}
	})
}

func TestNewLinkWatcherRefuses(t *testing.T) {
	for _, opt := range []LinkOptions{{}, {Path: "current"}, {Path: "/current", PollInterval: -1}} {
		if _, err := NewLinkWatcher(opt); err == nil {
			t.Errorf("%+v: accepted", opt)
		}
	}
}
