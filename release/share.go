package release

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// Share links what is shared into the release at path. What the release brings of that itself gives way to the link; where there is
// nothing to share yet, it becomes what is shared. It may be called again.
func (t *Turn) Share(path string) error {
	s := t.store
	r, err := s.Find(path)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(r.Real)
	if err != nil {
		return fmt.Errorf("share with release %s: %w", r.Name, err)
	}
	defer root.Close()
	for _, name := range s.opt.Shared {
		if err := s.share(r, root, filepath.Clean(name)); err != nil {
			return fmt.Errorf("share %s with release %s: %w", name, r.Name, err)
		}
	}
	return nil
}

func (s *Store) share(r Release, root *os.Root, name string) error {
	if !filepath.IsLocal(name) || name == "." {
		return errors.New("it is not the name of something in the release")
	}
	shared, own := filepath.Join(s.opt.SharedDir, name), filepath.Join(r.Real, name)
	// Through root: a directory above it that is a link to elsewhere, such as one that is shared itself, is refused.
	if dir := filepath.Dir(name); dir != "." {
		if err := root.MkdirAll(dir, 0o777); err != nil {
			return err
		}
	}
	brought, err := root.Lstat(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	isLink := err == nil && brought.Mode()&fs.ModeSymlink != 0
	if _, statErr := os.Stat(shared); errors.Is(statErr, fs.ErrNotExist) {
		if err != nil || isLink {
			return fmt.Errorf("there is no %s, neither there nor in the release: make it, or for a directory: mkdir -p %s", shared, quoted(shared))
		}
		if err := s.doing("move to shared", func() error { return moveToShared(own, shared) }); err != nil {
			return err
		}
		brought = nil
	} else if statErr != nil {
		return statErr
	}
	// Of a kill between these steps nothing is seen but a name that begins with a dot; the next call removes that.
	fresh := filepath.Join(filepath.Dir(name), "."+filepath.Base(name)+".hotreload-link")
	aside := filepath.Join(filepath.Dir(name), "."+filepath.Base(name)+".hotreload-old")
	if err := errors.Join(root.RemoveAll(fresh), root.RemoveAll(aside)); err != nil {
		return err
	}
	text, err := relativeTo(filepath.Dir(own), shared)
	if err != nil {
		return err
	}
	if isLink {
		if present, err := root.Readlink(name); err == nil && present == text {
			return nil
		}
	}
	if err := s.doing("link shared", func() error { return root.Symlink(text, fresh) }); err != nil {
		return err
	}
	if brought != nil && brought.IsDir() {
		if err := s.doing("move aside", func() error { return root.Rename(name, aside) }); err != nil {
			return err
		}
	}
	if err := s.doing("share", func() error { return root.Rename(fresh, name) }); err != nil {
		return err
	}
	return s.doing("shared", func() error { return root.RemoveAll(aside) })
}

// relativeTo is the text of a symlink in dir that leads to path, through no symlink above either: ".." is taken from where a link
// really lies.
func relativeTo(dir, path string) (string, error) {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return "", err
	}
	parent, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return "", err
	}
	return filepath.Rel(dir, filepath.Join(parent, filepath.Base(path)))
}

// moveToShared makes what a release has brought what all share. Nobody sees half of it.
func moveToShared(own, shared string) error {
	if err := os.MkdirAll(filepath.Dir(shared), 0o777); err != nil {
		return err
	}
	err := os.Rename(own, shared)
	if !errors.Is(err, syscall.EXDEV) {
		return err
	}
	// To another file system with owners, modes and times, which is what cp is for.
	fresh := filepath.Join(filepath.Dir(shared), "."+filepath.Base(shared)+".hotreload-new")
	if err := os.RemoveAll(fresh); err != nil {
		return err
	}
	if out, err := exec.Command("cp", "-a", "--", own, fresh).CombinedOutput(); err != nil {
		return errors.Join(fmt.Errorf("copy it: %w: %s", err, strings.TrimSpace(string(out))), os.RemoveAll(fresh))
	}
	if err := os.Rename(fresh, shared); err != nil {
		return errors.Join(err, os.RemoveAll(fresh))
	}
	return os.RemoveAll(own)
}
