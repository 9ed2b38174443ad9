package watcher

import (
	"context"
	"errors"
	"slices"
	"strings"
)

// Opened are the files that a [Recording] has seen being opened: absolute paths as in [Change], sorted. A path that
// ends with a separator is a directory that appeared meanwhile: any file below it may have been opened.
type Opened []string

// Has reports whether the file may have been opened.
func (o Opened) Has(path string) bool {
	if _, found := slices.BinarySearch(o, path); found {
		return true
	}
	for i, r := range path {
		if r != '/' {
			continue
		}
		if _, found := slices.BinarySearch(o, path[:i+1]); found {
			return true
		}
	}
	return false
}

// RecordOptions say what a [Recording] covers besides the watched files. All paths are absolute.
type RecordOptions struct {
	// Until is a file whose being created or written ends the recording; "" when only [Recording.Cut] does.
	Until string
	// Except is a file around a part that does not count: what is opened after this file was opened and before it was
	// written and closed is forgotten. "" when everything counts.
	Except string
	// Also are directories outside of what is watched, the files in which count as well. They may be missing.
	Also []string
}

// Reasons for which it is not known what was opened.
var (
	// ErrNotRecorded: this system does not tell who opens a file, or not for so many directories.
	ErrNotRecorded = errors.New("opened files cannot be recorded")
	// ErrEventsLost: the kernel's queue of events overflowed.
	ErrEventsLost = errors.New("opened files are not known: events were lost")
	// ErrNeverCut: neither was RecordOptions.Until written nor Recording.Cut called.
	ErrNeverCut = errors.New("opened files are not known: nothing told when the workers were forked")
)

// Record begins to note which watched files are opened, by any process. It misses none that is opened after it has returned. The
// recording takes one inotify instance, with a watch for each directory, until it is ended; between recordings nothing is
// left of it.
//
// It is made for the start of a server: a file that a master opens before it writes its pid file, which Swoole and
// Workerman do before they fork, is loaded by the master, and inherited by every worker.
func (w *Watcher) Record(ctx context.Context, opt RecordOptions) (*Recording, error) {
	answer := make(chan []place, 1)
	select {
	case w.calls <- func() { answer <- w.tree.places() }:
	case <-w.done:
		return nil, ErrNotRecorded
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	var places []place
	select {
	case places = <-answer:
	case <-w.done:
		return nil, ErrNotRecorded
	}
	if !take(ctx, w.tree.idle) {
		return nil, ctx.Err()
	}
	free := func() { <-w.tree.idle }
	rec, err := record(places, w.match, opt, free)
	if err != nil {
		free()
	}
	return rec, err
}

// place is a directory, or with a nil scope a single file, under the path by which the watcher knows it.
type place struct {
	path  string
	scope *scope
	all   bool // every file in it counts, whatever the patterns say
}

// places are where the watched files live. A file behind a symlink is a place of its own: opening it is an event of the
// directory that it really lies in.
func (t *tree) places() []place {
	var out []place
	for _, d := range t.nodes {
		if !d.live {
			continue
		}
		for name := range d.only {
			out = append(out, place{path: d.join(name)})
		}
		if d.anchor() {
			continue
		}
		out = append(out, place{path: d.path, scope: d.scope})
		for name := range d.links {
			if _, isFile := d.file(name); isFile {
				out = append(out, place{path: d.join(name)})
			}
		}
	}
	slices.SortFunc(out, func(a, b place) int { return strings.Compare(a.path, b.path) })
	return out
}
