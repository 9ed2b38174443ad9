package release

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Pruned is what was removed, and what was kept although its time had come.
type Pruned struct {
	Removed []string `json:"removed"` // names; what an earlier, interrupted call had left of a release counts
	Kept    []Kept   `json:"kept"`
}

// Kept is a release that was not removed.
type Kept struct {
	Name string `json:"name"`
	Why  string `json:"why"`
}

// Prune removes releases until keep are left. The live one and the one that a rollback would go back to are kept in any case, and
// count; then those that work, the newest first; then, if there is room, those that failed or are not complete. A release that is
// not complete is left alone as long as no complete one is newer, for it may be under way.
//
// Never removed are releases that a process uses, that something is mounted in, that are symlinks, or that lie elsewhere.
//
// A release is renamed before it is removed, so that what is left of it after a kill does not look like a release; the next
// call removes the rest. An error concerns single releases; the others have been removed.
func (t *Turn) Prune(ctx context.Context, keep int) (Pruned, error) {
	p := Pruned{Removed: []string{}, Kept: []Kept{}}
	releases, err := t.store.List()
	if err != nil {
		return p, err
	}
	root, err := os.OpenRoot(t.store.opt.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return p, fmt.Errorf("prune releases: %w", err)
	}
	defer root.Close()
	w := &remover{turn: t, root: root, dir: resolved(t.store.opt.Dir)}
	var failed []error
	note := func(name, why string, err error) {
		switch {
		case err != nil:
			failed = append(failed, fmt.Errorf("remove release %s: %w", name, err))
		case why != "":
			p.Kept = append(p.Kept, Kept{name, why})
		default:
			p.Removed = append(p.Removed, name)
		}
	}
	trash, err := w.leftovers()
	if err != nil {
		return p, fmt.Errorf("prune releases: %w", err)
	}
	for _, name := range trash {
		if err := ctx.Err(); err != nil {
			return p, errors.Join(append(failed, err)...)
		}
		why, err := w.finish(name)
		note(strings.TrimPrefix(name, trashPrefix), why, err)
	}
	for _, r := range slices.Backward(surplus(releases, keep)) {
		if err := ctx.Err(); err != nil {
			return p, errors.Join(append(failed, err)...)
		}
		why, err := w.remove(r)
		note(r.Name, why, err)
	}
	return p, errors.Join(failed...)
}

// surplus chooses what may go, the last first. releases are sorted, the newest first.
func surplus(releases []Release, keep int) []Release {
	ours := func(r Release) bool { return !r.Outside && !r.Link }
	newestComplete := slices.IndexFunc(releases, func(r Release) bool { return r.Complete })
	class := func(i int, r Release) int {
		switch {
		case r.Current, r.Previous, !r.Complete && (newestComplete < 0 || i < newestComplete):
			return 0 // stays
		case r.Complete && !r.Failed:
			return 1
		}
		return 2
	}
	var kept int
	var rest [3][]Release
	for i, r := range releases {
		switch c := class(i, r); {
		case !ours(r):
		case c == 0 && !r.Complete: // under way: it does not take another's place
		case c == 0:
			kept++
		default:
			rest[c] = append(rest[c], r)
		}
	}
	candidates := append(rest[1], rest[2]...)
	return candidates[min(len(candidates), max(0, keep-kept)):]
}

// leadsTo reports whether the text of current ends with the name of a release. Where it leads does not tell: nowhere, when the
// release has been renamed to be removed.
func (s *Store) leadsTo(name string) bool {
	text, err := os.Readlink(s.opt.Current)
	return err == nil && filepath.Base(text) == name
}

// restore gives a release its name back that has become current while it was being removed.
func (t *Turn) restore() (note string, err error) {
	s := t.store
	text, err := os.Readlink(s.opt.Current)
	if err != nil || isDir(s.opt.Current) {
		return "", nil
	}
	name := filepath.Base(text)
	trash := filepath.Join(s.opt.Dir, trashPrefix+name)
	if badName(name) != "" || !isDir(trash) || exists(filepath.Join(s.opt.Dir, name)) {
		return "", nil
	}
	if err := os.Rename(trash, filepath.Join(s.opt.Dir, name)); err != nil {
		return "", fmt.Errorf("restore release %s, to which current leads: %w", name, err)
	}
	return fmt.Sprintf("release %s was being removed, and has become current: it is back", name), nil
}

// trashPrefix hides a release that is being removed.
const trashPrefix = ".trash-"

// remover removes releases from one directory.
type remover struct {
	turn *Turn
	root *os.Root // the directory
	dir  string   // its path, resolved
}

// leftovers are what removals that were interrupted have left.
func (w *remover) leftovers() ([]string, error) {
	entries, err := fs.ReadDir(w.root.FS(), ".")
	var names []string
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), trashPrefix) {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// remove removes a release, or says why it is kept.
func (w *remover) remove(r Release) (why string, err error) {
	if why, err := w.needed(r.Name, r.Name); why != "" || err != nil {
		return why, err
	}
	trash := trashPrefix + r.Name
	if err := w.turn.store.step("trash"); err != nil {
		return "", err
	}
	if err := w.root.Rename(r.Name, trash); err != nil {
		return "", err
	}
	// Nobody can come upon it by its name any more. Whoever has done so until now is seen this time.
	err = w.turn.store.step("trashed")
	if err == nil {
		why, err = w.needed(trash, r.Name)
	}
	if why != "" || err != nil {
		return why, errors.Join(err, w.root.Rename(trash, r.Name))
	}
	if err := w.erase(trash); err != nil {
		return "", err
	}
	return "", errors.Join(w.turn.remember(w.turn.store.memory().forget(r.id)), os.RemoveAll(w.turn.store.LogDir(r.Name)))
}

// needed says why a directory, which is or was the release of this name, must not be removed, "" when it may be.
func (w *remover) needed(dir, name string) (string, error) {
	s := w.turn.store
	if s.leadsTo(name) {
		return "it has become current", nil
	}
	path := filepath.Join(w.dir, dir)
	mounts, err := mountsIn(path)
	if err != nil {
		return "", err
	}
	if len(mounts) > 0 {
		return "something is mounted on " + mounts[0], nil
	}
	if s.opt.Users == nil {
		return "", nil
	}
	used, err := s.opt.Users([]string{path})
	if err != nil {
		return "", fmt.Errorf("find out who uses it: %w", err)
	}
	if by, is := used[path]; is {
		return "in use by " + by, nil
	}
	return "", nil
}

// finish removes what is left of a release, or says why it is kept.
func (w *remover) finish(trash string) (why string, err error) {
	name := strings.TrimPrefix(trash, trashPrefix)
	if _, err := w.root.Lstat(name); err == nil {
		name = trash // current leads to the later one of this name
	}
	if why, err := w.needed(trash, name); why != "" || err != nil {
		return why, err
	}
	return "", w.erase(trash)
}

// erase removes a renamed release. Symlinks are removed, and not followed.
func (w *remover) erase(trash string) error {
	// Directories without write permission (a release that was made read-only) keep their entries.
	var denied []error
	err := fs.WalkDir(w.root.FS(), trash, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o700 != 0o700 {
			err = w.root.Chmod(path, info.Mode().Perm()|0o700)
		}
		if err != nil {
			denied = append(denied, err)
		}
		return nil
	})
	if stepErr := w.turn.store.step("remove"); stepErr != nil {
		return stepErr
	}
	if removeErr := w.root.RemoveAll(trash); removeErr != nil {
		return errors.Join(append(denied, err, removeErr)...)
	}
	return nil
}
