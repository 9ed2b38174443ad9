package handover

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

func TestDrained(t *testing.T) {
	const ms = time.Millisecond
	served := connection{accepted: true, in: 5, out: 5, received: 40 * ms, sent: 30 * ms, acked: 30 * ms}
	at := func(change func(*connection)) connection {
		c := connection{accepted: true, in: 5, out: 5, received: 40 * ms, sent: 40 * ms, acked: 40 * ms} // within one tick
		change(&c)
		return c
	}
	with := func(change func(*connection)) connection {
		c := served
		change(&c)
		return c
	}
	for _, test := range []struct {
		name string
		c    connection
		idle bool
	}{
		{"between two requests", served, true},
		{"a request is handled", with(func(c *connection) { c.received = 20 * ms }), false},
		{"a request is unread", with(func(c *connection) { c.unread = 10 }), false},
		{"the response waits to be sent", with(func(c *connection) { c.unsent = 10 }), false},
		{"the response is under way", with(func(c *connection) { c.unacked = 1 }), true},
		{"perhaps a request is handled", at(func(*connection) {}), false},
		{"answered at once, not acknowledged yet", at(func(c *connection) { c.unacked = 1 }), true},
		{"answered at once, acknowledged later", at(func(c *connection) { c.acked = 10 * ms }), true},
		{"answered at once, the only request", at(func(c *connection) { c.in = 1 }), true},
		{"quiet for long", at(func(c *connection) { c.sent, c.received, c.acked = quietTime, quietTime, quietTime }), true},
		{"the client has closed its side", with(func(c *connection) { c.closing = true }), false},
		{"quiet for long, with a request more", at(func(c *connection) { c.in, c.sent, c.received, c.acked = 6, quietTime, quietTime, quietTime }), false},
		{"the first request is handled", at(func(c *connection) { c.out, c.sent, c.received = 0, 5*time.Second, 5*time.Second }), false},
		{"in the queue", connection{received: 2 * time.Second, sent: 2 * time.Second}, false},
		{"half open", connection{halfOpen: true}, false},
		{"silent for a moment", connection{accepted: true, received: 100 * ms, sent: 100 * ms}, false},
		{"silent for long", connection{accepted: true, received: 2 * time.Second, sent: 2 * time.Second}, true},
	} {
		left := map[connectionID]watched{{cookie: 1}: watch(test.c)}
		for _, at := range []struct {
			since, limit time.Duration
			done         bool
		}{
			{0, 10 * time.Second, false},
			{999 * ms, 10 * time.Second, false},
			{1000 * ms, 10 * time.Second, test.idle},
			{9999 * ms, 10 * time.Second, test.idle},
			{10 * time.Second, 10 * time.Second, true},
			{500 * ms, 500 * ms, true},
			{0, 0, true},
		} {
			done, d := drained(left, at.since, at.limit)
			want := Drain{Took: at.since, Cut: 1}
			if test.idle {
				want = Drain{Took: at.since, Idle: 1}
			}
			if done != at.done || d != want {
				t.Errorf("%s, %v after the switch, limit %v: %v, %+v", test.name, at.since, at.limit, done, d)
			}
		}
	}
	for _, since := range []time.Duration{0, 999 * ms} {
		if done, _ := drained(nil, since, 10*time.Second); done {
			t.Errorf("drained %v after the switch: a client may still be about to finish its handshake", since)
		}
	}
	if done, d := drained(nil, time.Second, 10*time.Second); !done || d != (Drain{Took: time.Second}) {
		t.Errorf("nothing left: %v, %+v", done, d)
	}
}

