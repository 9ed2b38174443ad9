package supervisor

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/hotreload/hotreload/watcher"
)

// fakeGeneration is a server that only exists as a value.
type fakeGeneration struct {
	number  int
	started time.Time
	done    chan struct{}
	exit    Exit
	since   time.Time
	found   bool

	preloaded watcher.Opened // nil: not known
	crippled  string
	release   *Release
}

func (g *fakeGeneration) Number() int               { return g.number }
func (g *fakeGeneration) Done() <-chan struct{}     { return g.done }
func (g *fakeGeneration) Exit() Exit                { return g.exit }
func (g *fakeGeneration) StartedAt() time.Time      { return g.started }
func (g *fakeGeneration) LastLines() []string       { return []string{"last words"} }
func (g *fakeGeneration) Oldest() time.Time         { return g.since }
func (g *fakeGeneration) Found() bool               { return g.found }
func (g *fakeGeneration) Handover() *HandoverStatus { return nil }
func (g *fakeGeneration) Crippled() string          { return g.crippled }
func (g *fakeGeneration) Release() *Release         { return g.release }
func (g *fakeGeneration) Preloaded() (watcher.Opened, bool) {
	return g.preloaded, g.preloaded != nil
}
func (g *fakeGeneration) Describe() (*MasterStatus, []WorkerStatus) {
	return &MasterStatus{PID: 1000 + g.number}, []WorkerStatus{{PID: 2000 + g.number, Role: Worker}}
}

// fakeDriver notes what it is asked for. Each call takes the time that is set, and returns the error that is set.
type fakeDriver struct {
	bootTime, reloadTime time.Duration
	endTime              time.Duration
	reloadErr            error
	withers              *crashLoop // what watching over it finds after 3 s
	during               func()     // what happens in the middle of each reload
	found                bool
	hands                bool // a restart is a handover
	conflicts            bool // ... which another server is in the way of
	crippled             string
	preloaded            [][]string // by the generations, one after the other
	since                time.Time
	broken               map[string]error // what a start from a release ends with
	sick                 map[string]error // what is wrong with a release that serves
	stays                *cannotReload    // why a reload does not load another release

	mu       sync.Mutex
	calls    []string
	bootErr  error
	startErr error
	gen      *fakeGeneration
}

func (d *fakeDriver) called(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls = append(d.calls, name)
}

func (d *fakeDriver) callsSoFar() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.calls)
}

func (d *fakeDriver) setBootErr(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.bootErr = err
}

func (d *fakeDriver) die(code int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.gen.exit = Exit{Known: true, Status: code}
	close(d.gen.done)
}

