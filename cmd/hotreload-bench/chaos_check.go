package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hotreload/hotreload/signals"
	"github.com/hotreload/hotreload/supervisor"
)

// chaosPatience bounds everything that must come and has no other bound.
const chaosPatience = 60 * time.Second

// watch looks all the time whether current leads to a complete release, and whether requests are answered.
type watch struct {
	site  *chaosSite
	stop  context.CancelFunc
	group sync.WaitGroup

	mu       sync.Mutex
	looks    int
	asks     int
	failed   int
	answered time.Time     // when the last request was made that was answered
	silence  time.Duration // the longest from one such request to the next
	broken   error
}

func (s *chaosSite) begin() *watch {
	ctx, cancel := context.WithCancel(context.Background())
	w := &watch{site: s, stop: cancel}
	w.group.Go(func() {
		for ctx.Err() == nil {
			w.look()
			wait(ctx, time.Millisecond)
		}
	})
	w.group.Go(func() {
		for ctx.Err() == nil {
			w.ask(ctx)
			wait(ctx, 5*time.Millisecond)
		}
	})
	return w
}

// look checks that current leads to a complete release. The marker of a release is there last, and a release that is removed is renamed
// first, so this can be told by the marker alone.
func (w *watch) look() {
	_, err := os.Stat(filepath.Join(w.site.dir, chaosMarker))
	w.mu.Lock()
	defer w.mu.Unlock()
	w.looks++
	if err != nil && w.broken == nil {
		text, _ := os.Readlink(w.site.dir)
		w.broken = fmt.Errorf("current, which says %q, did not lead to a complete release: %w", text, err)
	}
}

func (w *watch) ask(ctx context.Context) {
	began := time.Now()
	_, err := ask(ctx, "http://"+w.site.address+"/")
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asks++
	if err != nil {
		w.failed++
		return
	}
	if !w.answered.IsZero() {
		w.silence = max(w.silence, began.Sub(w.answered))
	}
	w.answered = began
}

// served waits for an answer to a request that was made since then, and returns how long that took.
func (w *watch) served(ctx context.Context, since time.Time) (time.Duration, error) {
	for {
		w.mu.Lock()
		answered, broken := w.answered, w.broken
		w.mu.Unlock()
		switch {
		case broken != nil:
			return 0, broken
		case answered.After(since):
			return answered.Sub(since), nil
		case time.Since(since) > w.site.away:
			return 0, fmt.Errorf("no request was answered within %v", w.site.away)
		}
		wait(ctx, 5*time.Millisecond)
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
	}
}

func (w *watch) end() error {
	w.stop()
	w.group.Wait()
	return w.broken
}

func (w *watch) summary() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return fmt.Sprintf("current was looked at %d times; %d requests, one after the other, %d of them failed; the longest time from one that was answered to the next: %s.",
		w.looks, w.asks, w.failed, millis(w.silence))
}

