package supervisor

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/hotreload/hotreload/watcher"
)

// loop is the state of Run. Only its goroutine touches it.
type loop struct {
	*Supervisor

	gen      generation // nil while nothing runs
	lastGen  int        // number of the newest generation
	state    State
	reason   string
	last     *Outcome
	seq      int
	counters Counters
	pending  Plan // changes that no operation has taken yet
	owed     Plan // what a refused or failed operation left undone
	asked    []ask
	breaker  *loopBreaker
	served   *Release                    // in release mode, the one that was served last
	refused  *Release                    // in release mode, the current one if it was not fit to be served
	short    string                      // why another one than the current was started, "": none was
	exit     Exit                        // of the master that ended last
	failures int                         // starts that failed in a row
	backoff  *backoff.ExponentialBackOff // between starts of a server that ends by itself
	retry    *time.Timer                 // nil: no start is scheduled
	hold     *time.Timer                 // nil: no suspicious change is held back
	care     <-chan *crashLoop           // what watching over the server finds; nil: nobody watches
	caring   context.CancelFunc          // ends that; nil: nobody watches
	withers  bool                        // the server was ended because its workers do not live
	doubted  Plan                        // changes by which files came to be ignored
	ignored  Plan                        // changes of ignored files since the last operation began
	appeal   *time.Timer                 // until they are applied after all; nil: there are none
	op       *operation                  // nil: idle
	stopping []chan error                // who waits for the end
}

// operation is the one thing that is being done.
type operation struct {
	plan      Plan
	asked     []ask
	boot      bool     // nobody waits for an outcome
	ends      bool     // the old server ends, with none to take over; set by the loop
	starts    bool     // the server is starting; set by the loop
	bury      bool     // it only ends what a dead master left behind
	requested bool     // somebody asked for it who waits
	aim       *Release // in release mode, what is about to be made live; set by the loop
	escalated string   // by the operation goroutine; read when it is done
	started   time.Time
	cancel    context.CancelCauseFunc
	hurry     context.CancelFunc // ends what goes on in order after cancel: uncut
	events    chan Event         // progress, received by the loop
	done      chan opResult      // one value
}

type opResult struct {
	gen     generation // what runs now; nil: nothing
	missed  Plan       // what changed before this hotreload watched
	found   bool       // gen ran before this hotreload did
	outcome Outcome
	refused *Release // in release mode, the current one, which is not served; nil: it is
	short   string   // why another release than the current one was started, and which; "": none was
	exit    Exit     // of a server that did not get ready
	err     error
}

// Run supervises until ctx is cancelled or Stop is called, both of which stop the server gracefully (in
// Attach it is left alone), or until the server has ended and hotreload gives up on it (*ExitError). When
// force is closed a graceful stop is cut short. Run may be called once.
func (s *Supervisor) Run(ctx context.Context, force <-chan struct{}) error {
	defer close(s.ended)
	l := &loop{Supervisor: s, state: Starting, breaker: newLoopBreaker(), backoff: &backoff.ExponentialBackOff{
		InitialInterval: s.opt.Restart.Min, MaxInterval: s.opt.Restart.Max, Multiplier: 2,
	}}
	if s.opt.Mode != Attach && s.opt.Adopt == nil && s.opt.Releases == nil {
		if err := s.driver.startable(nil); err != nil {
			return err
		}
	}
	l.boot(ctx)
	batches := s.opt.Batches
	quit := ctx.Done()
	for {
		select {
		case b, ok := <-batches:
			if !ok {
				batches = nil
				continue
			}
			l.changed(ctx, b)
		case a := <-s.asks:
			l.request(ctx, a)
		case q := <-s.queries:
			q <- l.status()
		case reply := <-s.stops:
			l.stopping = append(l.stopping, reply)
			return l.finish(ctx, force)
		case <-quit:
			return l.finish(ctx, force)
		case text := <-s.remarks:
			l.notify(Event{Kind: EventNote, Detail: text})
		case e := <-l.opEvents():
			l.progress(e)
		case r := <-l.opDone():
			if err := l.finished(ctx, r); err != nil {
				l.refuseCallers(ErrStopping)
				return err
			}
		case loop := <-l.care:
			l.withered(ctx, loop)
		case <-l.died():
			l.crashed(ctx)
		case <-timerC(l.retry):
			l.retry = nil
			l.again(ctx)
		case <-timerC(l.hold):
			l.hold = nil
			l.next(ctx)
		case <-timerC(l.appeal):
			l.appeal = nil
			l.pending, l.doubted = l.pending.Merge(l.doubted), Plan{}
			l.next(ctx)
		}
	}
}