func (d *fakeDriver) wait(ctx context.Context, t time.Duration) error {
	select {
	case <-time.After(t):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (d *fakeDriver) watchOver(ctx context.Context, g generation) *crashLoop {
	if d.withers == nil {
		return nil
	}
	if d.wait(ctx, 3*time.Second) != nil {
		return nil
	}
	return d.withers
}

func (d *fakeDriver) startable(*Release) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.startErr
}

func (d *fakeDriver) boot(ctx context.Context, number int, from *Release) (generation, error) {
	what := "boot"
	if from != nil {
		what += " " + from.Name
	}
	d.called(what)
	if err := d.wait(ctx, d.bootTime); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.bootErr != nil {
		return nil, d.bootErr
	}
	if from != nil && d.broken[from.Name] != nil {
		return nil, d.broken[from.Name]
	}
	d.gen = &fakeGeneration{release: from, number: number, started: time.Now(), done: make(chan struct{}), found: d.found, since: d.since, crippled: d.crippled}
	d.found, d.crippled = false, ""
	if len(d.preloaded) > 0 {
		d.gen.preloaded, d.preloaded = d.preloaded[0], d.preloaded[1:]
	}
	return d.gen, nil
}

func (d *fakeDriver) reload(ctx context.Context, g generation, a Action) (evidence, error) {
	d.called(a.String())
	if d.during != nil {
		d.during()
	}
	if err := d.wait(ctx, d.reloadTime); err != nil {
		return evidence{}, err
	}
	return evidence{old: []int{1}, new: []int{2}}, d.reloadErr
}

func (d *fakeDriver) reloadInto(ctx context.Context, g generation, target *Release) (evidence, error) {
	d.called("reload into " + target.Name)
	if d.stays != nil {
		return evidence{}, d.stays
	}
	g.(*fakeGeneration).release = target
	return evidence{old: []int{1}, new: []int{2}}, d.well(ctx, g)
}

func (d *fakeDriver) well(_ context.Context, g generation) error {
	if r := g.Release(); r != nil && d.sick[r.Name] != nil {
		return &unwell{d.sick[r.Name]}
	}
	return nil
}

func (d *fakeDriver) end(ctx context.Context, g generation) error {
	d.called("end")
	if d.endTime == 0 {
		return nil // by force, where ctx is done
	}
	return d.wait(ctx, d.endTime)
}

func (d *fakeDriver) bury(g generation) error { return d.end(context.Background(), g) }

func (d *fakeDriver) canHandOver(generation) string {
	if d.hands {
		return ""
	}
	return "off"
}

func (d *fakeDriver) handOver(ctx context.Context, old generation, number int, next *Release, switched func(generation)) (generation, Drained, error) {
	d.called("handover")
	if d.conflicts {
		return nil, Drained{}, &bootError{what: "it ended", lines: []string{"Address already in use"}}
	}
	g, err := d.boot(ctx, number, next)
	if err == nil {
		err = d.well(ctx, g)
	}
	if err != nil {
		return nil, Drained{}, err
	}
	switched(g)
	_ = d.wait(uncut(ctx), d.endTime) // the end of the old one
	return g, Drained{Cut: 2, Idle: 3}, nil
}

// elapse lets the fake time of the bubble go on, and everything happen that is due.
func elapse(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// rig is a supervisor on a fake driver, inside a synctest bubble.
type rig struct {
	t       *testing.T
	d       *fakeDriver
	s       *Supervisor
	batches chan watcher.Batch
	events  []Event
	result  chan error
	stop    context.CancelFunc
	force   chan struct{}
}

func newRig(t *testing.T, d *fakeDriver, change func(*Options)) *rig {
	r := &rig{t: t, d: d, batches: make(chan watcher.Batch), result: make(chan error, 1), force: make(chan struct{})}
	opt := Options{
		Mode: Watch, Batches: r.batches, Base: "/p", Log: zap.NewNop(),
		Server:  withDefaults(Server{Kind: "swoole", Command: []string{"php"}}),
		Restart: Backoff{Min: 200 * time.Millisecond, Max: time.Second},
		Rule: func(rel string) Need {
			switch {
			case strings.HasPrefix(rel, "config/"):
				return Need{Action: Restart, Why: "config", Ruled: true}
			case strings.HasPrefix(rel, "task/"):
				return Need{Action: ReloadTasks}
			default:
				return Need{Action: Reload}
			}
		},
		Notify: func(e Event) { r.events = append(r.events, e) },
	}
	if change != nil {
		change(&opt)
	}
	r.s = newSupervisor(opt, d)
	ctx, cancel := context.WithCancel(t.Context())
	r.stop = cancel
	go func() { r.result <- r.s.Run(ctx, r.force) }()
	synctest.Wait()
	return r
}

func (r *rig) save(files ...string) {
	r.batches <- batchNow(files...)
	synctest.Wait()
}

func batchNow(files ...string) watcher.Batch {
	b := watcher.Batch{First: time.Now(), Taken: time.Now()}
	for _, f := range files {
		b.Changes = append(b.Changes, watcher.Change{Path: "/p/" + f, Rel: f, Op: watcher.Modified})
	}
	return b
}

// ask asks for an operation in the background.
func (r *rig) ask(a Action) <-chan answer {
	return r.do(Request{Action: a, Reason: "asked"})
}

func (r *rig) do(request Request) <-chan answer {
	reply := make(chan answer, 1)
	go func() {
		out, err := r.s.Do(r.t.Context(), request)
		reply <- answer{out, err}
	}()
	synctest.Wait()
	return reply
}

func (r *rig) status() Status {
	st, err := r.s.Status(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return st
}

func (r *rig) wantCalls(want ...string) {
	r.t.Helper()
	synctest.Wait()
	if got := r.d.callsSoFar(); !slices.Equal(got, want) {
		r.t.Errorf("calls = %q, want %q", got, want)
	}
}

func (r *rig) wantState(state State, owed string) {
	r.t.Helper()
	synctest.Wait()
	if st := r.status(); st.State != state || st.Owed != owed {
		r.t.Errorf("state = %s (%s), owed = %q; want %s, owed %q", st.State, st.Reason, st.Owed, state, owed)
	}
}

// end stops the supervisor and returns Run's error.
func (r *rig) end() error {
	r.stop()
	return <-r.result
}

func TestChangesDuringAnOperationBecomeExactlyOneMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, &fakeDriver{reloadTime: time.Second}, nil)
		defer r.end()
		r.save("a.php")
		r.save("b.php")
		r.save("c.php")
		r.wantCalls("boot", "reload")
		elapse(time.Second)
		r.wantCalls("boot", "reload", "reload")
		elapse(time.Minute)
		r.wantCalls("boot", "reload", "reload")
		if last := r.status().Last; !slices.Equal(last.Files, []string{"b.php", "c.php"}) {
			t.Errorf("the second reload was for %q, want b.php and c.php", last.Files)
		}
	})
}

