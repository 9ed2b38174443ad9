package main

import (
	"context"
	"errors"
	"slices"
	"syscall"
	"time"

	"github.com/hotreload/hotreload/signals"
)

// strayGrace is how long a process that a command has left behind may take to end after SIGTERM.
const strayGrace = 5 * time.Second

// endStray is release.Deployment.EndStray. The end of ctx ends the grace. Processes of other users cannot be looked at, unless by root, and are not found.
func endStray(ctx context.Context, variable string) ([]string, error) {
	members := func() ([]signals.Info, error) {
		table, err := signals.Snapshot()
		if err != nil {
			return nil, err
		}
		return table.Select(func(i signals.Info) bool {
			env, err := i.Environ()
			return err == nil && slices.Contains(env, variable)
		}), nil
	}
	found, err := members()
	if err != nil || len(found) == 0 {
		return nil, err
	}
	var names []string
	for _, i := range found {
		names = append(names, processes([]signals.Info{i}))
		if err := i.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, signals.ErrGone) {
			return names, err
		}
	}
	patient, cancel := context.WithTimeout(ctx, strayGrace)
	defer cancel()
	for _, i := range found {
		if i.Wait(patient) != nil {
			break // the rest is killed
		}
	}
	final, cancelFinal := context.WithTimeout(context.WithoutCancel(ctx), strayGrace)
	defer cancelFinal()
	return names, signals.KillTree(final, members)
}