// again is the next try to get a server that ended.
func (l *loop) again(ctx context.Context) {
	if l.opt.Mode == Attach {
		l.boot(ctx)
		return
	}
	l.pending = l.pending.Merge(Plan{Action: Restart, Reasons: []string{l.reason}})
	l.next(ctx)
}

func timerC(t *time.Timer) <-chan time.Time {
	if t == nil {
		return nil
	}
	return t.C
}

func (l *loop) opEvents() <-chan Event {
	if l.op == nil {
		return nil
	}
	return l.op.events
}

func (l *loop) opDone() <-chan opResult {
	if l.op == nil {
		return nil
	}
	return l.op.done
}

// died is the end of the master nobody asked for: while an operation runs, its end is the operation's affair.
func (l *loop) died() <-chan struct{} {
	if l.gen == nil || l.op != nil {
		return nil
	}
	return l.gen.Done()
}

func (l *loop) changed(ctx context.Context, b watcher.Batch) {
	now := time.Now()
	for i, c := range b.Changes {
		if l.breaker.changed(c.Path, b.First) {
			l.notify(Event{Kind: EventIgnored, Detail: c.Rel})
			l.doubted = l.doubted.Merge(Decide(b.Changes[i:i+1], l.opt.Rule, nil))
			l.stopTimer(&l.appeal)
			l.appeal = time.NewTimer(appeal)
		}
	}
	l.pending = l.pending.Merge(Decide(b.Changes, l.opt.Rule, l.breaker.ignores))
	l.ignored = l.ignored.Merge(Decide(b.Changes, l.opt.Rule, func(path string) bool { return !l.breaker.ignores(path) }))
	if l.op != nil && l.op.starts && l.pending.Action != None && now.Sub(l.op.started) >= patience {
		l.op.cancel(errSuperseded)
	}
	l.next(ctx)
}

// patience is how long a start may take until a change ends it: the change may be the cure.
const patience = 5 * time.Second

var errSuperseded = errors.New("it did not get ready, and a newer change came")

func (l *loop) request(ctx context.Context, a ask) {
	if l.opt.Mode == Attach && a.Action == Restart {
		a.reply <- answer{err: errors.New("this server was started by somebody else: restart it there; hotreload only reloads it")}
		return
	}
	if a.Action == None && l.opt.Releases == nil {
		a.reply <- answer{err: errors.New("this hotreload is not in release mode: it was started without a [release] section; start it again")}
		return
	}
	if l.op != nil && l.op.makesLive(a) {
		l.op.asked = append(l.op.asked, a)
		return
	}
	l.asked = append(l.asked, a)
	l.next(ctx)
}

// makesLive reports whether the outcome of op answers a request that came after it began.
func (op *operation) makesLive(a ask) bool {
	return a.Action == None && op.aim.is(a.meant)
}

// next begins the next operation if there is something to do and nothing is being done.
func (l *loop) next(ctx context.Context) {
	if l.op != nil || (l.pending.Action == None && len(l.asked) == 0) {
		return
	}
	if l.gen == nil && l.opt.Mode == Attach {
		// Whoever starts the next master starts it with what is on disk then.
		l.pending = Plan{}
		l.answerAll(answer{err: errors.New("no master to reload: " + l.reason)})
		return
	}
	if wait := l.breaker.holdBack(l.pending.Paths, time.Now()); wait > 0 && len(l.asked) == 0 {
		l.stopTimer(&l.hold)
		l.hold = time.NewTimer(wait)
		return
	}
	plan := l.pending.Merge(l.owed)
	for _, a := range l.asked {
		plan = plan.Merge(a.plan())
	}
	if l.gen == nil {
		plan.Action = Restart
	} else {
		plan = plan.preload(l.opt.Rule, l.opt.preloading(l.gen))
	}
	op := &operation{plan: plan, asked: l.asked, requested: slices.ContainsFunc(l.asked, func(a ask) bool { return a.Reason != "" })}
	l.pending, l.asked = Plan{}, nil
	l.seq++
	if plan.Action != None { // else it is only looked whether the current release is served
		l.notify(Event{Kind: EventChanged, Plan: plan})
	}
	l.begin(ctx, op, l.gen)
}

