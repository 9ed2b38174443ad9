package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/hotreload/hotreload/supervisor"
)

// measureReleases: release switches of real servers, unmodified, under load.
func measureReleases(ctx context.Context, b *bench) error {
	m := &releaseSwitches{b: b, n: b.scale.switches, releases: []string{"v1", "v2", "v3"}}
	here, why, err := b.deployedHere(ctx, m.releases...)
	if err != nil {
		return err
	}
	t := &table{
		title: fmt.Sprintf("Release switches under load, %d clients, `Connection: close`", clients),
		header: []string{"server, unmodified", "way", "switches", "requests", "connections refused", "not answered", "old release after the outcome",
			"switch to new release alone: median", "max", "switch to outcome: median", "max", "slowest request", "failed how"},
	}
	for _, d := range here {
		for _, w := range []struct {
			name string
			make func(context.Context, *deployed) (*switched, error)
		}{{"hotreload run", m.followed}, {"SIGTERM, then start", m.replaced}} {
			s, err := w.make(ctx, d)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", d.name, w.name, err)
			}
			t.row(d.name, w.name, s.results(), fmt.Sprint(s.answered), fmt.Sprint(s.refused), fmt.Sprint(s.unanswered), fmt.Sprint(s.late),
				millis(s.alone.median()), millis(s.alone.max()), millis(s.times.median()), millis(s.times.max()), millis(s.slowest), s.reasons())
		}
	}
	var names []string
	for _, s := range switchings {
		names = append(names, s.name)
	}
	t.remark("The link is switched in turn by %s; hotreload is told nothing. Not answered: the request was sent, and no whole answer with status 200 "+
		"came. New release alone: after the last request that another one answered. Outcome: what hotreload reports as verified; without it, that a request is answered by the new release. Old release after the "+
		"outcome: answers of another release than that to requests that were made after it.", strings.Join(names, ", "))
	for _, w := range why {
		t.remark("%s", w)
	}
	t.print(b.out)
	return nil
}

// releaseSwitches is how much is measured.
type releaseSwitches struct {
	b        *bench
	n        int // switches
	releases []string
}

// switched is what came of them.
type switched struct {
	series
	alone sample // from the switch to the last request that another release answered
	times sample // from the switch to the outcome
	late  int    // answers of another release to requests that were made after the outcome
}

// turn is the n-th switch: from the release that is current to the next.
func (m *releaseSwitches) turn(n int) (s switching, from, to string) {
	return switchings[n%len(switchings)], m.releases[n%len(m.releases)], m.releases[(n+1)%len(m.releases)]
}

// under makes switches under load. follow makes the server follow one, and returns how that ended, and when.
func (m *releaseSwitches) under(ctx context.Context, d *deployed, follow func(to string) (supervisor.Result, time.Time, error)) (*switched, error) {
	s := &switched{series: series{restarts: map[supervisor.Result]int{}}}
	heard := &hearing{}
	clients := load{addresses: []string{d.address}, path: "/", heard: heard.note}.begin(ctx)
	defer func() { s.losses, s.took = clients.end() }()
	const settle = 300 * time.Millisecond
	wait(ctx, settle)
	for n := range m.n {
		way, from, to := m.turn(n)
		began := time.Now()
		if err := way.make(d, from, to); err != nil {
			return s, err
		}
		result, outcome, err := follow(to)
		if err != nil {
			return s, fmt.Errorf("switch %d, by %s, to %s: %w", n+1, way.name, to, err)
		}
		s.restarts[result]++
		s.times = append(s.times, outcome.Sub(began))
		wait(ctx, settle)
		last, late := heard.others(outcome, to)
		s.alone, s.late = append(s.alone, max(0, last.Sub(began))), s.late+late
	}
	return s, ctx.Err()
}

// followed: hotreload sees the switch.
func (m *releaseSwitches) followed(ctx context.Context, d *deployed) (*switched, error) {
	if err := d.shell(`ln -nfs "releases/$1" current`, m.releases[0]); err != nil {
		return nil, err
	}
	f, err := d.follow(ctx, m.b)
	if err != nil {
		return nil, err
	}
	defer f.process.stop()
	seq := 0
	return m.under(ctx, d, func(to string) (supervisor.Result, time.Time, error) {
		st, err := f.until(ctx, func(st supervisor.Status) bool {
			return st.Last != nil && st.Last.Seq > seq && st.State != supervisor.Restarting
		})
		if err != nil {
			return "", time.Time{}, err
		}
		seq = st.Last.Seq
		if st.Last.Result == supervisor.Verified && (st.Release == nil || st.Release.Path != d.path(to)) {
			return "", time.Time{}, fmt.Errorf("verified is release %+v", st.Release)
		}
		if st.Last.Result != supervisor.Verified {
			fmt.Fprintf(os.Stderr, "hotreload-bench: %s: %s: %s\n", d.name, st.Last.Result, st.Last.Error)
		}
		return st.Last.Result, st.Last.StartedAt.Add(st.Last.Duration()), nil
	})
}

// replaced: the master is asked to stop, and when it has ended another one is started.
func (m *releaseSwitches) replaced(ctx context.Context, d *deployed) (*switched, error) {
	if err := d.shell(`ln -nfs "releases/$1" current`, m.releases[0]); err != nil {
		return nil, err
	}
	server, err := d.serve(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { server.stop() }()
	return m.under(ctx, d, func(to string) (supervisor.Result, time.Time, error) {
		server.stop()
		if server, err = d.serve(ctx); err != nil {
			return "", time.Time{}, err
		}
		at, err := d.serves(ctx, server, to)
		return supervisor.Verified, at, err
	})
}

// hearing is what the clients have heard since they were asked last.
type hearing struct {
	mu      sync.Mutex
	answers []heard
}

type heard struct {
	asked   time.Time
	release string
}

// note is load.heard.
func (h *hearing) note(asked time.Time, body []byte) {
	var release string
	if words := strings.Fields(string(body)); len(words) > 1 {
		release = words[1] // "hello v7 from worker 4213"
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answers = append(h.answers, heard{asked, release})
}

// others tells when the last request was made that another release than this answered, and how many of them since then. It forgets all.
func (h *hearing) others(since time.Time, release string) (last time.Time, late int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, a := range h.answers {
		if a.release == release {
			continue
		}
		if a.asked.After(last) {
			last = a.asked
		}
		if a.asked.After(since) {
			late++
		}
	}
	h.answers = h.answers[:0]
	return last, late
}
