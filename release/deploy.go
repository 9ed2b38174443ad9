package release

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Names of the steps that are built in. All others run a command.
const (
	StepRelease  = "release"
	StepShared   = "shared"
	StepActivate = "activate"
	StepHealth   = "health"
	StepPrune    = "prune"
)

// Variables in the environment of the commands of a deploy.
const (
	envName   = "HOTRELOAD_RELEASE_NAME"
	envPath   = "HOTRELOAD_RELEASE_PATH"
	envLive   = "HOTRELOAD_CURRENT"
	envShared = "HOTRELOAD_SHARED_DIR"
	envFailed = "HOTRELOAD_FAILED_STEP"
	envToken  = "HOTRELOAD_TOKEN"
)

// Step is one step of a deploy.
type Step struct {
	Name    string        `json:"name"`
	Run     string        `json:"run"`     // for /bin/sh -c, in the release; "": the step is built in
	From    string        `json:"from"`    // StepRelease: the directory that is copied
	Timeout time.Duration `json:"timeout"` // of one try, 0: none
	Retries int           `json:"retries"` // further tries
}

// Deployment says what a deploy does. Its functions are called from one goroutine.
type Deployment struct {
	Steps     []Step
	OnFailure []string // for /bin/sh -c, after a step has failed
	Dir       string   // where commands run as long as there is no release, absolute
	Env       []string // of the commands, as os.Environ gives it
	Keep      int      // for StepPrune
	// AnyLock goes on although another deploy tool's lock file is there.
	AnyLock bool

	// Preflight says whether the release at path may go live. nil: it may.
	Preflight func(ctx context.Context, path string) error
	// Apply is that of [Turn.Activate].
	Apply Apply
	// Health returns nil once what is live answers as it should, and what there is to say of that. nil: there is nothing to ask.
	Health func(ctx context.Context) (did string, err error)
	// EndStray ends all processes that have this in their environment, and says which there were. nil: that cannot be told.
	EndStray func(ctx context.Context, variable string) ([]string, error)
	// Report is told how it goes. nil: nobody is.
	Report func(Progress)

	// Now ends when nothing may be waited for any longer: a command is killed instead of ended, a switch is not waited for. nil: never.
	Now context.Context
	// Grace is how long a command may take to end after SIGTERM. 0: 10 seconds.
	Grace time.Duration
}

// ProgressKind is what a [Progress] tells.
type ProgressKind string

// Kinds of progress.
const (
	ProgressNote    ProgressKind = "note"    // Text: look at this
	ProgressBegun   ProgressKind = "begun"   // Step begins, the Number-th of Total
	ProgressOutput  ProgressKind = "output"  // Text: a line of Step's output
	ProgressRetry   ProgressKind = "retry"   // Step failed with Err, and is tried again after Took
	ProgressDone    ProgressKind = "done"    // Step has ended well after Took; Text: what it did, may be empty
	ProgressFailed  ProgressKind = "failed"  // Step has failed with Err after Took
	ProgressFailure ProgressKind = "failure" // a command of OnFailure begins: Text
)

// Progress is one thing that happens in a deploy.
type Progress struct {
	Kind          ProgressKind
	Release       string
	Step          string
	Number, Total int
	Text          string
	Took          time.Duration
	Err           error
}

// DeployError says that a deploy has ended before its last step.
type DeployError struct {
	Release     string
	Step        string
	Interrupted bool     // it was asked to end
	Log         string   // the file with the output of the step; "" when there is none
	Last        []string // the last lines of that
	Live        string   // the release that is live now, "" when none is
	Changed     bool     // the deploy has changed what is live
	Back        bool     // the deploy has gone back to what was live before
	Err         error    // why
}

func (e *DeployError) Error() string {
	if e.Interrupted {
		return fmt.Sprintf("deploy of release %s: interrupted in step %s", e.Release, e.Step)
	}
	return fmt.Sprintf("deploy of release %s: step %s: %v", e.Release, e.Step, e.Err)
}

// Unwrap returns why the step failed.
func (e *DeployError) Unwrap() error { return e.Err }

// Deploy makes a new release by running all steps. The error is a [*DeployError] when a step has failed. The end of ctx ends the
// step that runs, but not a switch that is under way.
//
// The journal knows of each step when it begins and when it has ended, so that [Turn.Resume] can go on after a failure, or a kill.
func (t *Turn) Deploy(ctx context.Context, d Deployment) (DeployRecord, error) {
	r, err := t.newDeploy(ctx, d)
	if err != nil {
		return DeployRecord{}, err
	}
	if err := r.begin(0, nil); err != nil {
		return DeployRecord{}, err
	}
	return r.run(ctx, 0)
}

