package main

import (
	"regexp"
	"strings"

	"github.com/urfave/cli/v2"
	"github.com/xrash/smetrics"
)

// version is what this source is, until it is released under the next number.
const version = "0.1.0"

func newApp() *cli.App {
	app := &cli.App{
		Name:        "hotreload",
		Usage:       "save a file, and every worker of the PHP server serves it",
		UsageText:   "hotreload [-c FILE] [--socket PATH] COMMAND [flags]",
		Version:     version,
		Flags:       globalFlags(),
		HideVersion: true,
		Commands: []*cli.Command{
			watchCommand(), runCommand(),
			reloadCommand(), restartCommand(), stopCommand(), statusCommand(),
			releaseCommand(), deployCommand(), opcacheCommand(),
			initCommand(), configCommand(), doctorCommand(), versionCommand(), completionCommand(),
		},
		Action:                    unknownCommand,
		OnUsageError:              onUsageError,
		ExitErrHandler:            func(*cli.Context, error) {}, // main exits, nobody else
		DisableSliceFlagSeparator: true,                         // patterns contain commas
	}
	for _, c := range app.Commands {
		c.OnUsageError = onUsageError
		c.HideHelpCommand = true // `watch -- help` starts a program of that name
	}
	return app
}

// globalFlags are understood before the command and behind it.
func globalFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "config", Aliases: []string{"c"}, Usage: "read `FILE` (default: hotreload.toml here or above)", TakesFile: true},
		&cli.StringFlag{Name: "socket", Usage: "talk through the unix socket `PATH` (default: one per project)", TakesFile: true},
	}
}

// unknownCommand is what hotreload does when no command was recognised.
func unknownCommand(c *cli.Context) error {
	if !c.Args().Present() {
		return cli.ShowAppHelp(c)
	}
	name := c.Args().First()
	var names []string
	for _, cmd := range c.App.Commands {
		names = append(names, cmd.Name)
	}
	return usageError("unknown command %q%s", name, didYouMean(name, names, "; `hotreload help` lists them"))
}

// flagError finds the flag in what package flag says about it.
var flagError = regexp.MustCompile(`^(flag provided but not defined: |flag needs an argument: |invalid (?:boolean )?value ("(?:[^"\\]|\\.)*") for (?:flag )?)-*([^:]*)`)

// onUsageError answers flags that cannot be understood in one line.
func onUsageError(c *cli.Context, err error, _ bool) error {
	command := c.Command.HelpName // "hotreload opcache status"
	m := flagError.FindStringSubmatch(err.Error())
	switch {
	case m == nil:
		return usageError("%s: %w", command, err)
	case strings.HasPrefix(m[1], "flag provided"):
		return usageError("%s: unknown flag --%s%s", command, m[3], didYouMean(m[3], flagNames(c.Command.Flags), "; see `"+command+" --help`"))
	case strings.HasPrefix(m[1], "flag needs"):
		return usageError("%s: --%s needs a value", command, m[3])
	default:
		return usageError("%s: --%s cannot be %s", command, m[3], m[2])
	}
}

func flagNames(flags []cli.Flag) []string {
	var names []string
	for _, f := range flags {
		names = append(names, "--"+f.Names()[0])
	}
	return names
}

// didYouMean names the candidate that name most likely means, or else says otherwise.
func didYouMean(name string, candidates []string, otherwise string) string {
	best, distance := "", len(name)/2+1
	for _, c := range candidates {
		word := strings.TrimLeft(c, "-")
		d := smetrics.WagnerFischer(strings.ToLower(name), word, 1, 1, 1)
		if strings.HasPrefix(word, name) && len(name) > 1 {
			d = 1
		}
		if d < distance {
			best, distance = c, d
		}
	}
	if best == "" {
		return otherwise
	}
	return "; did you mean " + best + "?"
}

// noArguments refuses what a command has no use for.
func noArguments(c *cli.Context) error {
	if c.Args().Present() {
		return usageError("%s: unexpected argument %q", c.Command.HelpName, c.Args().First())
	}
	return nil
}

// chosen is the value of a flag that may stand before the command or behind it; "" when it was not given.
func chosen(c *cli.Context, name string) (string, bool) {
	for _, ctx := range c.Lineage() {
		// Outermost contexts have no flags, and panic.
		if ctx.Command != nil && ctx.IsSet(name) {
			return ctx.String(name), true
		}
	}
	return "", false
}
