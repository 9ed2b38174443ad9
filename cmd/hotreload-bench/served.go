package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// measureServed: from a save until every worker answers with the new code.
func measureServed(ctx context.Context, b *bench) error {
	t := &table{
		title: fmt.Sprintf("Save to served by all %d workers (%d saves)", workers, b.scale.served),
		header: []string{"tool", "server", "served: median", "p95", "max", "hotreload says so: median", "p95", "max",
			"said too early", "not served"},
	}
	here, why := b.examplesHere(ctx)
	for _, e := range here {
		for _, tool := range []tool{b.hotreloadTool(true), loopTool()} {
			if err := b.servedOf(ctx, t, tool, e); err != nil {
				return fmt.Errorf("%s, %s: %w", tool.name, e.name, err)
			}
		}
	}
	t.remark("%d requests at a time, on connections of their own, from the save on: they take processor time from the server and the tool. "+
		"Served: the last answer from old code was before this, and every worker has answered since. Said too early: an answer from old code to "+
		"a request that was made after hotreload had reported the reload.", atOnce)
	for _, w := range why {
		t.remark("%s", w)
	}
	t.print(b.out)
	return nil
}

// follow is what became of one save.
type follow struct {
	served time.Duration // since the save; 0: not within the patience
	said   time.Duration // since the save; 0: the tool says nothing
	early  bool
}

func (b *bench) servedOf(ctx context.Context, t *table, tool tool, e example) error {
	s, err := b.newPHPSite(e)
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
	var served, said sample
	early, missed := 0, 0
	for i := range b.scale.served {
		if err := pause(ctx); err != nil {
			return err
		}
		f, err := s.follow(ctx, w, i+2)
		if err != nil {
			return err
		}
		if f.served > 0 {
			served = append(served, f.served)
		} else {
			missed++
		}
		if f.said > 0 {
			said = append(said, f.said)
		}
		if f.early {
			early++
		}
	}
	cells := append([]string{tool.name, e.name}, served.cells()...)
	cells = append(cells, said.cells()...)
	wrong := "-"
	if w.settled != nil {
		wrong = fmt.Sprint(early)
	}
	t.row(append(cells, wrong, fmt.Sprint(missed))...)
	return nil
}

// follow saves, and asks until every worker has answered with what was saved.
func (p *phpSite) follow(ctx context.Context, w *session, version int) (follow, error) {
	before := time.Now()
	name, err := p.save(version)
	if err != nil {
		return follow{}, err
	}
	var f follow
	var old time.Time // when the last request that old code answered was made
	f.served, old = p.untilServed(ctx, before, name)
	if ctx.Err() != nil {
		return f, ctx.Err()
	}
	quiet, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if w.settled == nil {
		return f, p.still(quiet, time.Second)
	}
	if err := w.settled(quiet, before); err != nil {
		return f, err
	}
	st, err := w.status(ctx)
	if err != nil {
		return f, err
	}
	end := st.Last.StartedAt.Add(st.Last.Duration())
	f.said = end.Sub(before)
	f.early = old.After(end)
	return f, nil
}

// untilServed returns when all workers had answered with a version, since began, and when the last request that was
// answered with another one was made.
func (p *phpSite) untilServed(ctx context.Context, began time.Time, version string) (took time.Duration, old time.Time) {
	ctx, cancel := context.WithTimeout(ctx, censusTime)
	defer cancel()
	current := map[int]bool{}
	for ctx.Err() == nil {
		asked := time.Now()
		answers := askAtOnce(ctx, "http://"+p.address+"/")
		for _, a := range answers {
			if a.version != version {
				clear(current)
				old = asked
			}
		}
		if old.Equal(asked) {
			continue
		}
		for _, a := range answers {
			current[a.pid] = true
		}
		if len(current) >= workers {
			return time.Since(began), old
		}
	}
	return 0, old
}
