package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/hotreload/hotreload/release"
)

func releaseCommand() *cli.Command {
	commands := []*cli.Command{releaseListCommand(), releaseActivateCommand(), releaseRollbackCommand(), releasePruneCommand()}
	var names []string
	for _, c := range commands {
		c.OnUsageError = onUsageError
		c.HideHelpCommand = true
		names = append(names, c.Name)
	}
	return &cli.Command{
		Name:        "release",
		Usage:       "list the releases, make one live, go back, remove old ones",
		UsageText:   "hotreload release " + strings.Join(names, "|") + " [flags]",
		Subcommands: commands,
		Action: func(c *cli.Context) error {
			if !c.Args().Present() {
				return usageError("hotreload release: say what to do: %s", strings.Join(names, ", "))
			}
			name := c.Args().First()
			return usageError("hotreload release: unknown command %q%s", name, didYouMean(name, names, "; there are "+strings.Join(names, ", ")))
		},
	}
}

// changeFlags are those of the commands that change something.
func changeFlags(more ...cli.Flag) []cli.Flag {
	return flagsOf(identityFlags(), append(more,
		&cli.BoolFlag{Name: "ignore-lock", Usage: "go on although the lock file of another deploy tool (release.lock) is there"},
		&cli.DurationFlag{Name: "timeout", Usage: "wait for at most `DURATION` until the server serves it; then it is switched back (default: all configured timeouts together)"},
		jsonFlag(),
	)...)
}

// loadRelease is loadOperation for commands that need [release].
func loadRelease(c *cli.Context) (*operation, error) {
	o, err := loadOperation(c)
	if err != nil {
		return nil, err
	}
	if o.cfg.Release == nil {
		return nil, coded(exitUsage, hinted(fmt.Errorf("%s: no release mode is configured: there is no [release] section", o.who),
			"say in hotreload.toml which symlink names the live release: [release] current = \"current\""))
	}
	return o, nil
}

// changing is a command that changes something about releases, from when it has the turn to do so.
type changing struct {
	*operation
	store *release.Store
	turn  *release.Turn
	live  *live
	note  string // what a hotreload that was killed had left half done, and what came of that
}

// begin takes the turn, and finishes or undoes what a hotreload that was killed has left half done.
func (o *operation) begin(ctx context.Context, c *cli.Context) (*changing, error) {
	store, err := storeOf(o.cfg, o.users)
	if err != nil {
		return nil, err
	}
	if locked := store.Locked(); locked != nil && !c.Bool("ignore-lock") {
		return nil, hinted(locked, "wait for it to end; --ignore-lock goes on all the same")
	}
	ch := &changing{operation: o, store: store, live: newLive(o, store)}
	pending, err := store.Pending()
	if err == nil && pending != "" {
		err = ch.live.find() // refuses where nobody could make the server follow
	}
	var damaged *release.DamagedError
	if err != nil && !errors.As(err, &damaged) {
		return nil, err
	}
	if ch.turn, err = acquire(ctx, store, strings.Join(append([]string{o.who}, c.Args().Slice()...), " ")); err != nil {
		return nil, err
	}
	if ch.note, err = ch.turn.Recover(ctx, ch.live.apply); err != nil {
		return nil, errors.Join(err, ch.turn.Close())
	}
	if ch.note != "" && !o.json {
		fmt.Fprintln(c.App.ErrWriter, "hotreload: "+ch.note)
	}
	return ch, nil
}

// passing is how long whoever has the turn may keep it for no more than a note of what serves, as `run` does after a switch.
const passing = time.Second

// acquire takes the turn, and refuses when somebody has it for longer.
func acquire(ctx context.Context, store *release.Store, who string) (*release.Turn, error) {
	for begin := time.Now(); ; {
		turn, err := store.Acquire(who)
		var busy *release.BusyError
		if !errors.As(err, &busy) || time.Since(begin) >= passing {
			return turn, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(pace):
		}
	}
}

// told makes the exit code and the last words of a command of which all is in a JSON object already.
func (o *operation) told(c *cli.Context, object any, err error) error {
	if !o.json {
		return err
	}
	if encodeErr := json.NewEncoder(c.App.Writer).Encode(object); encodeErr != nil {
		return encodeErr
	}
	if err == nil {
		return nil
	}
	return coded(exitCode(err), nil)
}

// message is an error for a JSON object, "" for none.
func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
