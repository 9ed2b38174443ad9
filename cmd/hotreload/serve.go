package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"go.uber.org/zap"
	"golang.org/x/term"

	"github.com/hotreload/hotreload/config"
	"github.com/hotreload/hotreload/control"
	"github.com/hotreload/hotreload/php"
	"github.com/hotreload/hotreload/signals"
	"github.com/hotreload/hotreload/supervisor"
	"github.com/hotreload/hotreload/watcher"
)

// session is one `watch` or `run`, from its lock to its last line.
type session struct {
	mode   supervisor.Mode
	cfg    *config.Config
	lock   *control.Lock
	out    *outlet
	report reporter
	log    *zap.Logger
	reaper *signals.Reaper
	life   context.Context // ends with the session
	code   *code           // nil: nothing is watched
	links  *releases       // nil: not in release mode
	keys   *keyboard       // nil: nobody types
	job    *job            // nil: the server gets no terminal

	notifier *control.Notifier // nil: no service manager wants to be told
	starts   bool              // a server is started: none was adopted

	closeSockets func() // nil: there are none of ours

	// master is whom signals are passed on to: the newest one, as it was written down for an adoption.
	master atomic.Pointer[signals.Process]

	all  sync.WaitGroup // what runs beside the supervisor
	stop context.CancelFunc
}

// serve is `watch` and `run`: everything joined, until it is asked to stop.
func serve(ctx context.Context, mode supervisor.Mode, src config.Source) error {
	cfg, err := config.Load(src)
	if err != nil {
		return err
	}
	if err := complete(mode, cfg); err != nil {
		return err
	}
	lock, err := projectOf(cfg).Acquire(string(mode))
	if err != nil {
		return explainTaken(err)
	}
	if cfg.Release != nil {
		cfg.Watch.Paths = []string{cfg.Server.Dir} // a release, and not all that lies beside it
	}
	s := &session{mode: mode, cfg: cfg, lock: lock, out: newOutlet(os.Stderr), reaper: signals.NewReaper()}
	s.report, s.log = newReporter(mode, cfg, s.out)
	s.job = newJob(mode, cfg)
	s.notifier = control.NewNotifier(s.log)
	if mode == supervisor.Run {
		s.letGo()
	}
	if term.IsTerminal(int(os.Stderr.Fd())) && mode != supervisor.Run {
		s.keys = openKeyboard(os.Stdin)
	}
	err = s.run(ctx)
	s.out.Close()
	return errors.Join(err, lock.Release())
}

// complete checks that the configuration says what the mode needs.
func complete(mode supervisor.Mode, cfg *config.Config) error {
	if mode != supervisor.Attach {
		return cfg.RequireCommand()
	}
	if cfg.Server.PIDFile == "" {
		return usageError("--attach finds the server by its pid file: give --pid-file, or server.pid_file in %s", config.FileName)
	}
	if cfg.Server.Signals.Reload == 0 {
		return usageError("--attach reloads by a signal, and a server of kind %q (%s) has none: give --kind", cfg.Server.Kind, cfg.KindWhy)
	}
	return nil
}

// explainTaken says how to talk to the hotreload that is in the way.
func explainTaken(err error) error {
	var taken *control.TakenError
	if !errors.As(err, &taken) {
		return err
	}
	return hinted(err, "ask it with `hotreload status`, end it with `hotreload stop`")
}

// run builds what is needed, starts it, and takes it down again.
func (s *session) run(ctx context.Context) error {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	stopping, stop := context.WithCancel(ctx)
	s.life, s.stop = life, stop
	defer s.keys.leave() // also when a panic passes
	defer s.job.leave()
	defer s.all.Wait()
	defer end()
	defer s.clear() // also when nothing was started

	if err := signals.BecomeSubreaper(); err != nil {
		s.log.Debug("orphans will not be found", zap.Error(err))
	}
	s.beside(func() {
		if err := s.reaper.Serve(life); err != nil && life.Err() == nil {
			s.report.Warn("zombies are not reaped any more: " + err.Error())
		}
	})
	watch, err := s.watcher(life)
	if err != nil {
		return err
	}
	if s.links, err = s.releasesOf(); err != nil {
		return err
	}
	sup, err := s.supervisor(watch)
	if err != nil {
		return err
	}
	door, err := s.lock.Listen()
	if err != nil {
		return err
	}
	s.beside(func() {
		if err := control.Serve(life, door, sup, s.log); err != nil {
			s.report.Warn(err.Error())
		}
	})
	s.beside(func() { s.notifier.Run(life, sup) })
	c := newConductor(s, sup)
	s.beside(func() { c.run(life) })
	if watch != nil {
		if ready, err := s.watching(life, stopping, watch); !ready {
			return err // nothing was started yet
		}
	}
	if s.links != nil {
		if err := s.follow(life, sup); err != nil {
			return err
		}
	}
	if s.starts {
		s.tell(supervisor.Event{Kind: supervisor.EventStarting, Detail: strings.Join(s.cfg.Server.Command, " ")})
	}
	return sup.Run(stopping, c.force)
}

