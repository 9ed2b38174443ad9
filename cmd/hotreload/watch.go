package main

import (
	"github.com/urfave/cli/v2"

	"github.com/hotreload/hotreload/config"
	"github.com/hotreload/hotreload/supervisor"
)

func watchFlags() []override {
	return append(serverFlags(),
		override{key: "watch.paths", flag: listFlag("path", "watch `PATH`, a directory or a file; may be repeated"), value: list("path")},
		override{key: "watch.include", flag: listFlag("include", "files that match `PATTERN` matter; may be repeated, \"...\" stands for the preset's"), value: list("include")},
		override{key: "watch.exclude", flag: listFlag("exclude", "files that match `PATTERN` do not; may be repeated, \"...\" stands for the preset's"), value: list("exclude")},
		override{key: "watch.quiet", flag: &cli.StringFlag{Name: "quiet", Usage: "act when nothing changed for `DURATION`"}},
		override{key: "watch.poll", flag: &cli.StringFlag{Name: "poll", Usage: "compare files at intervals: `WHEN` is auto, always or never"}},
		override{key: "reload.lint", flag: &cli.BoolFlag{Name: "no-lint", Usage: "do not check the syntax of changed files"},
			value: func(c *cli.Context) any { return !c.Bool("no-lint") }},
	)
}

func watchCommand() *cli.Command {
	flags := watchFlags()
	return &cli.Command{
		Name:      "watch",
		Usage:     "development: start the server, watch its files, reload it",
		UsageText: "hotreload watch [flags] [-- COMMAND ARG...]",
		Flags: flagsOf(flags,
			&cli.BoolFlag{Name: "attach", Usage: "watch for a server that somebody else started, and never stop it"}),
		Action: func(c *cli.Context) error {
			src := source(c, config.ModeWatch, flags)
			src.Command = c.Args().Slice()
			mode := supervisor.Watch
			if c.Bool("attach") {
				if len(src.Command) > 0 {
					return usageError("hotreload watch: --attach starts nothing, so it takes no command")
				}
				mode = supervisor.Attach
			}
			return serve(c.Context, mode, src)
		},
	}
}
