package release

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/google/renameio/v2"
)

// Pauses between the tries of a step: the first, and the longest. Each is twice the one before, give or take.
var (
	retryFirst   = time.Second
	retryLongest = 30 * time.Second
)

// failureTimeout bounds a command of on_failure.
const failureTimeout = 10 * time.Minute

// perform does what a step is there for, and says what it did.
func (r *deploy) perform(ctx context.Context, s Step) (did string, err error) {
	switch s.Name {
	case StepRelease:
		return r.makeRelease(ctx, s)
	case StepShared:
		return "", r.turn.Share(r.rec.Path)
	case StepActivate:
		return r.activate(ctx)
	case StepHealth:
		return r.health(ctx)
	case StepPrune:
		return r.prune(ctx)
	}
	return "", r.command(ctx, s)
}

// makeRelease makes the directory of the release, and fills it.
func (r *deploy) makeRelease(ctx context.Context, s Step) (string, error) {
	if s.Run != "" {
		if _, err := r.turn.Create(r.rec.Release); err != nil {
			return "", err
		}
		return r.rec.Path, r.command(ctx, s)
	}
	c, err := r.turn.store.newCopier(s.From, r.rec.Path)
	if err != nil {
		return "", err
	}
	rel, err := r.turn.Create(r.rec.Release)
	if err != nil {
		return "", err
	}
	if err := c.run(ctx); err != nil {
		// Half a copy is of no use to anybody, and the room that it takes may be what the server lacks.
		return "", errors.Join(err, r.turn.discard(rel))
	}
	return fmt.Sprintf("%s, %s", r.rec.Path, c.describe()), nil
}

// discard removes a release that was made a moment ago, and that nobody can know of.
func (t *Turn) discard(r Release) error {
	if err := os.RemoveAll(r.Path); err != nil {
		return fmt.Errorf("remove what was copied: %w", err)
	}
	return t.remember(t.store.memory().forget(r.id))
}

// activate makes the release live.
func (r *deploy) activate(ctx context.Context) (string, error) {
	if locked := r.turn.store.Locked(); locked != nil && !r.AnyLock {
		return "", locked
	}
	if r.Preflight != nil {
		if err := r.Preflight(ctx, r.rec.Path); err != nil {
			return "", err
		}
	}
	if ctx.Err() != nil {
		return "", context.Canceled
	}
	rel, err := r.turn.store.Find(r.rec.Path)
	if err != nil {
		return "", err
	}
	if live, err := r.turn.store.Current(); err != nil {
		r.rec.Before = ""
	} else if live != rel.Real {
		r.rec.Before = live
	}
	if err := r.save(); err != nil {
		return "", err
	}
	return "", r.turn.Activate(r.Now, r.rec.Path, r.Apply)
}

func (r *deploy) health(ctx context.Context) (string, error) {
	if r.Health == nil {
		return "there is nothing to ask", nil
	}
	return r.Health(ctx)
}

func (r *deploy) prune(ctx context.Context) (string, error) {
	p, err := r.turn.Prune(ctx, r.Keep)
	for _, k := range p.Kept {
		r.note(fmt.Sprintf("release %s was kept: %s", k.Name, k.Why))
	}
	if len(p.Removed) == 0 {
		return "nothing to remove", err
	}
	return "removed " + strings.Join(p.Removed, ", "), err
}

// finish says that everything is in the release. What was written is on the disk then, and the marker is the last that comes.
func (r *deploy) finish() error {
	rel, err := r.turn.store.Find(r.rec.Path)
	if err != nil {
		return err
	}
	if err := syncFileSystem(rel.Real); err != nil {
		return fmt.Errorf("write the release to the disk: %w", err)
	}
	if marker := r.turn.store.opt.Marker; marker != "" {
		path := filepath.Join(rel.Real, marker)
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			if err := renameio.WriteFile(path, []byte(r.revision(rel)+"\n"), 0o644, renameio.WithTempDir(filepath.Dir(path))); err != nil {
				return fmt.Errorf("write the marker: %w", err)
			}
		}
	}
	r.rec.Finished = true
	return r.turn.Finish(r.rec.Path)
}

