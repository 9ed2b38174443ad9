package main

import (
	"os"
	"path/filepath"
	"strings"

	"go.uber.org/zap"

	"github.com/hotreload/hotreload/config"
	"github.com/hotreload/hotreload/supervisor"
	"github.com/hotreload/hotreload/watcher"
)

// newWatcher watches what is configured.
func newWatcher(cfg *config.Config, early func([]string), log *zap.Logger) (*watcher.Watcher, error) {
	w := cfg.Watch
	poll := map[string]watcher.PollMode{"auto": watcher.PollAuto, "always": watcher.PollAlways, "never": watcher.PollNever}
	opt := watcher.Options{
		Base: cfg.Dir, Paths: w.Paths, Include: w.Include, Exclude: w.Exclude,
		Quiet: w.Quiet, MaxWait: w.MaxWait, Poll: poll[w.Poll], PollInterval: w.PollInterval,
		Early: early, Log: log,
	}
	if lock := gitLock(cfg.Dir); lock != "" {
		opt.HoldFiles = []string{lock}
	}
	return watcher.New(opt)
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
