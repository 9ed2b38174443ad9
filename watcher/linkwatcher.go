package watcher

import (
	"context"
	"path/filepath"
	"time"

	"go.uber.org/zap"
)

// LinkOptions configure a LinkWatcher.
type LinkOptions struct {
	Path         string // absolute, unresolved
	Poll         PollMode
	PollInterval time.Duration
	Log          *zap.Logger
}

// LinkWatcher tells where a link leads, each time that it leads to another directory.
type LinkWatcher struct {
	path    string
	targets chan string
}

// NewLinkWatcher returns one that does nothing until Run.
func NewLinkWatcher(opt LinkOptions) (*LinkWatcher, error) {
	return &LinkWatcher{opt.Path, make(chan string)}, nil
}

// Targets are the directories that the link leads to.
func (l *LinkWatcher) Targets() <-chan string { return l.targets }

// Run looks until ctx is done. For now it polls.
func (l *LinkWatcher) Run(ctx context.Context) error {
	defer close(l.targets)
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for last := ""; ; {
		if target, err := filepath.EvalSymlinks(l.path); err == nil && target != last {
			select {
			case l.targets <- target:
				last = target
			case <-ctx.Done():
				return nil
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}
