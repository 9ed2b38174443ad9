package supervisor

import (
	"context"
	"fmt"
	"time"
)

// finished takes the result of the operation. Its error ends Run.
func (l *loop) finished(ctx context.Context, r opResult) error {
	op := l.op
	l.op.cancel(nil)
	l.op.hurry()
	l.op = nil
	now := time.Now()
	l.breaker.end(now, op.boot || r.outcome.Result != Refused)
	if r.gen != nil && r.gen != l.gen {
		l.lastGen = r.gen.Number()
	}
	l.gen = r.gen
	if op.bury {
		return l.buried(ctx, r)
	}
	other := l.refused != nil || l.short != ""
	l.releaseServed(r)
	if op.boot {
		return l.booted(ctx, op, r)
	}
	out := r.outcome
	if out.Action == None && out.Result == Verified {
		return l.servedAlready(ctx, op, out, other)
	}
	l.last = &out
	l.count(out)
	if out.Result == Verified {
		l.owed = Plan{}
	} else if r.refused == nil && r.short == "" {
		l.owed = op.plan
	}
	l.settle(out, r)
	l.notify(Event{Kind: EventDone, Outcome: &out, Plan: op.plan, Output: out.Output})
	for _, a := range op.asked {
		a.reply <- answer{outcome: out}
	}
	if l.gen == nil {
		return l.down(ctx, r)
	}
	l.next(ctx)
	if l.op == nil && out.Result == Verified {
		l.startCare(ctx)
	}
	return nil
}

// releaseServed notes which release is served after an operation, and which is not though it is current.
func (l *loop) releaseServed(r opResult) {
	l.refused, l.short = r.refused, r.short
	if r.gen == nil || r.gen.Release() == nil {
		return
	}
	now := r.gen.Release()
	if !now.is(l.served) && l.opt.Releases.Served != nil {
		l.opt.Releases.Served(*now)
	}
	l.served = now
}

// servedAlready ends an operation that found the current release served. other says that another one was current until now, or none.
func (l *loop) servedAlready(ctx context.Context, op *operation, out Outcome, other bool) error {
	l.seq-- // it was only looked
	if other {
		l.state, l.reason, l.owed = Ready, "", Plan{}
		l.notify(Event{Kind: EventNote, Detail: out.Reasons[0]})
	}
	for _, a := range op.asked {
		a.reply <- answer{outcome: out}
	}
	l.next(ctx)
	if l.op == nil {
		l.startCare(ctx)
	}
	return nil
}

// startCare watches over the server until the next operation.
func (l *loop) startCare(ctx context.Context) {
	ctx, l.caring = context.WithCancel(ctx)
	found := make(chan *crashLoop, 1)
	l.care = found
	gen := l.gen
	go func() {
		if loop := l.driver.watchOver(ctx, gen); loop != nil {
			found <- loop
		}
	}()
}

func (l *loop) endCare() {
	if l.caring != nil {
		l.caring()
		l.care, l.caring = nil, nil
	}
}

// withered deals with a server that was called ready, and whose workers turned out not to live.
func (l *loop) withered(ctx context.Context, loop *crashLoop) {
	text := loop.Error()
	l.counters.Failed++
	if l.last != nil {
		last := *l.last
		last.Result, last.Error = Failed, text
		l.last = &last
	}
	lines := l.gen.LastLines()
	if l.opt.Mode == Attach {
		l.state, l.reason = Degraded, text
		l.endCare()
		l.notify(Event{Kind: EventNote, Detail: text + "; the server does not answer until the code is mended", Output: lines})
		return
	}
	g := l.gen
	l.gen, l.state, l.reason, l.exit = nil, Crashed, text+"; the server was ended", Exit{Known: true, Status: 1}
	l.withers = true
	l.notify(Event{Kind: EventCrashed, Detail: l.reason, Output: lines})
	l.begin(ctx, &operation{bury: true}, g)
}

// booted takes the result of a start that no change and no caller asked for.
func (l *loop) booted(ctx context.Context, op *operation, r opResult) error {
	if r.err != nil {
		l.state, l.reason = Crashed, r.err.Error()
		l.notify(Event{Kind: EventCrashed, Detail: r.err.Error(), Output: r.outcome.Output})
		return l.down(ctx, r)
	}
	l.state, l.reason, l.failures, l.owed = Ready, "", 0, Plan{}
	if r.short != "" {
		l.state, l.reason = Degraded, r.short
	}
	kind := EventReady
	if r.found {
		kind = EventAdopted
		l.pending = l.pending.Merge(r.missed)
		if why := r.gen.Crippled(); why != "" {
			l.pending = l.pending.Merge(Plan{Action: Restart, Reasons: []string{why}})
		}
	}
	e := Event{Kind: kind, Took: time.Since(op.started), PID: masterPID(r.gen)}
	if release := r.gen.Release(); release != nil {
		e.Detail = "release " + release.Name
	}
	l.notify(e)
	l.next(ctx)
	if l.op == nil {
		l.startCare(ctx)
	}
	return nil
}