// What is not told by one look: whether the server speaks by itself.
func TestDrainedStreams(t *testing.T) {
	const ms = time.Millisecond
	stream := connection{accepted: true, in: 1, out: 9, said: 900, received: 5 * time.Second, sent: 100 * ms, acked: 100 * ms}
	with := func(c connection, change func(*connection)) connection {
		change(&c)
		return c
	}
	event := with(stream, func(c *connection) { c.out, c.said, c.sent, c.acked = 10, 1000, 2*ms, 2*ms })
	again := with(stream, func(c *connection) { c.out, c.sent, c.unacked = 10, 2*ms, 1 }) // what it said is sent again
	request := with(stream, func(c *connection) { c.in, c.received, c.acked = 2, 10*ms, 10*ms })
	answer := with(request, func(c *connection) { c.out, c.said, c.received, c.sent, c.acked = 10, 1000, 3*time.Second, ms, ms })
	slow := with(answer, func(c *connection) { c.in = 1 })
	waiting := with(stream, func(c *connection) { c.out, c.said, c.received, c.sent = 8, 800, 3*time.Second, 9*time.Second })
	brief := with(stream, func(c *connection) { c.received = 900 * ms })
	banner := with(stream, func(c *connection) { c.in = 0 })
	unread := with(stream, func(c *connection) { c.unread = 10 })
	for _, test := range []struct {
		name  string
		looks []connection
		done  bool // before the limit
		cut   int  // at the limit
	}{
		{"an event", []connection{stream, event}, false, 1},
		{"an event long ago", []connection{stream, event, event, event}, false, 1},
		{"no event yet", []connection{stream, stream}, false, 0},
		{"it has never been asked, and speaks", []connection{banner, with(event, func(c *connection) { c.in = 0 })}, false, 1},
		{"a packet was lost", []connection{stream, again}, false, 0},
		{"the client asks", []connection{stream, event, request}, false, 1},
		{"the client has asked, and was answered slowly", []connection{stream, request, answer}, true, 0},
		{"... between two looks", []connection{stream, answer}, true, 0},
		{"the client waits for a slow answer", []connection{waiting}, false, 1},
		{"the client has waited for a slow answer", []connection{waiting, slow}, true, 0},
		{"the client has sent what nobody reads", []connection{unread, stream}, true, 0},
		{"it was asked a moment ago, and has answered in two parts", []connection{brief, with(event, func(c *connection) { c.received = 950 * ms })}, true, 0},
		{"the client has gone", []connection{stream, event, with(event, func(c *connection) { c.closing = true })}, false, 1},
	} {
		w := watch(test.looks[0])
		for _, c := range test.looks[1:] {
			w = w.look(c)
		}
		left := map[connectionID]watched{{cookie: 1}: w}
		want := Drain{Took: 5 * time.Second, Cut: test.cut, Idle: 1 - test.cut}
		if done, d := drained(left, want.Took, 10*time.Second); done != test.done || d != want {
			t.Errorf("%s: %v, %+v", test.name, done, d)
		}
		if done, d := drained(left, want.Took, want.Took); !done || d != want {
			t.Errorf("%s, at the limit: %v, %+v", test.name, done, d)
		}
	}
}

// draining is the drain of a generation after a switch.
type draining struct {
	t    *testing.T
	done chan struct{}
	d    Drain
	err  error
}

func (g generation) drain(limit time.Duration) *draining {
	x := &draining{t: g.t, done: make(chan struct{})}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	go func() {
		defer cancel()
		defer close(x.done)
		x.d, x.err = g.Drain(ctx, limit, g.pids)
	}()
	return x
}

func (x *draining) wait() Drain {
	x.t.Helper()
	<-x.done
	if x.err != nil {
		x.t.Fatal(x.err)
	}
	return x.d
}

// lasts checks that it goes on for that long.
func (x *draining) lasts(d time.Duration) {
	x.t.Helper()
	select {
	case <-x.done:
		x.t.Errorf("drained: %+v, %v", x.d, x.err)
	case <-time.After(d):
	}
}

// switched has two generations, and does something with the first before the second takes over.
func (w *world) switched(before func(first generation, at string)) (first, second generation, at string) {
	w.t.Helper()
	at = "127.0.0.1:" + freePort(w.t)
	first = w.begin(1).serve(at, "nonblock").take()
	second = w.begin(2).serve(at, "nonblock")
	before(first, at)
	second.take()
	return first, second, at
}

