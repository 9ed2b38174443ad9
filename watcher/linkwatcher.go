package watcher

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"
)

// LinkOptions configure a [LinkWatcher]. The zero value of every field but Path is usable.
type LinkOptions struct {
	// Path is absolute and unresolved: usually a symlink, often below others. It does not have to exist yet.
	Path string

	// Poll: [PollAuto] rests on events, and looks every two seconds besides, because a mount sends none and others can be lost.
	// Where there are none, it looks every PollInterval, as [PollAlways] does everywhere. [PollNever] rests on events alone.
	Poll PollMode
	// PollInterval is the pause between two looks. 0 means [DefaultPollInterval].
	PollInterval time.Duration

	// Log gets the few things that a user should know: what is polled and why, and that the path leads nowhere. nil means
	// silence.
	Log *zap.Logger
}

// LinkWatcher watches which directory a path leads to. Create one with [NewLinkWatcher].
//
// What it reports was looked at: a path that was found twice in a row, by way of the same symlinks, and a directory there. So
// it does not matter how a link is switched, by rename, by ln -nfs, by rm and ln, or far away, in a symlink that it leads
// through.
type LinkWatcher struct {
	sight   *sight
	targets chan string
}

// NewLinkWatcher checks the options. It starts nothing: see [LinkWatcher.Run].
func NewLinkWatcher(opt LinkOptions) (*LinkWatcher, error) { return newLinkWatcher(opt, realEnv()) }

func newLinkWatcher(opt LinkOptions, e *env) (*LinkWatcher, error) {
	opt.PollInterval = cmp.Or(opt.PollInterval, DefaultPollInterval)
	if opt.Log == nil {
		opt.Log = zap.NewNop()
	}
	if opt.PollInterval < 0 {
		return nil, fmt.Errorf("poll interval %v is negative", opt.PollInterval)
	}
	if !filepath.IsAbs(opt.Path) {
		return nil, fmt.Errorf("path %q is not absolute", opt.Path)
	}
	return &LinkWatcher{sight: newSight(opt, e), targets: make(chan string)}, nil
}

// Targets yields the directory that the path leads to, absolute and without symlinks: first the one that it leads to at the
// start, or as soon as it leads to one, and then each time that it is another one than was last received. A new directory
// under the same name is another one, and then the same value comes again. What leads nowhere is no target.
//
// The channel is unbuffered: while nobody receives, what is on offer follows the link, and nothing is on offer while the link
// leads nowhere, or again to what was last received.
func (w *LinkWatcher) Targets() <-chan string { return w.targets }

// Run watches until ctx is done and then returns nil, having closed the channel of [LinkWatcher.Targets]. It may be called
// once. It hangs where a look at the path does, on a network file system that does not answer.
//
// The directory that was last received is held open, so that another one that takes its place cannot pass for it under the
// same inode number. On Linux, this keeps its file system from being unmounted.
func (w *LinkWatcher) Run(ctx context.Context) error {
	defer close(w.targets)
	s := w.sight
	defer s.close()
	f := follower{path: s.opt.Path, look: s.look, wake: s.intake.wake, out: w.targets,
		patience: s.env.gap, log: s.log}
	f.run(ctx)
	return nil
}

// target is a directory.
type target struct {
	path string // without symlinks; "": none
	id   inode
	pin  *os.File // keeps the inode number from being given to another directory; nil in tests
}

// same says whether both are one directory under one name.
func (t target) same(u target) bool { return t.path == u.path && t.id == u.id }

func (t target) close() { t.pin.Close() }

// view is what a look found.
type view struct {
	target target
	err    error         // why there is no target
	again  time.Duration // when to look again without being told to; 0: never
}

// follower is the loop: it offers each target that differs from the last one that was received.
type follower struct {
	path     string
	look     func() view
	wake     <-chan struct{}
	out      chan<- string
	patience time.Duration // how long there may be no target before it is worth a notice
	log      *zap.Logger

	received, offer target
	gone            time.Time // since when there is no target
	noticed         bool
}

// run returns when ctx is done.
func (f *follower) run(ctx context.Context) {
	defer func() { f.received.close(); f.offer.close() }()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		var out chan<- string
		if f.offer.path != "" {
			out = f.out
		}
		select {
		case <-ctx.Done():
			return
		case out <- f.offer.path:
			f.received.close()
			f.received, f.offer = f.offer, target{}
			continue
		case <-f.wake:
		case <-timer.C:
		}
		v := f.look()
		f.consider(v.target)
		if again := f.mind(v); again > 0 {
			timer.Reset(again)
		} else {
			timer.Stop()
		}
	}
}

// consider makes t the offer, if it differs from what was received.
func (f *follower) consider(t target) {
	if t.same(f.offer) {
		t.close()
		return
	}
	f.offer.close()
	f.offer = t
	if t.same(f.received) {
		t.close()
		f.offer = target{}
	}
}

// mind gives notice of a target that stays away, and returns when to look again.
func (f *follower) mind(v view) (again time.Duration) {
	if v.err == nil {
		if f.noticed {
			f.log.Info("link leads to a directory again", zap.String("path", f.path), zap.String("target", v.target.path))
		}
		f.gone, f.noticed = time.Time{}, false
		return v.again
	}
	if f.gone.IsZero() {
		f.gone = time.Now()
	}
	left := f.patience - time.Since(f.gone)
	if left <= 0 && !f.noticed {
		f.noticed = true
		f.log.Warn("link leads to no directory, waiting until it does", zap.String("path", f.path), zap.Error(v.err))
	}
	if left > 0 && (v.again == 0 || left < v.again) {
		return left
	}
	return v.again
}
