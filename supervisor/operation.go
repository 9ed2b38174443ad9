package supervisor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hotreload/hotreload/signals"
)

// worker carries out one operation in its own goroutine and reports to the loop.
type worker struct {
	driver driver
	opt    *Options
	op     *operation
	seq    int
	number int // of the generation that a start would make

	served  *Release // in release mode, the one that was served last; nil: none yet
	refused *Release // in release mode, the one that was not fit to replace it; nil: none
	target  *Release // in release mode, the one that a start starts from
}

// run does the operation on the generation that serves now (nil: none) and returns what serves after it.
func (w *worker) run(ctx context.Context, gen generation) opResult {
	if w.op.bury {
		return w.bury(gen)
	}
	if w.op.boot {
		prep, _ := w.prepare(ctx, nil, Restart) // there is nothing that a refusal could leave running
		r := w.startAny(ctx, prep)
		if r.err != nil {
			return w.failed(r, r.err)
		}
		r.missed, r.found = w.missed(r.gen)
		return r
	}
	if w.opt.Releases != nil && gen != nil {
		return w.runRelease(ctx, gen)
	}
	return w.runOn(ctx, gen)
}

// runOn does the operation on what serves.
func (w *worker) runOn(ctx context.Context, gen generation) opResult {
	action := w.op.plan.Action
	fresh := w.fresh(gen, w.op.plan.Paths)
	if refusal := w.gate(ctx, fresh); refusal != nil {
		return w.outcome(opResult{gen: gen}, action, Refused, evidence{}, w.refusedText(gen, refusal))
	}
	if gen != nil && action < Restart {
		if why := w.unseen(gen, fresh); why != "" {
			w.escalate(ctx, Restart, why)
			action = Restart
		}
	}
	return w.act(ctx, gen, action)
}

// unseen says why files that nobody has decided about, because nobody watched, need a restart; "" when they do not.
func (w *worker) unseen(gen generation, paths []string) string {
	if w.opt.Rule == nil || w.opt.Batches != nil {
		return ""
	}
	preloading := w.opt.preloading(gen)
	for _, path := range paths {
		rel := w.relative(path)
		need := w.opt.Rule(rel)
		if need.Action == Restart {
			return rel + " changed (" + need.Why + ")"
		}
		if why := preloads(need, rel, path, preloading); why != "" && need.Action != None {
			return why
		}
	}
	return ""
}

// preloading is what is known of the master of gen.
func (opt *Options) preloading(gen generation) Preloading {
	opened, known := gen.Preloaded()
	return func(path string) (bool, bool) {
		loaded := opened.Has(path) || opt.Stands != nil && slices.ContainsFunc(opt.Stands(path), opened.Has)
		return loaded, known
	}
}

// bury ends what a dead master left behind: it holds the port, and serves old code.
func (w *worker) bury(gen generation) opResult {
	return opResult{err: w.driver.bury(gen)}
}

// fresh are the files that the operation would make live: those of the plan, and where nobody watches, those that have changed
// since the oldest worker was started.
func (w *worker) fresh(gen generation, paths []string) []string {
	if w.opt.Batches != nil || w.opt.ChangedSince == nil || gen == nil {
		return paths
	}
	return union(paths, w.opt.ChangedSince(gen.Oldest()))
}

// gate asks whether the changed code is fit to be loaded. A gate that is itself broken is reported and passed over:
// better an unchecked reload than none.
func (w *worker) gate(ctx context.Context, paths []string) *Refusal {
	files := existing(paths)
	if w.opt.Gate == nil || len(files) == 0 {
		return nil
	}
	err := w.opt.Gate(ctx, files)
	var refusal *Refusal
	switch {
	case err == nil || ctx.Err() != nil:
		return nil
	case errors.As(err, &refusal):
		return refusal
	default:
		w.emit(ctx, Event{Kind: EventGateBroken, Detail: err.Error()})
		return nil
	}
}

func existing(paths []string) []string {
	var files []string
	for _, p := range paths {
		if st, err := os.Stat(p); err == nil && st.Mode().IsRegular() {
			files = append(files, p)
		}
	}
	return files
}

