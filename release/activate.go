package release

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Apply makes the server serve what "current" leads to, and returns nil when it verifiably does. It is called again, with a context
// that the end of the first one does not end, to have the server follow back when it has returned an error; so it bounds itself.
type Apply func(ctx context.Context) error

// ActivateError says that a release was not made live. What was before is again.
type ActivateError struct {
	Release string // the one that did not work
	Back    string // the one that current leads to again; "" when there was none, or current was left alone
	Err     error  // why it did not work
	Undo    error  // what went wrong on the way back
}

func (e *ActivateError) Error() string {
	text := fmt.Sprintf("release %s is not live: %v", e.Release, e.Err)
	if e.Back != "" {
		text += "; current leads to " + e.Back + " again"
	}
	if e.Undo != nil {
		text += fmt.Sprintf("; on the way back: %v", e.Undo)
	}
	return text
}

// Unwrap returns why it did not work.
func (e *ActivateError) Unwrap() error { return e.Err }

// BlamelessError is an error of an [Apply] that says nothing against the release: nobody was there to ask. It is switched back, and not
// marked as failed.
type BlamelessError struct{ Err error }

func (e *BlamelessError) Error() string { return e.Err.Error() }
func (e *BlamelessError) Unwrap() error { return e.Err }

// Activate makes the release at path live: current is switched to it, and apply makes the server follow. When apply fails, current is
// switched back, apply is called again, the release is marked as failed with the reason, and the error is an [*ActivateError]. All other
// errors mean that nothing was changed, except where they say otherwise. A release that is current already is applied all
// the same.
//
// path is taken as by [Store.Find]. A release that is not complete is refused with an [*IncompleteError]; one that failed before may
// be tried again.
func (t *Turn) Activate(ctx context.Context, path string, apply Apply) error {
	return t.change(ctx, activating, path, apply)
}

// Rollback is Activate, and marks the release that it leaves as failed, so that the next rollback does not lead to it.
func (t *Turn) Rollback(ctx context.Context, path string, apply Apply) error {
	return t.change(ctx, rollingBack, path, apply)
}

// Record notes that the release at path is live and serves, because somebody else has switched to it.
func (t *Turn) Record(path string) error {
	r, err := t.store.Find(path)
	if err != nil {
		return err
	}
	return t.remember(t.store.memory().served(r.id, now()))
}

func (t *Turn) change(ctx context.Context, what, path string, apply Apply) error {
	s := t.store
	to, err := s.Find(path)
	if err != nil {
		return err
	}
	if !to.Complete {
		return &IncompleteError{Release: to.Name, Lacks: to.Why}
	}
	if to.Current {
		return t.again(ctx, to, apply)
	}
	j, err := t.plan(what, to)
	if err != nil {
		return err
	}
	if err := t.prepare(j); err != nil {
		return fmt.Errorf("%s release %s: %w; nothing was changed", what, to.Name, errors.Join(err, t.drop()))
	}
	err = s.takePlace(nextSuffix)
	if err == nil {
		err = apply.run(ctx)
	}
	if err != nil {
		return t.undo(ctx, j, err, apply)
	}
	return t.conclude(j)
}

func (a Apply) run(ctx context.Context) error {
	if a == nil {
		return nil
	}
	return a(ctx)
}

// again applies the release that is current already. Who switched to it is not known, so nothing is switched back.
func (t *Turn) again(ctx context.Context, r Release, apply Apply) error {
	m := t.store.memory()
	if err := apply.run(ctx); err != nil {
		e := &ActivateError{Release: r.Name, Err: err}
		if !blameless(err) {
			e.Undo = t.remember(m.bad(r.id, now(), err.Error()))
		}
		return e
	}
	if _, failed := m.failed(r.id); !failed && len(m.History) > 0 && m.History[len(m.History)-1].id == r.id {
		return nil
	}
	return unrecorded(r.Name, t.remember(m.served(r.id, now())))
}

