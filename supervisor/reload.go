package supervisor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/hotreload/hotreload/signals"
)

// The pace of looking at a tree during a reload or a start: often while things move, less often later. The pause
// is never less than a few times what a look costs, so that a tree of hundreds of processes does not eat a core.
const (
	paceMin   = 2 * time.Millisecond
	paceMax   = 25 * time.Millisecond
	paceShare = 5
)

func pace(since, cost time.Duration) time.Duration {
	return min(max(paceMin, paceShare*cost, since/50), max(paceMax, paceShare*cost))
}

// nextLook is how long to wait for the next look, after one that began at a time after the beginning and saw v.
func nextLook(v view, since, cost time.Duration) time.Duration {
	pause := pace(since, cost)
	if left, ok := v.dwells(); ok {
		return min(pause, max(left-cost, 0))
	}
	return pause
}

// stillness is how long nothing may have moved in the tree before a signal is taken for lost: more than Swoole's
// max_wait_time (3 s), after which it ends a worker that does not go.
const stillness = 4 * time.Second

// unmoved is how long a worker that waits for work may stay after all others were replaced before it is taken for
// one that its server never reloads.
const unmoved = 300 * time.Millisecond

// reloading is one worker reload on its way.
type reloading struct {
	s       *Server
	g       *tree
	o       *observer
	tasks   bool
	sig     syscall.Signal
	old     []sighting // the snapshot taken before the signal: all that might have loaded the old code
	want    int        // how many must serve in the end
	sent    time.Time
	moved   time.Time                                     // when a process last came or went
	moves   int                                           // of the observer, at the last look
	gone    int                                           // how many of old were gone at the last look
	stirred bool                                          // any process came or went since the signal
	again   int                                           // how often the signal was sent again
	ask     func(context.Context, signals.Process) string // Options.Blind
	hands   bool                                          // a restart fails no request
}

// handsOver says why a new server is better than new workers, "" when it is not: in SWOOLE_BASE mode the reload signal closes every keep-alive
// connection and fails requests, which a handover does not. In development nobody has any, and a reload is faster.
func (r *reloading) handsOver() string {
	if !r.hands || r.tasks || r.s.Layout != LayoutSwoole {
		return ""
	}
	if _, ok := r.g.manager(); ok || len(r.g.workers()) == 0 {
		return ""
	}
	return "in SWOOLE_BASE mode a worker reload would close connections, a new server does not"
}

// blind says why new workers would get old code. Of a master that was found running that is not known from how we would start it.
func (r *reloading) blind(ctx context.Context) string {
	if r.g.crippled != "" {
		return r.g.crippled
	}
	if r.s.RestartOnly != "" || !r.g.found || r.ask == nil {
		return r.s.RestartOnly
	}
	if r.g.blind == nil {
		why := r.ask(ctx, r.g.master)
		r.g.blind = &why
	}
	return *r.g.blind
}

// reload replaces the workers of g and returns when none that was there before the signal serves any more.
//
// Old is, by construction, everything that was there at the last look before the signal: a process that is not in that
// snapshot was forked after it, and so after the change, and loads its code after the fork.
func (d *processes) reload(ctx context.Context, g generation, action Action) (evidence, error) {
	t := g.(*tree)
	r := &reloading{s: &d.opt.Server, g: t, o: newObserver(d.kernel, d.opt.Server.Layout, t.master), tasks: action == ReloadTasks}
	r.sig = r.s.Signals.Reload
	if r.tasks {
		r.sig = r.s.Signals.ReloadTasks
	}
	r.ask, r.hands = d.opt.Blind, d.opt.Mode == Run && d.canHandOver(t) == ""
	ctx, cancel := context.WithTimeoutCause(ctx, r.s.ReloadTimeout, errNotVerified)
	defer cancel()
	mark := t.out.mark() // before the signal: workers that fail may have said why before we look again
	if err := r.begin(ctx); err != nil {
		return evidence{}, err
	}
	ev := evidence{old: pids(r.old)}
	last, err := r.follow(ctx, mark)
	ev.new = pids(newOnes(last, r.old, r.tasks))
	if err != nil {
		return ev, err
	}
	if err := d.answers(ctx, t); err != nil {
		return ev, err
	}
	d.save(t, true)
	return ev, nil
}

