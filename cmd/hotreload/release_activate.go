package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/hotreload/hotreload/release"
	"github.com/hotreload/hotreload/supervisor"
)

func releaseActivateCommand() *cli.Command {
	return &cli.Command{
		Name:  "activate",
		Usage: "make a release live, verified; or have the one before serve on",
		UsageText: "hotreload release activate DIR|NAME [flags]\n\n" +
			"Runs the preflight in the release, switches the symlink to it, has the server follow, and waits until that is verified. If anything fails, " +
			"it is switched back, and the server with it. DIR may lie outside of the directory of the releases.\n" +
			"Exit code 5: refused, the one before serves; 4: not verified in time, switched back; 3: a master runs that nobody can restart.",
		Flags: changeFlags(),
		Action: func(c *cli.Context) error {
			args, err := argumentsOf(c)
			if err != nil {
				return err
			}
			if len(args) != 1 || args[0] == "" {
				return usageError("hotreload release activate: say which release: its name, or its directory; `hotreload release list` has them")
			}
			o, err := loadRelease(c)
			if err != nil {
				return err
			}
			return o.switchTo(c, func(ch *changing) (release.Release, error) { return ch.store.Find(args[0]) }, (*release.Turn).Activate)
		},
	}
}

// switched is what came of activate or rollback, as JSON.
type switched struct {
	Release string `json:"release"` // "" when none was found
	Path    string `json:"path"`
	Was     string `json:"was"`    // the path that was current before; "" when there was none
	Result  string `json:"result"` // live, already, unserved (nothing runs that could serve it), refused, failed, timeout
	// Outcome is that of the operation on the server; null when there was none.
	Outcome   *supervisor.Outcome `json:"outcome"`
	Recovered string              `json:"recovered"` // what was half done before, and what came of that
	Error     string              `json:"error"`
}

// switchTo makes the release live that choose names, by one of the methods of the turn.
func (o *operation) switchTo(c *cli.Context, choose func(*changing) (release.Release, error),
	by func(*release.Turn, context.Context, string, release.Apply) error) error {
	ctx, stop := interruptible(c)
	defer stop()
	s := switched{}
	line, err := o.doSwitch(ctx, c, &s, choose, by)
	if err != nil {
		s.Result, s.Error = switchResult(err), err.Error()
	}
	if err == nil && !o.json {
		_, err = fmt.Fprintln(c.App.Writer, line)
	}
	return o.told(c, s, err)
}

func switchResult(err error) string {
	switch exitCode(err) {
	case exitRefused:
		return string(supervisor.Refused)
	case exitNotVerified:
		return string(supervisor.TimedOut)
	}
	return string(supervisor.Failed)
}

func (o *operation) doSwitch(ctx context.Context, c *cli.Context, s *switched, choose func(*changing) (release.Release, error),
	by func(*release.Turn, context.Context, string, release.Apply) error) (line string, err error) {
	ch, err := o.begin(ctx, c)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, ch.turn.Close()) }()
	s.Recovered = ch.note
	to, err := choose(ch)
	if err != nil {
		return "", err
	}
	s.Release, s.Path = to.Name, to.Path
	s.Was, _ = ch.store.Current()
	if err := ch.live.find(); err != nil {
		return "", err
	}
	proven, err := ch.live.serving(ctx, to.Real) // also when somebody else has switched away from it, to one that was refused
	if err != nil {
		return "", err
	}
	if !proven {
		if err := ch.check(ctx, to); err != nil {
			return "", err
		}
	}
	if err := by(ch.turn, ctx, to.Path, ch.live.apply); err != nil {
		return "", ch.failed(ctx, err)
	}
	s.Outcome = ch.live.last
	switch {
	case ch.live.nobody():
		s.Result = "unserved"
		return fmt.Sprintf("release %s is current: %s", to.Name, ch.live.did()), nil
	case s.Outcome == nil:
		s.Result = "already"
	default:
		s.Result = "live"
	}
	return fmt.Sprintf("release %s is live: %s", to.Name, ch.live.did()), nil
}

// check refuses a release that is not fit, before anything is touched.
func (ch *changing) check(ctx context.Context, r release.Release) error {
	if err := ch.fit(ctx, r); err != nil {
		return ch.refused(ctx, err)
	}
	return nil
}

// fit says what is against a release that is not live yet.
func (ch *changing) fit(ctx context.Context, r release.Release) error {
	if err := ch.store.Check(r.Path); err != nil {
		return err
	}
	if err := preflight(ctx, ch.cfg, r.Real, (*exec.Cmd).Run); err != nil {
		if ctx.Err() != nil {
			err = errors.New("interrupted")
		}
		return fmt.Errorf("release %s: %w", r.Name, err)
	}
	return nil
}

// refused says that nothing was touched.
func (ch *changing) refused(ctx context.Context, err error) error {
	text := "; nothing was changed"
	if serves := ch.live.serves(context.WithoutCancel(ctx)); serves != "" {
		text += ", " + serves
	}
	return coded(exitRefused, fmt.Errorf("%w%s", err, text))
}

// failed adds what serves now.
func (ch *changing) failed(ctx context.Context, err error) error {
	var notLive *release.ActivateError
	if !errors.As(err, &notLive) {
		return err
	}
	if serves := ch.live.serves(context.WithoutCancel(ctx)); serves != "" && !strings.Contains(err.Error(), serves) {
		return fmt.Errorf("%w; %s", err, serves)
	}
	return err
}
