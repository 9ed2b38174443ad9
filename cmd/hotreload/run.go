package main

import (
	"github.com/urfave/cli/v2"

	"github.com/hotreload/hotreload/config"
	"github.com/hotreload/hotreload/supervisor"
)

func runFlags() []override {
	return append(serverFlags(),
		override{key: "restart.max_failures", flag: &cli.IntFlag{Name: "max-failures", Usage: "end after `N` failed starts in a row, 0: never"},
			value: func(c *cli.Context) any { return c.Int("max-failures") }},
	)
}

func runCommand() *cli.Command {
	flags := runFlags()
	return &cli.Command{
		Name:      "run",
		Usage:     "production and containers: start the server, supervise it, reload it on request",
		UsageText: "hotreload run [flags] [-- COMMAND ARG...]",
		Flags:     flagsOf(flags),
		Action: func(c *cli.Context) error {
			src := source(c, config.ModeRun, flags)
			src.Command = c.Args().Slice()
			return serve(c.Context, supervisor.Run, src)
		},
	}
}
