// Package php is the only code that knows a php binary: which one runs the server, whether files compile, what its
// settings are, and which of them keep a server from seeing new code.
//
// It starts short-lived php processes and reads what they say. Of servers that run it talks to php-fpm only, about its OPcache.
package php

import (
	"context"
	"errors"
	"os/exec"
	"time"
)

// ErrNoPHP says that no php binary was found: neither in the command nor in its PATH. Without one nothing can be
// checked before a reload, which is worth a message and no reason to stop.
var ErrNoPHP = errors.New("no php binary found")

// PHP is a php binary together with what the server's command gives it.
type PHP struct {
	// Path is the binary, absolute or relative to Dir.
	Path string
	// Args are the arguments that choose its settings: -n, -c FILE, -d KEY=VALUE.
	Args []string
	// Dir is the working directory; empty is the caller's own.
	Dir string
	// Env is the environment as KEY=VALUE; nil is the caller's own.
	Env []string
	// Run starts a command, waits for it, and returns what (*exec.Cmd).Run returns. nil is (*exec.Cmd).Run.
	// A process that reaps every child, as PID 1 does, passes its own.
	Run func(*exec.Cmd) error
}

// command is php with its settings' arguments replaced by ini, followed by args. It is killed, with all that it
// started, when ctx ends.
func (p PHP) command(ctx context.Context, ini []string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, p.Path, append(append([]string{}, ini...), args...)...)
	cmd.Dir = p.Dir
	cmd.Env = p.Env
	// A pipe that a grandchild keeps open must not hold up the wait.
	cmd.WaitDelay = time.Second
	ownGroup(cmd)
	return cmd
}

func (p PHP) run(cmd *exec.Cmd) error {
	if p.Run != nil {
		return p.Run(cmd)
	}
	return cmd.Run()
}
