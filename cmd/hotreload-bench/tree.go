package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"
)

// measureTree: how soon a big tree is watched, and what that costs.
func measureTree(ctx context.Context, b *bench) error {
	s, err := b.newTargetSite("tree", filepath.Join(b.temp, "loaded"))
	if err != nil {
		return err
	}
	defer s.feed.close()
	if err := os.Mkdir(filepath.Join(b.temp, "loaded"), 0o755); err != nil {
		return err
	}
	m := &treeMeasurement{b: b, s: s, t: &table{
		title: "A big tree",
		header: []string{"tool", "directories", "files", "watches after", "probes noticed", "RSS at rest", "largest RSS",
			"at rest after", fmt.Sprintf("ticks in %.0f s of idleness", b.scale.idle.Seconds())},
	}}
	if err := m.measure(ctx); err != nil {
		return err
	}
	m.remarks()
	m.t.print(b.out)
	return nil
}

type treeMeasurement struct {
	b *bench
	s *targetSite
	t *table

	dirs, files int
	paths       []string
	version     int
	planted     [3]uint64 // hotreload's resident set at rest: empty, directories, files
	took        map[string]time.Duration
}

// measure grows the tree in three steps, so that the cost of directories and of files can be told apart.
func (m *treeMeasurement) measure(ctx context.Context) error {
	n := m.b.scale
	m.took = map[string]time.Duration{}
	for step, size := range [][2]int{{1, 0}, {n.dirs, 0}, {n.dirs, n.files}} {
		var err error
		m.dirs, m.files = size[0], size[0]*size[1]
		if m.paths, err = plant(m.s.watched, size[0], size[1]); err != nil {
			return err
		}
		tools := []tool{m.b.hotreloadTool(true)}
		if step == 2 {
			tools = []tool{loopTool(), m.b.hotreloadTool(true), entrTool()}
		}
		for _, tool := range tools {
			rest, err := m.tool(ctx, tool, step == 2)
			if err != nil {
				return fmt.Errorf("%s: %w", tool.name, err)
			}
			if tool.name == "hotreload" {
				m.planted[step] = rest
			}
		}
	}
	return nil
}

// tool adds the row of one tool on the tree as it is now, and returns its resident set at rest. The first start is
// followed by the probes, the last is left alone until it is at rest.
func (m *treeMeasurement) tool(ctx context.Context, tool tool, full bool) (resident uint64, err error) {
	cells := []string{tool.name, fmt.Sprint(m.dirs), fmt.Sprint(m.files)}
	starts := m.b.scale.starts
	if tool.name == "entr" {
		starts = 1 // it may take half a minute
	}
	var took sample
	var noticed string
	var atRest []string
	for i := range starts {
		began := monotonic()
		err := m.with(ctx, tool, func(w *session) (err error) {
			if w.took == 0 {
				if w.took, err = m.firstNotice(ctx, w, began); err != nil {
					return err
				}
			}
			took = append(took, w.took)
			if i == 0 {
				if noticed, err = m.probe(ctx, w); err != nil {
					return err
				}
			}
			if i == starts-1 {
				resident, atRest, err = m.rest(ctx, w, full)
			}
			return err
		})
		switch {
		case ctx.Err() != nil:
			return 0, ctx.Err()
		case errors.Is(err, errNotInstalled), errors.Is(err, errNeverNotices):
			m.t.row(append(cells, err.Error())...)
			return 0, nil
		case err != nil:
			return 0, err
		}
	}
	m.took[tool.name] = took.median()
	m.t.row(append(append(cells, millis(took.median()), noticed), atRest...)...)
	return resident, nil
}

// with runs do while the tool is at work.
func (m *treeMeasurement) with(ctx context.Context, tool tool, do func(*session) error) error {
	w, err := tool.start(ctx, m.s.site)
	if err != nil {
		return err
	}
	defer w.stop()
	return do(w)
}

var errNeverNotices = errors.New("never notices anything")

// firstNotice is the time from the start of a tool until it is known to notice.
func (m *treeMeasurement) firstNotice(ctx context.Context, w *session, began time.Duration) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	at, err := m.s.noticed(ctx, w, func() error { return m.save(m.paths[len(m.paths)-1]) })
	if err != nil {
		fmt.Fprintln(os.Stderr, "hotreload-bench:", err)
		return 0, errNeverNotices
	}
	return at - began, nil
}

// rest lets the tool come to rest, and looks at what it is then.
func (m *treeMeasurement) rest(ctx context.Context, w *session, full bool) (resident uint64, cells []string, err error) {
	began := time.Now()
	if err := untilRest(ctx, w.watcher); err != nil {
		return 0, nil, err
	}
	after := w.took + time.Since(began) - restTime
	now, most, err := w.watcher.memory()
	if err != nil {
		return 0, nil, err
	}
	idle := "-"
	if full {
		used, err := ticksIn(ctx, w.watcher, m.b.scale.idle)
		if err != nil {
			return 0, nil, err
		}
		idle = fmt.Sprint(used)
	}
	return now, []string{megabytes(now), megabytes(most), seconds(after), idle}, nil
}

func (m *treeMeasurement) save(path string) error {
	m.version++
	_, err := saveInPlace(path, codeOf(filepath.Base(path), m.version+1))
	return err
}

// probe saves a file here and there, first the one that a walk reaches last, and counts how often the target is signalled
// for it.
func (m *treeMeasurement) probe(ctx context.Context, w *session) (string, error) {
	if len(m.paths) == 0 {
		return "-", nil
	}
	noticed := 0
	path := m.paths[len(m.paths)-1]
	for range m.b.scale.probes {
		mark := m.s.feed.mark()
		if err := m.save(path); err != nil {
			return "", err
		}
		soon, cancel := context.WithTimeout(ctx, missedAfter)
		_, err := m.s.feed.await(soon, mark, isSignal)
		cancel()
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		if err == nil {
			noticed++
		}
		r := &saving{s: m.s, w: w}
		if err := r.settle(ctx); err != nil {
			return "", err
		}
		path = m.paths[rand.IntN(len(m.paths))]
	}
	return fmt.Sprintf("%d of %d", noticed, m.b.scale.probes), nil
}

// restTime is how long a process must have used no processor time to be at rest.
const restTime = time.Second

func untilRest(ctx context.Context, p *process) error {
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	for {
		used, err := ticksIn(ctx, p, restTime)
		if err != nil || used == 0 {
			return err
		}
	}
}

// ticksIn is the processor time that a process uses in a while.
func ticksIn(ctx context.Context, p *process, while time.Duration) (uint, error) {
	before, err := p.ticks()
	if err != nil {
		return 0, err
	}
	select {
	case <-time.After(while):
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	after, err := p.ticks()
	return after - before, err
}

func (m *treeMeasurement) remarks() {
	perDir := (float64(m.planted[1]) - float64(m.planted[0])) / float64(m.b.scale.dirs)
	perFile := (float64(m.planted[2]) - float64(m.planted[1])) / float64(m.files)
	m.t.remark("hotreload at rest: %.0f bytes per directory, %.0f bytes per file. Its time includes the start of its server.", perDir, perFile)
	if loop := m.took["inotifywait loop"]; loop > 0 {
		m.t.remark("Time until hotreload watches: %.2f times that of inotifywait.", float64(m.took["hotreload"])/float64(loop))
	}
	m.t.remark("The other tools say nothing of content: hotreload also reads every file once, in the background, before it is at rest. " +
		"A tick is 10 ms of processor time. entr does not say when it watches: until its first reaction to a file that is saved again and again.")
}
