package watcher

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// fakeSource is a tree of which only the names that differ are known.
type fakeSource struct {
	seen    span
	differ  map[string]time.Time // name to the time until which it wants to be given time
	offer   []Change
	taken   [][]Change
	holding bool
	looks   int
	commits int
}

func (f *fakeSource) absorb(context.Context) span {
	s := f.seen
	f.seen = span{}
	return s
}

func (f *fakeSource) hold(now time.Time) time.Time {
	if f.holding {
		return now.Add(20 * time.Millisecond)
	}
	return time.Time{}
}

func (f *fakeSource) look(context.Context) (retry time.Time) {
	f.looks++
	f.offer = nil
	for name, until := range f.differ {
		if time.Now().Before(until) {
			if retry.IsZero() || until.Before(retry) {
				retry = until
			}
			continue
		}
		f.offer = append(f.offer, Change{Path: name, Op: Modified})
	}
	slices.SortFunc(f.offer, func(a, b Change) int { return int(a.Path[0]) - int(b.Path[0]) })
	return retry
}

func (f *fakeSource) changes() []Change        { return f.offer }
func (f *fakeSource) rescanned() bool          { return false }
func (f *fakeSource) markedFiles(int) []string { return []string{"/base/a.php"} }
func (f *fakeSource) commit() {
	f.commits++
	f.taken = append(f.taken, f.offer)
	for _, c := range f.offer {
		delete(f.differ, c.Path)
	}
}

// bench is an engine in a bubble of its own time.
type bench struct {
	t     *testing.T
	src   *fakeSource
	calls chan func()
	out   chan Batch
	start time.Time
	flush chan chan<- struct{}
	early []time.Duration // when early was told
}

const (
	ms      = time.Millisecond
	quiet   = 20 * ms
	maxWait = 2000 * ms
)

func inBubble(t *testing.T, f func(b *bench)) {
	synctest.Test(t, func(t *testing.T) {
		b := &bench{t: t, src: &fakeSource{differ: map[string]time.Time{}}, calls: make(chan func()), out: make(chan Batch), flush: make(chan chan<- struct{}), start: time.Now()}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		e := engine{src: b.src, col: collector{quiet: quiet, maxWait: maxWait}, wake: make(chan struct{}), calls: b.calls, out: b.out, flushes: b.flush,
			early: func([]string) { b.early = append(b.early, time.Since(b.start)) }}
		go e.run(ctx)
		f(b)
	})
}

// change makes a name differ, and be noticed.
func (b *bench) change(name string) { b.changeUntil(name, time.Time{}) }

func (b *bench) changeUntil(name string, until time.Time) {
	b.calls <- func() { b.src.differ[name] = until; b.event() }
}

func (b *bench) event() { b.src.seen.add(time.Now(), time.Now()) }

// undo makes a name equal again, by another event.
func (b *bench) undo(name string) {
	b.calls <- func() { delete(b.src.differ, name); b.event() }
}

func (b *bench) hold(on bool) { b.calls <- func() { b.src.holding = on } }

// want receives a batch and checks what is in it and when it came, counted from the start.
func (b *bench) want(after time.Duration, names ...string) Batch {
	b.t.Helper()
	got := <-b.out
	if at := time.Since(b.start); at != after {
		b.t.Errorf("batch after %v, want %v", at, after)
	}
	var have []string
	for _, c := range got.Changes {
		have = append(have, c.Path)
	}
	if !slices.Equal(have, names) {
		b.t.Errorf("changes %q, want %q", have, names)
	}
	return got
}

// none checks that there is no batch for a while.
func (b *bench) none(d time.Duration) {
	b.t.Helper()
	select {
	case got := <-b.out:
		b.t.Errorf("batch after %v: %v", time.Since(b.start), got.Changes)
	case <-time.After(d):
	}
}

func TestEarlyIsToldOnceWhenHalfOfTheQuietPeriodHasPassed(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.change("a")
		time.Sleep(8 * ms)
		b.change("b")
		b.want(28*ms, "a", "b")
		time.Sleep(12 * ms)
		b.change("c")
		b.want(60*ms, "c")
		if want := []time.Duration{18 * ms, 50 * ms}; !slices.Equal(b.early, want) {
			t.Errorf("early was told at %v, want %v", b.early, want)
		}
	})
}

func TestFlushDoesNotWait(t *testing.T) {
	inBubble(t, func(b *bench) {
		nothing := make(chan struct{})
		b.flush <- nothing
		<-nothing
		b.change("a")
		done := make(chan struct{})
		b.flush <- done
		select {
		case <-done:
			t.Error("flushed before the batch was taken")
		default:
		}
		b.want(0, "a")
		<-done
		b.none(time.Minute)
	})
}

