package watcher

import (
	"context"
	"time"
)

// source is what the engine runs on: the tree, or in tests a fake.
type source interface {
	// absorb takes in the events so far and returns when the relevant ones came.
	absorb(ctx context.Context) span
	// hold returns until when a look must wait because somebody is at work; zero means no hold.
	hold(now time.Time) time.Time
	// look looks at everything marked. See [tree.look].
	look(ctx context.Context) (retry time.Time)
	// markedFiles returns the paths of all files that are marked, nil when there are more than so many.
	markedFiles(most int) []string
	// changes returns what look found.
	changes() []Change
	// commit records that the changes were taken, and says whether they followed a rescan.
	commit()
	// rescanned says whether the changes follow a rescan.
	rescanned() bool
}

// engine is the loop: it owns the source, and everything that happens to the source happens in it.
type engine struct {
	src   source
	col   collector
	wake  <-chan struct{}
	calls <-chan func() // run in the loop
	out   chan<- Batch

	flushes <-chan chan<- struct{}

	early func(paths []string) // nil: nobody wants to know

	offer Batch
	began time.Time // the first event of what has not been taken
	told  time.Time // the last event that early was told of

	flushing []chan<- struct{} // closed when what is on offer was taken
}

// run returns when ctx is done.
func (e *engine) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		var alarm <-chan time.Time
		due, ring := e.col.due(), e.look
		if at := e.earlyAt(); !at.IsZero() && at.Before(due) {
			due, ring = at, e.tell
		}
		if !due.IsZero() {
			timer.Reset(time.Until(due))
			alarm = timer.C
		}
		var out chan<- Batch
		if len(e.offer.Changes) > 0 && e.col.stands() {
			out = e.out
		}
		select {
		case <-ctx.Done():
		case <-e.wake:
			e.absorb(ctx)
		case call := <-e.calls:
			call()
			e.absorb(ctx)
		case done := <-e.flushes:
			e.flush(ctx, done)
		case <-alarm:
			ring(ctx)
		case out <- e.offer:
			e.src.commit()
			e.col.taken()
			e.offer, e.began = Batch{}, e.col.first
			e.flushed()
		}
	}
}

// flush looks at once, whatever there is to wait for, and closes done when the batch was taken or there is none.
func (e *engine) flush(ctx context.Context, done chan<- struct{}) {
	e.absorb(ctx)
	if !e.col.first.IsZero() {
		e.makeOffer(ctx, time.Now(), true)
	}
	e.flushing = append(e.flushing, done)
	if len(e.offer.Changes) == 0 {
		e.flushed()
	}
}

func (e *engine) flushed() {
	for _, done := range e.flushing {
		close(done)
	}
	e.flushing = nil
}

// few is the number of files up to which early is told of them.
const few = 8

// earlyAt is when early is to be told; zero: there is nothing to tell.
func (e *engine) earlyAt() time.Time {
	if e.early == nil || e.col.first.IsZero() || e.told.Equal(e.col.last) {
		return time.Time{}
	}
	return e.col.last.Add(e.col.quiet / 2)
}

// tell tells early, unless it turns out that the time has not come.
func (e *engine) tell(ctx context.Context) {
	e.absorb(ctx)
	if at := e.earlyAt(); at.IsZero() || time.Now().Before(at) {
		return
	}
	e.told = e.col.last
	if paths := e.src.markedFiles(few); len(paths) > 0 {
		e.early(paths)
	}
}

func (e *engine) absorb(ctx context.Context) {
	if s := e.src.absorb(ctx); !s.last.IsZero() {
		e.col.event(s.first, s.last)
		if e.began.IsZero() {
			e.began = s.first
		}
	}
}

// look makes the next offer, unless it turns out that the time has not come.
func (e *engine) look(ctx context.Context) {
	e.absorb(ctx)
	now := time.Now()
	if until := e.src.hold(now); !until.IsZero() {
		e.col.hold(until)
		return
	}
	if e.col.release(now) || now.Before(e.col.due()) {
		return
	}
	e.makeOffer(ctx, now, e.col.forced(now))
}

// makeOffer looks at everything marked. For a file that should be given time the look is made again later, unless it is forced:
// then the others are offered without it.
func (e *engine) makeOffer(ctx context.Context, now time.Time, forced bool) {
	retry := e.src.look(ctx)
	// What the source would commit has changed, and so must what is on offer, whether it may be taken now or not.
	e.offer = Batch{Changes: e.src.changes(), First: e.began, Taken: now, Rescan: e.src.rescanned()}
	if !retry.IsZero() && !forced {
		e.col.giveTime(retry)
		return
	}
	if len(e.offer.Changes) == 0 {
		e.began = time.Time{}
	}
	e.col.looked(now, len(e.offer.Changes) > 0)
	if !retry.IsZero() {
		e.col.event(now, now) // what was left out
		if e.began.IsZero() {
			e.began = now
		}
		e.col.giveTime(retry)
	}
}
