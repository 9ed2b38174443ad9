package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/hotreload/hotreload/supervisor"
)

// measureHandover: full restarts of real servers, unmodified, under load.
func measureHandover(ctx context.Context, b *bench) error {
	m := &handovers{b: b, n: 20, few: 5, second: time.Second}
	if b.scale.saves < fullScale().saves { // -quick
		m.n, m.few = 3, 2
	}
	here, why, err := b.handedHere(ctx)
	if err != nil {
		return err
	}
	for _, measure := range []func(context.Context, []*handed) (*table, error){m.closing, m.keeping, m.timing, m.throughput} {
		t, err := measure(ctx, here)
		if err != nil {
			return err
		}
		for _, w := range why {
			t.remark("%s", w)
		}
		t.remark("Load average at the end: %s.", contentOf("/proc/loadavg"))
		t.print(b.out)
	}
	return nil
}

// handovers is how much of everything is measured.
type handovers struct {
	b      *bench
	n, few int // restarts
	second time.Duration
}

// standard is what `hotreload run` does by default.
var standard = way{handover: "auto", drain: 10 * time.Second}

// series is what restarts under load have led to.
type series struct {
	losses
	restarts map[supervisor.Result]int
	serving  sample
	cut      int
	took     time.Duration
}

func (s *series) results() string {
	var parts []string
	for result, n := range s.restarts {
		parts = append(parts, fmt.Sprintf("%d %s", n, result))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

func (s *series) reasons() string {
	var parts []string
	for text, n := range s.why {
		parts = append(parts, fmt.Sprintf("%d × %s", n, text))
	}
	slices.Sort(parts)
	return strings.Join(parts, "; ")
}

// under makes n restarts under a load. before, if any, is done before each.
func (m *handovers) under(ctx context.Context, h *handed, w way, l load, n int, before func() error) (*series, error) {
	run, err := h.run(ctx, m.b, w)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", h.name, err)
	}
	defer run.stop()
	if len(l.addresses) == 0 {
		l.addresses = h.addresses
	}
	s := &series{restarts: map[supervisor.Result]int{}}
	clients := l.begin(ctx)
	wait(ctx, m.second/2)
	for range n {
		if before != nil {
			if err := before(); err != nil {
				clients.end()
				return nil, err
			}
		}
		d, err := run.restart(ctx)
		if err != nil {
			clients.end()
			return nil, fmt.Errorf("%s: %w", h.name, err)
		}
		s.restarts[d.Result]++
		s.cut += d.ConnectionsCut
		s.serving = append(s.serving, d.serving)
		if d.Result == supervisor.Failed || d.Result == supervisor.TimedOut {
			fmt.Fprintf(os.Stderr, "hotreload-bench: %s: restart: %s\n", h.name, d.Error)
		}
		wait(ctx, m.second/10)
	}
	wait(ctx, m.second/2)
	s.losses, s.took = clients.end()
	return s, ctx.Err()
}

// closing: each request has a connection of its own.
func (m *handovers) closing(ctx context.Context, here []*handed) (*table, error) {
	t := &table{
		title: fmt.Sprintf("Full restarts under load, %d clients, `Connection: close`", clients),
		header: []string{"server, unmodified", "restarts", "way", "requests", "connections refused", "not answered", "slowest, ms",
			"failed how"},
	}
	row := func(name, how string, s *series) {
		t.row(name, s.results(), how, fmt.Sprint(s.answered), fmt.Sprint(s.refused), fmt.Sprint(s.unanswered), millis(s.slowest), s.reasons())
	}
	each := func(h *handed, w way, l load, n int, how string) error {
		s, err := m.under(ctx, h, w, l, n, nil)
		if err == nil {
			row(h.name, how, s)
		}
		return err
	}
	stop := standard
	stop.handover = "off"
	for _, h := range here {
		if err := each(h, standard, load{path: "/"}, m.n, "handover"); err != nil {
			return nil, err
		}
		if err := each(h, stop, load{path: "/"}, m.few, "stop and start"); err != nil {
			return nil, err
		}
	}
	for _, h := range here {
		if h.slow == "" {
			continue
		}
		if err := each(h, standard, load{path: h.slow}, m.n, "handover, requests of 1 s"); err != nil {
			return nil, err
		}
		if err := each(h, stop, load{path: h.slow}, m.few, "stop and start, requests of 1 s"); err != nil {
			return nil, err
		}
	}
	for _, mode := range []string{"BASE", "PROCESS"} {
		h, err := m.b.handedSwoole(ctx, mode, "::1", "127.0.0.1")
		if err != nil {
			break // it was said
		}
		if err := each(h, standard, load{path: "/"}, m.n, "handover"); err != nil {
			return nil, err
		}
	}
	for _, h := range here {
		if h.stuck == "" {
			continue
		}
		s, err := m.stuck(ctx, h)
		if err != nil {
			return nil, err
		}
		row(h.name, "handover, the new server never answers", s)
	}
	t.remark("Not answered: the request was sent, and no whole answer with status 200 came. Slowest: a connection, or an answer.")
	return t, nil
}

// stuck makes restarts that must be refused.
func (m *handovers) stuck(ctx context.Context, h *handed) (*series, error) {
	defer os.Remove(h.stuck)
	w := standard
	w.ready = 2 * time.Second
	return m.under(ctx, h, w, load{path: "/"}, m.few, func() error { return os.WriteFile(h.stuck, nil, 0o644) })
}

// keeping: connections are kept.
func (m *handovers) keeping(ctx context.Context, here []*handed) (*table, error) {
	t := &table{
		title: fmt.Sprintf("Full restarts under load, %d keep-alive connections", clients),
		header: []string{"server, unmodified", "restarts", "way", "requests", "sent and not answered", "closed between two requests",
			"closed by a restart, each connection", "reported as cut", "failed how"},
	}
	const limit = 2 * time.Second
	for _, h := range here {
		for _, test := range []struct {
			how string
			w   way
			l   load
			n   int
		}{
			{"handover, 20 ms between two requests", standard, load{path: "/", keepAlive: true, think: 20 * time.Millisecond}, m.n},
			{"stop and start, the same", way{handover: "off", drain: limit}, load{path: "/", keepAlive: true, think: 20 * time.Millisecond}, m.few},
			{"handover, never a pause, limit " + limit.String(), way{handover: "auto", drain: limit}, load{path: "/", keepAlive: true}, m.n},
		} {
			s, err := m.under(ctx, h, test.w, test.l, test.n, nil)
			if err != nil {
				return nil, err
			}
			t.row(h.name, s.results(), test.how, fmt.Sprint(s.answered), fmt.Sprint(s.failed()), fmt.Sprint(s.closed),
				fmt.Sprintf("%.2f", float64(s.closed+s.unanswered)/float64(clients*test.n)), fmt.Sprint(s.cut), s.reasons())
		}
	}
	return t, nil
}

// timing: how long it takes until the new server serves.
func (m *handovers) timing(ctx context.Context, here []*handed) (*table, error) {
	t := &table{
		title:  "`hotreload restart` to the new server serving, nothing else going on",
		header: []string{"server, unmodified", "its own boot, median", "max", "handover, median", "max", "stop and start, median", "max"},
	}
	for _, h := range here {
		var boots, handover, stop sample
		for range m.few {
			d, err := h.boot(ctx)
			if err != nil {
				return nil, err
			}
			boots = append(boots, d)
		}
		for _, w := range []way{standard, {handover: "off", drain: standard.drain}} {
			s, err := m.idle(ctx, h, w)
			if err != nil {
				return nil, err
			}
			if w.handover == "off" {
				stop = s
			} else {
				handover = s
			}
		}
		t.row(h.name, millis(boots.median()), millis(boots.max()), millis(handover.median()), millis(handover.max()), millis(stop.median()), millis(stop.max()))
	}
	t.remark("From the start of the command `hotreload restart`. In a handover the new server serves when hotreload has turned all new connections " +
		"to it; the command itself returns when the old one has ended. Its own boot: from its start until it answers a request.")
	return t, nil
}

func (m *handovers) idle(ctx context.Context, h *handed, w way) (sample, error) {
	run, err := h.run(ctx, m.b, w)
	if err != nil {
		return nil, err
	}
	defer run.stop()
	var s sample
	for range m.few {
		d, err := run.restart(ctx)
		if err != nil {
			return nil, err
		}
		if d.Result != supervisor.Verified {
			return nil, fmt.Errorf("%s: restart: %s", h.name, d.Error)
		}
		s = append(s, d.serving)
	}
	return s, nil
}

// throughput: what it costs to be under hotreload.
func (m *handovers) throughput(ctx context.Context, here []*handed) (*table, error) {
	t := &table{
		title:  fmt.Sprintf("Requests per second without and under hotreload, %d clients, median of %d", clients, m.few),
		header: []string{"server, unmodified", "connections", "without", "under", "under / without"},
	}
	for _, h := range here {
		for _, keep := range []bool{false, true} {
			var without, under []float64
			for range m.few { // one after the other, so that both see the same machine
				stop, err := h.alone(ctx)
				if err != nil {
					return nil, err
				}
				without = append(without, m.rate(ctx, h, keep))
				stop()
				run, err := h.run(ctx, m.b, standard)
				if err != nil {
					return nil, err
				}
				under = append(under, m.rate(ctx, h, keep))
				run.stop()
			}
			kind := "close"
			if keep {
				kind = "keep-alive"
			}
			x, y := median(without), median(under)
			t.row(h.name, kind, fmt.Sprintf("%.0f", x), fmt.Sprintf("%.0f", y), percent(y/x))
		}
	}
	return t, nil
}

func (m *handovers) rate(ctx context.Context, h *handed, keep bool) float64 {
	clients := load{addresses: h.addresses, path: "/", keepAlive: keep}.begin(ctx)
	wait(ctx, 2*m.second)
	l, took := clients.end()
	return float64(l.answered) / took.Seconds()
}

func median(values []float64) float64 {
	s := slices.Sorted(slices.Values(values))
	return s[len(s)/2]
}