// Resume goes on with a deploy from a step on. release is its name; "" is the last deploy, unless that has ended well. Every
// step before must have ended well: a [*ResumeError] says which did not.
func (t *Turn) Resume(ctx context.Context, d Deployment, step, release string) (DeployRecord, error) {
	r, err := t.newDeploy(ctx, d)
	if err != nil {
		return DeployRecord{}, err
	}
	old, first, err := r.journal.resumable(d.Steps, step, release)
	if err != nil {
		return DeployRecord{}, err
	}
	for _, note := range old.changes(d.Steps, first) {
		r.note(note)
	}
	if first <= indexOf(d.Steps, StepRelease) {
		// A directory that was half filled is no start for anything.
		err = r.begin(first, old.Steps)
	} else {
		err = r.takeUp(old, first)
	}
	if err != nil {
		return DeployRecord{}, err
	}
	return r.run(ctx, first)
}

// deploy is a deploy that is under way.
type deploy struct {
	Deployment
	turn    *Turn
	journal deployJournal
	rec     *DeployRecord // of journal
	out     *stepOutput   // of the step that runs
}

// newDeploy reads the journal, and sees to what deploys that were killed have left behind.
func (t *Turn) newDeploy(ctx context.Context, d Deployment) (*deploy, error) {
	if d.Now == nil {
		d.Now = context.WithoutCancel(ctx)
	}
	if d.Grace == 0 {
		d.Grace = 10 * time.Second
	}
	r := &deploy{Deployment: d, turn: t}
	note, err := t.readable(deployName, &r.journal)
	if err != nil {
		return nil, fmt.Errorf("deploy: %w", err)
	}
	if note != "" {
		r.note(note + "; which deploys were not finished is not known any more")
		r.journal = deployJournal{}
	}
	for i := range r.journal.Deploys {
		if r.journal.Deploys[i].State == DeployRunning {
			if err := r.bury(&r.journal.Deploys[i]); err != nil {
				return nil, fmt.Errorf("deploy: %w", err)
			}
		}
	}
	return r, nil
}

// bury closes the record of a deploy that was killed: it cannot run, as we have the turn.
func (r *deploy) bury(rec *DeployRecord) error {
	rec.State = DeployFailed
	in := "between two steps"
	for i := range rec.Steps {
		if s := &rec.Steps[i]; s.State == DeployRunning {
			s.State, s.Error, in = DeployFailed, "hotreload was killed", "in step "+s.Name
		}
	}
	text := fmt.Sprintf("the deploy of release %s was killed %s", rec.Release, in)
	if ended := r.endStray(rec.Token); len(ended) > 0 {
		text += "; what its command had left running was ended: " + strings.Join(ended, ", ")
	}
	rec.Token = ""
	r.note(text)
	if err := r.turn.condemn(rec, "its deploy was killed "+in); err != nil {
		return err
	}
	return r.save()
}

// condemn marks the release of a deploy that did not end well, so that nobody takes it for one that works, and for a complete one
// least of all. What is live is left alone.
func (t *Turn) condemn(rec *DeployRecord, why string) error {
	r, err := t.store.Find(rec.Path)
	var missing *NotFoundError
	if errors.As(err, &missing) {
		return nil
	}
	if err != nil || r.Current {
		return err
	}
	m := t.store.memory().bad(r.id, now(), why)
	if !rec.Finished {
		m.Unfinished = append(without(m.Unfinished, r.id), mark{r.id, now(), why})
	}
	return t.remember(m)
}

// begin opens the record of a new release. The steps before the first have ended well for another one.
func (r *deploy) begin(first int, before []StepRecord) error {
	name, err := r.turn.freshName(r.journal)
	if err != nil {
		return fmt.Errorf("deploy: %w", err)
	}
	rec := DeployRecord{Release: name, Path: r.turn.store.pathOf(name), PID: os.Getpid(), Began: now(), State: DeployRunning}
	if live, err := r.turn.store.Current(); err == nil {
		rec.Before = live
	}
	for i, s := range r.Steps {
		record := StepRecord{Step: s}
		if i < first {
			record = before[indexOfRecord(before, s.Name)]
		}
		rec.Steps = append(rec.Steps, record)
	}
	r.journal.Deploys = append(r.journal.kept(), rec)
	r.rec = &r.journal.Deploys[len(r.journal.Deploys)-1]
	return nil
}

// takeUp opens the record of an earlier deploy again. It becomes the last one.
func (r *deploy) takeUp(old *DeployRecord, first int) error {
	rel, err := r.turn.store.Find(old.Path)
	var missing *NotFoundError
	if errors.As(err, &missing) {
		return &ResumeError{Release: old.Release, Why: "its directory is gone"}
	}
	if err != nil {
		return fmt.Errorf("resume the deploy of release %s: %w", old.Release, err)
	}
	rec := *old
	rec.PID, rec.State, rec.Ended = os.Getpid(), DeployRunning, nil
	rec.Steps = nil
	for i, s := range r.Steps {
		record := StepRecord{Step: s}
		if i < first {
			record = old.Steps[indexOfRecord(old.Steps, s.Name)]
		}
		rec.Steps = append(rec.Steps, record)
	}
	if live, err := r.turn.store.Current(); err == nil && live != rec.Before && live != rel.Real {
		r.note(fmt.Sprintf("release %s has become live since this deploy began", r.turn.store.labelOf(live)))
	}
	r.journal.Deploys = append(slices.DeleteFunc(r.journal.kept(), func(d DeployRecord) bool { return d.Release == rec.Release }), rec)
	r.rec = &r.journal.Deploys[len(r.journal.Deploys)-1]
	return nil
}