// act does the action, and the next larger one where that cannot work.
func (w *worker) act(ctx context.Context, gen generation, action Action) opResult {
	if action == Restart || gen == nil {
		return w.restart(ctx, gen)
	}
	prep, refusal := w.prepare(ctx, gen, action)
	if refusal != nil {
		return w.outcome(opResult{gen: gen}, action, Refused, evidence{}, w.refusedText(gen, refusal))
	}
	if prep.Restart != "" {
		w.escalate(ctx, Restart, prep.Restart)
		return w.restart(ctx, gen)
	}
	ev, err := w.reload(ctx, gen, action)
	if err == nil {
		return w.outcome(opResult{gen: gen}, action, Verified, ev, "")
	}
	var cannot *cannotReload
	var loop *crashLoop
	var unwell *unwell
	switch {
	case ctx.Err() != nil:
		return w.outcome(opResult{gen: gen}, action, Failed, ev, context.Cause(ctx).Error())
	case errors.As(err, &loop):
		return w.endCrashLoop(ctx, gen, action, ev, loop)
	case errors.As(err, &unwell):
		return w.outcome(opResult{gen: gen}, action, Failed, ev, fmt.Sprintf("release %s is served, but not well: %v", gen.Release().name(), err))
	case errors.As(err, &cannot):
		next := action + 1
		w.escalate(ctx, next, cannot.why)
		return w.act(ctx, gen, next)
	case errors.Is(err, errNotVerified):
		why := fmt.Sprintf("%s not verified within %s: %v", action, w.opt.Server.ReloadTimeout, err)
		if w.opt.Mode == Attach {
			return w.outcome(opResult{gen: gen}, action, TimedOut, ev, why+"; some workers may still run the old code")
		}
		w.escalate(ctx, Restart, why)
		return w.restart(ctx, gen)
	case errors.Is(err, signals.ErrGone) && w.hasEnded(ctx, gen):
		return w.masterDied(ctx, gen, action, ev)
	default:
		return w.outcome(opResult{gen: gen}, action, Failed, ev, err.Error()+"; the old code still serves")
	}
}

func (w *worker) reload(ctx context.Context, gen generation, action Action) (evidence, error) {
	if w.target != nil && !w.target.is(gen.Release()) {
		return w.driver.reloadInto(ctx, gen, w.target)
	}
	return w.driver.reload(ctx, gen, action)
}

// masterDied is the end of a master during its reload: code that it loaded itself, or a signal it did not
// expect. A restart is what is left.
func (w *worker) masterDied(ctx context.Context, gen generation, action Action, ev evidence) opResult {
	why := "the master ended during the reload: " + gen.Exit().String()
	if w.opt.Mode == Attach {
		return w.outcome(opResult{gen: gen}, action, Failed, ev, why)
	}
	w.escalate(ctx, Restart, why)
	return w.restart(ctx, gen)
}

// endCrashLoop ends a server whose workers cannot start. It answers nothing, and left alone it forks hundreds of
// processes a second.
func (w *worker) endCrashLoop(ctx context.Context, gen generation, action Action, ev evidence, loop *crashLoop) opResult {
	text := loop.Error()
	lines := gen.LastLines()
	if w.opt.Mode == Attach {
		r := w.outcome(opResult{gen: gen}, action, Failed, ev, text+"; the server does not answer until the code is mended")
		r.outcome.Output = lines
		return r
	}
	w.emit(ctx, Event{Kind: eventEnds})
	if err := w.driver.end(ctx, gen); err != nil {
		text += "; " + err.Error()
	}
	next := "the next change starts it again"
	if w.opt.Mode == Run {
		next = "it is started again"
	}
	r := w.outcome(opResult{exit: Exit{Known: true, Status: 1}}, action, Failed, ev, text+"; the server was ended, "+next)
	r.outcome.Output = lines
	return r
}

// restart replaces the server: by one that is ready first, where that is possible.
func (w *worker) restart(ctx context.Context, gen generation) opResult {
	if w.opt.Mode == Attach {
		text := "this change needs a restart, and this server was started by somebody else: restart it there; the old code still serves"
		if why := cmp.Or(w.op.escalated, w.op.plan.Why()); why != "" {
			text = why + ": " + text
		}
		return w.outcome(opResult{gen: gen}, Restart, Refused, evidence{}, text)
	}
	prep, refusal := w.prepare(ctx, gen, Restart)
	if refusal != nil && gen != nil {
		return w.outcome(opResult{gen: gen}, Restart, Refused, evidence{}, w.refusedText(gen, refusal))
	}
	if gen == nil {
		return w.begin(ctx, prep, evidence{})
	}
	if err := w.driver.startable(w.target); err != nil {
		result := Failed
		if w.target != nil && !w.target.is(gen.Release()) {
			result = Refused
		}
		return w.outcome(opResult{gen: gen}, Restart, result, evidence{}, err.Error()+"; nothing was stopped")
	}
	why := w.driver.canHandOver(gen)
	if why == "" {
		r, conflict := w.handOver(ctx, gen, prep, evidence{old: workerPIDs(gen)})
		if conflict == "" {
			return r
		}
		why = "a second one cannot run beside it: " + conflict
	}
	w.sayStops(ctx, why)
	return w.stopAndStart(ctx, gen, prep)
}

