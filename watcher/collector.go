package watcher

import "time"

// collector decides when to look and when a batch may be taken. It knows nothing of files, events or clocks.
//
// A look is due when nothing relevant happened for the quiet period, and at the latest maxWait after the first event
// that no look has followed. A batch is on offer from a look until it is taken or until the next event, which makes
// it necessary to look again. Only if a look had to be made before everything was quiet does the offer stand while the
// events go on: a consumer that is busy at the wrong moments would never get it otherwise.
type collector struct {
	quiet, maxWait time.Duration

	first, last time.Time // of the events since the last look
	lastLook    time.Time
	restless    bool      // the last look could not wait any longer, and what it found has not been taken
	retry       time.Time // something is given time until then, unless another event comes
	holdUntil   time.Time // somebody else is at work: no look before this time
}

// event records that something relevant happened.
func (c *collector) event(first, last time.Time) {
	if c.first.IsZero() || first.Before(c.first) {
		c.first = first
	}
	if last.After(c.last) {
		c.last = last
	}
	c.retry = time.Time{}
}

// due returns when the next look is to be made; zero means that there is no need for one.
func (c *collector) due() time.Time {
	if c.first.IsZero() {
		return time.Time{}
	}
	if !c.holdUntil.IsZero() {
		return c.holdUntil
	}
	at := later(c.last.Add(c.quiet), c.retry)
	if limit := c.limit(); limit.Before(at) {
		return limit
	}
	return at
}

// limit is when waiting ends even if it is not quiet.
func (c *collector) limit() time.Time {
	if c.restless {
		return c.lastLook.Add(c.quiet)
	}
	return c.first.Add(c.maxWait)
}

// forced says whether a look at this time could not wait any longer.
func (c *collector) forced(now time.Time) bool { return !now.Before(c.limit()) }

// hold postpones the look, whatever the limit, because a hold file exists or composer is at work.
func (c *collector) hold(until time.Time) { c.holdUntil = until }

// release ends a hold and says whether there was one. Both waiting times start afresh: whoever held the batch
// up has only just finished.
func (c *collector) release(now time.Time) bool {
	if c.holdUntil.IsZero() {
		return false
	}
	c.holdUntil = time.Time{}
	c.first, c.last = now, now
	return true
}

// giveTime postpones the next look because of a file that may get its content back.
func (c *collector) giveTime(until time.Time) { c.retry = until }

// looked records a look at everything. found says whether it made an offer.
func (c *collector) looked(now time.Time, found bool) {
	c.restless = found && c.forced(now)
	c.lastLook = now
	c.first, c.last, c.retry = time.Time{}, time.Time{}, time.Time{}
}

// taken records that the offer was taken.
func (c *collector) taken() { c.restless = false }

// stands says whether what the last look found may be taken.
func (c *collector) stands() bool { return c.first.IsZero() || c.restless }

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