// sound waits until what is current is served, and checks that everything is as it should be.
func (s *chaosSite) sound(ctx context.Context) error {
	if err := s.settle(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	broken := s.broken
	s.mu.Unlock()
	if broken != nil {
		return broken
	}
	return errors.Join(s.noOrphans(ctx), s.eventually(ctx, s.nothingHalfWritten), s.releasesWhole())
}

// eventually repeats a check that may come upon somebody who is just writing.
func (s *chaosSite) eventually(ctx context.Context, check func() error) (err error) {
	for end := time.Now().Add(s.away); time.Now().Before(end) && ctx.Err() == nil; wait(ctx, 20*time.Millisecond) {
		if err = check(); err == nil {
			return nil
		}
	}
	return errors.Join(err, ctx.Err())
}

// settle waits until hotreload is ready and serves what is current, and a request is answered by it.
func (s *chaosSite) settle(ctx context.Context) error {
	var why error
	for end := time.Now().Add(chaosPatience); time.Now().Before(end) && ctx.Err() == nil; wait(ctx, 20*time.Millisecond) {
		if why = s.settled(ctx); why == nil {
			return nil
		}
	}
	return fmt.Errorf("it does not come to rest: %w", errors.Join(why, ctx.Err()))
}

func (s *chaosSite) settled(ctx context.Context) error {
	current, err := filepath.EvalSymlinks(s.dir)
	if err != nil {
		return err
	}
	st, err := s.status(ctx)
	if err != nil {
		return err
	}
	if st.State != supervisor.Ready || st.Release == nil || st.Release.Path != current {
		return fmt.Errorf("it is %s (%s) and serves %+v, current is %s", st.State, st.Reason, st.Release, current)
	}
	want, err := s.versionIn(current)
	if err != nil {
		return err
	}
	if a, err := ask(ctx, "http://"+s.address+"/"); err != nil || a.version != want {
		return fmt.Errorf("a request is answered with %q (%w), current says %s", a.version, err, want)
	}
	return nil
}

// noOrphans: what lives is hotreload, the server, and what helps them: one process that reads the server's output, one that keeps its sockets.
func (s *chaosSite) noOrphans(ctx context.Context) error {
	return s.gone(s.away, func(all []signals.Info) (strangers []signals.Info) {
		members := s.members(ctx)
		helpers := map[string]bool{}
		for _, info := range all {
			if slices.Contains(members, info.Process) || !info.Alive() {
				continue
			}
			if helper := helperName(info); helper != "" && !helpers[helper] {
				helpers[helper] = true
				continue
			}
			strangers = append(strangers, info)
		}
		return strangers
	})
}

// members are the processes of hotreload and of the server that it has.
func (s *chaosSite) members(ctx context.Context) (members []signals.Process) {
	s.mu.Lock()
	roots := []signals.Process{s.service.identity}
	s.mu.Unlock()
	if st, err := s.status(ctx); err == nil && st.Master != nil {
		if master, err := signals.Lookup(st.Master.PID); err == nil {
			roots = append(roots, master)
		}
	}
	for _, root := range roots {
		tree, _ := signals.Tree(root) // empty when it has ended
		for _, info := range tree {
			if helperName(info) == "" {
				members = append(members, info.Process)
			}
		}
	}
	return members
}

// helperName is what a helper of hotreload calls itself, "" when a process is none.
func helperName(info signals.Info) string {
	words, _ := info.Cmdline()
	if len(words) > 0 && slices.Contains([]string{"hotreload: output relay", "hotreload-keeper"}, words[0]) {
		return words[0]
	}
	return ""
}

// nothingHalfWritten: what is remembered can be read, and nobody has left anything that is only there for a moment.
func (s *chaosSite) nothingHalfWritten() error {
	files, err := filepath.Glob(filepath.Join(s.base, ".hotreload", "*.json"))
	if err != nil {
		return err
	}
	for _, file := range append(files, s.socket()+".state") {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if !json.Valid(text) {
			return fmt.Errorf("%s is not JSON: %s", file, text)
		}
	}
	if _, err := os.Stat(filepath.Join(s.base, ".hotreload", "journal.json")); err == nil {
		return errors.New("journal.json is left, and nothing is under way")
	}
	for _, dir := range []string{".", "releases", ".hotreload"} {
		entries, err := os.ReadDir(filepath.Join(s.base, dir))
		if err != nil {
			return err
		}
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), ".") && e.Name() != ".hotreload" {
				return fmt.Errorf("%s is left in %s", e.Name(), dir)
			}
		}
	}
	return nil
}

// releasesWhole: each release that is said to be complete is.
func (s *chaosSite) releasesWhole() error {
	list, err := s.releases()
	if err != nil {
		return err
	}
	current := 0
	for _, r := range list {
		if r.Current {
			current++
		}
		if !r.Complete {
			if r.Current || r.Previous {
				return fmt.Errorf("release %s is not complete: %+v", r.Name, r)
			}
			continue
		}
		if err := whole(r.Path); err != nil {
			return fmt.Errorf("release %s is said to be complete: %w", r.Name, err)
		}
	}
	if current != 1 {
		return fmt.Errorf("%d releases are current", current)
	}
	return nil
}
