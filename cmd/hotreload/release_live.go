package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hotreload/hotreload/config"
	"github.com/hotreload/hotreload/control"
	"github.com/hotreload/hotreload/release"
	"github.com/hotreload/hotreload/signals"
	"github.com/hotreload/hotreload/supervisor"
)

// live makes the server serve what current leads to. Who serves is found out once, before anything is touched.
type live struct {
	o     *operation
	store *release.Store

	found  bool
	client *control.Client // of the running hotreload; nil: there is none
	direct bool            // a master serves that loads the current release on its own reload

	began time.Time           // when this began
	last  *supervisor.Outcome // of what was done last; nil: nothing had to be done
}

func newLive(o *operation, store *release.Store) *live {
	return &live{o: o, store: store, began: time.Now()}
}

// find finds out who serves. The error says that somebody does whom nobody could make serve another release.
func (l *live) find() error {
	if l.found {
		return nil
	}
	place, err := l.o.project.Find()
	switch {
	case err == nil:
		l.client = control.NewClient(place)
	case !errors.Is(err, control.ErrNotRunning):
		return err
	case l.o.master():
		if l.o.cfg.Server.Signals.Reload == 0 || actionOf(l.o.cfg) != supervisor.Reload {
			return l.o.leftBehind(err)
		}
		l.direct = true
	}
	l.found = true
	return nil
}

// nobody reports that nothing serves.
func (l *live) nobody() bool { return l.client == nil && !l.direct }

// master reports whether a master serves that the pid file names.
func (o *operation) master() bool {
	return o.cfg.Server.PIDFile != "" &&
		signals.Judge(o.cfg.Server.PIDFile, signals.Expectation{Programs: programsOf(o.cfg)}).Verdict == signals.Master
}

// serving reports whether the release in a directory is served, and nothing else is being done. Without a hotreload nobody knows.
func (l *live) serving(ctx context.Context, dir string) (bool, error) {
	if err := l.find(); err != nil || l.client == nil {
		return false, err
	}
	st, err := l.client.Status(ctx)
	switch {
	case err != nil:
		return false, unreachable(err)
	case st.State != supervisor.Ready && st.State != supervisor.Degraded:
		return false, nil
	case st.Release == nil:
		return false, hinted(errors.New("the running hotreload is not in release mode"), "it was started before there was a [release] section: start it again")
	}
	return st.Release.Path == dir, nil
}

// unreachable is an error of asking the running hotreload. It says nothing against a release.
func unreachable(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &release.BlamelessError{Err: err}
}

// apply is a [release.Apply].
func (l *live) apply(ctx context.Context) error {
	ctx, cancel := l.o.bounded(ctx)
	defer cancel()
	l.last = nil
	if err := l.find(); err != nil {
		return &release.BlamelessError{Err: err}
	}
	var err error
	switch {
	case l.client != nil:
		err = l.ask(ctx)
	case l.direct:
		err = l.reload(ctx)
	}
	switch {
	case errors.Is(err, context.Canceled):
		err = &release.BlamelessError{Err: errors.New("interrupted")}
	case errors.Is(err, context.DeadlineExceeded):
		err = coded(exitNotVerified, fmt.Errorf("not verified within %s", took(l.o.timeout)))
	}
	return err
}

// ask has the running hotreload make the current release live. It runs the preflight, and asks for the health.
func (l *live) ask(ctx context.Context) error {
	current, err := l.store.Current()
	if err != nil {
		return err
	}
	reply, err := l.client.Reload(ctx, control.OperationRequest{Wait: true, Release: current, Reason: l.o.who})
	if err != nil {
		return unreachable(err)
	}
	if reply.Outcome == nil {
		return &release.BlamelessError{Err: errors.New("the running hotreload does not say what came of it")}
	}
	l.last = reply.Outcome
	if reply.Outcome.Result != supervisor.Verified {
		text := describe(*reply.Outcome)
		if r, err := l.store.Find(l.o.cfg.Release.Current); err == nil {
			text = strings.TrimPrefix(text, "release "+r.Name+": ") // whoever says this names it
		}
		return outcomeCode(*reply.Outcome, errors.New(text))
	}
	if l.last.Action == supervisor.None {
		l.noticed(ctx)
	}
	return nil
}

// noticed takes over what the running hotreload did by itself when it saw the switch.
func (l *live) noticed(ctx context.Context) {
	l.last = nil
	if st, err := l.client.Status(ctx); err == nil && st.Last != nil && st.Last.Result == supervisor.Verified && st.Last.StartedAt.After(l.began) {
		l.last = st.Last
	}
}

// reload has a master reload itself that no hotreload watches.
func (l *live) reload(ctx context.Context) error {
	out, err := l.o.direct(ctx, supervisor.Reload)
	if err != nil {
		return err
	}
	l.last = &out
	if out.Result != supervisor.Verified {
		return outcomeCode(out, errors.New(describe(out)))
	}
	if health := healthOf(l.o.cfg); health != nil {
		if err := health(ctx); err != nil {
			return coded(exitRefused, err)
		}
	}
	return nil
}

// actionOf is what a switch needs: php-fpm runs what the web server names, and its reload executes it anew.
func actionOf(cfg *config.Config) supervisor.Action {
	switch {
	case cfg.Release.Action == config.ActionReload, cfg.Release.Action == "auto" && cfg.Server.Kind == config.KindPHPFPM:
		return supervisor.Reload
	}
	return supervisor.Restart
}

// did says how a release has become live, for people.
func (l *live) did() string {
	switch {
	case l.nobody():
		return "nothing serves it yet: no hotreload runs, and no master"
	case l.last == nil:
		return "it was served already"
	}
	text, _, _ := strings.Cut(describe(*l.last), "; ") // not who asked
	return text
}

// serves says what serves, for the end of a message.
func (l *live) serves(ctx context.Context) string {
	if l.client == nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, statusPatience)
	defer cancel()
	st, err := l.client.Status(ctx)
	if err != nil || st.Release == nil {
		return ""
	}
	if !st.Ready {
		return fmt.Sprintf("the server is %s", st.State)
	}
	return fmt.Sprintf("release %s serves", st.Release.Name)
}
