package main

import (
	"encoding/json"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/hotreload/hotreload/config"
)

func configCommand() *cli.Command {
	flags := watchFlags()
	return &cli.Command{
		Name:      "config",
		Usage:     "print the effective configuration, and where each value comes from",
		UsageText: "hotreload config [flags] [-- COMMAND ARG...]",
		Flags: flagsOf(flags, jsonFlag(),
			&cli.StringFlag{Name: "for", Usage: "as `COMMAND` sees it, watch or run: some defaults differ", Value: config.ModeWatch}),
		Action: func(c *cli.Context) error {
			mode := c.String("for")
			if mode != config.ModeWatch && mode != config.ModeRun {
				return usageError("hotreload config: --for is watch or run, not %q", mode)
			}
			src := source(c, mode, flags)
			src.Command = c.Args().Slice()
			cfg, err := config.Load(src)
			if err != nil {
				return err
			}
			if c.Bool("json") {
				return json.NewEncoder(c.App.Writer).Encode(effective{cfg.File, cfg.Dir, cfg.Explain()})
			}
			_, err = fmt.Fprint(c.App.Writer, cfg.TOML())
			return err
		},
	}
}

// effective is the configuration as JSON.
type effective struct {
	File   string         `json:"file"` // "" when there is none
	Dir    string         `json:"dir"`
	Values []config.Entry `json:"values"`
}
