package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// event is a line of a target's feed.
type event struct {
	kind       string        // "signal" or "replaced"
	at         time.Duration // see monotonic
	generation int           // of the workers that run now
	oldest     int           // the oldest version that they have loaded
}

func isSignal(e event) bool   { return e.kind == "signal" }
func isReplaced(e event) bool { return e.kind == "replaced" }

func parseEvent(line string) (event, error) {
	var e event
	if _, err := fmt.Sscanf(line, "signal %d", &e.at); err == nil {
		e.kind = "signal"
		return e, nil
	}
	if _, err := fmt.Sscanf(line, "replaced %d %d %d", &e.at, &e.generation, &e.oldest); err == nil {
		e.kind = "replaced"
		return e, nil
	}
	return e, fmt.Errorf("the target's feed says %q", line)
}

// feed receives what a target reports, as fast as it comes, and keeps all of it.
type feed struct {
	path string
	file *os.File
	done chan struct{} // closed when nothing is received any more

	mu      sync.Mutex
	events  []event
	err     error
	changed chan struct{} // closed and replaced with every event
}

// openFeed makes a named pipe and reads it until close.
func openFeed(path string) (*feed, error) {
	if err := unix.Mkfifo(path, 0o600); err != nil {
		return nil, fmt.Errorf("make %s: %w", path, err)
	}
	// For writing too, so that it does not end when a target does.
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	f := &feed{path: path, file: file, done: make(chan struct{}), changed: make(chan struct{})}
	go f.receive()
	return f, nil
}

func (f *feed) close() {
	f.file.Close()
	<-f.done
	os.Remove(f.path)
}

func (f *feed) receive() {
	defer close(f.done)
	lines := bufio.NewScanner(f.file)
	for lines.Scan() {
		e, err := parseEvent(lines.Text())
		f.mu.Lock()
		f.events = append(f.events, e)
		f.err = errors.Join(f.err, err)
		close(f.changed)
		f.changed = make(chan struct{})
		f.mu.Unlock()
	}
}

// mark is a position: what was received so far.
func (f *feed) mark() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.events)
}

// since returns what came after a mark, and a channel that is closed when there is more.
func (f *feed) since(mark int) ([]event, <-chan struct{}, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.events[mark:]), f.changed, f.err
}

// count returns how many events after a mark are of a kind.
func (f *feed) count(mark int, want func(event) bool) int {
	events, _, _ := f.since(mark)
	n := 0
	for _, e := range events {
		if want(e) {
			n++
		}
	}
	return n
}

// last is the last event of a kind; the zero event when there is none.
func (f *feed) last(want func(event) bool) event {
	events, _, _ := f.since(0)
	for _, e := range slices.Backward(events) {
		if want(e) {
			return e
		}
	}
	return event{}
}

// await returns the first event after a mark that is wanted. The error is ctx's when it does not come.
func (f *feed) await(ctx context.Context, mark int, want func(event) bool) (event, error) {
	for {
		events, changed, err := f.since(mark)
		if err != nil {
			return event{}, err
		}
		if i := slices.IndexFunc(events, want); i >= 0 {
			return events[i], nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return event{}, ctx.Err()
		}
	}
}

// calm waits until nothing was reported for this long.
func (f *feed) calm(ctx context.Context, quiet time.Duration) error {
	for {
		_, changed, err := f.since(f.mark())
		if err != nil {
			return err
		}
		select {
		case <-changed:
		case <-time.After(quiet):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