func TestQuietPeriodRunsFromLastEvent(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.change("a")
		b.none(15 * ms)
		b.change("b")
		b.none(15 * ms)
		b.change("c")
		got := b.want(50*ms, "a", "b", "c")
		if !got.First.Equal(b.start) || !got.Taken.Equal(b.start.Add(50*ms)) {
			t.Errorf("first %v, taken %v", got.First.Sub(b.start), got.Taken.Sub(b.start))
		}
		b.none(time.Hour)
	})
}

func TestMaxWaitRunsFromFirstEvent(t *testing.T) {
	inBubble(t, func(b *bench) {
		go func() {
			for range 250 {
				b.change("a")
				time.Sleep(10 * ms)
			}
		}()
		b.want(2000*ms, "a")
		// What comes after is a batch of its own, with its own waiting time. The last of 250 events comes at 2,490 ms.
		b.want(2510*ms, "a")
		b.none(time.Hour)
	})
}

func TestBusyConsumerGetsOneBatchThatIsUpToDate(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.change("a")
		time.Sleep(100 * ms)
		b.change("b")
		time.Sleep(100 * ms)
		b.undo("a")
		time.Sleep(10 * ms)
		got := b.want(220*ms, "b") // not what was on offer before the last event, but what is true after it
		if !got.First.Equal(b.start) {
			t.Errorf("first %v", got.First.Sub(b.start))
		}
		b.none(time.Hour)
	})
}

func TestUndoneChangesAreNoBatch(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.change("a")
		time.Sleep(50 * ms)
		b.undo("a")
		b.none(time.Hour)
		start := time.Since(b.start)
		b.change("b")
		if got := b.want(start+quiet, "b"); got.First.Sub(b.start) != start {
			t.Error("the batch begins with a change that was undone")
		}
	})
}

func TestOfferStandsWhenItIsNeverQuiet(t *testing.T) {
	inBubble(t, func(b *bench) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range 600 {
				b.change("a")
				time.Sleep(10 * ms)
			}
		}()
		// The consumer comes at an odd moment, between two events, and need not wait.
		time.Sleep(3005 * ms)
		b.want(3005*ms, "a")
		// And it is not overwhelmed: the next one is due after maxWait again.
		b.none(maxWait - quiet)
		<-done
	})
}

func TestHoldIsNotBoundByMaxWait(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.hold(true)
		b.change("a")
		b.none(5000 * ms)
		b.change("b")
		b.none(5005 * ms)
		b.hold(false)
		// Noticed at the next look at the lock; then it must be quiet.
		if got := b.want(10040*ms, "a", "b"); !got.First.Equal(b.start) {
			t.Errorf("first %v", got.First.Sub(b.start))
		}
		b.none(time.Hour)
	})
}

func TestHoldAppliesToAnOfferThatChanges(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.change("a")
		time.Sleep(100 * ms)
		b.hold(true)
		b.change("b")
		b.none(1000 * ms)
		b.hold(false)
		b.want(1140*ms, "a", "b")
	})
}

func TestFileIsGivenTime(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.change("a")
		b.changeUntil("b", b.start.Add(120*ms))
		b.want(120*ms, "a", "b") // together
		b.none(time.Hour)
	})
}

func TestFileThatComesBackIsNotWaitedFor(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.changeUntil("a", b.start.Add(120*ms))
		time.Sleep(50 * ms)
		b.change("a")
		b.want(70*ms, "a")
		b.none(time.Hour)
	})
}

func TestFileIsNotGivenTimeBeyondMaxWait(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.change("a")
		b.changeUntil("b", b.start.Add(3000*ms))
		b.want(2000*ms, "a")
		b.want(3000*ms, "b")
		b.none(time.Hour)
	})
}

// TestOfferIsWhatIsCommitted: a look that leaves something for later replaces an offer that stands.
func TestOfferIsWhatIsCommitted(t *testing.T) {
	inBubble(t, func(b *bench) {
		for range 200 {
			b.change("a")
			time.Sleep(10 * ms)
		}
		time.Sleep(3 * ms) // at 2,000 ms a was offered although it was not quiet
		b.calls <- func() {
			late := time.Now().Add(-8 * ms) // an event that took its time
			b.src.seen.add(late, late)
			delete(b.src.differ, "a")
			b.src.differ["b"] = b.start.Add(5000 * ms)
			b.src.differ["c"] = time.Time{}
		}
		time.Sleep(14 * ms)
		b.want(2017*ms, "c")
		b.want(5000*ms, "b")
	})
}

func TestNothingIsDoneWhenIdle(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.change("a")
		b.want(20*ms, "a")
		b.none(time.Hour)
		b.calls <- func() {
			if b.src.looks != 1 || b.src.commits != 1 {
				t.Errorf("%d looks, %d commits", b.src.looks, b.src.commits)
			}
		}
	})
}
