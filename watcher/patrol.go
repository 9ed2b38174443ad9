package watcher

import (
	"context"
	"slices"
	"time"

	"go.uber.org/zap"
)

// patrol looks at a few files and directories that are watched through events. Where it finds a change that no event
// announced, events cannot be relied on.
func (c *chores) patrol(ctx context.Context) {
	const leastRound = 6
	if len(c.beat) == 0 && time.Since(c.walked) >= leastRound*c.t.env.patrol {
		c.walked = time.Now()
		for _, r := range c.t.roots {
			c.t.recheck[r] = c.t.recheck[r] || false // a directory above a root may have been moved
		}
		for _, d := range c.t.nodes {
			if d.live && !d.polled {
				c.beat = append(c.beat, d)
			}
		}
	}
	part, rest := cut(c.beat, c.t.env.patrolStep)
	c.beat = rest
	again := func() { c.after(ctx, c.t.env.patrol, func() { c.patrol(ctx) }) }
	if len(part) == 0 {
		again()
		return
	}
	c.jobs <- func(ctx context.Context) func() {
		found := c.compare(ctx, part, c.t.idle)
		return func() {
			c.t.calm(found.same)
			c.audit(ctx, found.differ)
			again()
		}
	}
}

// audit follows up what the patrol found. An event may still be on its way, so judgement waits.
func (c *chores) audit(ctx context.Context, found []difference) {
	t := c.t
	if len(found) == 0 {
		return
	}
	t.absorbHints()
	t.auditing = true
	for _, s := range found {
		if !s.dir.live || s.name != "" && !c.differs(ctx, s.suspect) {
			continue // the event came meanwhile
		}
		t.suspect(s)
	}
	t.settleLinks(ctx)
	t.auditing = false
	c.after(ctx, t.env.doubt, func() { c.conclude(ctx) })
}

// conclude decides about changes that were found long enough ago for an event to have come, and looked at.
func (c *chores) conclude(ctx context.Context) {
	t, waiting := c.t, false
	t.absorbHints() // whatever has been said by now
	for s, u := range t.unannounced {
		switch {
		case time.Since(u.found) < t.env.doubt:
		case s.dir.marks[s.name] == nil && !u.differs:
			delete(t.unannounced, s) // it could not be looked at
		case !u.differs:
			waiting = true // it has not been looked at
		default:
			delete(t.unannounced, s)
			if s.dir.live {
				t.distrust(s.dir, s.name)
			}
		}
	}
	if waiting {
		c.after(ctx, t.env.doubt, func() { c.conclude(ctx) })
	}
	c.arm(ctx, t.opt.PollInterval)
}

// unannounced is a change for which no event has come so far.
type unannounced struct {
	found   time.Time
	differs bool // the content does differ
}

// differs compares with what is known now.
func (c *chores) differs(ctx context.Context, s suspect) bool {
	if m := s.dir.marks[s.name]; m != nil && m.dirty {
		return false
	}
	found := c.compare(ctx, []sample{sampleOf(s.dir)}, nil) // it is the loop itself that looks
	return slices.ContainsFunc(found.differ, func(d difference) bool { return d.suspect == s })
}

// distrust switches to polling everything on the file system that d is on.
func (t *tree) distrust(d *dir, name string) {
	dev := t.devs[d.id.dev]
	if dev == nil || dev.polled {
		return
	}
	dev.polled = true
	for _, n := range t.nodes {
		if n.live && n.id.dev == d.id.dev && !n.polled {
			t.count(n, -1)
			n.polled = true
			t.count(n, 1)
		}
	}
	t.log.Warn("a file changed without an event, polling this file system from now on",
		zap.String("path", d.join(name)), zap.Duration("interval", t.opt.PollInterval))
}
