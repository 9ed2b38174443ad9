package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/hotreload/hotreload/config"
	"github.com/hotreload/hotreload/control"
	"github.com/hotreload/hotreload/signals"
	"github.com/hotreload/hotreload/supervisor"
)

// operationFlags are those of reload, restart and stop.
func operationFlags(more ...cli.Flag) []cli.Flag {
	return flagsOf(identityFlags(), append(more,
		&cli.DurationFlag{Name: "timeout", Usage: "wait for at most `DURATION`; the operation itself goes on (default: all configured timeouts together)"},
		&cli.BoolFlag{Name: "no-wait", Usage: "do not wait for the outcome"},
		jsonFlag(),
	)...)
}

// operation is one of reload, restart and stop, as it was asked for, or a command on releases.
type operation struct {
	cfg     *config.Config
	project control.Project
	who     string // "hotreload reload"
	wait    bool
	json    bool
	timeout time.Duration
}

// load reads what an operation needs to know.
func load(c *cli.Context) (*operation, error) {
	if err := noArguments(c); err != nil {
		return nil, err
	}
	return loadOperation(c)
}

// loadOperation is load for a command that has arguments.
func loadOperation(c *cli.Context) (*operation, error) {
	cfg, err := config.Load(source(c, "", identityFlags()))
	if err != nil {
		return nil, err
	}
	o := &operation{cfg: cfg, project: projectOf(cfg), who: c.Command.HelpName, wait: !c.Bool("no-wait"), json: c.Bool("json")}
	o.project.Exact = c.IsSet("pid-file")
	o.timeout = c.Duration("timeout")
	if c.IsSet("timeout") && o.timeout <= 0 {
		return nil, usageError("%s: --timeout must be longer than 0s", c.Command.HelpName)
	}
	if o.timeout == 0 {
		// The longest that everything it can lead to may take.
		o.timeout = cfg.Server.ReadyTimeout + cfg.Reload.Timeout + cfg.Restart.DrainTimeout + cfg.Server.StopTimeout
		if r := cfg.Release; r != nil { // the preflight, the health, and the way back
			o.timeout += time.Duration(len(r.Preflight)+1)*cfg.Server.ReadyTimeout + time.Duration(r.Health.Tries)*(r.Health.Interval+2*time.Second)
		}
	}
	return o, nil
}

// client returns a client of the hotreload that runs, or an error that wraps control.ErrNotRunning.
func (o *operation) client() (*control.Client, error) {
	place, err := o.project.Find()
	if errors.Is(err, control.ErrNotRunning) {
		return nil, o.leftBehind(err)
	}
	if err != nil {
		return nil, err
	}
	return control.NewClient(place), nil
}

// leftBehind adds what to do about a server that runs without a hotreload, because that was killed, or never was.
func (o *operation) leftBehind(err error) error {
	file := o.cfg.Server.PIDFile
	if file == "" {
		return err
	}
	j := signals.Judge(file, signals.Expectation{Programs: programsOf(o.cfg)})
	if j.Verdict != signals.Master {
		return err
	}
	return hinted(fmt.Errorf("%w, but master %d serves", err, j.PID),
		"`hotreload watch` or `run` takes it over if an earlier one started it; `kill -%s %d` stops it",
		strings.TrimPrefix(signals.SignalName(stopSignal(o.cfg)), "SIG"), j.PID)
}

func (o *operation) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, o.timeout)
}

// late gives the end of the caller's patience its words and its exit code.
func (o *operation) late(err error, what string) error {
	if !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return coded(exitNotVerified, hinted(fmt.Errorf("%s not verified within %s; it goes on", what, took(o.timeout)),
		"see how it ends with `hotreload status`"))
}

// tell prints what came of an operation, and returns the exit code that it means.
func (o *operation) tell(c *cli.Context, out supervisor.Outcome) error {
	if o.json {
		if err := json.NewEncoder(c.App.Writer).Encode(out); err != nil {
			return err
		}
		return outcomeCode(out, nil)
	}
	if out.Result == supervisor.Verified {
		_, err := fmt.Fprintln(c.App.Writer, describe(out))
		return err
	}
	return outcomeCode(out, errors.New(describe(out)))
}

// accepted prints that nobody waits.
func (o *operation) accepted(c *cli.Context) error {
	if o.json {
		return json.NewEncoder(c.App.Writer).Encode(control.OperationReply{Accepted: true})
	}
	_, err := fmt.Fprintln(c.App.Writer, "accepted")
	return err
}

func outcomeCode(out supervisor.Outcome, say error) error {
	switch out.Result {
	case supervisor.Verified:
		return nil
	case supervisor.Refused:
		return coded(exitRefused, say)
	case supervisor.TimedOut:
		return coded(exitNotVerified, say)
	}
	return coded(exitFailed, say)
}
