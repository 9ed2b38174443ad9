package php

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Why a cache was not emptied.
var (
	// ErrOPcacheThreadSafe: emptying it would endanger the server.
	ErrOPcacheThreadSafe = errors.New("refused: this PHP is thread safe (ZTS), and opcache_reset() corrupts the memory of threads " +
		"that run cached code (php-src issue 18517)")
	// ErrOPcacheUnverified: php-fpm was told to empty it, and whether it has is not known.
	ErrOPcacheUnverified = errors.New("not verified")
)

// OPcacheReset is what a reset did.
type OPcacheReset struct {
	Before, After OPcache
	Took          time.Duration // from the first question to the answer that proved it
}

const (
	firstResetPause   = 5 * time.Millisecond
	longestResetPause = 500 * time.Millisecond

	believedOff = 3 // so many answers in a row
)

// ResetOPcache empties the cache that the pool shares with all others of its master, and returns when a later request has seen
// it restarted.
//
// What opcache_reset() returns is no proof: it schedules a restart, which the first request carries out that finds the cache
// unused (accel_activate in ZendAccelerator.c). A request that was running before keeps it pending. So it is asked again and again;
// each of these questions can be the one that carries it out.
//
// The end of ctx bounds the wait: the error is then ErrOPcacheUnverified if the reset was scheduled. Other errors are
// ErrOPcacheThreadSafe, OPcache.Off, and those of OPcacheStatus; with them nothing was changed. OPcacheReset has what was
// learnt until then.
func (f FPM) ResetOPcache(ctx context.Context) (OPcacheReset, error) {
	var r OPcacheReset
	begin := time.Now()
	err := f.talk(func(c conversation) error { return r.run(ctx, c) })
	r.Took = time.Since(begin)
	return r, err
}

func (r *OPcacheReset) run(ctx context.Context, c conversation) error {
	scheduled, err := r.schedule(ctx, c)
	if err != nil {
		return err
	}
	var lost error // why the last question was not answered
	off := 0       // answers in a row that say that there is no cache
	for pause := firstResetPause; ; pause = min(2*pause, longestResetPause) {
		select {
		case <-ctx.Done():
			return r.unverified(ctx, lost)
		case <-time.After(pause):
		}
		if !scheduled {
			// Somebody else's restart was going on in that moment.
			if scheduled, err = r.schedule(ctx, c); err != nil {
				return err
			}
			continue
		}
		// A worker may die under it, and php-fpm may be reloaded meanwhile: then the next question is answered again.
		reply, err := c.ask(ctx, fpmStatus)
		if err != nil {
			if ctx.Err() == nil { // else it is the end of the wait that cut the question short
				lost = err
			}
			continue
		}
		lost = nil
		if r.After = reply.opcache(); r.After.Off != nil {
			// When the restart was pending as this request began, and was carried out before it looked, the cache is off for that
			// request alone.
			if off++; off >= believedOff {
				return r.After.Off
			}
			lost = r.After.Off
			continue
		}
		off = 0
		if r.After.RestartedSince(r.Before) {
			return nil
		}
	}
}

// schedule tells php-fpm, and notes how the cache was just before. It reports whether a restart is pending now.
func (r *OPcacheReset) schedule(ctx context.Context, c conversation) (bool, error) {
	reply, err := c.ask(ctx, fpmReset)
	if err != nil {
		return false, err
	}
	r.Before = reply.opcache()
	r.After = r.Before
	switch {
	case r.Before.ThreadSafe:
		return false, ErrOPcacheThreadSafe
	case r.Before.Off != nil:
		return false, r.Before.Off
	case len(reply.Forbidden) > 0:
		return false, reply.forbidden()
	}
	// One that was pending already is as good: it empties what is in the cache now.
	return r.Before.RestartPending || (reply.Reset != nil && *reply.Reset), nil
}

// RestartedSince reports whether the cache, and everything that was in it before, is a new one.
func (c OPcache) RestartedSince(before OPcache) bool {
	if c.Off != nil || c.RestartPending || c.RestartInProgress {
		return false
	}
	return c.ManualRestarts > before.ManualRestarts || c.LastRestart.After(before.LastRestart) || !c.StartedAt.Equal(before.StartedAt)
}

// unverified says why it is not known whether the cache is empty.
func (r *OPcacheReset) unverified(ctx context.Context, lost error) error {
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return ctx.Err()
	}
	switch {
	case lost != nil:
		return fmt.Errorf("%w: the reset is scheduled, and then there was %w", ErrOPcacheUnverified, lost)
	case r.After.RestartPending || r.After.ManualRestarts == r.Before.ManualRestarts:
		return fmt.Errorf("%w: the reset is scheduled, and waits for requests that were running before it", ErrOPcacheUnverified)
	}
	return ErrOPcacheUnverified
}
