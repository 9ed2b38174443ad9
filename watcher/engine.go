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

	offer Batch
	began time.Time // the first event of what has not been taken
}

// run returns when ctx is done.
func (e *engine) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		var alarm <-chan time.Time
		if due := e.col.due(); !due.IsZero() {
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
		case <-alarm:
			e.look(ctx)
		case out <- e.offer:
			e.src.commit()
			e.col.taken()
			e.offer, e.began = Batch{}, e.col.first
		}
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
	retry := e.src.look(ctx)
	if !retry.IsZero() && !e.col.forced(now) {
		e.col.giveTime(retry)
		return
	}
	e.offer = Batch{Changes: e.src.changes(), First: e.began, Taken: now, Rescan: e.src.rescanned()}
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