func TestChangesDuringTheStartAreReloaded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, &fakeDriver{bootTime: time.Second}, nil)
		defer r.end()
		r.save("a.php")
		r.wantCalls("boot")
		elapse(time.Second)
		r.wantCalls("boot", "reload")
		r.wantState(Ready, "")
	})
}

func TestACallerIsAnsweredByAnOperationThatStartedAfterItAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, &fakeDriver{reloadTime: time.Second}, nil)
		defer r.end()
		r.save("a.php")
		asked := time.Now()
		reply := r.ask(Reload)
		a := <-reply
		if a.err != nil || a.outcome.StartedAt.Before(asked) || a.outcome.Seq != 2 {
			t.Errorf("answered by operation %d, started %s before it was asked for (%v)", a.outcome.Seq, asked.Sub(a.outcome.StartedAt), a.err)
		}
		if took := time.Since(asked); took != 2*time.Second {
			t.Errorf("answered after %s, want 2s: the rest of the first reload and the second", took)
		}
		r.wantCalls("boot", "reload", "reload")
	})
}

func TestCallersAreAnsweredTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, &fakeDriver{reloadTime: time.Second}, nil)
		defer r.end()
		first, second, third := r.ask(Reload), r.ask(ReloadTasks), r.ask(Restart)
		if seq := (<-first).outcome.Seq; seq != 1 {
			t.Errorf("the first caller was answered by operation %d", seq)
		}
		b, c := <-second, <-third
		if b.outcome.Seq != 2 || c.outcome.Seq != 2 || b.outcome.Action != Restart {
			t.Errorf("the others were answered by operations %d and %d (%s), want both by one restart", b.outcome.Seq, c.outcome.Seq, b.outcome.Action)
		}
		r.wantCalls("boot", "reload", "end", "boot")
	})
}

// A refused restart stays owed: mending the typo in one file must not lose the restart that another needed.
func TestWhatIsRefusedStaysOwed(t *testing.T) {
	dir := t.TempDir() // the gate only sees files that exist
	for _, name := range []string{"app.php", "a.php"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		var broken atomic.Bool
		broken.Store(true)
		var linted [][]string
		r := newRig(t, &fakeDriver{}, func(o *Options) {
			o.Gate = func(ctx context.Context, files []string) error {
				linted = append(linted, files)
				if broken.Load() {
					return &Refusal{File: "a.php", Line: 3, Message: "syntax error"}
				}
				return nil
			}
		})
		defer r.end()
		app, a := filepath.Join(dir, "app.php"), filepath.Join(dir, "a.php")
		r.batches <- watcher.Batch{Changes: []watcher.Change{
			{Path: app, Rel: "config/app.php", Op: watcher.Modified}, {Path: a, Rel: "a.php", Op: watcher.Modified}}}
		r.wantState(Degraded, "config/app.php changed (config), a.php changed")
		r.wantCalls("boot")
		if last := r.status().Last; last.Result != Refused || last.Error != "a.php:3: syntax error; the old code still serves" {
			t.Errorf("outcome = %s, %q", last.Result, last.Error)
		}
		broken.Store(false)
		r.batches <- watcher.Batch{Changes: []watcher.Change{{Path: a, Rel: "a.php", Op: watcher.Modified}}}
		r.wantCalls("boot", "end", "boot")
		r.wantState(Ready, "")
		if len(linted) != 2 || !slices.Equal(linted[1], []string{a, app}) {
			t.Errorf("linted %q, want all that is owed the second time", linted)
		}
	})
}

