package main

import (
	"context"
	"errors"

	"github.com/urfave/cli/v2"

	"github.com/hotreload/hotreload/control"
	"github.com/hotreload/hotreload/supervisor"
)

func reloadCommand() *cli.Command {
	return &cli.Command{
		Name:      "reload",
		Usage:     "replace the workers, and wait until it is verified",
		UsageText: "hotreload reload [flags]",
		Flags:     operationFlags(&cli.BoolFlag{Name: "tasks", Usage: "replace the task workers only"}),
		Action:    reload,
	}
}

func reload(c *cli.Context) error {
	o, err := load(c)
	if err != nil {
		return err
	}
	ctx, cancel := o.bounded(c.Context)
	defer cancel()
	client, err := o.client()
	if errors.Is(err, control.ErrNotRunning) {
		return o.reloadDirectly(ctx, c)
	}
	if err != nil {
		return err
	}
	in := control.OperationRequest{Tasks: c.Bool("tasks"), Wait: o.wait, Reason: o.who}
	return o.finish(c, "reload", func() (control.OperationReply, error) { return client.Reload(ctx, in) })
}

// finish makes the call and tells what came of it.
func (o *operation) finish(c *cli.Context, what string, call func() (control.OperationReply, error)) error {
	reply, err := call()
	if err != nil {
		return o.late(err, what)
	}
	if reply.Outcome == nil {
		return o.accepted(c)
	}
	return o.tell(c, *reply.Outcome)
}

// reloadDirectly does the reload from here: for servers that somebody else started and nobody watches.
func (o *operation) reloadDirectly(ctx context.Context, c *cli.Context) error {
	action := supervisor.Reload
	if c.Bool("tasks") {
		action = supervisor.ReloadTasks
	}
	out, err := o.direct(ctx, action)
	if err != nil {
		return o.late(err, "reload")
	}
	return o.tell(c, out)
}
