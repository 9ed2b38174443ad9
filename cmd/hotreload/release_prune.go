package main

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/hotreload/hotreload/release"
)

func releasePruneCommand() *cli.Command {
	return &cli.Command{
		Name:  "prune",
		Usage: "remove old releases that nothing uses",
		UsageText: "hotreload release prune [--keep N] [flags]\n\n" +
			"Keeps the live release, the one that a rollback would lead to, and the newest ones that work, N altogether; failed ones go first. A release is never removed " +
			"while a process has its working directory, its program, an open or a mapped file in it, or something is mounted there. Processes of other " +
			"users can only be looked at by root.",
		Flags: changeFlags(&cli.IntFlag{Name: "keep", Usage: "leave `N` releases (default: release.keep)"}),
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			if c.IsSet("keep") && c.Int("keep") < 1 {
				return usageError("hotreload release prune: --keep must be at least 1")
			}
			o, err := loadRelease(c)
			if err != nil {
				return err
			}
			return o.prune(c)
		},
	}
}

func (o *operation) prune(c *cli.Context) (err error) {
	ctx, stop := interruptible(c)
	defer stop()
	keep := o.cfg.Release.Keep
	if c.IsSet("keep") {
		keep = c.Int("keep")
	}
	out := struct {
		release.Pruned
		Recovered string `json:"recovered"`
		Error     string `json:"error"`
	}{Pruned: release.Pruned{Removed: []string{}, Kept: []release.Kept{}}}
	ch, err := o.begin(ctx, c)
	if err == nil {
		out.Recovered = ch.note
		out.Pruned, err = ch.turn.Prune(ctx, keep)
		if closeErr := ch.turn.Close(); err == nil {
			err = closeErr
		}
	}
	out.Error = message(err)
	if !o.json && ch != nil {
		if _, writeErr := fmt.Fprint(c.App.Writer, prunedText(out.Pruned)); writeErr != nil {
			return writeErr
		}
	}
	return o.told(c, out, err)
}

// prunedText is what was removed and what was not, for people.
func prunedText(p release.Pruned) string {
	var b strings.Builder
	switch n := len(p.Removed); {
	case n > 0:
		fmt.Fprintf(&b, "removed %s: %s\n", count(n, "release"), strings.Join(p.Removed, ", "))
	case len(p.Kept) == 0:
		fmt.Fprintln(&b, "nothing to remove")
	}
	for _, k := range p.Kept {
		fmt.Fprintf(&b, "kept release %s: %s\n", k.Name, k.Why)
	}
	return b.String()
}
