package release

import (
	"crypto/rand"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// States of a deploy, and of a step; "" is a step that has not begun.
const (
	DeployRunning = "running"
	DeployDone    = "done"
	DeployFailed  = "failed"
	DeployUndone  = "undone" // StepActivate: it was switched back
)

// deployName is the journal of deploys in [Store.Home].
const deployName = "deploy.json"

// deployJournal is what is known of deploys. The last one is the last in it.
type deployJournal struct {
	Deploys []DeployRecord `json:"deploys"`
}

// DeployRecord is what the journal knows of the deploy of one release.
type DeployRecord struct {
	Release  string       `json:"release"` // name
	Path     string       `json:"path"`
	State    string       `json:"state"` // DeployRunning, DeployDone or DeployFailed
	PID      int          `json:"pid"`   // of the hotreload
	Began    time.Time    `json:"began"`
	Ended    *time.Time   `json:"ended"`
	Before   string       `json:"before"`   // what was live before, resolved; "" when nothing was
	Finished bool         `json:"finished"` // everything is in the release that belongs there
	Token    string       `json:"token"`    // in the environment of the command that runs
	Steps    []StepRecord `json:"steps"`
}

// StepRecord is what the journal knows of a step.
type StepRecord struct {
	Step
	State string     `json:"state"`
	Began *time.Time `json:"began"`
	Ended *time.Time `json:"ended"`
	Error string     `json:"error"`
}

// ResumeError says why a deploy cannot be resumed from a step.
type ResumeError struct {
	Release string       // "" when there is no deploy to resume
	Why     string       // a sentence without its full stop
	Steps   []StepRecord // the steps as they are configured now, and what became of them; nil when it is not about them
}

func (e *ResumeError) Error() string {
	if e.Release == "" {
		return "resume a deploy: " + e.Why
	}
	return fmt.Sprintf("resume the deploy of release %s: %s", e.Release, e.Why)
}

// maxDeploys bounds the journal. Deploys whose release is gone leave it earlier.
const maxDeploys = 50

// kept are the records that may still be of use.
func (j deployJournal) kept() []DeployRecord {
	kept := slices.DeleteFunc(slices.Clone(j.Deploys), func(d DeployRecord) bool { return !exists(d.Path) })
	return kept[max(0, len(kept)-maxDeploys+1):]
}

func (r *deploy) save() error {
	if err := r.turn.Save(deployName, r.journal); err != nil {
		return fmt.Errorf("journal of deploys: %w", err)
	}
	return nil
}

// Resumable returns the deploy that [Turn.Resume] would go on with, and the index of the step in steps; the error is that of Resume.
func (s *Store) Resumable(steps []Step, step, release string) (DeployRecord, int, error) {
	var j deployJournal
	if err := s.Load(deployName, &j); err != nil {
		return DeployRecord{}, 0, fmt.Errorf("resume a deploy: %w", err)
	}
	rec, first, err := j.resumable(steps, step, release)
	if err != nil {
		return DeployRecord{}, 0, err
	}
	return *rec, first, nil
}

// resumable finds the deploy to resume, and the index of the step in steps.
func (j deployJournal) resumable(steps []Step, step, release string) (*DeployRecord, int, error) {
	first := indexOf(steps, step)
	if first < 0 {
		return nil, 0, &ResumeError{Release: release, Why: fmt.Sprintf("there is no step %q", step), Steps: recordsOf(steps, nil)}
	}
	rec, err := j.find(release)
	if err != nil {
		return nil, 0, err
	}
	for _, s := range steps[:first] {
		state := "is new"
		if i := indexOfRecord(rec.Steps, s.Name); i >= 0 {
			state = stateWord(rec.Steps[i].State)
		}
		if state != stateWord(DeployDone) {
			why := fmt.Sprintf("step %q comes before %q and %s", s.Name, step, state)
			return nil, 0, &ResumeError{Release: rec.Release, Why: why, Steps: recordsOf(steps, rec.Steps)}
		}
	}
	return rec, first, nil
}

func (j deployJournal) find(release string) (*DeployRecord, error) {
	if release == "" {
		if len(j.Deploys) == 0 {
			return nil, &ResumeError{Why: "there was none"}
		}
		rec := &j.Deploys[len(j.Deploys)-1]
		if rec.State == DeployDone {
			// An older one that failed has been superseded: to make it live would be a step back.
			return nil, &ResumeError{Why: fmt.Sprintf("the last one, of release %s, has ended well", rec.Release)}
		}
		return rec, nil
	}
	i := slices.IndexFunc(j.Deploys, func(d DeployRecord) bool { return d.Release == release })
	if i < 0 {
		return nil, &ResumeError{Release: release, Why: "no such deploy is known"}
	}
	return &j.Deploys[i], nil
}

// recordsOf are the steps as they are configured with what became of them.
func recordsOf(steps []Step, before []StepRecord) []StepRecord {
	records := make([]StepRecord, len(steps))
	for i, s := range steps {
		if j := indexOfRecord(before, s.Name); j >= 0 {
			records[i] = before[j]
		}
		records[i].Step = s
	}
	return records
}

// stateWord is a state as the end of a sentence.
func stateWord(state string) string {
	switch state {
	case DeployDone:
		return "has been done"
	case DeployFailed:
		return "has failed"
	case DeployUndone:
		return "has been undone"
	}
	return "has not been run"
}

// changes says which steps are no longer what they were when they were done.
func (d *DeployRecord) changes(steps []Step, first int) []string {
	var notes []string
	for _, s := range steps[:first] {
		if was := d.Steps[indexOfRecord(d.Steps, s.Name)].Step; was.Run != s.Run || was.From != s.From {
			notes = append(notes, fmt.Sprintf("step %s has been changed since it was done: it was %s, and is %s", s.Name, was.describe(), s.describe()))
		}
	}
	for _, was := range d.Steps {
		if indexOf(steps, was.Name) < 0 {
			notes = append(notes, fmt.Sprintf("step %s, which %s, is not configured any more", was.Name, stateWord(was.State)))
		}
	}
	return notes
}

// describe is what a step does.
func (s Step) describe() string {
	switch {
	case s.Run != "":
		return "`" + strings.ReplaceAll(strings.TrimSpace(s.Run), "\n", "; ") + "`"
	case s.From != "":
		return "a copy of " + s.From
	}
	return "built in"
}

func indexOf(steps []Step, name string) int {
	return slices.IndexFunc(steps, func(s Step) bool { return s.Name == name })
}

func indexOfRecord(steps []StepRecord, name string) int {
	return slices.IndexFunc(steps, func(s StepRecord) bool { return s.Name == name })
}

// token tells the processes of one command from all others.
func token() string { return rand.Text() }

// pathOf is where a release of this name lies.
func (s *Store) pathOf(name string) string { return filepath.Join(s.opt.Dir, name) }

// labelOf is the name of a release for people, by its resolved path.
func (s *Store) labelOf(real string) string {
	if s.holds(real) {
		return filepath.Base(real)
	}
	return real
}

// freshName is the name of the next release, which nothing has had yet that is still known. It is needed before [Turn.Create]: the
// journal tells of the release before it is there.
func (t *Turn) freshName(j deployJournal) (string, error) {
	releases, err := t.store.List()
	if err != nil {
		return "", err
	}
	at := laterThan(releases)
	for {
		name := at.Format(dated)
		known := slices.ContainsFunc(j.Deploys, func(d DeployRecord) bool { return d.Release == name })
		if !known && !exists(t.store.pathOf(name)) && !exists(t.store.LogDir(name)) {
			return name, nil
		}
		at = at.Add(time.Second)
	}
}
