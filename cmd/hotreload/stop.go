package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/hotreload/hotreload/control"
)

func stopCommand() *cli.Command {
	return &cli.Command{
		Name:      "stop",
		Usage:     "stop the server and the hotreload that runs it; a second time: at once",
		UsageText: "hotreload stop [flags]",
		Flags:     operationFlags(),
		Action:    stop,
	}
}

func stop(c *cli.Context) error {
	o, err := load(c)
	if err != nil {
		return err
	}
	client, err := o.client()
	if err != nil {
		return err
	}
	ctx, cancel := o.bounded(c.Context)
	defer cancel()
	reply, err := client.Stop(ctx, control.OperationRequest{Wait: o.wait, Reason: o.who})
	if err != nil {
		return o.late(err, "stop")
	}
	if !o.wait {
		return o.accepted(c)
	}
	if o.json {
		if err := json.NewEncoder(c.App.Writer).Encode(reply); err != nil {
			return err
		}
	}
	if reply.Error != "" {
		return errors.New("stopped: " + reply.Error)
	}
	if !o.json {
		_, err = fmt.Fprintln(c.App.Writer, "stopped")
	}
	return err
}