// stopAndStart ends what runs and starts it anew.
func (w *worker) stopAndStart(ctx context.Context, gen generation, prep Preparation) opResult {
	ev, served := evidence{old: workerPIDs(gen)}, gen.Release()
	w.emit(ctx, Event{Kind: eventEnds})
	if err := w.driver.end(ctx, gen); err != nil {
		w.emit(ctx, Event{Kind: EventNote, Detail: err.Error()})
	}
	r := w.begin(ctx, prep, ev)
	if r.gen == nil {
		return w.back(ctx, served, r)
	}
	err := w.driver.well(ctx, r.gen)
	switch {
	case err == nil:
	case w.target.is(served):
		r.outcome.Result, r.outcome.Error = Failed, fmt.Sprintf("release %s serves, but is not well: %v", served.name(), err)
	default:
		if ended := w.driver.end(ctx, r.gen); ended != nil {
			w.emit(ctx, Event{Kind: EventNote, Detail: ended.Error()})
		}
		return w.back(ctx, served, w.outcome(opResult{exit: Exit{Known: true, Status: 1}}, Restart, Failed, ev, err.Error()))
	}
	return r
}

// begin starts the server when none runs.
func (w *worker) begin(ctx context.Context, prep Preparation, ev evidence) opResult {
	if ctx.Err() != nil {
		return w.outcome(opResult{}, Restart, Failed, ev, context.Cause(ctx).Error())
	}
	r := w.startAny(ctx, prep)
	if r.err != nil {
		return w.failed(r, r.err)
	}
	ev.new = workerPIDs(r.gen)
	if r.short != "" {
		return w.outcome(r, Restart, Refused, ev, r.short)
	}
	return w.outcome(r, Restart, Verified, ev, "")
}

// startAny starts the server when none runs.
func (w *worker) startAny(ctx context.Context, prep Preparation) opResult {
	if w.opt.Releases != nil && w.target == nil && !w.adopts() {
		return w.startRelease(ctx, prep)
	}
	g, err := w.start(ctx, prep)
	return opResult{gen: g, err: err}
}

// sayStops says why the old server is ended before the new one is started, where that is not what was asked for.
func (w *worker) sayStops(ctx context.Context, why string) {
	if why != noHandover && w.opt.Handover != nil {
		w.emit(ctx, Event{Kind: EventNote, Detail: "the server is stopped and started: " + why})
	}
}

// handOver starts the new server beside the old one. If that does not work, the old one was never touched. conflict is what the new one said
// if it cannot run beside the old one, whatever its code.
func (w *worker) handOver(ctx context.Context, old generation, prep Preparation, ev evidence) (r opResult, conflict string) {
	switched := func(g generation) {
		ev.new = workerPIDs(g)
		if prep.Started != nil {
			prep.Started()
		}
		w.emit(ctx, Event{Kind: EventSwitched, Took: time.Since(w.op.started), PID: masterPID(g)})
	}
	g, drained, err := w.driver.handOver(ctx, old, w.number, w.target, switched)
	if err != nil {
		text := err.Error() + "; the old server serves on"
		if served := old.Release(); served != nil && !served.is(w.target) {
			text = fmt.Sprintf("release %s: %v; release %s serves on", w.target.name(), err, served.Name)
		}
		r := w.outcome(opResult{gen: old}, Restart, Refused, ev, text)
		var boot *bootError
		if errors.As(err, &boot) {
			r.outcome.Output = boot.lines
			conflict = conflictLine(boot.lines)
		}
		if ctx.Err() != nil {
			r.outcome.Result, r.outcome.Error = Failed, context.Cause(ctx).Error()
			return r, ""
		}
		return r, conflict
	}
	r = w.outcome(opResult{gen: g}, Restart, Verified, ev, "")
	r.outcome.ConnectionsCut, r.outcome.ConnectionsIdle = drained.Cut, drained.Idle
	return r, ""
}

// besides is how servers say that another one is in their way: a port that they look at before they bind it, or a lock.
var besides = regexp.MustCompile(`(?i)address already in use|already running|port \S* ?(is )?already (in use|taken|allocated)|EADDRINUSE`)

