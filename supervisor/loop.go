package supervisor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/hotreload/hotreload/watcher"
)

// Supervisor owns one server. Run does the work; the other methods are messages to it and may be called
// from any goroutine.
type Supervisor struct {
	opt    Options
	driver driver
	log    *zap.Logger

	asks    chan ask
	stops   chan chan error
	queries chan chan Status
	remarks chan string
	ended   chan struct{} // closed when Run returns
}

// driver carries out what the loop decides. The loop calls it from one operation goroutine at a time, and
// never touches a generation while an operation runs.
type driver interface {
	// boot starts a server, or finds the one to attach to, and returns when it is ready. On error nothing
	// of it is left running.
	boot(ctx context.Context, number int) (generation, error)
	// reload replaces workers and returns when all that served before are gone and replaced.
	// A *cannotReload error says that the next larger action is needed.
	reload(ctx context.Context, g generation, action Action) (evidence, error)
	// end stops the server and returns when its whole tree is gone: gracefully until ctx is done or the
	// stop timeout has passed, then by force. The error says what was not well about the end.
	end(ctx context.Context, g generation) error
}

// generation is a running server, as the loop sees it.
type generation interface {
	Number() int
	Done() <-chan struct{} // closed when the master has ended
	Exit() Exit            // meaningful after Done
	StartedAt() time.Time
	Describe() (*MasterStatus, []WorkerStatus)
	Unwatched() (since time.Time, ok bool)
	LastLines() []string
}

// evidence is what a reload or a start is believed on.
type evidence struct{ old, new []int }

// cannotReload says why an action cannot make a change live on this server, so that a larger one must.
type cannotReload struct{ why string }

func (e *cannotReload) Error() string { return e.why }

// crashLoop says that workers die as soon as they start.
type crashLoop struct {
	deaths int
	cause  string // the server's own words, "" when it said nothing
}

func (e *crashLoop) Error() string {
	if e.cause == "" {
		return "workers die as soon as they start"
	}
	return "workers die as soon as they start: " + e.cause
}

var errNotVerified = errors.New("not verified in time")

type ask struct {
	Request
	reply chan<- answer // buffered: the loop never waits for a caller
}

type answer struct {
	outcome Outcome
	err     error
}

// Do asks for an operation and returns the outcome of the first one that started after the call, or ctx's
// error if that comes first (the operation goes on), or ErrStopping.
func (s *Supervisor) Do(ctx context.Context, r Request) (Outcome, error) {
	reply := make(chan answer, 1)
	select {
	case s.asks <- ask{r, reply}:
	case <-s.ended:
		return Outcome{}, ErrStopping
	case <-ctx.Done():
		return Outcome{}, ctx.Err()
	}
	select {
	case a := <-reply:
		return a.outcome, a.err
	case <-ctx.Done():
		return Outcome{}, ctx.Err()
	}
}

// Stop asks Run to stop the server gracefully and to return; a second call stops it at once. It returns when the server
// has ended, with what was not well about the end.
func (s *Supervisor) Stop(ctx context.Context) error {
	reply := make(chan error, 1)
	select {
	case s.stops <- reply:
	case <-s.ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-reply:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Status returns what the supervisor knows now.
func (s *Supervisor) Status(ctx context.Context) (Status, error) {
	reply := make(chan Status, 1)
	select {
	case s.queries <- reply:
		return <-reply, nil
	case <-s.ended:
		return Status{}, ErrStopping
	case <-ctx.Done():
		return Status{}, ctx.Err()
	}
}

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
	exit     Exit          // of the master that ended last
	failures int           // starts that failed in a row
	backoff  time.Duration // the next pause before a start; 0: the first
	retry    *time.Timer   // nil: no start is scheduled
	hold     *time.Timer   // nil: no suspicious change is held back
	op       *operation    // nil: idle
	stopping []chan error  // non-nil once stopping
}

// operation is the one thing that is being done.
type operation struct {
	plan      Plan
	asked     []ask
	boot      bool   // nobody waits for an outcome
	starts    bool   // the server is starting; set by the loop
	bury      bool   // it only ends what a dead master left behind
	escalated string // by the operation goroutine; read when it is done
	started   time.Time
	cancel    context.CancelCauseFunc
	events    chan Event    // progress, received by the loop
	done      chan opResult // one value
}

type opResult struct {
	gen     generation // what runs now; nil: nothing
	missed  Plan       // what changed before this hotreload watched
	found   bool       // gen ran before this hotreload did
	outcome Outcome
	exit    Exit // of a server that did not get ready
	err     error
}

// Run supervises until ctx is cancelled or Stop is called, both of which stop the server gracefully (in
// Attach it is left alone), or until the server has ended and hotreload gives up on it (*ExitError). When
// force is closed a graceful stop is cut short. Run may be called once.
func (s *Supervisor) Run(ctx context.Context, force <-chan struct{}) error {
	defer close(s.ended)
	l := &loop{Supervisor: s, state: Starting, breaker: newLoopBreaker()}
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
			if l.stop(reply) {
				return l.finish(ctx, force)
			}
		case <-quit:
			l.stop(nil)
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
		case <-l.died():
			l.crashed(ctx)
		case <-timerC(l.retry):
			l.retry = nil
			l.again(ctx)
		case <-timerC(l.hold):
			l.hold = nil
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
	for _, c := range b.Changes {
		if l.breaker.changed(c.Path, now, l.op != nil) {
			l.notify(Event{Kind: EventIgnored, Detail: c.Rel})
		}
	}
	l.pending = l.pending.Merge(Decide(b.Changes, l.opt.Rule, l.breaker.ignores))
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
	l.asked = append(l.asked, a)
	l.next(ctx)
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
		plan = plan.Merge(Plan{Action: a.Action, Reasons: []string{a.Reason}})
	}
	if l.gen == nil {
		plan.Action = Restart
	}
	op := &operation{plan: plan, asked: l.asked}
	l.pending, l.asked = Plan{}, nil
	l.seq++
	l.notify(Event{Kind: EventChanged, Plan: plan})
	l.begin(ctx, op, l.gen)
}

