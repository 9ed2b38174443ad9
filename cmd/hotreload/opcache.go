package main

import (
	"context"
	"io"
	"os/signal"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/hotreload/hotreload/php"
)

// opcacheTimeout is how long `opcache reset` waits for each cache when nobody says otherwise.
const opcacheTimeout = 30 * time.Second

func opcacheCommand() *cli.Command {
	status := &cli.Command{
		Name:      "status",
		Usage:     "how full it is, whether it sees changed files, how often it restarted",
		UsageText: "hotreload opcache status [flags]",
		Flags:     opcacheFlags(),
		Action:    opcacheStatus,
	}
	reset := &cli.Command{
		Name:      "reset",
		Usage:     "empty it, and wait until that is verified",
		UsageText: "hotreload opcache reset [flags]\n\nExit code 5: refused, because PHP is thread safe; 4: not verified in time.",
		Flags: opcacheFlags(&cli.DurationFlag{
			Name: "timeout", Value: opcacheTimeout, Usage: "wait for at most `DURATION` for each cache"}),
		Action: opcacheReset,
	}
	for _, c := range []*cli.Command{status, reset} {
		c.OnUsageError = onUsageError
		c.HideHelpCommand = true
	}
	return &cli.Command{
		Name:        "opcache",
		Usage:       "ask php-fpm about its OPcache, or empty it",
		UsageText:   "hotreload opcache status|reset [flags]",
		Subcommands: []*cli.Command{status, reset},
		Action: func(c *cli.Context) error {
			if !c.Args().Present() {
				return usageError("hotreload opcache: say what to do: status or reset")
			}
			name := c.Args().First()
			return usageError("hotreload opcache: unknown command %q%s", name, didYouMean(name, []string{"status", "reset"}, "; there are status and reset"))
		},
	}
}

func opcacheFlags(more ...cli.Flag) []cli.Flag {
	return flagsOf(identityFlags(), append(more,
		&cli.StringSliceFlag{Name: "fastcgi", Usage: "php-fpm listens on `ADDRESS`: /run/php-fpm.sock or HOST:PORT; " +
			"again for more pools (default: what the master in the pid file listens on)"},
		&cli.StringFlag{Name: "temp-dir", TakesFile: true, Usage: "lay a script for php-fpm into `DIR`, which it must be able to read; DIR:AS where php-fpm calls it AS"},
		jsonFlag(),
	)...)
}

// opcacheCall is one of status and reset, as it was asked for.
type opcacheCall struct {
	pools  []php.FPM
	json   bool
	out    io.Writer
	errors io.Writer
}

func newOpcacheCall(c *cli.Context) (*opcacheCall, error) {
	if err := noArguments(c); err != nil {
		return nil, err
	}
	pools, err := poolsOf(c)
	return &opcacheCall{pools: pools, json: c.Bool("json"), out: c.App.Writer, errors: c.App.ErrWriter}, err
}

// interruptible ends the context at a signal, so that no script is left behind.
func interruptible(c *cli.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(c.Context, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
}

// fail says what went wrong with each pool, and returns the exit code of all: that of each where they agree, else 1.
// In JSON it has been said.
func (o *opcacheCall) fail(errs []error) error {
	var failed []error
	for _, err := range errs {
		if err != nil {
			failed = append(failed, err)
		}
	}
	if len(failed) == 0 {
		return nil
	}
	last := failed[len(failed)-1]
	code := exitCode(last)
	for _, err := range failed[:len(failed)-1] {
		if exitCode(err) != code {
			code = exitFailed
		}
		if !o.json {
			complain(o.errors, err)
		}
	}
	if o.json {
		return coded(code, nil)
	}
	return coded(code, last)
}