// letGo leaves the directory that hotreload was started in: it may be a release, or a volume, that is to be removed while we run.
// All paths are absolute by now.
func (s *session) letGo() {
	if err := os.Chdir("/"); err != nil {
		s.log.Debug("leave the working directory", zap.Error(err))
	}
}

// tell passes an event on to everybody who wants to know.
func (s *session) tell(e supervisor.Event) {
	s.report.Event(e)
	s.notifier.Event(e)
}

// plain reports whether the server is a program of which nothing is known, and which is run as if hotreload were not there.
func (s *session) plain() bool {
	return s.mode == supervisor.Run && s.cfg.Server.Kind == config.KindNone
}

// beside runs f until the session ends.
func (s *session) beside(f func()) {
	s.all.Go(func() {
		defer s.keys.leaveOnPanic()
		f()
	})
}

// watcher is nil when nothing is watched.
func (s *session) watcher(life context.Context) (*watcher.Watcher, error) {
	if s.mode == supervisor.Run || s.cfg.Release != nil {
		return nil, nil
	}
	s.code = inspect(life, s.cfg, s.reaper)
	w, err := newWatcher(s.cfg, s.code.early(life), s.log)
	if err != nil {
		return nil, fmt.Errorf("watch files: %w", err)
	}
	return w, nil
}

// watching starts the watcher and waits until it misses nothing: a server that is started earlier could load a file that changes
// unseen. It reports false when hotreload is stopped meanwhile.
func (s *session) watching(life, stopping context.Context, w *watcher.Watcher) (bool, error) {
	ended := make(chan error, 1)
	s.beside(func() {
		err := w.Run(life)
		if err != nil {
			s.report.Warn("files are not watched any more: " + err.Error())
		}
		ended <- err
	})
	select {
	case <-w.Ready():
	case err := <-ended:
		return false, fmt.Errorf("watch files: %w", err)
	case <-stopping.Done():
		return false, nil
	}
	st := w.Stats()
	s.report.Info(fmt.Sprintf("watching %s in %s (%s)", count(st.Files, "file"), directories(st.Dirs), st.Backend))
	if st.Files == 0 {
		s.report.Warn("no file is watched: do watch.paths and watch.include name any?")
	}
	return true, nil
}

func directories(n int) string {
	if n == 1 {
		return "1 directory"
	}
	return fmt.Sprintf("%d directories", n)
}

// supervisor joins everything that the supervisor needs to know.
func (s *session) supervisor(watch *watcher.Watcher) (*supervisor.Supervisor, error) {
	cfg := s.cfg
	opt := supervisor.Options{
		Mode: s.mode, Version: version, Base: cfg.Dir,
		Reaper: s.reaper, Output: outputFor(s.mode, s.job),
		Notify: s.tell, Log: s.log,
		Restart:     supervisor.Backoff{Min: cfg.Restart.BackoffMin, Max: cfg.Restart.BackoffMax},
		MaxFailures: cfg.Restart.MaxFailures,
	}
	if cfg.Server.Kind == config.KindNone {
		opt.MaxFailures = 1 // `run` never starts a program again of which nothing is known
	}
	s.report.Info(fmt.Sprintf("kind %s (%s)", cfg.Server.Kind, cfg.KindWhy))
	if why, assumed := strings.CutPrefix(cfg.Origin("server.command"), "assumed: "); assumed && s.mode != supervisor.Attach {
		s.report.Info(fmt.Sprintf("no command given, so it is: %s (%s)", strings.Join(cfg.Server.Command, " "), why))
	}
	for _, note := range cfg.Preset.Notes {
		s.report.Warn(note)
	}
	var more []string // for the server's environment
	switch {
	case watch != nil:
		more = s.develop(&opt, watch)
	case s.mode == supervisor.Watch:
		s.warnOfProduction()
		fallthrough
	case cfg.Server.Kind != config.KindNone && s.mode != supervisor.Attach:
		s.check(&opt)
	}
	if s.links != nil {
		opt.Releases = s.links.options()
	}
	opt.Server = serverOf(cfg, environment(cfg, more), s.reaper)
	if s.code != nil {
		opt.Server.RestartOnly = cmp.Or(opt.Server.RestartOnly, s.code.stuck)
	}
	if s.mode == supervisor.Attach {
		opt.Server.Command = nil
		return supervisor.New(opt)
	}
	place := s.lock.Place()
	opt.Save = func(a supervisor.Adoption) error {
		s.master.Store(&a.Master)
		return place.Save(a)
	}
	adopt, note, err := adoption(cfg, place)
	if err != nil {
		return nil, err
	}
	if note != "" {
		s.report.Warn(note)
	}
	if adopt.Runs() && adopt.Mode != s.mode {
		s.report.Warn(fmt.Sprintf("the server was started by `hotreload %s`, and keeps its settings until it is restarted", adopt.Mode))
	}
	opt.Adopt = adopt
	s.starts = !adopt.Runs()
	if opt.Handover, err = s.handoverOf(place, adopt != nil || note != "", !s.starts); err != nil {
		return nil, err
	}
	opt.Headroom = headroom
	return supervisor.New(opt)
}