// revision is what the marker says: the commit where it is known, else the release.
func (r *deploy) revision(rel Release) string {
	if rel.Revision != "" {
		return rel.Revision
	}
	if i := indexOf(r.Steps, StepRelease); i >= 0 && r.Steps[i].From != "" {
		if revision := revisionOf(r.Steps[i].From); revision != "" {
			return revision
		}
	}
	return rel.Name
}

// command runs the command of a step, again and again as far as it may.
func (r *deploy) command(ctx context.Context, s Step) error {
	pauses := &backoff.ExponentialBackOff{InitialInterval: retryFirst, MaxInterval: retryLongest, Multiplier: 2, RandomizationFactor: 0.1}
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := r.try(ctx, s)
		if errors.Is(err, context.Canceled) {
			err = backoff.Permanent(err)
		}
		return struct{}{}, err
	}, backoff.WithBackOff(pauses), backoff.WithMaxTries(uint(s.Retries)+1), backoff.WithMaxElapsedTime(0),
		backoff.WithNotify(func(err error, pause time.Duration) {
			r.tell(Progress{Kind: ProgressRetry, Step: s.Name, Err: err, Took: pause})
		}))
	if cause := context.Cause(ctx); cause != nil && errors.Is(err, cause) {
		return context.Canceled // during a pause
	}
	return err
}

func (r *deploy) try(ctx context.Context, s Step) error {
	c := shellCommand{line: s.Run, dir: r.workDir(), env: r.environment(r.rec.Token), timeout: s.Timeout, grace: r.Grace}
	r.out.begin(s.Run)
	left, err := c.run(ctx, r.Now, r.out)
	var late *timeoutError
	if errors.As(err, &late) || errors.Is(err, context.Canceled) {
		// What has left the process group, by setsid(2), would go on.
		if ended := r.endStray(r.rec.Token); len(ended) > 0 {
			r.note(fmt.Sprintf("step %s had started what left its process group; that was ended: %s", s.Name, strings.Join(ended, ", ")))
		}
		return err
	}
	if left {
		r.note(fmt.Sprintf("step %s left something running in the background that has its output open; it ends when it writes again, "+
			"so send its output elsewhere: command >file 2>&1 &", s.Name))
	}
	return err
}

// workDir is where commands run.
func (r *deploy) workDir() string {
	if isDir(r.rec.Path) {
		return r.rec.Path
	}
	return r.Dir
}

func (r *deploy) environment(more ...string) []string {
	o := &r.turn.store.opt
	env := append([]string{}, r.Env...)
	env = append(env, envName+"="+r.rec.Release, envPath+"="+r.rec.Path, envLive+"="+o.Current, envShared+"="+o.SharedDir)
	return append(env, more...)
}

// endStray ends what is left of a command, and says what that was.
func (r *deploy) endStray(variable string) []string {
	if r.EndStray == nil || variable == "" {
		return nil
	}
	ended, err := r.EndStray(r.Now, variable)
	if err != nil {
		r.note("what a command may have left running could not be ended: " + err.Error())
	}
	return ended
}

// onFailure runs the commands that are there for that. What becomes of them changes nothing.
func (r *deploy) onFailure(failed string) {
	for _, line := range r.OnFailure {
		if r.Now.Err() != nil {
			return
		}
		r.tell(Progress{Kind: ProgressFailure, Text: line})
		r.out = &stepOutput{
			path:   filepath.Join(r.turn.store.LogDir(r.rec.Release), onFailureLog),
			report: func(text string) { r.tell(Progress{Kind: ProgressOutput, Text: text}) },
		}
		r.out.begin(line)
		c := shellCommand{line: line, dir: r.workDir(), env: r.environment(envFailed + "=" + failed), timeout: failureTimeout, grace: r.Grace}
		// The signal that has ended the step is not meant for what follows it. A second one is: Now.
		if _, err := c.run(context.WithoutCancel(r.Now), r.Now, r.out); err != nil {
			r.note(fmt.Sprintf("on_failure: %s: %v", line, err))
		}
		r.closeOutput()
	}
}

// onFailureLog is among the logs of the steps; no step has this name.
const onFailureLog = "on_failure.log"

func (r *deploy) closeOutput() {
	if err := r.out.close(); err != nil {
		r.note(fmt.Sprintf("the output was not kept: %v", err))
	}
}