// begin takes the snapshot and sends the signal, unless it could not work.
func (r *reloading) begin(ctx context.Context) error {
	if why := r.blind(ctx); why != "" {
		return &cannotReload{why}
	}
	if why := r.handsOver(); why != "" {
		return &cannotReload{why}
	}
	if r.sig == 0 {
		return &cannotReload{r.s.Kind + " has no signal for this"}
	}
	name := signals.SignalName(r.sig)
	v, err := r.snapshot(ctx)
	if err != nil {
		return fmt.Errorf("look at master %d: %w", r.g.master.PID, err)
	}
	master := v.procs[0].proc
	switch {
	case master.ignores(r.sig):
		return &cannotReload{fmt.Sprintf("this server ignores %s", name)}
	case !master.masks.Caught.Has(r.sig) && !master.masks.Blocked.Has(r.sig),
		r.s.Layout != LayoutForked && !master.handles(r.sig):
		return &cannotReload{fmt.Sprintf("%s would end this server, it has no handler for it", name)}
	}
	if len(r.old) == 0 {
		if r.tasks {
			return &cannotReload{"this server has no task workers"}
		}
		return &cannotReload{"this server has no worker processes to replace: the master itself serves"}
	}
	if r.s.Layout == LayoutWorkerman {
		for i := range r.old {
			r.old[i].listening, _ = listeners(r.old[i].Process)
		}
	}
	r.want, r.moves = len(r.old), r.o.moves
	r.sent = time.Now()
	r.moved = r.sent
	if err := r.g.master.Signal(r.sig); err != nil {
		return fmt.Errorf("send %s to master %d: %w", name, r.g.master.PID, err)
	}
	return nil
}

// snapshot notes all that might have loaded the old code. A master that has others do the work has none for a moment when
// all of them are just being replaced (max_request), so it is looked at again before that is believed.
func (r *reloading) snapshot(ctx context.Context) (view, error) {
	for begin := time.Now(); ; {
		v, err := r.o.look()
		if err != nil {
			return v, err
		}
		r.old = r.notUser(v.serving(r.tasks))
		if len(r.old) > 0 || r.tasks || !bossy(v.procs[0].proc, r.s.Layout) || time.Since(begin) > unmoved {
			return v, nil
		}
		select {
		case <-ctx.Done():
			return v, ctx.Err()
		case <-time.After(paceMin):
		}
	}
}

// notUser leaves out the processes that earlier reloads have shown never to be replaced.
func (r *reloading) notUser(s []sighting) []sighting {
	return slices.DeleteFunc(s, func(s sighting) bool { return r.g.isNeverReplaced(s.Process) })
}

// follow looks until the reload is verified or cannot be any more.
func (r *reloading) follow(ctx context.Context, mark int) (view, error) {
	var last view
	for {
		begin := time.Now()
		v, err := r.o.look()
		if err != nil {
			return last, fmt.Errorf("master %d during its reload: %w", r.g.master.PID, err)
		}
		last = v
		r.g.remember(v)
		lines := r.g.out.since(mark)
		if loop := r.o.loops(v, lines); loop != nil {
			return v, loop
		}
		if r.verified(v, lines) {
			return v, nil
		}
		if err := r.help(v); err != nil {
			return v, err
		}
		select {
		case <-ctx.Done():
			if cause := context.Cause(ctx); errors.Is(cause, errNotVerified) {
				return v, fmt.Errorf("%w: %s", errNotVerified, r.missing(v))
			}
			return v, ctx.Err()
		case <-r.g.done:
			return v, fmt.Errorf("master %d during its reload: %w", r.g.master.PID, signals.ErrGone)
		case <-time.After(nextLook(v, begin.Sub(r.sent), time.Since(begin))):
		}
	}
}

// remaining are the old processes that are still there.
func (r *reloading) remaining(v view) []sighting {
	var out []sighting
	for _, s := range r.old {
		if v.has(s.Process) {
			out = append(out, s)
		}
	}
	return out
}