// follow acts on switches of the link beside the supervisor.
func (s *session) follow(life context.Context, sup *supervisor.Supervisor) error {
	link, err := newLinkWatcher(s.cfg, s.log)
	if err != nil {
		return fmt.Errorf("watch %s: %w", s.cfg.Release.Current, err)
	}
	s.beside(func() { _ = link.Run(life) }) // it ends with life
	s.beside(func() { s.links.follow(life, link, sup) })
	s.report.Info(fmt.Sprintf("release mode: acting when %s is switched", s.cfg.Release.Current))
	return nil
}

// develop adds what `watch` does more than `run`, and returns what the server's environment needs for it.
func (s *session) develop(opt *supervisor.Options, watch *watcher.Watcher) []string {
	s.warnOfProduction()
	s.warnOfRivals()
	opt.Batches = watch.Batches()
	opt.Flush = watch.Flush
	opt.WatchStatus = watchStatus(watch)
	opt.ChangedSince = watch.ChangedSince
	var more []string
	if s.mode == supervisor.Watch {
		more = s.code.revalidate(s.lock.Place())
		if s.cfg.Server.Kind == config.KindHyperf {
			more = append(more, s.unfreeze())
		}
	}
	s.know(opt, watch.Record)
	return more
}

// unfreeze is the environment's entry with which Hyperf makes its proxies at each start.
func (s *session) unfreeze() string {
	if where := php.ScanCacheable(s.cfg.Server.Dir, environment(s.cfg, nil)); where != "" {
		s.report.Warn(fmt.Sprintf("SCAN_CACHEABLE in %s freezes Hyperf's proxies: it is off for this server", where))
	}
	return php.CacheableOff
}

// check has a request of `run` refuse code that does not parse, and find out what the changed code needs, as a change does
// in `watch`.
func (s *session) check(opt *supervisor.Options) {
	s.code = inspect(s.life, s.cfg, s.reaper)
	if s.code.found {
		s.code.stuck = keepsOld(s.code.php, s.code.settings)
	}
	opt.ChangedSince = changedSince(s.life, s.cfg, s.log)
	s.know(opt, func(ctx context.Context, o watcher.RecordOptions) (*watcher.Recording, error) {
		return recordOnce(ctx, s.cfg, s.log, o)
	})
}

// know adds what is known of the code: what a change needs, whether it is fit to be loaded, and what is generated from it.
func (s *session) know(opt *supervisor.Options, record recordFunc) {
	code := s.code
	opt.Gate = code.gate(s.report.Warn)
	opt.Rule = ruleOf(s.cfg, code.stuck)
	opt.Blind = code.blind
	h := newHyperf(s.cfg, code, s.lock.Place(), s.mode != supervisor.Run, s.report.Warn)
	opt.Record = recording(s.cfg, code, h, record)
	if h != nil {
		opt.Prepare, opt.Stands = h.prepare, h.stands
	}
	if f := newFPMTest(s.cfg, s.reaper.Run); f != nil && s.mode != supervisor.Attach {
		opt.Prepare = f.prepare
	}
	for _, note := range code.notes {
		s.report.Warn(note)
	}
}

// warnOfRivals names what else watches these files by the server's own configuration.
func (s *session) warnOfRivals() {
	cfg := s.cfg
	facts := rivalFacts{command: watcherOf(cfg.Server.Command), instead: withoutWatcher(cfg.Server.Command), monitor: webmanMonitor(cfg.Server.Kind, serverCode(cfg))}
	for _, f := range judgeRivals(facts) {
		if f.Grade != gradeOK {
			s.report.Warn("two watchers are on: " + f.Found + "; " + f.Remedy)
		}
	}
}

func (s *session) warnOfProduction() {
	env := os.Getenv("APP_ENV")
	if v, ok := s.cfg.Server.Env["APP_ENV"]; ok {
		env = v
	}
	if env == "prod" || env == "production" {
		s.report.Warn(fmt.Sprintf("APP_ENV is %s, and `hotreload watch` is made for development; `hotreload run` is for production", env))
	}
}

// clear removes what an adopting hotreload would have needed, once there is nothing left to adopt.
func (s *session) clear() {
	if s.mode == supervisor.Attach {
		return
	}
	place := s.lock.Place()
	if a, err := place.Load(); err == nil && a.Runs() {
		return
	}
	if s.closeSockets != nil {
		s.closeSockets()
	}
	err := place.Forget()
	if dir, dirErr := place.PrivateDir(); dirErr == nil && filepath.IsAbs(dir) {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	if err != nil {
		s.log.Debug("clear up", zap.Error(err))
	}
}
