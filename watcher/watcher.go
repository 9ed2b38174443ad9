// Package watcher turns directory trees and links into batches of real changes.
//
// A batch is right because the files were looked at, not because the events were complete. Events of the kernel
// only mark names as worth a look; what is reported is the difference between the content found on disk and the
// content that was last reported. A touch, a chmod, an equal rewrite and a save that is undone at once are
// therefore no change, and a file replaced by one with an older time stamp is one.
//
// What the package leaves out on purpose: it knows nothing of servers, it never decides what a change means, and
// it does not report directories.
package watcher

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Defaults of the zero values in [Options].
const (
	// DefaultQuiet is as low as it can be without taking one save for two. Between two events of one save, measured on two
	// busy processors, lie less than 2 ms for editors and shells that truncate and write, for vim, sed -i and rsync,
	// and 8 ms in 99 of 100 cases for PHP's file_put_contents and for cp of 5 MB. What can take longer does not rest on
	// the quiet period: an empty or missing file is given 100 ms to get its content, git is known by its lock, and
	// composer by the state of its autoloader.
	DefaultQuiet        = 20 * time.Millisecond
	DefaultMaxWait      = 2 * time.Second
	DefaultPollInterval = 500 * time.Millisecond
)

// PollMode says when files are polled besides, or instead of, being watched through events.
type PollMode int

// The poll modes.
const (
	// PollAuto polls where events are known not to come: on network and shared file systems, beyond the kernel's
	// limits, and where a change was found that no event announced.
	PollAuto PollMode = iota
	// PollAlways polls everything and uses no events.
	PollAlways
	// PollNever polls nothing. What cannot be watched is not noticed, and a warning says so.
	PollNever
)

// Options configure a [Watcher]. The zero value of every field but Base and Paths is usable.
type Options struct {
	// Base is the absolute directory that patterns and [Change.Rel] are relative to.
	Base string
	// Paths are the absolute roots: directories, single files, or symlinks to either. None has to exist yet. A
	// root that is a file is always included, and an exclude pattern that would take away a root, or a directory
	// above it, does not apply below that root.
	Paths []string
	// Include and Exclude are doublestar patterns relative to Base, matched against whole paths. Exclude wins
	// unless the include is more specific; see the documentation of [New].
	Include, Exclude []string

	// Quiet: a batch is taken when no matching file changed for this long. 0 means [DefaultQuiet].
	Quiet time.Duration
	// MaxWait: a batch is taken at the latest this long after its first change. 0 means [DefaultMaxWait].
	MaxWait time.Duration

	Poll PollMode
	// PollInterval is the pause between two looks at a polled tree. 0 means [DefaultPollInterval].
	PollInterval time.Duration

	// HoldFiles are absolute paths. While one of them exists (.git/index.lock), a batch waits, for at most 30 s.
	HoldFiles []string

	// Early, when not nil, is told the absolute paths of what is likely to be the next batch when half of its quiet
	// period has passed, so that work on it can begin. Nothing is promised: the files may be unchanged, may change again, or may
	// not be told at all, as when there are more than a few. It is called by the goroutine of Run and must return at once.
	Early func(paths []string)

	// Log gets the few things that a user should know: a limit of the kernel and how to raise it, what is polled and why, what
	// cannot be read (once each), and that events were lost. nil means silence.
	Log *zap.Logger
}

// Op is what happened to a file between two batches.
type Op int

// The operations.
const (
	Created Op = iota + 1
	Modified
	Deleted
)

// String returns the operation in lower case.
func (o Op) String() string {
	switch o {
	case Created:
		return "created"
	case Modified:
		return "modified"
	case Deleted:
		return "deleted"
	}
	return "unknown"
}

// Change is one file whose content differs from what was last reported.
type Change struct {
	// Path is absolute and lexical: below the root as it was given, with symlinks not resolved.
	Path string
	// Rel is Path relative to [Options.Base], with slashes.
	Rel string
	Op  Op
}

// Batch is a set of changes taken together.
type Batch struct {
	// Changes are sorted by Path; each path occurs once. There is at least one.
	Changes []Change
	// First is when the first change of the batch was noticed, Taken when the files were last looked at.
	First, Taken time.Time
	// Rescan says that events were lost and that the whole tree was compared instead.
	Rescan bool
}

// Stats describe what is watched at the moment, and how.
type Stats struct {
	// Backend is "inotify", "kqueue", "poll", or a combination such as "inotify+poll".
	Backend string
	// Files is the number of files that match, Dirs the number of directories watched or polled, and PolledDirs
	// how many of these are polled.
	Files, Dirs, PolledDirs int
}

// Watcher watches the roots of its [Options]. Create one with [New].
type Watcher struct {
	opt     Options
	env     *env
	match   *matcher
	tree    *tree
	batches chan Batch
	ready   chan struct{}
	done    chan struct{}
	flushes chan chan<- struct{}
	calls   chan func() // run by the goroutine of Run, which owns the tree
}

