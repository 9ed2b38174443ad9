package main

import (
	"cmp"
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/hotreload/hotreload/config"
	"github.com/hotreload/hotreload/supervisor"
	"github.com/hotreload/hotreload/watcher"
)

// newWatcher watches what is configured.
func newWatcher(cfg *config.Config, early func([]string), log *zap.Logger) (*watcher.Watcher, error) {
	w := cfg.Watch
	opt := watcher.Options{
		Base: cfg.Dir, Paths: w.Paths, Include: w.Include, Exclude: w.Exclude,
		Quiet: w.Quiet, MaxWait: w.MaxWait, Poll: pollModes[w.Poll], PollInterval: w.PollInterval,
		Early: early, Log: log,
	}
	if lock := gitLock(cfg.Dir); lock != "" {
		opt.HoldFiles = []string{lock}
	}
	return watcher.New(opt)
}

var pollModes = map[string]watcher.PollMode{"auto": watcher.PollAuto, "always": watcher.PollAlways, "never": watcher.PollNever}

// newLinkWatcher watches where release.current leads.
func newLinkWatcher(cfg *config.Config, log *zap.Logger) (*watcher.LinkWatcher, error) {
	return watcher.NewLinkWatcher(watcher.LinkOptions{
		Path: cfg.Release.Current, Poll: pollModes[cfg.Watch.Poll], PollInterval: cfg.Watch.PollInterval, Log: log,
	})
}

// changedSince looks once at all that would be watched, where nothing is.
func changedSince(ctx context.Context, cfg *config.Config, log *zap.Logger) func(time.Time) []string {
	return func(t time.Time) (changed []string) {
		err := glance(ctx, cfg, log, func(w *watcher.Watcher) { changed = w.ChangedSince(t) })
		if err != nil {
			log.Warn("the files that have changed are not known, and so not checked", zap.Error(err))
		}
		return changed
	}
}

// glance looks once at all that would be watched, and has f ask about it.
func glance(ctx context.Context, cfg *config.Config, log *zap.Logger, f func(*watcher.Watcher)) error {
	w, err := watcher.New(watcher.Options{
		Base: cfg.Dir, Paths: cfg.Watch.Paths, Include: cfg.Watch.Include, Exclude: cfg.Watch.Exclude,
		Poll: watcher.PollAlways, Log: log,
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	defer func() { cancel(); <-done }()
	go func() {
		defer close(done)
		_ = w.Run(ctx) // it ends with ctx
	}()
	select {
	case <-w.Ready():
		f(w)
	case <-ctx.Done():
	}
	return ctx.Err()
}

// recordFunc begins to note which files are opened: watcher.Watcher.Record.
type recordFunc func(context.Context, watcher.RecordOptions) (*watcher.Recording, error)

// recordOnce begins a recording where nothing is watched.
func recordOnce(ctx context.Context, cfg *config.Config, log *zap.Logger, opt watcher.RecordOptions) (rec *watcher.Recording, err error) {
	failed := glance(ctx, cfg, log, func(w *watcher.Watcher) { rec, err = w.Record(ctx, opt) })
	if rec == nil {
		err = cmp.Or(err, failed)
	}
	return rec, err
}

// recording is supervisor.Options.Record; nil where what is opened tells nothing.
func recording(cfg *config.Config, c *code, h *hyperf, record recordFunc) func(context.Context) (supervisor.Recording, error) {
	if c.found && c.settings.OPcache && c.settings.INI["opcache.file_cache"] != "" {
		c.note("opcache.file_cache is set, so that which files the master loads before it forks is not seen: the rules alone decide")
		return nil
	}
	if cfg.Server.Kind == config.KindOctane {
		// artisan loads the application, and then starts another program that loads none of it before it has forked
		// (laravel/octane, bin/swoole-server).
		return nil
	}
	opt := watcher.RecordOptions{Until: cfg.Server.PIDFile}
	if h != nil {
		h.also(&opt)
	}
	return func(ctx context.Context) (supervisor.Recording, error) {
		rec, err := record(ctx, opt)
		if err != nil {
			return nil, err // not rec, which would be no nil interface
		}
		return rec, nil
	}
}

// gitLock is the file that exists while git changes the working tree that dir belongs to; "" outside of one.
func gitLock(dir string) string {
	for {
		git := filepath.Join(dir, ".git")
		st, err := os.Stat(git)
		switch {
		case err == nil && st.IsDir():
			return filepath.Join(git, "index.lock")
		case err == nil && st.Mode().IsRegular():
			if real := gitDirOf(git); real != "" {
				return filepath.Join(real, "index.lock")
			}
		}
		if dir == filepath.Dir(dir) {
			return ""
		}
		dir = filepath.Dir(dir)
	}
}

// gitDirOf follows the .git file of a linked working tree or a submodule: "gitdir: PATH" (gitrepository-layout(5)).
func gitDirOf(file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	path, ok := strings.CutPrefix(strings.TrimSpace(string(text)), "gitdir: ")
	if !ok {
		return ""
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(file), path)
	}
	return path
}

func watchStatus(w *watcher.Watcher) func() *supervisor.WatchStatus {
	return func() *supervisor.WatchStatus {
		s := w.Stats()
		return &supervisor.WatchStatus{Backend: s.Backend, Files: s.Files, Dirs: s.Dirs, PolledDirs: s.PolledDirs}
	}
}