func TestAGateThatIsBrokenIsReportedAndPassedOver(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.php")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, &fakeDriver{}, func(o *Options) {
			o.Gate = func(context.Context, []string) error { return errors.New("no php") }
		})
		defer r.end()
		r.batches <- watcher.Batch{Changes: []watcher.Change{{Path: file, Rel: "a.php", Op: watcher.Modified}}}
		r.wantCalls("boot", "reload")
		if !slices.ContainsFunc(r.events, func(e Event) bool { return e.Kind == EventGateBroken && e.Detail == "no php" }) {
			t.Error("nobody was told that the gate is broken")
		}
	})
}

func TestAFailedReloadIsOwedAndEscalates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &fakeDriver{reloadErr: &cannotReload{"no workers"}}
		r := newRig(t, d, nil)
		defer r.end()
		r.save("task/a.php")
		r.wantCalls("boot", "reload-tasks", "reload", "end", "boot")
		last := r.status().Last
		if last.Action != Restart || last.Result != Verified || !slices.Contains(last.Reasons, "no workers") {
			t.Errorf("outcome = %+v, want a verified restart that says why", last)
		}
	})
}

func TestNotVerifiedInTimeBecomesARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, &fakeDriver{reloadErr: errNotVerified}, nil)
		defer r.end()
		r.save("a.php")
		r.wantCalls("boot", "reload", "end", "boot")
		r.wantState(Ready, "")
	})
}

func TestAServerThatCannotBootWaitsForTheNextChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &fakeDriver{bootErr: &bootError{what: "exit code 255"}}
		r := newRig(t, d, nil)
		defer r.end()
		r.wantState(Crashed, "")
		elapse(time.Hour)
		r.wantCalls("boot")
		r.save("a.php")
		r.wantCalls("boot", "boot")
		r.wantState(Crashed, "a.php changed")
		d.setBootErr(nil)
		r.save("b.php")
		r.wantCalls("boot", "boot", "boot")
		r.wantState(Ready, "")
	})
}

func TestAMasterThatDiesIsStartedAgainWithBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &fakeDriver{}
		r := newRig(t, d, nil)
		defer r.end()
		for i, wait := range []time.Duration{200, 400, 800, 1000, 1000} {
			d.die(1)
			synctest.Wait()
			calls := len(d.callsSoFar())
			elapse(wait*time.Millisecond - 1)
			synctest.Wait()
			if len(d.callsSoFar()) != calls {
				t.Fatalf("crash %d: started again before %d ms", i+1, wait)
			}
			elapse(1)
			synctest.Wait()
			if got := d.callsSoFar(); got[len(got)-1] != "boot" {
				t.Fatalf("crash %d: not started again after %d ms: %q", i+1, wait, got)
			}
		}
		if c := r.status().Counters; c.Crashes != 5 || c.Restarts != 5 {
			t.Errorf("counters = %+v, want 5 crashes and 5 restarts", c)
		}
		elapse(steady)
		d.die(1)
		synctest.Wait()
		elapse(200 * time.Millisecond)
		r.wantState(Ready, "")
	})
}

func TestAChangeEndsTheWaitForTheNextStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &fakeDriver{}
		r := newRig(t, d, nil)
		defer r.end()
		d.die(1)
		synctest.Wait()
		r.save("a.php")
		r.wantCalls("boot", "end", "boot")
		elapse(time.Minute)
		r.wantCalls("boot", "end", "boot")
	})
}

func TestRunGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &fakeDriver{bootErr: &bootError{what: "no", exit: Exit{Known: true, Status: 7}}}
		r := newRig(t, d, func(o *Options) { o.Mode, o.MaxFailures = Run, 3 })
		err := <-r.result
		var exit *ExitError
		if !errors.As(err, &exit) || exit.Code != 7 {
			t.Errorf("Run = %v, want the server's exit code 7", err)
		}
		r.wantCalls("boot", "boot", "boot")
	})
}

func TestAProgramOfKindNoneIsNeverStartedAgainInRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &fakeDriver{}
		r := newRig(t, d, func(o *Options) { o.Mode, o.Server.Kind = Run, KindNone })
		d.die(0)
		var exit *ExitError
		if err := <-r.result; !errors.As(err, &exit) || exit.Code != 0 {
			t.Errorf("Run = %v, want exit code 0", err)
		}
		r.wantCalls("boot", "end")
	})
}

func TestAttachNeverStopsOrRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &fakeDriver{}
		r := newRig(t, d, func(o *Options) { o.Mode = Attach })
		if a := <-r.ask(Restart); a.err == nil {
			t.Errorf("a restart was not refused: %+v", a.outcome)
		}
		r.save("config/app.php")
		r.wantState(Degraded, "config/app.php changed (config)")
		if last := r.status().Last; last.Result != Refused {
			t.Errorf("result = %s, want refused", last.Result)
		}
		r.save("a.php")
		r.wantCalls("boot")
		d.die(0) // its owner restarts it
		synctest.Wait()
		elapse(attachInterval)
		r.wantCalls("boot", "boot")
		r.wantState(Ready, "")
		if err := r.end(); err != nil {
			t.Errorf("Run = %v", err)
		}
		r.wantNoCall("end")
	})
}

func (r *rig) wantNoCall(name string) {
	r.t.Helper()
	if calls := r.d.callsSoFar(); slices.Contains(calls, name) {
		r.t.Errorf("calls = %q, want no %q", calls, name)
	}
}

func TestFoundServersAreReloadedForWhatChangedUnwatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		since := time.Now().Add(-time.Hour)
		d := &fakeDriver{found: true, since: since}
		r := newRig(t, d, func(o *Options) {
			o.ChangedSince = func(from time.Time) []string {
				if !from.Equal(since) {
					t.Errorf("asked for changes since %s, want %s", from, since)
				}
				return []string{"/p/a.php", "/p/lib/"}
			}
		})
		defer r.end()
		r.wantCalls("boot", "reload")
		want := []string{"a.php changed while nobody watched", "lib/ something came or went while nobody watched"}
		if last := r.status().Last; !slices.Equal(last.Reasons, want) {
			t.Errorf("reasons = %q, want %q", last.Reasons, want)
		}
	})
}

func TestStopDuringAnOperation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &fakeDriver{reloadTime: time.Hour}
		r := newRig(t, d, nil)
		reply := r.ask(Reload)
		begin := time.Now()
		if err := r.s.Stop(t.Context()); err != nil {
			t.Errorf("Stop = %v", err)
		}
		if err := <-r.result; err != nil || time.Since(begin) != 0 {
			t.Errorf("Run = %v after %s", err, time.Since(begin))
		}
		if a := <-reply; !errors.Is(a.err, ErrStopping) {
			t.Errorf("the caller got %+v, %v; want ErrStopping", a.outcome, a.err)
		}
		r.wantCalls("boot", "reload", "end")
		if _, err := r.s.Do(t.Context(), Request{Action: Reload}); !errors.Is(err, ErrStopping) {
			t.Errorf("Do after the end = %v, want ErrStopping", err)
		}
	})
}

func TestASecondStopEndsTheServerThatIsBeingReplacedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &fakeDriver{hands: true}
		r := newRig(t, d, nil)
		d.endTime = time.Hour
		r.ask(Restart)
		begin := time.Now()
		r.stop()
		elapse(time.Minute) // the old one gets its time …
		close(r.force)      // … until there is none
		if err := <-r.result; err == nil || time.Since(begin) > 2*time.Minute {
			t.Errorf("Run = %v after %s", err, time.Since(begin))
		}
	})
}

func TestACallerThatGivesUpDoesNotStopTheOperation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, &fakeDriver{reloadTime: time.Minute}, nil)
		defer r.end()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := r.s.Do(ctx, Request{Action: Reload, Reason: "asked"}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Do = %v", err)
		}
		elapse(time.Minute)
		synctest.Wait()
		if st := r.status(); st.Counters.Reloads != 1 {
			t.Errorf("counters = %+v, want one reload", st.Counters)
		}
	})
}

// A server that writes one of its own files at each start must not be reloaded for ever.
func TestAFileThatEachReloadChangesIsIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &fakeDriver{reloadTime: 40 * time.Millisecond}
		r := newRig(t, d, nil)
		defer r.end()
		d.during = func() {
			r.batches <- batchNow("generated.php")
		}
		r.save("app.php")
		elapse(time.Minute)
		r.wantCalls("boot", "reload", "reload", "reload", "reload") // the last one in case it was somebody else
		named := slices.ContainsFunc(r.events, func(e Event) bool { return e.Kind == EventIgnored && e.Detail == "generated.php" })
		if !named {
			t.Error("the ignored file was not named")
		}
		r.wantState(Ready, "generated.php changed") // nothing is done about it, but nobody is told that it is live
	})
}

