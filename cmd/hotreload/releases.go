package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/hotreload/hotreload/config"
	"github.com/hotreload/hotreload/release"
	"github.com/hotreload/hotreload/supervisor"
	"github.com/hotreload/hotreload/watcher"
)

// releases is release mode in `watch` and `run`: which release a start starts from, whether it may, and when the link was switched.
type releases struct {
	cfg    *config.Config
	store  *release.Store
	run    func(*exec.Cmd) error
	beside func(func())
	life   context.Context // ends with the session
	mode   string
	report reporter
	log    *zap.Logger

	latest atomic.Pointer[string] // the directory of what serves
	noting sync.Mutex             // held while it is written down
	cannot sync.Once              // said that it cannot be
}

// storeOf are the releases on disk. users is release.Options.Users.
func storeOf(cfg *config.Config, users func(dirs []string) (map[string]string, error)) (*release.Store, error) {
	r := cfg.Release
	return release.Open(release.Options{
		Current: r.Current, Dir: r.Releases, SharedDir: r.SharedDir, Shared: r.Shared, Marker: r.ReadyMarker, Locks: r.Lock,
		Users: users,
	})
}

// releasesOf is nil outside of release mode.
func (s *session) releasesOf() (*releases, error) {
	if s.cfg.Release == nil {
		return nil, nil
	}
	store, err := storeOf(s.cfg, nil)
	if err != nil {
		return nil, err
	}
	return &releases{cfg: s.cfg, store: store, run: s.reaper.Run, beside: s.beside, life: s.life, mode: string(s.mode), report: s.report, log: s.log}, nil
}

// options are supervisor.Options.Releases.
func (r *releases) options() *supervisor.Releases {
	return &supervisor.Releases{
		Current: r.cfg.Release.Current, Dir: resolved(r.cfg.Release.Releases),
		Wait: r.cfg.Release.Wait, Action: actionOf(r.cfg), PerRequest: r.cfg.Server.Kind == config.KindPHPFPM,
		Resolve: r.resolve, Fit: r.fit, Health: healthOf(r.cfg), Open: r.open,
		Served: r.served, Fallback: r.fallback,
	}
}

// resolved is a path without symlinks, as the kernel shows it of processes; the path itself where it leads nowhere yet.
func resolved(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return path
}

// resolve finds the release that current leads to.
func (r *releases) resolve() (supervisor.Release, error) {
	path, err := r.store.Current()
	if err != nil {
		return supervisor.Release{}, err
	}
	return r.at(path)
}

// at is how the server is started from the release in a directory.
func (r *releases) at(path string) (supervisor.Release, error) {
	id, ok := identify(path)
	if !ok {
		return supervisor.Release{}, fmt.Errorf("%s is gone", path)
	}
	s := r.cfg.Server
	out := supervisor.Release{Name: r.name(path), Path: path, ID: fmt.Sprintf("%d:%d", id.dev, id.inode), Dir: r.into(path, s.Dir), PIDFile: r.into(path, s.PIDFile)}
	out.Command = s.Command
	if actionOf(r.cfg) == supervisor.Restart { // else its workers are to load what the link leads to by then
		out.Command = nil
		for _, arg := range s.Command {
			out.Command = append(out.Command, r.into(path, arg))
		}
	}
	return out, nil
}

// name is what a release is called: its directory among the others.
func (r *releases) name(path string) string {
	if rel, err := filepath.Rel(resolved(r.cfg.Release.Releases), path); err == nil && filepath.IsLocal(rel) && rel != "." {
		return rel
	}
	return filepath.Base(path)
}

// into leads a path below current into one release, also one that is the value of an option: --config=/srv/app/current/x.
func (r *releases) into(path, text string) string {
	current, option, value := r.cfg.Release.Current, "", text
	if name, rest, found := strings.Cut(text, "="); found && strings.HasPrefix(name, "-") {
		option, value = name+"=", rest
	}
	if below, ok := strings.CutPrefix(value, current); ok && (below == "" || below[0] == '/') {
		return option + path + below
	}
	return text
}

// fit is supervisor.Releases.Fit.
func (r *releases) fit(ctx context.Context, to supervisor.Release, on supervisor.Occasion) error {
	switch on {
	case supervisor.Switched:
		if locked := r.store.Locked(); locked != nil {
			return locked
		}
	case supervisor.Started:
		if err := r.complete(ctx, to.Path); err != nil {
			return err
		}
	}
	if err := r.store.Check(to.Path); err != nil {
		return err
	}
	return preflight(ctx, r.cfg, to.Path, r.run)
}

// pace is how often it is looked again whether a release has become complete, or a lock free.
const pace = 100 * time.Millisecond

// complete waits until a release is complete, as long as is configured.
func (r *releases) complete(ctx context.Context, path string) error {
	for end := time.Now().Add(r.cfg.Release.Wait); ; {
		err := r.store.Check(path)
		if err == nil || time.Now().After(end) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pace):
		}
	}
}

