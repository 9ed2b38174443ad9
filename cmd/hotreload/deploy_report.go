package main

import (
	"time"

	"github.com/hotreload/hotreload/release"
	"github.com/hotreload/hotreload/supervisor"
)

// deployed is what came of a deploy, as JSON.
type deployed struct {
	Release    string         `json:"release"` // "" when there was none yet
	Path       string         `json:"path"`
	Live       string         `json:"live"`   // what is live now: a name, or the path of what lies elsewhere; "" when nothing is
	Result     string         `json:"result"` // live, unserved (nothing runs that could serve it), complete (there is no step activate), refused, failed, timeout, interrupted
	Steps      []deployedStep `json:"steps"`
	DurationMS float64        `json:"duration_ms"`
	// Outcome is that of the last operation on the server; null when there was none.
	Outcome    *supervisor.Outcome `json:"outcome"`
	FailedStep string              `json:"failed_step"`
	Log        string              `json:"log"`        // the output of the failed step; "" when there is none
	Last       []string            `json:"last_lines"` // of it
	Resume     string              `json:"resume"`     // the command that goes on
	Recovered  string              `json:"recovered"`  // what was half done before, and what came of that
	Error      string              `json:"error"`

	is, did string // what the release is now, and how it has become that, for people
	serves  string // what serves, where it has not become live
}

// deployedStep is a step of a deploy, as JSON.
type deployedStep struct {
	Name       string     `json:"name"`
	State      string     `json:"state"` // "", done, failed, undone
	StartedAt  *time.Time `json:"started_at"`
	DurationMS float64    `json:"duration_ms"`
	Error      string     `json:"error"`
}

// fill takes over what the journal knows.
func (out *deployed) fill(rec release.DeployRecord, ch *changing) {
	if path, err := ch.store.Current(); err == nil {
		out.Live = path
		if r, err := ch.store.Find(path); err == nil && !r.Outside {
			out.Live = r.Name
		}
	}
	out.Release, out.Path = rec.Release, rec.Path
	if rec.Release == "" {
		return // there was nothing to do, or nothing could be done
	}
	out.Outcome = ch.live.last
	activated := false
	for _, s := range rec.Steps {
		step := deployedStep{Name: s.Name, State: s.State, StartedAt: s.Began, Error: s.Error}
		if s.Began != nil && s.Ended != nil {
			step.DurationMS = milliseconds(s.Ended.Sub(*s.Began))
		}
		out.Steps = append(out.Steps, step)
		activated = activated || s.Name == release.StepActivate && s.State == release.DeployDone
	}
	switch {
	case !activated:
		out.Result, out.is, out.did = "complete", "complete", "there is no step that activates it"
	case ch.live.nobody():
		out.Result, out.is, out.did = "unserved", "current", ch.live.did()
	default:
		out.Result, out.is, out.did = "live", "live", ch.live.did()
	}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
