package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/hotreload/hotreload/release"
)

func releaseRollbackCommand() *cli.Command {
	return &cli.Command{
		Name:  "rollback",
		Usage: "make the release live again that was before, verified",
		UsageText: "hotreload release rollback [NAME] [flags]\n\n" +
			"Without NAME: the last release that was live before, is complete, and has not failed. The one that is left is marked as failed, so that " +
			"the next rollback does not lead to it; `hotreload release activate` takes the mark off.",
		Flags: changeFlags(),
		Action: func(c *cli.Context) error {
			args, err := argumentsOf(c)
			if err != nil {
				return err
			}
			if len(args) > 1 {
				return usageError("hotreload release rollback: unexpected argument %q", args[1])
			}
			o, err := loadRelease(c)
			if err != nil {
				return err
			}
			return o.switchTo(c, func(ch *changing) (release.Release, error) { return ch.target(args) }, (*release.Turn).Rollback)
		},
	}
}

// target is what to go back to: the release that is named, or the one that was live before.
func (ch *changing) target(args []string) (release.Release, error) {
	if len(args) > 0 {
		r, err := ch.store.Find(args[0])
		if err == nil && r.Current {
			err = fmt.Errorf("release %s is the one that is live", r.Name)
		}
		return r, err
	}
	releases, err := ch.store.List()
	if err != nil {
		return release.Release{}, err
	}
	var others []string
	for _, r := range releases {
		if r.Previous {
			return r, nil
		}
		if r.Complete && !r.Failed && !r.Current {
			others = append(others, r.Name)
		}
	}
	err = errors.New("there is nothing to roll back to: no release is known that was live before, is complete, and has not failed")
	if len(others) > 0 {
		return release.Release{}, hinted(err, "name one: hotreload release rollback NAME; complete are %s", strings.Join(others, ", "))
	}
	return release.Release{}, err
}
