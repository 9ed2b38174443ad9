package supervisor

import (
	"context"
	"time"
)

// finish stops what runs and answers everybody who waits.
func (l *loop) finish(ctx context.Context, force <-chan struct{}) error {
	l.endCare()
	l.stopTimer(&l.retry)
	l.stopTimer(&l.hold)
	l.stopTimer(&l.appeal)
	forced, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	done := make(chan error, 1)
	op, gen := l.op, l.gen
	l.state, l.reason = Stopped, "stopping"
	if len(l.stopping) > 0 {
		l.notify(Event{Kind: EventStopping, Detail: "on request"})
	}
	go func() { done <- l.wind(forced, op, gen) }()
	for {
		select {
		case err := <-done:
			if forced.Err() != nil && err == nil {
				err = ErrForced
			}
			l.refuseCallers(ErrStopping)
			l.gen, l.op = nil, nil
			l.notify(Event{Kind: EventStopped, Detail: errText(err)})
			for _, reply := range l.stopping {
				reply <- err
			}
			return err
		case <-force:
			force = nil
			cancel()
		case e := <-l.opEvents():
			l.progress(e)
		case text := <-l.remarks:
			l.notify(Event{Kind: EventNote, Detail: text})
		case a := <-l.asks:
			a.reply <- answer{err: ErrStopping}
		case q := <-l.queries:
			q <- l.status()
		case reply := <-l.stops:
			l.stopping = append(l.stopping, reply)
			cancel()
		}
	}
}

// wind ends the operation that runs, then the server.
func (l *loop) wind(ctx context.Context, op *operation, gen generation) error {
	if op != nil {
		defer op.hurry()
		defer context.AfterFunc(ctx, op.hurry)()
		op.cancel(ErrStopping)
		gen = (<-op.done).gen
	}
	if gen == nil || l.opt.Mode == Attach {
		return nil
	}
	if delay := l.opt.Server.DrainDelay; delay > 0 && l.opt.Mode == Run {
		select {
		case <-time.After(delay):
		case <-gen.Done():
		case <-ctx.Done():
		}
	}
	return l.driver.end(ctx, gen)
}

func (l *loop) refuseCallers(err error) {
	if l.op != nil {
		l.asked = append(l.asked, l.op.asked...)
	}
	l.answerAll(answer{err: err})
}

func (l *loop) answerAll(a answer) {
	for _, ask := range l.asked {
		ask.reply <- a
	}
	l.asked = nil
}