func dial(t *testing.T, at string) net.Conn {
	t.Helper()
	c, err := net.DialTimeout("tcp", at, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

const longLimit = time.Minute

func TestRests(t *testing.T) {
	for sent, want := range map[time.Duration]bool{
		0:                      true,
		4 * time.Millisecond:   true,
		12 * time.Millisecond:  false,
		500 * time.Millisecond: false,
		time.Second:            true,
		time.Hour:              true,
	} {
		if got := (connection{sent: sent}).rests(); got != want {
			t.Errorf("answered %v ago: %v", sent, got)
		}
	}
}

func TestDrainNothing(t *testing.T) {
	first, second, at := newWorld(t).switched(func(generation, string) {})
	x := first.drain(longLimit)
	c := dial(t, at) // of the new one
	if _, err := say(c, "hello"); err != nil {
		t.Fatal(err)
	}
	second.answers(at)
	if d := x.wait(); d.Cut != 0 || d.Idle != 0 || d.Took < settleTime || d.Took >= longLimit {
		t.Errorf("%+v", d)
	}
}

// Between two requests: it is not worth to wait until the client makes up its mind.
func TestDrainIdle(t *testing.T) {
	const clients = 10
	first, _, _ := newWorld(t).switched(func(_ generation, at string) {
		for range clients {
			c := dial(t, at)
			for range 3 {
				if _, err := say(c, "hello"); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
	if d := first.drain(longLimit).wait(); d.Cut != 0 || d.Idle != clients || d.Took >= longLimit {
		t.Errorf("%+v", d)
	}
	if !running(first.pid) {
		t.Error("the server has ended")
	}
}

// Clients that ask again and again: each connection is closed between two requests, and no request is lost.
func TestDrainThinks(t *testing.T) {
	const clients = 20
	const think = 20 * time.Millisecond
	lost := make(chan error, clients) // nil: closed between two requests
	first, _, _ := newWorld(t).switched(func(_ generation, at string) {
		for range clients {
			c := dial(t, at)
			go func() { lost <- askUntilClosed(c, think) }()
		}
	})
	if d := first.drain(longLimit).wait(); d.Cut != 0 || d.Idle != clients || d.Took >= longLimit {
		t.Errorf("%+v", d)
	}
	first.kill()
	n := 0
	for range clients {
		if err := <-lost; err != nil {
			n++
			t.Log(err)
		}
	}
	if n > 1 { // one in a thousand falls into the microseconds after the last look
		t.Errorf("%d requests were made and not answered", n)
	}
}

// askUntilClosed returns nil when the server closes the connection while nothing is asked.
func askUntilClosed(c net.Conn, think time.Duration) error {
	for {
		if _, err := say(c, "hello"); err != nil {
			return err
		}
		if err := c.SetDeadline(time.Now().Add(think)); err != nil {
			return err
		}
		_, err := c.Read(make([]byte, 1))
		if errors.Is(err, os.ErrDeadlineExceeded) { // also when it was closed meanwhile, and nobody had time to look: a client looks once more
			if err := c.SetDeadline(time.Now().Add(think / 10)); err != nil {
				return err
			}
			_, err = c.Read(make([]byte, 1))
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return err
		}
		if err := c.SetDeadline(time.Time{}); err != nil {
			return err
		}
	}
}

// A browser opens connections that it may never use.
func TestDrainSilent(t *testing.T) {
	first, _, _ := newWorld(t).switched(func(_ generation, at string) { dial(t, at) })
	if d := first.drain(longLimit).wait(); d.Cut != 0 || d.Idle != 1 || d.Took >= longLimit {
		t.Errorf("%+v", d)
	}
}

func TestDrainInFlight(t *testing.T) {
	var c net.Conn
	first, _, _ := newWorld(t).switched(func(first generation, at string) {
		c = dial(t, at)
		if _, err := say(c, "hello"); err != nil { // so that its first request is not its last
			t.Fatal(err)
		}
		if _, err := c.Write([]byte("held\n")); err != nil {
			t.Fatal(err)
		}
		first.do("await -")
	})
	x := first.drain(longLimit)
	x.lasts(settleTime + 500*time.Millisecond)
	first.do("release -")
	if said, err := bufio.NewReader(c).ReadString('\n'); err != nil || !strings.HasPrefix(said, "gen 1 ") {
		t.Errorf("the answer is %q, %v", said, err)
	}
	if d := x.wait(); d.Cut != 0 || d.Idle != 1 || d.Took >= longLimit {
		t.Errorf("%+v", d)
	}
}

// What nobody has accepted yet, because all workers are busy.
func TestDrainQueue(t *testing.T) {
	w := newWorld(t)
	at := "127.0.0.1:" + freePort(t)
	first := w.begin(1)
	first.do("bind x %s", at)
	first.do("listen x")
	first.Seal()
	first.take()
	second := w.begin(2).serve(at)
	c := dial(t, at)
	second.take()
	x := first.drain(longLimit)
	second.answers(at)
	x.lasts(settleTime + 500*time.Millisecond)
	first.do("serve x")
	if said, err := say(c, "hello"); err != nil || said[:6] != "gen 1 " {
		t.Errorf("%q, %v", said, err)
	}
	c.Close() // unless the old generation was faster
	if d := x.wait(); d.Cut != 0 || d.Idle > 1 {
		t.Errorf("%+v", d)
	}
}

// A stream never ends by itself. What belongs to the new generation is none of its business, however short the limit is.
func TestDrainLimit(t *testing.T) {
	for _, limit := range []time.Duration{0, 100 * time.Millisecond, 700 * time.Millisecond, 1500 * time.Millisecond} {
		t.Run(limit.String(), func(t *testing.T) {
			first, second, at := newWorld(t).switched(func(_ generation, at string) {
				c := dial(t, at)
				if _, err := c.Write([]byte("slow 1h\n")); err != nil {
					t.Fatal(err)
				}
			})
			for range 3 {
				if _, err := dial(t, at).Write([]byte("slow 1h\n")); err != nil {
					t.Fatal(err)
				}
			}
			if err := second.Verify(t.Context(), second.pids); err != nil {
				t.Fatal(err)
			}
			x := first.drain(limit)
			if d := x.wait(); d.Cut != 1 || d.Idle != 0 || d.Took < limit {
				t.Errorf("%+v", d)
			}
		})
	}
}

// A server that speaks by itself goes on until the limit, however long it is silent in between. Connections beside it that are idle are
// closed.
func TestDrainStreams(t *testing.T) {
	const limit = 5 * time.Second
	intervals := []time.Duration{300 * time.Millisecond, 2 * time.Second}
	first, _, _ := newWorld(t).switched(func(_ generation, at string) {
		for _, interval := range intervals {
			c := dial(t, at)
			if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
				t.Fatal(err)
			}
			if _, err := fmt.Fprintf(c, "stream %v\n", interval); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewReader(c)
			for heard := time.Duration(0); heard <= streamTime+interval; heard += interval { // the first comes at once
				if _, err := lines.ReadString('\n'); err != nil {
					t.Fatal(err)
				}
			}
		}
		if _, err := say(dial(t, at), "hello"); err != nil {
			t.Fatal(err)
		}
	})
	if d := first.drain(limit).wait(); d.Cut != len(intervals) || d.Idle != 1 || d.Took < limit {
		t.Errorf("%+v", d)
	}
}

// An answer that took long is the last word on a connection, as an event is: it is left until the limit, unless the client asks for more.
func TestDrainAfterASlowAnswer(t *testing.T) {
	var c net.Conn
	slow := func(_ generation, at string) {
		c = dial(t, at)
		if _, err := say(c, fmt.Sprintf("slow %v", streamTime+100*time.Millisecond)); err != nil {
			t.Fatal(err)
		}
	}
	w := newWorld(t)
	first, _, _ := w.switched(slow)
	const limit = 3 * time.Second
	if d := first.drain(limit).wait(); d.Cut != 0 || d.Idle != 1 || d.Took < limit {
		t.Errorf("the client is silent: %+v", d)
	}
	first, _, _ = newWorld(t).switched(slow)
	x := first.drain(longLimit)
	x.lasts(settleTime + 500*time.Millisecond)
	if _, err := say(c, "hello"); err != nil {
		t.Fatal(err)
	}
	if d := x.wait(); d.Cut != 0 || d.Idle != 1 || d.Took >= longLimit {
		t.Errorf("the client has asked for more: %+v", d)
	}
}

// Who waits may lose interest, because the new generation has died.
func TestDrainCancelled(t *testing.T) {
	first, _, _ := newWorld(t).switched(func(generation, string) {})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := first.Drain(ctx, longLimit, first.pids); err == nil {
		t.Error("drained, though nobody waits")
	}
}