// settle decides the state that an operation leaves behind.
func (l *loop) settle(out Outcome, r opResult) {
	switch {
	case r.gen == nil:
		l.state, l.reason = Crashed, out.Error
	case out.Result == Verified:
		l.state, l.reason, l.failures = Ready, "", 0
	default:
		l.state, l.reason, l.failures = Degraded, out.Error, 0
	}
}

func (l *loop) count(out Outcome) {
	switch {
	case out.Result == Refused:
		l.counters.Refused++
	case out.Result != Verified:
		l.counters.Failed++
	case out.Action == None:
	case out.Action == Restart:
		l.counters.Restarts++
	default:
		l.counters.Reloads++
	}
}

// down decides what happens when nothing runs any more after an operation: another try, waiting for a
// change, or giving up.
func (l *loop) down(ctx context.Context, r opResult) error {
	l.failures++
	if l.opt.Mode == Attach {
		l.schedule(attachInterval)
		return nil
	}
	if l.opt.Mode == Run {
		if l.opt.MaxFailures > 0 && l.failures >= l.opt.MaxFailures {
			return &ExitError{Code: giveUpCode(r.exit), Reason: fmt.Sprintf("gave up after %d failed starts: %s", l.failures, l.reason)}
		}
		l.schedule(l.backoff.NextBackOff())
		return nil
	}
	if l.pending.Action == None && len(l.asked) == 0 {
		l.waits()
	}
	l.next(ctx)
	return nil
}

// attachInterval is how often a master that somebody else is to start is looked for.
const attachInterval = 500 * time.Millisecond

// steady is how long a server must have run for its end not to count as part of a series.
const steady = 10 * time.Second

// crashed deals with a master that ended by itself.
func (l *loop) crashed(ctx context.Context) {
	g := l.gen
	exit, ran := g.Exit(), time.Since(g.StartedAt())
	l.gen = nil
	l.counters.Crashes++
	l.state, l.reason = Crashed, "the master ended by itself: "+exit.String()
	if exit.Why != "" {
		l.reason = "the server broke down: " + exit.Why
	}
	l.notify(Event{Kind: EventCrashed, Detail: l.reason, Output: g.LastLines()})
	if l.opt.Mode == Attach {
		l.schedule(attachInterval)
		return
	}
	if ran >= steady {
		l.backoff.Reset()
	}
	l.exit = exit
	l.begin(ctx, &operation{bury: true}, g)
}

// buried decides what comes after the end of a master, when nothing of it is left.
func (l *loop) buried(ctx context.Context, r opResult) error {
	if r.err != nil {
		l.notify(Event{Kind: EventNote, Detail: r.err.Error()})
	}
	l.state = Crashed
	withers := l.withers
	l.withers = false
	switch {
	case withers && l.opt.Mode == Watch && l.pending.Action == None && len(l.asked) == 0:
		l.waits() // starting it again would change nothing
	case l.pending.Action != None || len(l.asked) > 0:
		l.next(ctx)
	case l.opt.Server.Kind == KindNone && l.opt.Mode == Run:
		return &ExitError{Code: l.exit.Code(), Reason: l.reason}
	case l.opt.Server.Kind == KindNone:
		l.waits()
	default:
		l.schedule(l.backoff.NextBackOff())
	}
	return nil
}

// waits says that nothing is started until something changes. Nobody is to wait in a queue that nobody serves.
func (l *loop) waits() {
	if l.opt.Handover != nil {
		l.opt.Handover.Drop()
	}
	l.notify(Event{Kind: EventWaiting, Detail: l.reason})
}

// schedule plans the next start.
func (l *loop) schedule(wait time.Duration) {
	l.stopTimer(&l.retry)
	l.retry = time.NewTimer(wait)
	l.notify(Event{Kind: EventRetry, Wait: wait, Detail: l.reason})
}

func (l *loop) stopTimer(t **time.Timer) {
	if *t != nil {
		(*t).Stop()
		*t = nil
	}
}
