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
	at := time.Now().UTC()
	for _, r := range releases {
		// A clock that was set back must not make the new release the older one.
		if date, ok := dateOf(r.Name); ok && !date.Before(at.Truncate(time.Second)) {
			at = date.Add(time.Second)
		}
	}
	given := name
	for {
		if given == "" {
			name = at.Format(dated)
		}
		err := os.Mkdir(filepath.Join(s.opt.Dir, name), 0o777)
		if err == nil {
			break
		}
		if given != "" || !errors.Is(err, fs.ErrExist) {
			return Release{}, fmt.Errorf("create release: %w", err)
		}
		at = at.Add(time.Second)
	}
	r := s.look(filepath.Join(s.opt.Dir, name), memory{})
	m := s.memory()
	m.Unfinished = append(without(m.Unfinished, r.id), mark{r.id, now(), "its deploy has not ended"})
	if err := t.remember(m); err != nil {
		return Release{}, errors.Join(fmt.Errorf("create release %s: %w", name, err), os.Remove(r.Path))
	}
	return s.look(r.Path, m), syncDir(s.opt.Dir)
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
