package main

import (
	"github.com/urfave/cli/v2"

	"github.com/hotreload/hotreload/control"
)

func restartCommand() *cli.Command {
	return &cli.Command{
		Name:      "restart",
		Usage:     "start a new master in place of the old one, and wait until it is verified",
		UsageText: "hotreload restart [flags]",
		Flags:     operationFlags(),
		Action: func(c *cli.Context) error {
			o, err := load(c)
			if err != nil {
				return err
			}
			client, err := o.client()
			if err != nil {
				return hinted(err, "only a hotreload that runs knows how to start the server: `hotreload watch` or `hotreload run`")
			}
			ctx, cancel := o.bounded(c.Context)
			defer cancel()
			in := control.OperationRequest{Wait: o.wait, Reason: o.who}
			return o.finish(c, "restart", func() (control.OperationReply, error) { return client.Restart(ctx, in) })
		},
	}
}
