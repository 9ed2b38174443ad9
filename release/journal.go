package release

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// journal is the change that is under way. It is on the disk from before current is switched until what came of it is noted.
type journal struct {
	What  string    `json:"what"` // activating, rollingBack
	From  place     `json:"from"` // zero: current did not exist
	To    place     `json:"to"`
	Step  string    `json:"step"` // "" or undoing
	Why   string    `json:"why"`  // of undoing; "" when the release is not to blame
	PID   int       `json:"pid"`
	Since time.Time `json:"since"`
}

const (
	activating  = "activate"
	rollingBack = "roll back to"
	undoing     = "undo"
)

const journalName = "journal.json"

// place is a release and the text of the link that leads to it. Where current leads nowhere only the text is known.
type place struct {
	id
	Path string `json:"path"`
	Text string `json:"text"`
}

func placeOf(r Release) place { return place{id: r.id, Path: r.Path} }

// label is the name for people.
func (p place) label() string {
	if p.Name == "" {
		return p.Text
	}
	return filepath.Base(p.Name)
}

// position is where current leads during a change.
type position int

const (
	elsewhere position = iota
	atStart
	atTarget
)

// where tells where current leads now.
func (s *Store) where(j journal) position {
	text, err := os.Readlink(s.opt.Current)
	switch {
	case err != nil && exists(s.opt.Current):
		return elsewhere
	case err == nil && text == j.To.Text:
		return atTarget
	case text == j.From.Text: // both empty: it did not exist, and does not
		return atStart
	}
	return elsewhere
}

// Pending says what a hotreload that was killed has left half done, "" when nothing is. [Turn.Recover] sees to it.
func (s *Store) Pending() (string, error) {
	var j journal
	if err := s.Load(journalName, &j); err != nil || j.What == "" {
		return "", err
	}
	return j.describe(), nil
}

func (j journal) describe() string {
	text := fmt.Sprintf("%s release %s", j.What, j.To.label())
	if j.Step == undoing {
		text = "go back from release " + j.To.label()
	}
	return fmt.Sprintf("%s (process %d, %s)", text, j.PID, j.Since.Local().Format("2006-01-02 15:04:05"))
}

// Recover finishes or undoes what a killed hotreload left half done, and says what it did, "" when there was nothing to do. A release
// that current was switched to already is applied, and switched back if that fails; one that it was being switched back from is left
// for good. A switch that somebody else has made since stands. What is no longer readable is moved aside.
//
// An error means that something is still half done; the journal says so to the next one.
func (t *Turn) Recover(ctx context.Context, apply Apply) (what string, err error) {
	var said []string
	tidied := t.tidy()
	if note, err := t.restore(); err != nil {
		return "", fmt.Errorf("recover: %w", err)
	} else if note != "" {
		said = append(said, note)
	}
	if note, err := t.readable(memoryName, &memory{}); err != nil {
		return "", err
	} else if note != "" {
		said = append(said, note+"; which releases were live and which failed is not known any more")
	}
	var j journal
	note, err := t.readable(journalName, &j)
	switch {
	case err != nil:
	case note != "":
		said = append(said, note+"; what was under way is not known")
	case j.What == "":
		err = errors.Join(tidied, t.store.removeSpares())
	default:
		note, err = t.resume(ctx, j, apply)
		said = append(said, fmt.Sprintf("a hotreload was killed that was about to %s: %s", j.describe(), note))
	}
	if err != nil {
		err = fmt.Errorf("recover: %w", err)
	}
	return strings.Join(said, "; "), err
}

// readable loads a file, and moves it aside when it is damaged.
func (t *Turn) readable(name string, v any) (note string, err error) {
	err = t.store.Load(name, v)
	var damaged *DamagedError
	if !errors.As(err, &damaged) {
		return "", err
	}
	aside, err := t.setAside(damaged.Path)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%v, and was moved to %s", damaged, aside), nil
}

// resume takes a change on from where it was left.
func (t *Turn) resume(ctx context.Context, j journal, apply Apply) (note string, err error) {
	s := t.store
	at := s.where(j)
	// The links are made before the journal is, so one that is missing has been used.
	switched := !exists(s.spare(nextSuffix))
	switch {
	case at == elsewhere:
		return "somebody else has switched current since, and that stands", t.drop()
	case at == atTarget && s.memory().servedSince(j.To.id, j.Since):
		return "that was done", t.drop()
	case at == atTarget && j.Step != undoing:
		err := apply.run(ctx)
		if err == nil {
			return "that was finished", t.conclude(j)
		}
		return t.resumeUndo(ctx, j, err, apply)
	case at == atTarget:
		return t.resumeUndo(ctx, j, j.cause(), apply)
	case j.Step == undoing || switched:
		return t.undone(j.Why, t.followBack(ctx, j, apply))
	}
	return "nothing had been changed yet", t.drop()
}

// cause is why it was being undone.
func (j journal) cause() error {
	err := errors.New(j.Why)
	if j.Why == "" {
		return &BlamelessError{errors.New("it was interrupted")}
	}
	return err
}

func (t *Turn) resumeUndo(ctx context.Context, j journal, cause error, apply Apply) (string, error) {
	var e *ActivateError
	if err := t.undo(ctx, j, cause, apply); !errors.As(err, &e) {
		return "", err
	}
	return t.undone(e.Err.Error(), e.Undo)
}

// undone says how going back went. It is an error only as long as the journal has it that there is something left to do.
func (t *Turn) undone(why string, err error) (string, error) {
	note := "that was undone"
	if why != "" {
		note += ": " + why
	}
	if pending, _ := t.store.Pending(); err != nil && pending == "" {
		return fmt.Sprintf("%s; %v", note, err), nil
	}
	return note, err
}

// tidy removes what writers that were killed have left: temporary files, and releases that had no name yet.
func (t *Turn) tidy() error {
	files, err := filepath.Glob(filepath.Join(globEscape(t.store.Home()), ".*.json[0-9]*"))
	dirs, globErr := filepath.Glob(filepath.Join(globEscape(t.store.opt.Dir), freshPrefix+"*"))
	err = errors.Join(err, globErr)
	for _, path := range append(files, dirs...) {
		err = errors.Join(err, remove(path))
	}
	return err
}

// globEscape makes a path a pattern for itself.
func globEscape(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}
