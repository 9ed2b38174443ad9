package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/hotreload/hotreload/release"
)

func releaseListCommand() *cli.Command {
	return &cli.Command{
		Name:      "list",
		Usage:     "the releases, the newest first: name, time, revision, state",
		UsageText: "hotreload release list [flags]",
		Flags:     flagsOf(identityFlags(), jsonFlag()),
		Action:    releaseList,
	}
}

// listed is a release as JSON.
type listed struct {
	release.Release
	Serving bool `json:"serving"` // the running hotreload serves it
}

func releaseList(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	o, err := loadRelease(c)
	if err != nil {
		return err
	}
	store, err := storeOf(o.cfg, nil)
	if err != nil {
		return err
	}
	releases, err := store.List()
	if err != nil {
		return err
	}
	served, unknown := o.servedRelease()
	list := make([]listed, 0, len(releases))
	for _, r := range releases {
		list = append(list, listed{r, served != "" && r.Real == served})
	}
	for _, note := range remarks(store, unknown) {
		fmt.Fprintln(c.App.ErrWriter, "hotreload: "+note)
	}
	if o.json {
		return json.NewEncoder(c.App.Writer).Encode(list)
	}
	if len(list) == 0 {
		_, err := fmt.Fprintf(c.App.Writer, "there is no release in %s\n", o.cfg.Release.Releases)
		return err
	}
	return writeReleases(c.App.Writer, list)
}

// remarks are what does not belong to a single release.
func remarks(store *release.Store, unserved error) []string {
	var notes []string
	if unserved != nil {
		notes = append(notes, "which release is served is not known: "+unserved.Error())
	}
	switch pending, err := store.Pending(); {
	case err != nil:
		notes = append(notes, err.Error())
	case pending != "":
		notes = append(notes, fmt.Sprintf("under way, or left half done by a hotreload that was killed: %s; the next activate, rollback or prune sees to it", pending))
	}
	if locked := store.Locked(); locked != nil {
		notes = append(notes, locked.Error())
	}
	return notes
}

func writeReleases(to io.Writer, list []listed) error {
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "RELEASE\tTIME\tREVISION\tSTATE")
	for _, r := range list {
		name := r.Name
		if r.Outside {
			name = r.Path
		}
		fmt.Fprintln(w, strings.Join([]string{visible(name), r.Time.Local().Format(time.DateTime), short(r.Revision), visible(releaseState(r))}, "\t"))
	}
	return w.Flush()
}

// releaseState is what there is to say about a release.
func releaseState(r listed) string {
	var words []string
	for _, word := range []struct {
		text string
		is   bool
	}{{"current", r.Current}, {"serving", r.Serving}, {"previous", r.Previous}} {
		if word.is {
			words = append(words, word.text)
		}
	}
	switch {
	case !r.Complete:
		words = append(words, "incomplete: "+r.Why)
	case r.Failed:
		words = append(words, "failed: "+r.Why)
	}
	return strings.Join(words, ", ")
}

// short is a revision as git shows it.
func short(revision string) string {
	const length = 12
	if len(revision) == 40 && strings.Trim(revision, "0123456789abcdef") == "" {
		return revision[:length]
	}
	return revision
}
