package release

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// The two links that are made beside "current" before anything is changed. From then on a switch, and the way back, are one rename
// each, which needs no room on the disk. Their names are always the same, so that what a killed hotreload left is found, and replaced
// by the next one (renameio.Symlink makes up a name for a directory each time, and syncs nothing).
const (
	nextSuffix = ".hotreload-next"
	backSuffix = ".hotreload-back"
)

func (s *Store) spare(suffix string) string {
	return filepath.Join(filepath.Dir(s.opt.Current), "."+filepath.Base(s.opt.Current)+suffix)
}

// textFor is what the symlink says to lead to path: relative where the present one is (present is its text, "" when there is none),
// or where there is none and path lies below the directory of the link, so that both can be moved together.
func (s *Store) textFor(path, present string) (string, error) {
	base := filepath.Dir(s.opt.Current)
	if within(path, base) {
		if present != "" && filepath.IsAbs(present) {
			return path, nil
		}
		return filepath.Rel(base, path)
	}
	if present == "" || filepath.IsAbs(present) {
		return path, nil
	}
	// ".." is taken from where the link really lies.
	base, err := filepath.EvalSymlinks(base)
	if err != nil {
		return "", err
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return "", err
	}
	return filepath.Rel(base, filepath.Join(dir, filepath.Base(path)))
}

// makeSpare makes a link that can take the place of "current".
func (s *Store) makeSpare(suffix, text string) error {
	path := s.spare(suffix)
	if err := remove(path); err != nil {
		return fmt.Errorf("make link: %w", err)
	}
	if err := s.step("link" + suffix); err != nil {
		return fmt.Errorf("make link %s: %w", path, err)
	}
	if err := os.Symlink(text, path); err != nil {
		return fmt.Errorf("make link: %w", err)
	}
	return nil
}

// takePlace makes one of the spare links "current". At no moment is there none.
func (s *Store) takePlace(suffix string) error {
	if err := s.step("switch" + suffix); err != nil {
		return fmt.Errorf("switch current: %w", err)
	}
	if err := os.Rename(s.spare(suffix), s.opt.Current); err != nil {
		return fmt.Errorf("switch current: %w", err)
	}
	if err := s.step("switched" + suffix); err != nil {
		return fmt.Errorf("switch current: %w", err)
	}
	return syncDir(filepath.Dir(s.opt.Current))
}

// removeSpares removes both, so far as they are there.
func (s *Store) removeSpares() error {
	return errors.Join(remove(s.spare(nextSuffix)), remove(s.spare(backSuffix)))
}

// remove is os.Remove for what need not be there.
func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
