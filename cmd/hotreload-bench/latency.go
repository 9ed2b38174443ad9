package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"time"
)

// spacing separates saves, so that each is a batch of its own for every tool; entr needs the longest. And so that
// none is taken for something that the server itself writes whenever it is reloaded.
const spacing = 120 * time.Millisecond

// pause waits for that long and a little more, since saves are no metronome.
func pause(ctx context.Context) error {
	select {
	case <-time.After(spacing + rand.N(spacing/4)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// missedAfter is when a save counts as not noticed.
const missedAfter = 3 * time.Second

type wayOfSaving struct {
	name string
	save func(path, content string) (began time.Duration, err error)
}

var waysOfSaving = []wayOfSaving{{"in place", saveInPlace}, {"by rename", saveByRename}}

// measureLatency: from a save to the signal.
func measureLatency(ctx context.Context, b *bench) error {
	t := &table{
		title:  fmt.Sprintf("Save to signal (%d saves each, 200 files)", b.scale.saves),
		header: []string{"tool", "saved", "median", "p95", "max", "signals per save", "not noticed"},
	}
	for _, tool := range []tool{b.hotreloadTool(true), b.hotreloadTool(false), loopTool(), entrTool()} {
		if err := b.latencyOf(ctx, t, tool); err != nil {
			return fmt.Errorf("%s: %w", tool.name, err)
		}
	}
	t.remark("From the truncation or the rename to the signal handler of the server. hotreload waits for its quiet period first. " +
		"The loop reacts to the truncation, and to the temporary file of a rename: its server may load an empty or the old file.")
	if lint, err := lintTime(ctx); err == nil {
		t.remark("One `php -n -l` on this machine, as busy as it is now: median %s, p95 %s.", millis(lint.median()), millis(lint.p95()))
	}
	t.print(b.out)
	return nil
}

// lintTime is what the syntax check of a file takes by itself.
func lintTime(ctx context.Context) (sample, error) {
	file, err := os.CreateTemp("", "hotreload-bench-*.php")
	if err != nil {
		return nil, err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	if _, err := file.WriteString(codeOf("lint", 1)); err != nil {
		return nil, err
	}
	var took sample
	for range 30 {
		began := time.Now()
		if err := exec.CommandContext(ctx, "php", "-n", "-l", file.Name()).Run(); err != nil {
			return nil, err
		}
		took = append(took, time.Since(began))
	}
	return took, nil
}

func (b *bench) latencyOf(ctx context.Context, t *table, tool tool) error {
	s, err := b.newTargetSite("latency", "")
	if err != nil {
		return err
	}
	defer s.feed.close()
	files, err := plant(s.watched, 20, 10)
	if err != nil {
		return err
	}
	w, err := tool.start(ctx, s.site)
	if errors.Is(err, errNotInstalled) {
		t.row(tool.name, notInstalled)
		return nil
	}
	if err != nil {
		return err
	}
	defer w.stop()
	run := &saving{s: s, w: w, files: files, version: 1}
	if err := run.warmUp(ctx); err != nil {
		return err
	}
	for _, way := range waysOfSaving {
		run.reset()
		for range b.scale.saves {
			if err := run.once(ctx, way); err != nil {
				return err
			}
		}
		perSave := float64(run.signals) / float64(b.scale.saves)
		t.row(append(append([]string{tool.name, way.name}, run.took.cells()...), fmt.Sprintf("%.2f", perSave), fmt.Sprint(run.missed))...)
	}
	return nil
}

// saving saves one file after the other.
type saving struct {
	s       *targetSite
	w       *session
	files   []string
	version int

	took            sample
	signals, missed int
}

func (r *saving) reset() { r.took, r.signals, r.missed = nil, 0, 0 }

// next returns a file, and what to save in it.
func (r *saving) next() (path, content string) {
	r.version++
	path = r.files[rand.IntN(len(r.files))]
	return path, codeOf(path[len(r.s.watched):], r.version)
}

// warmUp saves until the tool is known to notice.
func (r *saving) warmUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, err := r.s.noticed(ctx, r.w, func() error {
		_, err := saveInPlace(r.next())
		return err
	})
	if err != nil {
		return fmt.Errorf("nothing is noticed: %w", err)
	}
	return r.settle(ctx)
}

func (r *saving) once(ctx context.Context, way wayOfSaving) error {
	mark := r.s.feed.mark()
	began, err := way.save(r.next())
	if err != nil {
		return err
	}
	soon, cancel := context.WithTimeout(ctx, missedAfter)
	e, err := r.s.feed.await(soon, mark, func(e event) bool { return isSignal(e) && e.at >= began })
	cancel()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, context.DeadlineExceeded):
		r.missed++
	case err != nil:
		return err
	default:
		r.took = append(r.took, e.at-began)
	}
	if err := r.settle(ctx); err != nil {
		return err
	}
	r.signals += r.s.feed.count(mark, isSignal)
	return nil
}

// settle waits until the tool and the server have done what they had to do, and then some.
func (r *saving) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := r.s.feed.calm(ctx, spacing+rand.N(spacing/4)); err != nil {
		return err
	}
	if r.w.settled == nil {
		return nil
	}
	return r.w.settled(ctx, time.Time{})
}
