package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	// apart is what separates saves at least, so that they have other times for watchers that compare whole seconds.
	apart = 1200 * time.Millisecond
	// spread is how much later they may be, where the watcher does not look at intervals.
	spread = 200 * time.Millisecond
)

// subject is a file of an application, and what people use to make it live when it is saved.
type subject struct {
	server, what string
	file         string // relative to the application
	path         string // of the answers that say its version
	make         func(beside bool) (*app, error)
	beside       tool
	restart      bool // nothing less makes it live
}

// measureFrameworks: from a save until every worker answers with the new code, beside the watcher that the framework brings.
func measureFrameworks(ctx context.Context, b *bench) error {
	load := loadNow()
	m := &frameworks{b: b, t: &table{
		title: "Frameworks: save to served by all workers",
		header: []string{"server", "saved", "tool", "saves", "served: median", "p95", "max", "first after a start", "it says so: median", "p95", "max",
			"it did", "said too early", "longest silence: median", "failed requests", "not served", "load"},
	}}
	subjects, why := b.subjects(ctx)
	for _, s := range subjects {
		for _, beside := range []bool{false, true} {
			if err := m.measure(ctx, s, beside); err != nil {
				return fmt.Errorf("%s, %s: %w", s.server, s.what, err)
			}
		}
	}
	if len(subjects) > 0 {
		m.remarks(load)
	}
	for _, w := range why {
		m.t.remark("%s", w)
	}
	m.t.print(b.out)
	return nil
}

// subjects are those that can be measured on this machine, and why others cannot.
func (b *bench) subjects(ctx context.Context) (here []subject, why []string) {
	swoole, webman := example{"swoole", os.Getenv(phpWithSwoole)}, example{"webman", "php"}
	hyperf := func(mode string) func(bool) (*app, error) {
		return func(bool) (*app, error) { return b.newHyperf(swoole.php, mode) }
	}
	base, process, watch := hyperf("SWOOLE_BASE"), hyperf("SWOOLE_PROCESS"), serverWatchTool()
	controller := "app/Controller/IndexController.php"
	for _, candidate := range []struct {
		name     string
		problem  error
		subjects []subject
	}{
		{"Hyperf", errors.Join(checkout(hyperfCheckout), swoole.runs(ctx)), []subject{
			{"Hyperf, BASE", "controller with #[Inject]", controller, "/", base, watch, false},
			{"Hyperf, PROCESS", "controller with #[Inject]", controller, "/", process, watch, false},
			{"Hyperf, BASE", "plain class", "app/Service/Plain.php", "/plain", base, watch, false},
			{"Hyperf, BASE", ".env", ".env", "/env", base, watch, true},
			{"Hyperf, PROCESS", ".env", ".env", "/env", process, watch, true},
		}},
		{"examples/swoole", swoole.runs(ctx), []subject{
			{"examples/swoole", "plain functions", "app/handler.php", "/", func(bool) (*app, error) { return b.newSwoole(swoole) }, loopTool(), false},
		}},
		{"webman", errors.Join(checkout(webmanCheckout), webman.runs(ctx)), []subject{
			{"webman", "controller", "app/controller/IndexController.php", "/", b.newWebman, monitorTool(), false},
		}},
	} {
		if candidate.problem != nil {
			why = append(why, fmt.Sprintf("%s: %s.", candidate.name, strings.ReplaceAll(candidate.problem.Error(), "\n", "; ")))
			continue
		}
		here = append(here, candidate.subjects...)
	}
	return here, why
}

// checkout is the error that an environment variable names no framework.
func checkout(variable string) error {
	dir := os.Getenv(variable)
	if dir == "" {
		return fmt.Errorf("not measured, %s names no checkout", variable)
	}
	if _, err := os.Stat(filepath.Join(dir, "vendor", "autoload.php")); err != nil {
		return fmt.Errorf("not measured, %w", err)
	}
	return nil
}

// serverWatchTool is `php bin/hyperf.php server:watch`, which starts the server itself.
func serverWatchTool() tool {
	return tool{"server:watch", func(ctx context.Context, s *site) (*session, error) {
		if _, err := os.Stat(filepath.Join(s.dir, "vendor", "hyperf", "watcher")); err != nil {
			return nil, errNotInstalled
		}
		watch := *s
		watch.command = append(slices.Clone(s.command[:len(s.command)-1]), "server:watch")
		w, _, err := watch.served(ctx)
		return w, err
	}}
}

// monitorTool is the process of webman that watches.
func monitorTool() tool {
	return tool{"its monitor", func(ctx context.Context, s *site) (*session, error) {
		w, _, err := s.served(ctx)
		return w, err
	}}
}

// frameworks measures, and counts what that costs.
type frameworks struct {
	b        *bench
	t        *table
	requests int
	asking   time.Duration
}

func (m *frameworks) remarks(load string) {
	m.t.remark("Served: every worker has answered with the new code, and no old answer came within %v after. As many requests at a time as there are "+
		"workers, on connections of their own that are all made first and reset at the end, and again %v after their answers, %v once new code has "+
		"answered, %v once all have: %.0f in a second. The processor time that they take, the server and the tool do not have.",
		afterServed, askEvery, askAgain, askAfter, float64(m.requests)/m.asking.Seconds())
	m.t.remark("Saves are in place and by rename in turn, at least %v apart, and at any moment between two looks of a watcher that looks at intervals. "+
		"First after a start: the first save of each session, not among the others. Said too early: an answer from old code to a request that was made "+
		"after hotreload had reported. Silence: between two answers of any workers, until it was served. Failed: refused, reset, or not answered in %v, from the save until "+
		"%v after it was served.", apart, answerTime, afterServed)
	m.t.remark("Load: the average of the last minute, at the end of a row; %s before the first.", load)
}