// New checks the options. It starts nothing: see [Watcher.Run].
//
// A file counts if an include matches it and no exclude takes it away. An exclude takes away the first file or
// directory on the way down that it matches, and with a directory everything below. An include gets back what an exclude
// has taken away if it names that same file or directory by a segment without wildcards, and is more specific: it
// has more segments without wildcards; or as many, and does not start with **; or, if that is equal too, more
// characters that are not wildcards. So with **/vendor/** excluded, vendor/composer/*.php still counts, and
// **/*.php or **/composer.json do not reach into vendor. Braces stand for several patterns.
//
// Directories that can hold nothing that counts are neither watched nor read.
func New(opt Options) (*Watcher, error) { return newWatcher(opt, realEnv()) }

func newWatcher(opt Options, e *env) (*Watcher, error) {
	opt.Quiet = cmp.Or(opt.Quiet, DefaultQuiet)
	opt.MaxWait = cmp.Or(opt.MaxWait, DefaultMaxWait)
	opt.PollInterval = cmp.Or(opt.PollInterval, DefaultPollInterval)
	if opt.Log == nil {
		opt.Log = zap.NewNop()
	}
	if opt.Quiet < 0 || opt.MaxWait < opt.Quiet || opt.PollInterval < 0 {
		return nil, fmt.Errorf("quiet period %v, maximum wait %v, poll interval %v: none may be negative, nor the quiet period"+
			" longer than the maximum wait", opt.Quiet, opt.MaxWait, opt.PollInterval)
	}
	if len(opt.Paths) == 0 {
		return nil, errors.New("no paths to watch")
	}
	opt.Paths = slices.Clone(opt.Paths)
	for i, path := range append([]string{opt.Base}, opt.Paths...) {
		if !filepath.IsAbs(path) {
			return nil, fmt.Errorf("path %q is not absolute", path)
		}
		if i == 0 {
			opt.Base = filepath.Clean(path)
		} else {
			opt.Paths[i-1] = filepath.Clean(path)
		}
	}
	slices.Sort(opt.Paths)
	opt.Paths = slices.Compact(opt.Paths)
	m, err := newMatcher(opt.Base, opt.Paths, opt.Include, opt.Exclude)
	if err != nil {
		return nil, err
	}
	w := &Watcher{opt: opt, env: e, match: m, batches: make(chan Batch), ready: make(chan struct{}),
		done: make(chan struct{}), calls: make(chan func()), flushes: make(chan chan<- struct{})}
	w.tree = newTree(e, &w.opt, m, opt.Log)
	return w, nil
}

// Run watches until ctx is done and then returns nil, having closed the channel of [Watcher.Batches]. It may be
// called once.
func (w *Watcher) Run(ctx context.Context) error {
	defer close(w.batches)
	defer close(w.done)
	ctx, cancel := context.WithCancel(ctx)
	var workers sync.WaitGroup
	defer workers.Wait()
	defer cancel()

	t := w.tree
	defer t.close()
	t.start(ctx)
	if ctx.Err() != nil {
		return nil
	}
	c := newChores(t, w.calls)
	for range pollers {
		workers.Go(func() { c.work(ctx) })
	}
	c.start(ctx)
	close(w.ready)
	e := engine{src: t, col: collector{quiet: w.opt.Quiet, maxWait: w.opt.MaxWait},
		wake: t.intake.wake, calls: w.calls, out: w.batches, flushes: w.flushes, early: w.opt.Early}
	e.run(ctx)
	return nil
}

// Ready is closed when all watches are in place and the first look at every file is done. From then on no change
// is missed.
func (w *Watcher) Ready() <-chan struct{} { return w.ready }

// Batches yields the batches. The channel is unbuffered: while nobody receives, later changes are merged into the
// batch on offer, so that a busy consumer finds one batch that is up to date.
func (w *Watcher) Batches() <-chan Batch { return w.batches }

// Flush has the watcher look at once, without waiting for quiet, and returns when the batch of what has changed so far was
// received from [Watcher.Batches], when there is none, or when ctx or the watcher has ended. Somebody must be receiving.
func (w *Watcher) Flush(ctx context.Context) {
	done := make(chan struct{})
	select {
	case w.flushes <- done:
	case <-w.done:
		return
	case <-ctx.Done():
		return
	}
	select {
	case <-done:
	case <-w.done:
	case <-ctx.Done():
	}
}

// Stats may be called at any time, from any goroutine.
func (w *Watcher) Stats() Stats { return *w.tree.stats.Load() }

// ChangedSince returns the absolute paths of what changed after t, as of the last look at it: files by the time of their
// last status change, which unlike the modification time cannot be set, and directories, with a separator at the
// end, in which a name came or went but no file that is there is newer (a deleted file leaves no other trace). It is
// meant for the moment after [Watcher.Ready], to learn what changed while nobody watched. It waits for that moment, and
// returns nil if the watcher ends first.
func (w *Watcher) ChangedSince(t time.Time) []string {
	answer := make(chan []string, 1)
	select {
	case w.calls <- func() { answer <- w.tree.changedSince(t) }:
	case <-w.done:
		return nil
	}
	select {
	case paths := <-answer:
		return paths
	case <-w.done:
		return nil
	}
}
