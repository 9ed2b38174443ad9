package main

import (
	"flag"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// argumentsOf are the arguments of a command that takes some, without the flags that stand behind them, as in
// `release activate 8 --json`: package flag stops at the first argument. Those flags are set as if they stood before.
func argumentsOf(c *cli.Context) ([]string, error) {
	var args []string
	rest := c.Args().Slice()
	for len(rest) > 0 {
		if !strings.HasPrefix(rest[0], "-") || rest[0] == "-" {
			args, rest = append(args, rest[0]), rest[1:]
			continue
		}
		behind := flag.NewFlagSet(c.Command.Name, flag.ContinueOnError)
		behind.SetOutput(io.Discard)
		for _, f := range c.Command.Flags {
			if err := f.Apply(behind); err != nil {
				return nil, err
			}
		}
		if err := behind.Parse(rest); err != nil {
			return nil, onUsageError(c, err, true)
		}
		var err error
		behind.Visit(func(given *flag.Flag) {
			for _, f := range c.Command.Flags {
				if names := f.Names(); err == nil && slices.Contains(names, given.Name) {
					err = c.Set(names[0], given.Value.String())
				}
			}
		})
		if err != nil {
			return nil, err
		}
		if stop := len(rest) - behind.NArg() - 1; rest[stop] == "--" {
			return append(args, behind.Args()...), nil
		}
		rest = behind.Args()
	}
	return args, nil
}