// calm is for how long nothing may have moved in the tree before fewer workers than before are taken for all there are: a
// worker that was on its way out when the signal was sent (max_request) is counted beside its replacement.
const calm = 500 * time.Millisecond

func (r *reloading) verified(v view, lines []string) bool {
	if len(r.remaining(v)) > 0 {
		return false
	}
	fresh := newOnes(v, r.old, r.tasks)
	serving := r.o.established(v, fresh, lines)
	if serving >= r.want {
		return true
	}
	return serving > 0 && serving == len(fresh) && v.at.Sub(r.moved) >= calm
}

// help does what can be done for a reload that does not end: a lost signal is sent again, workers that linger are ended, and
// workers that their server never reloads are told apart.
func (r *reloading) help(v view) error {
	now := v.at
	rest := r.remaining(v)
	r.gone = len(r.old) - len(rest)
	if r.o.moves != r.moves {
		r.moves, r.moved, r.stirred = r.o.moves, now, true
	}
	if len(rest) == 0 {
		return nil
	}
	still := now.Sub(r.moved)
	switch {
	case r.s.Layout == LayoutWorkerman && r.gone > 0 && still >= unmoved && r.neverReloaded(rest):
		for _, s := range rest {
			r.g.neverReplaced(s.Process)
		}
		r.old = r.notUser(r.old)
		r.want = len(r.old)
	case r.s.DrainTimeout > 0 && r.s.Signals.EndWorker != 0 && still >= r.s.DrainTimeout && r.s.Layout == LayoutWorkerman:
		r.moved = now
		return r.hurry(rest)
	case r.tasks && r.gone == 0 && still >= stillness && r.again > 0:
		return &cannotReload{"no task worker was replaced"}
	case still >= stillness, r.unheard(now):
		// Another reload was running when ours was asked for: servers drop a second signal.
		r.again++
		r.moved = now
		return r.g.master.Signal(r.sig)
	}
	return nil
}

// unheard reports whether the signal was lost for sure, or next to it: Swoole forks the first new worker within
// milliseconds, unless all workers are held up by their work.
func (r *reloading) unheard(now time.Time) bool {
	if r.s.Layout != LayoutSwoole || r.tasks || r.again >= 3 || r.stirred {
		return false
	}
	return now.Sub(r.moved) >= unmoved<<r.again
}

// neverReloaded reports whether all of these wait for work as if nobody had told them to go: a worker that is going
// has closed its listening socket, or is at work.
func (r *reloading) neverReloaded(rest []sighting) bool {
	for _, s := range rest {
		wchan, err := r.o.kernel.wchan(s.Process)
		if err != nil || !isIdle(wchan) {
			return false
		}
		if now, err := listeners(s.Process); err != nil || now < s.listening {
			return false
		}
	}
	return true
}

// hurry ends old workers that linger, because idle keep-alive connections hold them. Only those that are going are
// ended: a worker that still listens has not had its turn.
func (r *reloading) hurry(rest []sighting) error {
	for _, s := range rest {
		if now, err := listeners(s.Process); err == nil && now >= s.listening && s.listening > 0 {
			continue
		}
		if err := s.Process.Signal(r.s.Signals.EndWorker); err != nil && !errors.Is(err, signals.ErrGone) {
			return fmt.Errorf("end lingering worker %d: %w", s.PID, err)
		}
	}
	return nil
}

// missing says what a reload waits for.
func (r *reloading) missing(v view) string {
	if rest := r.remaining(v); len(rest) > 0 {
		return fmt.Sprintf("%d of %d old workers still run (%v)", len(rest), len(r.old), pids(rest))
	}
	served := 0
	for _, s := range newOnes(v, r.old, r.tasks) {
		if s.served {
			served++
		}
	}
	return fmt.Sprintf("%d of %d new workers serve", served, r.want)
}

func newOnes(v view, old []sighting, tasks bool) []sighting {
	return slices.DeleteFunc(v.serving(tasks), func(s sighting) bool {
		return slices.ContainsFunc(old, func(o sighting) bool { return o.Process == s.Process })
	})
}

func pids(s []sighting) []int {
	out := make([]int, len(s))
	for i := range s {
		out[i] = s[i].PID
	}
	return out
}
