package main

import (
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/hotreload/hotreload/signals"
)

// outlet passes lines on without ever making their author wait: a terminal that is stopped with Ctrl-S must not stop the
// supervisor. What nobody takes in time is lost, and that is said.
type outlet struct {
	lines chan []byte
	quit  chan struct{} // closed by Close
	done  chan struct{} // closed when everything is out
	to    io.Writer
	lost  atomic.Int64 // lines that nobody has been told about
}

// waitingLines is how many lines may wait.
const waitingLines = 1000

func newOutlet(to io.Writer) *outlet {
	o := &outlet{lines: make(chan []byte, waitingLines), quit: make(chan struct{}), done: make(chan struct{}), to: to}
	go o.run()
	return o
}

// Write takes one or more whole lines. It never fails, and after Close it does nothing.
func (o *outlet) Write(p []byte) (int, error) {
	select {
	case o.lines <- append([]byte(nil), p...):
	default:
		o.lost.Add(1)
	}
	return len(p), nil
}

// Sync is for zap: Close does it.
func (o *outlet) Sync() error { return nil }

// Close waits until all lines are out, for at most a second. It may be called once.
func (o *outlet) Close() {
	close(o.quit)
	select {
	case <-o.done:
	case <-time.After(time.Second):
	}
}

func (o *outlet) run() {
	defer close(o.done)
	signals.AllowBackgroundWrites() // a program that was given the terminal is in front
	for {
		select {
		case line := <-o.lines:
			o.pass(line)
		case <-o.quit:
			for len(o.lines) > 0 {
				o.pass(<-o.lines)
			}
			return
		}
	}
}

// pass writes one line. Where that fails (the terminal is gone) there is nobody to tell.
func (o *outlet) pass(line []byte) {
	_, _ = o.to.Write(line)
	if n := o.lost.Swap(0); n > 0 {
		fmt.Fprintf(o.to, "hotreload: %d lines were lost here, because nobody read them\n", n)
	}
}
