package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"

	"github.com/hotreload/hotreload/config"
	"github.com/hotreload/hotreload/control"
	"github.com/hotreload/hotreload/signals"
)

// users is release.Options.Users: whose working directory, program, open or mapped file lies in a directory, and what the running
// hotreload serves. Only php-fpm needs the latter, of which no process shows which release it runs.
//
// A process of another user cannot be looked at unless we are root. It does not count then: whoever may end and start the server of this
// project has its user, and everything else that runs PHP on the machine has nothing to do with it. One of our own user that has hidden
// itself, as a program does that has changed its user, may be the server: it keeps everything.
func (o *operation) users(dirs []string) (map[string]string, error) {
	used := make(map[string]string)
	served, err := o.servedRelease()
	if err != nil {
		return nil, err
	}
	if served != "" {
		used[served] = "the running hotreload, which serves it"
	}
	users, hidden, err := signals.Using(dirs)
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return nil, err
	}
	suspects := mayServe(o.cfg, hidden)
	for _, dir := range dirs {
		switch {
		case used[dir] != "":
		case err != nil:
			used[dir] = "somebody, for all that can be known: " + err.Error()
		case len(users[dir]) > 0:
			used[dir] = processes(users[dir])
		case len(suspects) > 0:
			used[dir] = processes(suspects) + ", for all that can be known: only root may look at it"
		}
	}
	return used, nil
}

// processes names the first of several.
func processes(infos []signals.Info) string {
	text := fmt.Sprintf("process %d (%s)", infos[0].PID, infos[0].Comm)
	if n := len(infos) - 1; n > 0 {
		text += fmt.Sprintf(" and %d more", n)
	}
	return text
}

// mayServe chooses the processes of our user that may be the server or one of its workers. php-fpm is not: it runs what each request
// names, and nothing for longer than that takes.
func mayServe(cfg *config.Config, hidden []signals.Info) []signals.Info {
	patterns := []string{"php*", "swoole-cli*", "frankenphp*", "rr"}
	if len(cfg.Server.Command) > 0 {
		patterns = append(patterns, filepath.Base(cfg.Server.Command[0]))
	}
	var found []signals.Info
	for _, info := range hidden {
		if isFPM, _ := path.Match("php-fpm*", info.Comm); isFPM || info.UID != os.Geteuid() {
			continue
		}
		for _, pattern := range patterns {
			if is, _ := path.Match(pattern, info.Comm); is {
				found = append(found, info)
				break
			}
		}
	}
	return found
}

// servedRelease is the directory of the release that the running hotreload serves, "" when none runs.
func (o *operation) servedRelease() (string, error) {
	place, err := o.project.Find()
	if errors.Is(err, control.ErrNotRunning) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), statusPatience)
	defer cancel()
	st, err := control.NewClient(place).Status(ctx)
	switch {
	case errors.Is(err, control.ErrNotRunning):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("ask the running hotreload what it serves: %w", err)
	case st.Release == nil:
		return "", nil
	}
	return st.Release.Path, nil
}
