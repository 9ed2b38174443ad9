package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	askEvery    = 5 * time.Millisecond // while nothing has changed
	askAgain    = 2 * time.Millisecond // when new code has answered, until every worker has
	afterServed = 250 * time.Millisecond
	askAfter    = 50 * time.Millisecond // until then: hotreload believes in a worker that has waited for work for a moment
	answerTime  = time.Second           // an answer that takes longer has failed
	// servedTime is how long a save may take to be served: the scan of a slow watcher, and a stop that takes all its time.
	servedTime = 10 * time.Second
)

// witness is what the answers of a server tell about one save.
type witness struct {
	version string
	current map[int]time.Time // when each worker answered with the version first, and with no other one since
	asked   time.Time         // when the last request was made that another version answered
	old     time.Time         // when that answer came
	heard   time.Time         // when the last answer came
	silence time.Duration     // the longest time between two answers
	over    bool              // it is served: what follows is asked for slowly

	requests, failed int
}

func newWitness(version string, began time.Time) *witness {
	return &witness{version: version, current: map[int]time.Time{}, heard: began}
}

// reply is what became of one request. Without a pid: it was refused, reset, or not answered in time.
type reply struct {
	answer
	asked, at time.Time
}

func (w *witness) hear(r reply) {
	w.requests++
	if r.pid == 0 {
		w.failed++
		return
	}
	if !w.over {
		w.silence = max(w.silence, r.at.Sub(w.heard))
	}
	w.heard = later(w.heard, r.at)
	if r.version != w.version {
		delete(w.current, r.pid)
		w.asked, w.old = later(w.asked, r.asked), later(w.old, r.at)
		return
	}
	if first, known := w.current[r.pid]; !known || r.at.Before(first) {
		w.current[r.pid] = r.at
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// served is when the last of these workers had answered with the version first, and the last other answer had come.
func (w *witness) served(workers []int) (at time.Time, ok bool) {
	at = w.old
	for _, pid := range workers {
		first, known := w.current[pid]
		if !known {
			return time.Time{}, false
		}
		at = later(at, first)
	}
	return at, len(workers) > 0
}

// watch asks until every worker serves the version, and then some, in case that one does not. It returns when they did.
func (w *witness) watch(ctx context.Context, a *app) (served time.Time, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, servedTime)
	defer cancel()
	for {
		for _, r := range askTogether(ctx, a.address, a.path, a.workers) {
			w.hear(r)
		}
		if w.over && w.old.After(served) {
			w.over = false
		}
		if !w.over && len(w.current) >= a.workers {
			served, w.over = w.served(a.serving())
		}
		if w.over && time.Since(served) > afterServed {
			return served, true
		}
		wait := askEvery
		switch {
		case w.over:
			wait = askAfter
		case len(w.current) > 0:
			wait = askAgain
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return served, w.over
		}
	}
}

// askTogether makes n connections first, so that no worker can take them all, and then a request on each.
func askTogether(ctx context.Context, address, path string, n int) []reply {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	replies := make([]reply, n)
	conns := make([]net.Conn, n)
	for i := range replies {
		replies[i].asked = time.Now()
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			continue // refused
		}
		// Reset when it is closed, and gone: thousands of sockets in TIME_WAIT would slow down whoever reads /proc/net/tcp.
		_ = conn.(*net.TCPConn).SetLinger(0)
		conns[i] = conn
	}
	var group sync.WaitGroup
	for i, conn := range conns {
		if conn == nil {
			continue
		}
		group.Go(func() {
			defer conn.Close()
			replies[i].answer, _ = askOn(ctx, conn, path) // without a pid when there is none
			replies[i].at = time.Now()
		})
	}
	group.Wait()
	return replies
}

func askOn(ctx context.Context, conn net.Conn, path string) (answer, error) {
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return answer{}, err
		}
	}
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, conn.RemoteAddr()); err != nil {
		return answer{}, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return answer{}, err
	}
	return readAnswer(resp)
}