// run runs the steps from the first one on.
func (r *deploy) run(ctx context.Context, first int) (DeployRecord, error) {
	for i := first; i < len(r.Steps); i++ {
		if err := r.step(ctx, i); err != nil {
			err = r.fail(ctx, i, err)
			return *r.rec, err
		}
	}
	ended := now()
	r.rec.State, r.rec.Ended = DeployDone, &ended
	return *r.rec, r.save()
}

// step runs one step between two entries of the journal.
func (r *deploy) step(ctx context.Context, i int) (err error) {
	rec := &r.rec.Steps[i]
	began := now()
	rec.State, rec.Began, rec.Ended, rec.Error = DeployRunning, &began, nil, ""
	r.rec.Token = envToken + "=" + token()
	r.out = &stepOutput{path: filepath.Join(r.turn.store.LogDir(r.rec.Release), rec.Name+".log"), report: func(line string) { r.tell(Progress{Kind: ProgressOutput, Step: rec.Name, Text: line}) }}
	if ctx.Err() != nil {
		return context.Canceled
	}
	if err := r.save(); err != nil {
		return err
	}
	r.tell(Progress{Kind: ProgressBegun, Step: rec.Name, Number: i + 1, Total: len(r.Steps)})
	if err := r.turn.store.step("deploy: begin " + rec.Name); err != nil {
		return err
	}
	did, err := r.perform(ctx, rec.Step)
	if err == nil && i == r.lastBefore() {
		err = r.finish()
	}
	r.closeOutput()
	if err != nil {
		return err
	}
	if err := r.turn.store.step("deploy: end " + rec.Name); err != nil {
		return err
	}
	ended := now()
	rec.State, rec.Ended, r.rec.Token = DeployDone, &ended, ""
	if err := r.save(); err != nil {
		return err
	}
	r.tell(Progress{Kind: ProgressDone, Step: rec.Name, Number: i + 1, Total: len(r.Steps), Text: did, Took: ended.Sub(began)})
	return nil
}

// lastBefore is the step after which the release has all that belongs in it: the one before it goes live.
func (r *deploy) lastBefore() int {
	if i := indexOf(r.Steps, StepActivate); i > 0 {
		return i - 1
	}
	return len(r.Steps) - 1
}

// fail ends a deploy at a step that has failed.
func (r *deploy) fail(ctx context.Context, i int, cause error) error {
	s := &r.rec.Steps[i]
	ended := now()
	s.State, s.Ended, s.Error = DeployFailed, &ended, cause.Error()
	r.rec.State, r.rec.Ended, r.rec.Token = DeployFailed, &ended, ""
	e := &DeployError{Release: r.rec.Release, Step: s.Name, Err: cause, Log: r.out.file(), Last: r.out.last()}
	e.Interrupted = errors.Is(cause, context.Canceled)
	r.tell(Progress{Kind: ProgressFailed, Step: s.Name, Err: cause, Took: ended.Sub(*s.Began)})
	switched := false
	if j := indexOf(r.Steps, StepActivate); j >= 0 && j < i && r.rec.Steps[j].State == DeployDone {
		switched = true
		if s.Name == StepHealth && !e.Interrupted {
			e.Back, cause = r.goBack(j, cause)
			e.Err = cause
		}
	}
	e.Changed = switched && !e.Back
	var later []error
	var byActivate *ActivateError // has been marked, if it deserves it
	if !switched && !e.Interrupted && !errors.As(cause, &byActivate) {
		later = append(later, r.turn.condemn(r.rec, fmt.Sprintf("its deploy failed in step %s: %v", s.Name, cause)))
	}
	later = append(later, r.save())
	if err := errors.Join(later...); err != nil {
		r.note("what came of the deploy could not be noted: " + err.Error())
	}
	r.onFailure(s.Name)
	if live, err := r.turn.store.Current(); err == nil {
		e.Live = r.turn.store.labelOf(live)
	}
	return e
}

// goBack makes live what was before the step activate, because of cause.
func (r *deploy) goBack(activated int, cause error) (back bool, err error) {
	if r.rec.Before == "" {
		return false, fmt.Errorf("%w, and there is no release to go back to", cause)
	}
	if err := r.turn.Rollback(r.Now, r.rec.Before, r.Apply); err != nil {
		return false, fmt.Errorf("%w; going back to release %s: %w", cause, r.turn.store.labelOf(r.rec.Before), err)
	}
	r.rec.Steps[activated].State = DeployUndone
	return true, errors.Join(cause, r.turn.condemn(r.rec, cause.Error()))
}

func (r *deploy) tell(p Progress) {
	if r.Report == nil {
		return
	}
	if r.rec != nil {
		p.Release = r.rec.Release
	}
	r.Report(p)
}

func (r *deploy) note(text string) { r.tell(Progress{Kind: ProgressNote, Text: text}) }
