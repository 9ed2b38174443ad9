package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/hotreload/hotreload/release"
)

// planned is what a deploy would do, as JSON.
type planned struct {
	Release string        `json:"release"` // "" for a new one
	Live    string        `json:"live"`    // the path of what is live now; "" when nothing is
	Steps   []plannedStep `json:"steps"`
	// OnFailure are the commands that would be run if a step failed.
	OnFailure []string `json:"on_failure"`
}

type plannedStep struct {
	Name string `json:"name"`
	Does string `json:"does"`
	Done bool   `json:"done"` // already, and not again
}

// plan prints the steps, and touches nothing.
func (d *deploying) plan(c *cli.Context) error {
	store, err := storeOf(d.cfg, nil)
	if err != nil {
		return err
	}
	p := planned{Steps: []plannedStep{}, OnFailure: append([]string{}, d.onFailure...)}
	p.Live, _ = store.Current()
	first := 0
	if d.startFrom != "" {
		rec, at, err := store.Resumable(d.steps, d.startFrom, d.release)
		if err != nil {
			if !d.json {
				newDeployVoice(c).list(err)
			}
			return coded(exitUsage, err)
		}
		first = at
		if at > slices.IndexFunc(d.steps, func(s release.Step) bool { return s.Name == release.StepRelease }) {
			p.Release = rec.Release
		}
	}
	for i, s := range d.steps {
		p.Steps = append(p.Steps, plannedStep{Name: s.Name, Does: d.does(s), Done: i < first})
	}
	if d.json {
		return json.NewEncoder(c.App.Writer).Encode(p)
	}
	_, err = fmt.Fprint(c.App.Writer, p.text())
	return err
}

func (p planned) text() string {
	var b strings.Builder
	if p.Release != "" {
		fmt.Fprintf(&b, "goes on with release %s\n", p.Release)
	}
	width := 0
	for _, s := range p.Steps {
		width = max(width, len(s.Name))
	}
	for i, s := range p.Steps {
		done := ""
		if s.Done {
			done = "(done) "
		}
		fmt.Fprintf(&b, "%2d  %-*s  %s%s\n", i+1, width, s.Name, done, s.Does)
	}
	for _, line := range p.OnFailure {
		fmt.Fprintf(&b, "if a step fails: %s\n", oneLine(line))
	}
	return b.String()
}

// does says what a step would do.
func (d *deploying) does(s release.Step) string {
	r := d.cfg.Release
	var parts []string
	switch s.Name {
	case release.StepRelease:
		parts = append(parts, "make a directory in "+r.Releases)
		if s.Run == "" {
			parts = append(parts, "copy "+s.From+" into it, without .git")
		}
	case release.StepShared:
		if len(r.Shared) == 0 {
			return "nothing is shared (release.shared)"
		}
		return fmt.Sprintf("link %s to %s", strings.Join(r.Shared, ", "), r.SharedDir)
	case release.StepActivate:
		for _, argv := range r.Preflight {
			parts = append(parts, "check with "+strings.Join(argv, " "))
		}
		return strings.Join(append(parts, fmt.Sprintf("switch %s to it", r.Current), "have it served, or switch back"), "; ")
	case release.StepHealth:
		if r.Health.URL == "" {
			return "nothing to ask (release.health.url)"
		}
		return fmt.Sprintf("ask %s, %s, every %s; if it does not answer, go back to what was live before", r.Health.URL, count(r.Health.Tries, "time"), took(r.Health.Interval))
	case release.StepPrune:
		return fmt.Sprintf("leave %s that nothing uses", count(r.Keep, "release"))
	}
	if s.Run != "" {
		parts = append(parts, oneLine(s.Run))
	}
	return strings.Join(parts, "; ") + limits(s)
}

// limits says how long a command may take, and how often.
func limits(s release.Step) string {
	text := ""
	if s.Timeout > 0 {
		limit := s.Timeout.String()
		if strings.HasSuffix(limit, "m0s") {
			limit = strings.TrimSuffix(limit, "0s")
		}
		text = "; at most " + limit
	}
	switch {
	case s.Retries == 1:
		text += "; a second try if it fails"
	case s.Retries > 1:
		text += fmt.Sprintf("; up to %d more tries if it fails", s.Retries)
	}
	return text
}

// oneLine is a command that may have several.
func oneLine(command string) string {
	return strings.ReplaceAll(strings.TrimSpace(command), "\n", "; ")
}
