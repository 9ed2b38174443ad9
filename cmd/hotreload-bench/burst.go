package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// measureBurst: many files are replaced, as by git checkout.
func measureBurst(ctx context.Context, b *bench) error {
	t := &table{
		title:  fmt.Sprintf("%d files rewritten", b.scale.burst),
		header: []string{"tool", "burst", "it took", "signals", "reloads", "last state loaded", "how long after the last write"},
	}
	for _, tool := range []tool{b.hotreloadTool(true), loopTool(), entrTool()} {
		if err := b.burstOf(ctx, t, tool); err != nil {
			return fmt.Errorf("%s: %w", tool.name, err)
		}
	}
	t.remark("Each file is removed and made again. The server drops a signal that comes while it replaces its workers; signals " +
		"that come faster than it can take them are one. hotreload checks the syntax of all files first.")
	t.print(b.out)
	return nil
}

func (b *bench) burstOf(ctx context.Context, t *table, tool tool) error {
	s, err := b.newTargetSite("burst", "")
	if err != nil {
		return err
	}
	defer s.feed.close()
	files, err := plant(s.watched, b.scale.burst/100, 100)
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
	for _, over := range []time.Duration{b.scale.burstTime, 0} {
		run.version++
		if err := run.burst(ctx, t, tool.name, over); err != nil {
			return err
		}
	}
	return nil
}

// burst rewrites all files over a time, 0: as fast as possible.
func (r *saving) burst(ctx context.Context, t *table, name string, over time.Duration) error {
	mark := r.s.feed.mark()
	began := time.Now()
	if err := r.rewrite(ctx, over); err != nil {
		return err
	}
	took, ended, last := time.Since(began), monotonic(), time.Now()
	if err := r.rested(ctx, last); err != nil {
		return err
	}
	pace := "as fast as possible"
	if over > 0 {
		pace = "over " + over.String()
	}
	state, after := fmt.Sprintf("**no**: version %d", r.s.feed.last(isReplaced).oldest), "-"
	if r.s.feed.last(isReplaced).oldest == r.version {
		state = "yes"
		after = millis(r.s.feed.last(isReplaced).at - ended)
	}
	t.row(name, pace, seconds(took), fmt.Sprint(r.s.feed.count(mark, isSignal)), fmt.Sprint(r.s.feed.count(mark, isReplaced)), state, after)
	return nil
}

// rewrite gives every file the current version.
func (r *saving) rewrite(ctx context.Context, over time.Duration) error {
	began := time.Now()
	for i, path := range r.files {
		if wait := time.Until(began.Add(over * time.Duration(i) / time.Duration(len(r.files)))); wait > 0 {
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if err := checkOut(path, codeOf(path[len(r.s.watched):], r.version)); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// rested waits until what was saved until since is dealt with: as the tool says, or when nothing has happened for a while.
// A target writes its feed a moment after its workers can be seen to be replaced.
func (r *saving) rested(ctx context.Context, since time.Time) error {
	const enough = 3 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if r.w.settled == nil {
		return r.s.feed.calm(ctx, enough)
	}
	if err := r.w.settled(ctx, since); err != nil {
		return err
	}
	return r.s.feed.calm(ctx, spacing)
}