// begin starts an operation on gen.
func (l *loop) begin(ctx context.Context, op *operation, gen generation) {
	l.stopTimer(&l.retry)
	l.stopTimer(&l.hold)
	opCtx, cancel := context.WithCancelCause(ctx)
	op.started, op.cancel = time.Now(), cancel
	op.events, op.done = make(chan Event), make(chan opResult, 1)
	l.op = op
	l.breaker.begin(op.started)
	l.state = stateOf(op.plan.Action, gen != nil)
	op.starts = gen == nil
	w := &worker{driver: l.driver, opt: &l.opt, op: op, seq: l.seq, number: l.lastGen + 1}
	go func() { op.done <- w.run(opCtx, gen) }()
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
	if e.Kind == eventStarts {
		l.op.starts = true
		return
	}
	if e.Kind == EventEscalated && e.Plan.Action == Restart {
		l.state = Restarting
	}
	l.notify(e)
}

// finished takes the result of the operation. Its error ends Run.
func (l *loop) finished(ctx context.Context, r opResult) error {
	op := l.op
	l.op.cancel(nil)
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
	if op.boot {
		return l.booted(ctx, op, r)
	}
	out := r.outcome
	l.last = &out
	l.count(out)
	if out.Result == Verified {
		l.owed = Plan{}
	} else {
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
	return nil
}

// booted takes the result of a start that no change and no caller asked for.
func (l *loop) booted(ctx context.Context, op *operation, r opResult) error {
	if r.err != nil {
		l.state, l.reason = Crashed, r.err.Error()
		l.notify(Event{Kind: EventCrashed, Detail: r.err.Error(), Output: r.outcome.Output})
		return l.down(ctx, r)
	}
	l.state, l.reason, l.failures, l.owed = Ready, "", 0, Plan{}
	kind := EventReady
	if r.found {
		kind = EventAdopted
		l.pending = l.pending.Merge(r.missed)
	}
	l.notify(Event{Kind: kind, Took: time.Since(op.started), PID: masterPID(r.gen)})
	l.next(ctx)
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
		l.state, l.reason = Degraded, out.Error
	}
}

func (l *loop) count(out Outcome) {
	switch {
	case out.Result == Refused:
		l.counters.Refused++
	case out.Result != Verified:
		l.counters.Failed++
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
		l.schedule(l.pause())
		return nil
	}
	if l.pending.Action == None && len(l.asked) == 0 {
		l.notify(Event{Kind: EventWaiting, Detail: l.reason})
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
	l.notify(Event{Kind: EventCrashed, Detail: l.reason, Output: g.LastLines()})
	if l.opt.Mode == Attach {
		l.schedule(attachInterval)
		return
	}
	if ran >= steady {
		l.backoff = 0
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
	switch {
	case l.pending.Action != None || len(l.asked) > 0:
		l.next(ctx)
	case l.opt.Server.Kind == KindNone && l.opt.Mode == Run:
		return &ExitError{Code: l.exit.Code(), Reason: l.reason}
	case l.opt.Server.Kind == KindNone:
		l.notify(Event{Kind: EventWaiting, Detail: l.reason})
	default:
		l.schedule(l.pause())
	}
	return nil
}

// schedule plans the next start.
func (l *loop) schedule(wait time.Duration) {
	l.stopTimer(&l.retry)
	l.retry = time.NewTimer(wait)
	l.notify(Event{Kind: EventRetry, Wait: wait, Detail: l.reason})
}

// pause is how long to wait before the next start, doubled each time.
func (l *loop) pause() time.Duration {
	b := l.opt.Restart
	wait := max(l.backoff, b.Min)
	l.backoff = min(2*wait, b.Max)
	return wait
}

func (l *loop) stopTimer(t **time.Timer) {
	if *t != nil {
		(*t).Stop()
		*t = nil
	}
}

// stop notes that somebody wants the server stopped. It reports whether stopping begins now.
func (l *loop) stop(reply chan error) bool {
	if reply != nil {
		l.stopping = append(l.stopping, reply)
	}
	return true
}

// finish stops what runs and answers everybody who waits.
func (l *loop) finish(ctx context.Context, force <-chan struct{}) error {
	l.stopTimer(&l.retry)
	l.stopTimer(&l.hold)
	forced, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	done := make(chan error, 1)
	op, gen := l.op, l.gen
	go func() { done <- l.wind(forced, op, gen) }()
	l.state, l.reason = Stopped, "stopping"
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
		op.cancel(ErrStopping)
		gen = (<-op.done).gen
	}
	if gen == nil || l.opt.Mode == Attach {
		return nil
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
		Version: l.opt.Version, State: l.state, Reason: l.reason, Mode: l.opt.Mode, Kind: l.opt.Server.Kind,
		Generation: l.lastGen, Workers: []WorkerStatus{}, Last: l.last, Owed: l.owed.Why(), Counters: l.counters,
	}
	if l.gen != nil {
		master, workers := l.gen.Describe()
		st.Master = master
		if workers != nil {
			st.Workers = workers
		}
	}
	if l.opt.WatchStatus != nil {
		st.Watch = l.opt.WatchStatus()
	}
	return st
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
