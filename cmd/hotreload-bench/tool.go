package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/hotreload/hotreload/control"
	"github.com/hotreload/hotreload/supervisor"
)

const notInstalled = "not installed"

var errNotInstalled = errors.New(notInstalled)

// patience bounds every wait for something that must come.
const patience = 60 * time.Second

// tool reloads the server of a site when a file changes.
type tool struct {
	name  string
	start func(context.Context, *site) (*session, error) // returns when it watches, if it says so
}

// session is a tool at work.
type session struct {
	watcher *process
	piped   *process      // what reads the watcher's output, if anything does
	took    time.Duration // from the start of the tool until it said that it watches; 0: it does not say
	// settled waits until nothing is left to be done about changes that were made until since. nil: the tool does not say.
	settled func(ctx context.Context, since time.Time) error
	// status asks what runs. nil: the tool does not say.
	status func(context.Context) (supervisor.Status, error)
	stops  []func()
}

// stop ends everything that belongs to the session, the newest first.
func (s *session) stop() {
	for len(s.stops) > 0 {
		s.stops[len(s.stops)-1]()
		s.stops = s.stops[:len(s.stops)-1]
	}
}

// hotreloadTool is `hotreload watch`, which starts the server itself.
func (b *bench) hotreloadTool(lint bool) tool {
	name := "hotreload"
	if !lint {
		name += ", lint off"
	}
	return tool{name, func(ctx context.Context, s *site) (*session, error) { return b.startHotreload(ctx, s, lint) }}
}

func (b *bench) startHotreload(ctx context.Context, s *site, lint bool) (*session, error) {
	config, err := s.writeConfig(lint)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(b.hotreload, "-c", config, "watch")
	cmd.Dir = s.dir
	began := time.Now()
	p, err := launch(cmd)
	if err != nil {
		return nil, err
	}
	client := control.NewClient(control.Place{Socket: s.socket()})
	w := &session{watcher: p, status: client.Status, stops: []func(){p.stop}}
	w.settled = func(ctx context.Context, since time.Time) error { return w.untilStatus(ctx, settledSince(since)) }
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := w.untilStatus(ctx, watches); err != nil {
		w.stop()
		return nil, fmt.Errorf("start hotreload: %w", err)
	}
	w.took = time.Since(began)
	return w, nil
}

// watches: the server serves, and all watches are in place.
func watches(st supervisor.Status) bool {
	return st.State == supervisor.Ready && st.Watch != nil && st.Watch.Dirs > 0
}

// settledSince: everything that was saved until since was applied.
func settledSince(since time.Time) func(supervisor.Status) bool {
	return func(st supervisor.Status) bool {
		applied := since.IsZero() || (st.Last != nil && st.Last.StartedAt.After(since))
		return st.State == supervisor.Ready && st.Owed == "" && applied
	}
}

func (s *session) untilStatus(ctx context.Context, done func(supervisor.Status) bool) error {
	var last supervisor.Status
	err := s.watcher.until(ctx, func() bool {
		st, err := s.status(ctx)
		if err == nil {
			last = st
		}
		return err == nil && done(st)
	})
	if err != nil && last.State != "" {
		return fmt.Errorf("it is %s %s, owes %q: %w", last.State, last.Reason, last.Owed, err)
	}
	return err
}

// loopTool is inotifywait -m -r -e modify,create,delete,move DIR | while read -r line; do kill -USR1 PID; done
func loopTool() tool {
	return tool{"inotifywait loop", func(ctx context.Context, s *site) (*session, error) {
		if !installed("inotifywait") {
			return nil, errNotInstalled
		}
		w, pid, err := s.served(ctx)
		if err != nil {
			return nil, err
		}
		err = w.pipe(
			exec.Command("inotifywait", "-m", "-r", "-e", "modify,create,delete,move", s.watched),
			exec.Command("sh", "-c", `while read -r line; do kill -USR1 "$1"; done`, "sh", pid))
		if err != nil {
			w.stop()
			return nil, err
		}
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		began := time.Now()
		if err := w.watcher.until(ctx, func() bool { return w.watcher.said.contains("Watches established.") }); err != nil {
			w.stop()
			return nil, err
		}
		w.took = time.Since(began)
		return w, nil
	}}
}

// entrTool is find DIR -name '*.php' | entr -n -p kill -USR1 PID. It never says that it watches.
func entrTool() tool {
	return tool{"entr", func(ctx context.Context, s *site) (*session, error) {
		if !installed("entr") {
			return nil, errNotInstalled
		}
		w, pid, err := s.served(ctx)
		if err != nil {
			return nil, err
		}
		err = w.pipe(
			exec.Command("find", s.watched, "-name", "*.php"),
			exec.Command("entr", "-n", "-p", "kill", "-USR1", pid))
		if err != nil {
			w.stop()
			return nil, err
		}
		w.watcher = w.piped
		return w, nil
	}}
}

func installed(program string) bool {
	_, err := exec.LookPath(program)
	return err == nil
}

// served begins a session with the server, whose pid is returned.
func (s *site) served(ctx context.Context) (*session, string, error) {
	server, err := s.serve(ctx)
	if err != nil {
		return nil, "", err
	}
	return &session{stops: []func(){server.stop}}, strconv.Itoa(s.masterPID()), nil
}

// pipe starts first | second, and makes first the watcher.
func (s *session) pipe(first, second *exec.Cmd) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	defer w.Close()
	first.Stdout, second.Stdin = w, r
	if s.piped, err = launch(second); err != nil {
		return err
	}
	s.stops = append(s.stops, s.piped.stop)
	if s.watcher, err = launch(first); err != nil {
		return err
	}
	s.stops = append(s.stops, s.watcher.stop)
	return nil
}
