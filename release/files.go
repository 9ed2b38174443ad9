package release

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/google/renameio/v2"
)

// DamagedError says that a file in Home cannot be understood.
type DamagedError struct {
	Path string
	Err  error
}

func (e *DamagedError) Error() string { return fmt.Sprintf("%s is of no use: %v", e.Path, e.Err) }
func (e *DamagedError) Unwrap() error { return e.Err }

// maxFile bounds what is read of a file in Home.
const maxFile = 4 << 20

// Load reads a JSON file in Home into v, which is left alone when the file does not exist. The error is a [*DamagedError] when it
// holds something else.
func (s *Store) Load(name string, v any) error {
	path := filepath.Join(s.Home(), name)
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	defer f.Close()
	if st, err := f.Stat(); err == nil && !st.Mode().IsRegular() {
		return &DamagedError{path, errors.New("it is not a regular file")}
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	if err := json.Unmarshal(text, v); err != nil {
		return &DamagedError{path, err}
	}
	return nil
}

// Save writes a JSON file in Home, or leaves it as it was. When it returns nil the file survives the machine.
func (t *Turn) Save(name string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	path := filepath.Join(t.store.Home(), name)
	if err := t.store.step("save " + name); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := renameio.WriteFile(path, append(text, '\n'), 0o644, renameio.WithTempDir(filepath.Dir(path))); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return err
	}
	return t.store.step("saved " + name)
}

// setAside keeps a damaged file for whoever wants to know what was in it, and returns its new name.
func (t *Turn) setAside(path string) (string, error) {
	aside := fmt.Sprintf("%s.damaged-%s", path, time.Now().UTC().Format(dated))
	if err := os.Rename(path, aside); err != nil {
		return "", fmt.Errorf("move a damaged file aside: %w", err)
	}
	return aside, nil
}

// syncDir makes the names in a directory survive the machine.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	defer d.Close()
	// Some file systems (9p, FUSE) cannot, and say EINVAL or ENOTSUP.
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOTSUP) {
		return fmt.Errorf("sync directory %s: %w", dir, err)
	}
	return nil
}

// quoted is a path as it can be pasted into a shell.
func quoted(path string) string {
	if strings.ContainsFunc(path, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+,:@%=", r))
	}) {
		return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
	}
	return path
}

// step is where tests kill, or fill the disk.
func (s *Store) step(name string) error {
	if s.at == nil {
		return nil
	}
	return s.at(name)
}

// doing is a step, and what is done in it.
func (s *Store) doing(name string, do func() error) error {
	if err := s.step(name); err != nil {
		return err
	}
	return do()
}
