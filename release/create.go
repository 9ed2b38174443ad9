package release

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Create makes the directory of a new release, empty. It is not complete, and cannot go live, until [Turn.Finish] says so. name is its
// name; "" makes one up from the time in UTC, later than that of every other release.
func (t *Turn) Create(name string) (Release, error) {
	s := t.store
	if why := badName(name); name != "" && why != "" {
		return Release{}, fmt.Errorf("create release %q: its name %s", name, why)
	}
	if err := os.MkdirAll(s.opt.Dir, 0o777); err != nil {
		return Release{}, fmt.Errorf("create release: %w", err)
	}
	releases, err := s.List()
	if err != nil {
		return Release{}, err
	}
	at := laterThan(releases)
	for name == "" || exists(filepath.Join(s.opt.Dir, name)) {
		if name != "" && name != at.Format(dated) {
			return Release{}, fmt.Errorf("create release %s: %w", name, fs.ErrExist)
		}
		if name != "" {
			at = at.Add(time.Second)
		}
		name = at.Format(dated)
	}
	// It gets its name when it is noted that it is not complete. The number of the directory stays the same.
	path, fresh := filepath.Join(s.opt.Dir, name), filepath.Join(s.opt.Dir, freshPrefix+name)
	if err := os.Mkdir(fresh, 0o777); err != nil {
		return Release{}, fmt.Errorf("create release: %w", err)
	}
	err = s.step("created")
	if err == nil {
		err = t.begun(name, fresh)
	}
	if err == nil {
		err = os.Rename(fresh, path)
	}
	if err != nil {
		return Release{}, errors.Join(fmt.Errorf("create release %s: %w", name, err), remove(fresh))
	}
	if err := s.step("named"); err != nil {
		return Release{}, fmt.Errorf("create release %s: %w", name, err)
	}
	return s.look(path, s.memory()), syncDir(s.opt.Dir)
}

// laterThan is now, or later where the clock was set back: that must not make the new release the older one.
func laterThan(releases []Release) time.Time {
	at := time.Now().UTC()
	for _, r := range releases {
		if date, ok := dateOf(r.Name); ok && !date.Before(at.Truncate(time.Second)) {
			at = date.Add(time.Second)
		}
	}
	return at
}

// freshPrefix hides a release that has not got its name yet. It is empty.
const freshPrefix = ".new-"

// begun notes that the directory at path, which will be the release of this name, is not complete.
func (t *Turn) begun(name, path string) error {
	st, err := os.Lstat(path)
	if err != nil {
		return err
	}
	r := id{Name: name, Inode: inodeOf(st)}
	m := t.store.memory()
	m.Unfinished = append(without(m.Unfinished, r), mark{r, now(), "its deploy has not ended"})
	return t.remember(m)
}

// Finish says that everything is in the release at path that belongs there.
func (t *Turn) Finish(path string) error {
	r, err := t.store.Find(path)
	if err != nil {
		return err
	}
	m := t.store.memory()
	if m.unfinished(r.id) == "" {
		return nil
	}
	m.Unfinished = without(m.Unfinished, r.id)
	return t.remember(m)
}