// begin starts an operation on gen.
func (l *loop) begin(ctx context.Context, op *operation, gen generation) {
	l.endCare()
	l.stopTimer(&l.retry)
	l.stopTimer(&l.hold)
	now, hurry := context.WithCancel(context.WithoutCancel(ctx))
	opCtx, cancel := context.WithCancelCause(context.WithValue(ctx, nowKey{}, now))
	op.started, op.cancel, op.hurry = time.Now(), cancel, hurry
	op.events, op.done = make(chan Event), make(chan opResult, 1)
	l.op = op
	l.breaker.begin(op.started)
	l.ignored = Plan{}
	if !op.bury && (gen == nil || op.plan.Action != None) {
		l.state = stateOf(op.plan.Action, gen != nil)
	}
	op.starts = gen == nil
	w := &worker{driver: l.driver, opt: &l.opt, op: op, seq: l.seq, number: l.lastGen + 1, served: l.served, refused: l.refused}
	go func() { op.done <- w.run(opCtx, gen) }()
}

// nowKey is that of a context in the context of an operation: uncut.
type nowKey struct{}

// uncut is a context for the orderly end of a server in an operation: cancelling the operation does not cut it short, being told to stop
// at once does.
func uncut(ctx context.Context) context.Context {
	if now, ok := ctx.Value(nowKey{}).(context.Context); ok {
		return now
	}
	return context.WithoutCancel(ctx)
}

// boot starts the server for nobody in particular: at the beginning, or to look for somebody else's master.
func (l *loop) boot(ctx context.Context) {
	l.begin(ctx, &operation{plan: Plan{Action: Restart}, boot: true}, nil)
}

func stateOf(a Action, running bool) State {
	switch {
	case !running:
		return Starting
	case a == Restart:
		return Restarting
	default:
		return Reloading
	}
}

func (l *loop) progress(e Event) {
	switch e.Kind {
	case eventEnds:
		l.op.ends = true
		return
	case eventStarts:
		l.op.starts = true
		return
	case eventAims:
		l.op.aim = e.aim
		return
	}
	switch {
	case e.Kind == EventEscalated && e.Plan.Action == Restart:
		l.state = Restarting
	case e.Kind == EventChanged:
		l.state = stateOf(e.Plan.Action, true)
	}
	l.notify(e)
}

func (l *loop) notify(e Event) {
	if e.At.IsZero() {
		e.At = time.Now()
	}
	if l.opt.Notify != nil {
		l.opt.Notify(e)
	}
}

func (l *loop) status() Status {
	st := Status{
		Version: l.opt.Version, State: l.state, Ready: l.ready(), Reason: l.reason, Mode: l.opt.Mode, Kind: l.opt.Server.Kind,
		Generation: l.lastGen, Workers: []WorkerStatus{}, Last: l.last, Owed: l.owed.Merge(l.ignored).Why(), Counters: l.counters,
	}
	if l.gen != nil {
		master, workers := l.gen.Describe()
		st.Master = master
		st.Handover = l.gen.Handover()
		if r := l.gen.Release(); r != nil {
			st.Release = &ReleaseStatus{Current: l.opt.Releases.Current, Path: r.Path, Name: r.Name}
		}
		if workers != nil {
			st.Workers = workers
		}
	}
	if l.refused != nil {
		st.Owed = Plan{Reasons: []string{"release " + l.refused.Name}}.Merge(l.owed).Why()
	}
	if l.opt.WatchStatus != nil {
		st.Watch = l.opt.WatchStatus()
		if l.gen != nil && st.Watch != nil {
			if opened, known := l.gen.Preloaded(); known {
				n := len(opened)
				st.Watch.Preloaded = &n
			}
		}
	}
	return st
}

// ready reports whether requests should be sent here. In a handover one server is, all the time.
func (l *loop) ready() bool {
	if l.gen == nil || l.op != nil && l.op.ends {
		return false
	}
	select {
	case <-l.gen.Done():
		return false
	default:
	}
	return l.state == Ready || l.state == Degraded || l.state == Reloading || l.state == Restarting
}

func masterPID(g generation) int {
	if m, _ := g.Describe(); m != nil {
		return m.PID
	}
	return 0
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
