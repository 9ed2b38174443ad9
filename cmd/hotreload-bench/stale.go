package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"github.com/hotreload/hotreload/signals"
)

const (
	editsPerRound = 20
	longestPause  = 600 * time.Millisecond // between two edits
	workerDelay   = 300 * time.Millisecond // a worker's start, and its end
	// stillness is when slow workers that come and go are taken to have stopped doing so.
	stillness = 3 * time.Second
)

// measureStale: random edits on a slow server. Does every round end with the last version in every worker?
func measureStale(ctx context.Context, b *bench) error {
	t := &table{
		title: fmt.Sprintf("Random edits, 0 to %v apart, workers take %v to start and to stop", longestPause, workerDelay),
		header: []string{"tool", "server", "edits", "rounds", "rounds that end stale", "rounds with silent workers", "not settled",
			"median from the last edit to settled", "max"},
	}
	here, why := b.examplesHere(ctx)
	for _, e := range here {
		for _, tool := range []tool{b.hotreloadTool(true), loopTool()} {
			if err := b.staleOf(ctx, t, tool, e); err != nil {
				return fmt.Errorf("%s, %s: %w", tool.name, e.name, err)
			}
		}
	}
	t.remark("A round is %d edits of app/handler.php, in place or by rename. It ends when hotreload says that nothing is left to be done, under "+
		"the loop when no worker came or went for %v; then each of the %d workers and %d task workers is asked for its version.",
		editsPerRound, stillness, workers, taskWorkers)
	for _, w := range why {
		t.remark("%s", w)
	}
	t.print(b.out)
	return nil
}

// rounds counts how rounds ended.
type rounds struct {
	edits, all, stale, silent, unsettled int
	settle                               sample
}

func (b *bench) staleOf(ctx context.Context, t *table, tool tool, e example) error {
	delay := workerDelay.Milliseconds()
	s, err := b.newPHPSite(e, fmt.Sprintf("--start-delay=%d", delay), fmt.Sprintf("--stop-delay=%d", delay))
	if err != nil {
		return err
	}
	w, err := tool.start(ctx, s.site)
	if errors.Is(err, errNotInstalled) {
		t.row(tool.name, e.name, notInstalled)
		return nil
	}
	if err != nil {
		return err
	}
	defer w.stop()
	edits := b.scale.edits
	if w.settled == nil {
		edits = min(edits, b.scale.otherEdits)
	}
	var r rounds
	for version := 1; r.edits < edits; {
		n := min(editsPerRound, edits-r.edits)
		if err := r.round(ctx, s, w, version, n); err != nil {
			return err
		}
		version += n
	}
	times := "-"
	most := "-"
	if w.settled != nil {
		times, most = millis(r.settle.median()), millis(r.settle.max())
	}
	t.row(tool.name, e.name, fmt.Sprint(r.edits), fmt.Sprint(r.all), fmt.Sprint(r.stale), fmt.Sprint(r.silent), fmt.Sprint(r.unsettled), times, most)
	return nil
}

// round makes n edits, from one version to the next, and looks at what is served in the end.
func (r *rounds) round(ctx context.Context, s *phpSite, w *session, version, n int) error {
	var name string
	for i := range n {
		var err error
		if name, err = s.save(version + 1 + i); err != nil {
			return err
		}
		r.edits++
		if i == n-1 {
			break
		}
		select {
		case <-time.After(rand.N(longestPause)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	last := time.Now()
	err := s.settle(ctx, w, last)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	r.all++
	if err != nil {
		r.unsettled++
		fmt.Fprintln(os.Stderr, "hotreload-bench: a round does not settle:", err)
	} else {
		r.settle = append(r.settle, time.Since(last))
	}
	_, old, silent := s.servedBy(ctx, name)
	if old > 0 {
		r.stale++
	}
	if silent > 0 {
		r.silent++
	}
	return ctx.Err()
}

// settle waits until what was saved until since is dealt with, as far as that can be told.
func (p *phpSite) settle(ctx context.Context, w *session, since time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if w.settled != nil {
		return w.settled(ctx, since)
	}
	return p.still(ctx, stillness)
}

// still waits until no process of the server came or went for a while.
func (p *phpSite) still(ctx context.Context, while time.Duration) error {
	master, err := signals.Lookup(p.masterPID())
	if err != nil {
		return err
	}
	var before []signals.Process
	for moved := time.Now(); time.Since(moved) < while; {
		infos, err := signals.Tree(master)
		if err != nil {
			return err
		}
		var now []signals.Process
		for _, i := range infos {
			now = append(now, i.Process)
		}
		if !slices.Equal(before, now) {
			before, moved = now, time.Now()
		}
		select {
		case <-time.After(50 * time.Millisecond): // between two looks
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
