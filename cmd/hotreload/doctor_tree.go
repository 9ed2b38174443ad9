package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hotreload/hotreload/config"
	"github.com/hotreload/hotreload/watcher"
)

// treeFacts are about the files that `watch` would watch.
type treeFacts struct {
	stats   watcher.Stats
	missing []string // watched paths that are not there

	unreadable int // directories and PHP files that may not be read
	example    string

	future       int // PHP files whose time is more than a second ahead of the clock
	futureName   string
	futureNewest time.Time
}

// gatherTree looks at every file as `watch` does when it starts, but waits for no event.
func gatherTree(ctx context.Context, cfg *config.Config) (treeFacts, error) {
	stats, err := watchOnce(ctx, cfg)
	if err != nil {
		return treeFacts{}, fmt.Errorf("look at the files: %w", err)
	}
	f := treeFacts{stats: stats}
	for _, path := range cfg.Watch.Paths {
		if _, err := os.Stat(path); err != nil {
			f.missing = append(f.missing, path)
			continue
		}
		f.walk(ctx, path, time.Now().Add(time.Second))
	}
	return f, ctx.Err()
}

// watchOnce is what `watch` would find.
func watchOnce(ctx context.Context, cfg *config.Config) (watcher.Stats, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w, err := watcher.New(watcher.Options{
		Base: cfg.Dir, Paths: cfg.Watch.Paths, Include: cfg.Watch.Include, Exclude: cfg.Watch.Exclude, Poll: watcher.PollAlways,
	})
	if err != nil {
		return watcher.Stats{}, err
	}
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	select {
	case <-w.Ready():
		return w.Stats(), nil
	case err := <-ended:
		return watcher.Stats{}, cmp.Or(err, context.Cause(ctx))
	}
}

// skipped are directories of which hardly a file is watched, and which hold most of the files.
var skipped = map[string]bool{"vendor": true, "node_modules": true, ".git": true, "runtime": true, "storage": true}

// walk looks for what cannot be read, and for times after now.
func (f *treeFacts) walk(ctx context.Context, root string, now time.Time) {
	cannot := func(path string) {
		f.unreadable++
		f.example = path
	}
	_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, fs.ErrNotExist):
			return nil // it went meanwhile
		case err != nil:
			cannot(path)
			return nil
		case d.IsDir() && skipped[d.Name()] && path != root:
			return filepath.SkipDir
		case !d.Type().IsRegular() || filepath.Ext(path) != ".php":
			return nil
		}
		if access(path, unix.R_OK) != nil {
			cannot(path)
		}
		if st, err := d.Info(); err == nil && st.ModTime().After(now) {
			f.future++
			if st.ModTime().After(f.futureNewest) {
				f.futureName, f.futureNewest = path, st.ModTime()
			}
		}
		return nil
	})
}

func checkFiles(_ context.Context, p *patient) []finding {
	if !p.watches() && !p.attaches() {
		return nil
	}
	f, err := p.tree()
	if err != nil {
		return []finding{warning("could not be looked at: %v", err).remedy("paths and exclude under [watch] in %s   # leave out what is no code", config.FileName)}
	}
	return judgeFiles(f)
}

func judgeFiles(f treeFacts) []finding {
	found := []finding{fine("%s in %s to watch", count(f.stats.Files, "file"), directories(f.stats.Dirs))}
	if f.stats.Files == 0 {
		found[0] = failure("no file is watched: nothing will ever be reloaded").remedy("paths and include under [watch] in %s   # see `hotreload config`", config.FileName)
	}
	for _, path := range f.missing {
		found = append(found, warning("%s is to be watched, and is not there", path).remedy("paths under [watch] in %s", config.FileName))
	}
	if f.unreadable > 0 {
		found = append(found, warning("%d files or directories may not be read, so changes there are not seen: %s", f.unreadable, f.example).
			remedy("sudo chmod -R a+rX %s", shellWord(f.example)))
	}
	return found
}