// measure adds a row: one subject under hotreload, or under what is used instead.
func (m *frameworks) measure(ctx context.Context, s subject, beside bool) error {
	a, err := s.make(beside)
	if err == nil {
		err = a.says(s.file, s.path)
	}
	if err != nil {
		return err
	}
	r := &framework{m: m, a: a, tool: m.b.hotreloadTool(true), version: 1, did: map[string]int{}}
	if beside {
		r.tool = s.beside
	}
	saves, boots := m.b.scale.framework, m.b.scale.boots
	if s.restart {
		saves, boots = m.b.scale.restarts, 1
	}
	for i := range boots {
		err := r.session(ctx, saves*(i+1)/boots-saves*i/boots)
		if errors.Is(err, errNotInstalled) {
			m.t.row(s.server, s.what, r.tool.name, notInstalled)
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", r.tool.name, err)
		}
	}
	m.t.row(append([]string{s.server, s.what, r.tool.name, fmt.Sprint(saves)}, r.cells()...)...)
	return nil
}

// loadNow is the load average of the last minute.
func loadNow() string {
	load, _, _ := strings.Cut(contentOf("/proc/loadavg"), " ")
	return load
}

// framework is an application under a tool, and what became of the saves.
type framework struct {
	m       *frameworks
	a       *app
	tool    tool
	version int

	first, served, said, silence sample
	did                          map[string]int // actions of hotreload
	early, missed                int
	failed, failing              int // requests, and the saves that had such
}

func (r *framework) name() string { return fmt.Sprintf("v%d", r.version) }

// session starts the tool, and saves so many times after a first one.
func (r *framework) session(ctx context.Context, saves int) error {
	if err := os.Remove(r.a.pidFile); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	w, err := r.tool.start(ctx, r.a.site)
	if err != nil {
		return err
	}
	defer w.stop()
	if err := r.begin(ctx, w); err != nil {
		return err
	}
	for range saves {
		f, err := r.save(ctx, w)
		if err != nil {
			return err
		}
		r.count(f)
	}
	return nil
}

// begin waits until all workers answer, and makes the first save; more of them where the tool does not say that it watches.
func (r *framework) begin(ctx context.Context, w *session) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if _, ok := newWitness(r.name(), time.Now()).watch(ctx, r.a); !ok {
		return fmt.Errorf("not every worker answers %s", r.name())
	}
	for {
		f, err := r.save(ctx, w)
		if err != nil {
			return err
		}
		if w.settled != nil {
			r.first = append(r.first, f.served)
		}
		if f.served > 0 {
			return nil
		}
	}
}

// followed is what became of one save.
type followed struct {
	follow
	did     string
	silence time.Duration
	failed  int
}

func (r *framework) save(ctx context.Context, w *session) (f followed, err error) {
	late := spread
	if w.settled == nil {
		late = max(late, r.a.scan)
	}
	select {
	case <-time.After(apart + rand.N(late)):
	case <-ctx.Done():
		return f, ctx.Err()
	}
	r.version++
	way := waysOfSaving[r.version%len(waysOfSaving)]
	before := time.Now()
	if _, err := way.save(r.a.file, r.a.saved(r.name())); err != nil {
		return f, err
	}
	seen := newWitness(r.name(), before)
	if at, ok := seen.watch(ctx, r.a); ok {
		f.served = at.Sub(before)
	}
	r.m.requests += seen.requests
	r.m.asking += time.Since(before)
	f.silence, f.failed = seen.silence, seen.failed
	if w.settled == nil || ctx.Err() != nil {
		return f, ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := w.settled(ctx, before); err != nil {
		return f, err
	}
	st, err := w.status(ctx)
	if err != nil {
		return f, err
	}
	end := st.Last.StartedAt.Add(st.Last.Duration())
	f.did, f.said, f.early = st.Last.Action.String(), end.Sub(before), seen.asked.After(end)
	return f, nil
}

func (r *framework) count(f followed) {
	if f.served > 0 {
		r.served = append(r.served, f.served)
	} else {
		r.missed++
	}
	r.silence = append(r.silence, f.silence)
	if f.said > 0 {
		r.said = append(r.said, f.said)
		r.did[f.did]++
	}
	if f.early {
		r.early++
	}
	r.failed += f.failed
	if f.failed > 0 {
		r.failing++
	}
}

func (r *framework) cells() []string {
	first, did, early, failed := "-", "-", "-", "0"
	if len(r.said) > 0 {
		var times, actions []string
		for _, d := range r.first {
			times = append(times, fmt.Sprint(d.Milliseconds()))
		}
		for _, action := range slices.Sorted(maps.Keys(r.did)) {
			actions = append(actions, fmt.Sprintf("%d × %s", r.did[action], action))
		}
		first, did, early = strings.Join(times, ", ")+" ms", strings.Join(actions, ", "), fmt.Sprint(r.early)
	}
	if r.failed > 0 {
		failed = fmt.Sprintf("%d in %d saves", r.failed, r.failing)
	}
	cells := append(r.served.cells(), first)
	cells = append(cells, r.said.cells()...)
	return append(cells, did, early, millis(r.silence.median()), failed, fmt.Sprint(r.missed), loadNow())
}