func conflictLine(lines []string) string {
	for _, line := range slices.Backward(lines) {
		if besides.MatchString(line) {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

// missed is the plan for what changed between the start of a found server's workers and our first look at the files.
func (w *worker) missed(g generation) (Plan, bool) {
	if !g.Found() || w.opt.ChangedSince == nil || w.opt.Rule == nil {
		return Plan{}, g.Found()
	}
	var plan Plan
	for _, path := range w.opt.ChangedSince(g.Oldest()) {
		rel := w.relative(path)
		action, what := Reload, "changed"
		if strings.HasSuffix(path, string(filepath.Separator)) {
			rel, what = rel+"/", "something came or went"
		} else {
			action = w.opt.Rule(rel).Action
		}
		if action == None {
			continue
		}
		plan = plan.Merge(Plan{Action: action, Files: []string{rel}, Paths: []string{path},
			Reasons: []string{rel + " " + what + " while nobody watched"}})
	}
	return plan, true
}

func (w *worker) relative(path string) string {
	rel, err := filepath.Rel(w.opt.Base, path)
	if err != nil {
		return path
	}
	return filepath.ToSlash(rel)
}

// prepare has made what is generated from the code.
func (w *worker) prepare(ctx context.Context, gen generation, action Action) (Preparation, *Refusal) {
	if w.opt.Prepare == nil || w.adopts() || w.opt.Mode == Attach && action == Restart {
		return Preparation{}, nil
	}
	next := Upcoming{Action: action, Files: w.op.plan.Paths, Known: w.opt.Batches != nil, Serving: gen != nil}
	prep, err := w.opt.Prepare(ctx, next)
	var refusal *Refusal
	if errors.As(err, &refusal) {
		return prep, refusal
	}
	if err != nil && ctx.Err() == nil {
		w.emit(ctx, Event{Kind: EventNote, Detail: err.Error()})
	}
	return prep, nil
}

// adopts reports whether what comes first is not a start, but taking over a server that runs.
func (w *worker) adopts() bool { return w.op.boot && w.opt.Adopt.Runs() }

func (w *worker) start(ctx context.Context, prep Preparation) (generation, error) {
	w.emit(ctx, Event{Kind: eventStarts})
	g, err := w.driver.boot(ctx, w.number, w.target)
	if err == nil && prep.Started != nil {
		prep.Started()
	}
	return g, err
}

// failed is the result of a server that did not get ready.
func (w *worker) failed(r opResult, err error) opResult {
	r = w.outcome(r, Restart, Failed, evidence{}, err.Error())
	var boot *bootError
	if errors.As(err, &boot) {
		r.exit = boot.exit
		r.outcome.Output = boot.lines
		if boot.timeout {
			r.outcome.Result = TimedOut
		}
	}
	return r
}

func (w *worker) refusedText(gen generation, r *Refusal) string {
	if gen == nil {
		return r.Error() + "; no server runs, it starts when this is mended"
	}
	return r.Error() + "; the old code still serves"
}

func (w *worker) escalate(ctx context.Context, next Action, why string) {
	w.op.plan.Reasons = union(w.op.plan.Reasons, []string{why})
	w.op.escalated = why
	if next == Restart && w.opt.Mode == Attach {
		return // it will be refused
	}
	w.emit(ctx, Event{Kind: EventEscalated, Detail: why, Plan: Plan{Action: next}})
}

func (w *worker) emit(ctx context.Context, e Event) {
	select {
	case w.op.events <- e:
	case <-ctx.Done():
	}
}

func (w *worker) outcome(r opResult, action Action, result Result, ev evidence, text string) opResult {
	took := time.Since(w.op.started)
	r.outcome = Outcome{
		Seq: w.seq, Action: action, Result: result,
		Reasons: nonNil(w.op.plan.reasons()), Files: nonNil(w.op.plan.Files),
		OldWorkers: nonNil(ev.old), NewWorkers: nonNil(ev.new),
		StartedAt: w.op.started, DurationMS: float64(took.Microseconds()) / 1000,
		Error: text, Escalated: w.op.escalated,
	}
	return r
}

func nonNil[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// hasEnded waits a moment for the end of a master that could not be found any more.
func (w *worker) hasEnded(ctx context.Context, g generation) bool {
	select {
	case <-g.Done():
		return true
	case <-ctx.Done():
		return false
	case <-time.After(linger):
		return false
	}
}

// workerPIDs are the processes of g that serve: the master itself where it has no workers.
func workerPIDs(g generation) []int {
	master, workers := g.Describe()
	var pids []int
	for _, w := range workers {
		if w.Role.serves() {
			pids = append(pids, w.PID)
		}
	}
	if len(pids) == 0 && master != nil {
		pids = []int{master.PID}
	}
	return pids
}