// served is supervisor.Releases.Served: it is what a rollback leads to, and a later start falls back on. The disk may take its time, and so
// may whoever changes the releases meanwhile.
func (r *releases) served(to supervisor.Release) {
	r.latest.Store(&to.Path)
	r.beside(func() {
		r.noting.Lock()
		defer r.noting.Unlock()
		r.remember()
	})
}

// remember writes down which release serves, as soon as nobody else changes anything.
func (r *releases) remember() {
	for {
		path := *r.latest.Load()
		err := r.note(path)
		var busy *release.BusyError
		if err != nil && !errors.As(err, &busy) {
			r.cannot.Do(func() {
				r.report.Warn(fmt.Sprintf("which release serves cannot be written down, so that a rollback or a later start may not know of it: %v", err))
			})
		}
		if busy == nil {
			return
		}
		select {
		case <-time.After(pace):
		case <-r.life.Done():
			return
		}
		if current, err := r.store.Current(); err == nil && current != path {
			return // it is being switched back, or to yet another one
		}
	}
}

// note writes down that a release serves.
func (r *releases) note(path string) error {
	turn, err := r.store.Acquire("hotreload " + r.mode)
	if err != nil {
		return err
	}
	return errors.Join(turn.Record(path), turn.Close())
}

// fallback is supervisor.Releases.Fallback.
func (r *releases) fallback() (supervisor.Release, bool) {
	last, ok := r.store.Served()
	if !ok {
		return supervisor.Release{}, false
	}
	to, err := r.at(last.Real)
	return to, err == nil
}

// open is supervisor.Releases.Open.
func (r *releases) open(ctx context.Context, dirs []string) (supervisor.Recording, error) {
	cfg := *r.cfg
	cfg.Watch.Paths, cfg.Watch.Include, cfg.Watch.Exclude = dirs, []string{"**/*.php"}, nil
	rec, err := recordOnce(ctx, &cfg, r.log, watcher.RecordOptions{})
	if err != nil {
		return nil, err // not rec, which would be no nil interface
	}
	return rec, nil
}

// follow asks for the current release to be served each time that the link was switched: as soon as that release is complete and no other
// tool deploys.
func (r *releases) follow(ctx context.Context, link *watcher.LinkWatcher, sup *supervisor.Supervisor) {
	f := follower{releases: r, sup: sup}
	ticker := time.NewTicker(pace)
	defer ticker.Stop()
	for {
		var tick <-chan time.Time
		if f.target != "" {
			tick = ticker.C
		}
		select {
		case target, ok := <-link.Targets():
			if !ok {
				return
			}
			f.target, f.since, f.told = target, time.Now(), false
		case <-tick:
		case <-ctx.Done():
			return
		}
		f.look(ctx)
	}
}

// follower is a switch that has not been acted on.
type follower struct {
	*releases
	sup    *supervisor.Supervisor
	target string // "": there is none
	since  time.Time
	told   bool // that it is waited for
}

// look acts when nothing is in the way any more, and says what is when that lasts.
func (f *follower) look(ctx context.Context) {
	if current, err := f.store.Current(); err != nil {
		return // it leads nowhere for now, and nothing is sent of that
	} else if current != f.target {
		f.target, f.since, f.told = current, time.Now(), false
	}
	why := f.store.Check(f.target)
	if locked := f.store.Locked(); locked != nil && why == nil {
		why = locked
	}
	target := f.target
	late := time.Since(f.since) >= f.cfg.Release.Wait
	switch {
	case why == nil:
		f.target = ""
	case late && !f.told:
		// It is refused with this reason, and tried again when the reason is gone.
		f.told = true
		f.report.Warn(fmt.Sprintf("current leads to %s, which is not served after %s: %v; it will be when that has changed", f.name(f.target), took(f.cfg.Release.Wait), why))
	default:
		return
	}
	_, err := f.sup.Do(ctx, supervisor.Request{Release: target})
	if err != nil && !errors.Is(err, supervisor.ErrStopping) && ctx.Err() == nil {
		f.report.Warn(err.Error())
	}
}

// healthOf asks for the health of a release as often as is configured; nil: nobody asks.
func healthOf(cfg *config.Config) supervisor.Probe {
	h := cfg.Release.Health
	if h.URL == "" {
		return nil
	}
	probe := supervisor.ProbeHTTP(h.URL, func(status int) bool { return 200 <= status && status < 400 })
	return func(ctx context.Context) (err error) {
		for n := range h.Tries {
			if n > 0 {
				select {
				case <-ctx.Done():
					return err
				case <-time.After(h.Interval):
				}
			}
			if err = probe(ctx); err == nil {
				return nil
			}
		}
		return fmt.Errorf("health: %w (%d tries)", err, h.Tries)
	}
}