// Somebody who waits for each reload and then saves again, during it, looks like the server. The last save must be served all
// the same.
func TestTheLastSaveIsAppliedEvenIfItLooksLikeTheServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &fakeDriver{reloadTime: 40 * time.Millisecond}
		r := newRig(t, d, nil)
		defer r.end()
		saves := 0
		elapse(time.Second) // the start is over
		d.during = func() {
			if saves++; saves <= 3 {
				r.batches <- batchNow("handler.php")
			}
		}
		r.save("handler.php")
		elapse(time.Minute)
		reloads := len(d.callsSoFar()) - 1
		if reloads < 4 {
			t.Errorf("%d reloads for 4 saves during each other: the last one was not applied", reloads)
		}
		r.wantState(Ready, "")
		r.save("handler.php") // and it is nobody's suspect any more
		elapse(time.Second)
		if got := len(d.callsSoFar()) - 1; got != reloads+1 {
			t.Errorf("a later save led to %d reloads", got-reloads)
		}
	})
}

func TestNothingIsEndedForAStartThatCannotWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &fakeDriver{}
		r := newRig(t, d, nil)
		defer r.end()
		d.mu.Lock()
		d.startErr = errors.New("the working directory is gone")
		d.mu.Unlock()
		r.save("config/app.php")
		r.wantCalls("boot")
		r.wantState(Degraded, "config/app.php changed (config)")
	})
}

func TestAServerWhoseWorkersDoNotLiveIsEndedAfterAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, &fakeDriver{withers: &crashLoop{cause: "Fatal error: late"}}, nil)
		defer r.end()
		elapse(2 * time.Second)
		r.save("a.php") // what follows watches anew
		r.wantState(Ready, "")
		elapse(2 * time.Second)
		r.wantState(Ready, "")
		elapse(2 * time.Second)
		r.wantState(Crashed, "")
		if last := r.status().Last; last.Result != Failed {
			t.Errorf("the reload still counts as %s", last.Result)
		}
		elapse(time.Hour)
		r.wantCalls("boot", "reload", "end")
		r.save("b.php")
		r.wantCalls("boot", "reload", "end", "boot")
	})
}

func TestAFirstStartThatCannotWorkEndsRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &fakeDriver{startErr: errors.New("phpp is not to be found")}
		r := newRig(t, d, nil)
		if err := <-r.result; err == nil || err.Error() != "phpp is not to be found" {
			t.Errorf("Run = %v", err)
		}
		r.wantCalls()
	})
}

// Without a watcher, the files that a reload would load are those that have changed since the workers were started.
func TestTheGateOfARequestWhereNobodyWatches(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.php")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		var linted []string
		r := newRig(t, &fakeDriver{}, func(o *Options) {
			o.Mode, o.Batches, o.Rule = Run, nil, nil
			o.ChangedSince = func(time.Time) []string { return []string{file, filepath.Dir(file) + "/"} }
			o.Gate = func(_ context.Context, files []string) error {
				linted = files
				return &Refusal{File: "a.php", Message: "syntax error"}
			}
		})
		defer r.end()
		if a := <-r.ask(Reload); a.outcome.Result != Refused || !slices.Equal(linted, []string{file}) {
			t.Errorf("%s, linted %q", a.outcome.Result, linted)
		}
		r.wantCalls("boot")
	})
}

func TestRunIsNotReadyForAWhileBeforeItStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, &fakeDriver{}, func(o *Options) { o.Mode, o.Server.DrainDelay = Run, 5*time.Second })
		r.stop()
		elapse(5*time.Second - 1)
		r.wantState(Stopped, "")
		r.wantCalls("boot")
		elapse(1)
		if err := <-r.result; err != nil {
			t.Errorf("Run = %v", err)
		}
		r.wantCalls("boot", "end")
	})
}

func TestASecondStopDoesNotWaitForLoadBalancers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, &fakeDriver{}, func(o *Options) { o.Mode, o.Server.DrainDelay = Run, time.Hour })
		begin := time.Now()
		r.stop()
		synctest.Wait()
		close(r.force)
		if err := <-r.result; !errors.Is(err, ErrForced) || time.Since(begin) != 0 {
			t.Errorf("Run = %v after %s", err, time.Since(begin))
		}
	})
}