// plan writes down in advance what is about to be done.
func (t *Turn) plan(what string, to Release) (journal, error) {
	s := t.store
	j := journal{What: what, To: placeOf(to), PID: os.Getpid(), Since: now()}
	present, err := s.link()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return j, err
	}
	if j.To.Text, err = s.textFor(to.Path, present); err != nil {
		return j, fmt.Errorf("%s release %s: %w", what, to.Name, err)
	}
	if present == "" {
		return j, nil
	}
	j.From = place{Text: present}
	releases, err := s.List()
	if err != nil {
		return j, err
	}
	if i := slices.IndexFunc(releases, func(r Release) bool { return r.Current }); i >= 0 {
		j.From = placeOf(releases[i])
		j.From.Text = present
	}
	return j, nil
}

// prepare does everything that may fail before anything is changed: what follows are renames.
func (t *Turn) prepare(j journal) error {
	if err := t.store.makeSpare(nextSuffix, j.To.Text); err != nil {
		return err
	}
	if j.From.Text != "" {
		if err := t.store.makeSpare(backSuffix, j.From.Text); err != nil {
			return err
		}
	}
	return t.Save(journalName, j)
}

// drop forgets what was prepared, or is done.
func (t *Turn) drop() error {
	if err := t.store.step("drop"); err != nil {
		return err
	}
	// The journal goes first: links without a journal mean nothing, a journal without links something else.
	return errors.Join(remove(filepath.Join(t.store.Home(), journalName)), t.store.removeSpares())
}

// conclude notes that the release is live and serves.
func (t *Turn) conclude(j journal) error {
	m := t.store.memory().left(j.From.id).served(j.To.id, now())
	if j.What == rollingBack && j.From.Name != "" {
		m = m.bad(j.From.id, now(), "rolled back to "+j.To.label())
	}
	if err := t.remember(m); err != nil {
		return unrecorded(j.To.label(), err)
	}
	return t.drop()
}

// unrecorded wraps the error of writing down what is true on the disk already.
func unrecorded(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("release %s is live and serves, but that could not be noted: %w", name, err)
}

// undo goes back to what was before, because of cause. It returns an *ActivateError.
func (t *Turn) undo(ctx context.Context, j journal, cause error, apply Apply) error {
	e := &ActivateError{Release: j.To.label(), Err: cause}
	j.Step, j.Why = undoing, cause.Error()
	if blameless(cause) {
		j.Why = ""
	}
	// If this cannot be written, a kill from here on has the next one try the release once more. Going back matters more.
	noted := t.Save(journalName, j)
	if t.store.where(j) == elsewhere {
		e.Undo = errors.Join(fmt.Errorf("somebody else has switched %s meanwhile, and that stands", t.store.opt.Current), t.blame(j), t.drop())
		return e
	}
	if err := t.switchBack(j); err != nil {
		e.Undo = errors.Join(noted, err)
		return e
	}
	e.Back = j.From.label()
	e.Undo = t.followBack(ctx, j, apply)
	return e
}

// switchBack has current lead to where it led.
func (t *Turn) switchBack(j journal) error {
	s := t.store
	if s.where(j) == atStart {
		return nil
	}
	if j.From.Text == "" {
		if err := remove(s.opt.Current); err != nil {
			return fmt.Errorf("switch back: %w", err)
		}
		return syncDir(filepath.Dir(s.opt.Current))
	}
	if text, err := os.Readlink(s.spare(backSuffix)); err != nil || text != j.From.Text {
		if err := s.makeSpare(backSuffix, j.From.Text); err != nil {
			return fmt.Errorf("switch back: %w", err)
		}
	}
	return s.takePlace(backSuffix)
}

// followBack has the server follow, and marks the release that did not work.
func (t *Turn) followBack(ctx context.Context, j journal, apply Apply) error {
	var followed error
	if j.From.Name != "" {
		followed = apply.run(context.WithoutCancel(ctx))
	}
	return errors.Join(followed, t.blame(j), t.drop())
}

// blame marks the release that did not work, if it is to blame.
func (t *Turn) blame(j journal) error {
	if j.Why == "" {
		return nil
	}
	return t.remember(t.store.memory().bad(j.To.id, now(), j.Why))
}

// blameless reports whether an error says nothing against the release.
func blameless(err error) bool {
	var b *BlamelessError
	return errors.As(err, &b) || errors.Is(err, context.Canceled)
}

// now is the time as it is written down.
func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }
