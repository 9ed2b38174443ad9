package php

import (
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

//go:embed fpm.php
var fpmScript []byte

// fpmScriptName ends as security.limit_extensions wants it.
const fpmScriptName = "opcache.php"

// FPMPlace is a directory that php-fpm can read, where a script for it may lie for a moment. php-fpm may see other files
// than we do: pools can have a root of their own (chroot), systemd gives services a /tmp of their own (PrivateTmp), containers
// have all of that. The zero value is a temporary directory of the machine.
type FPMPlace struct {
	// Root, when not empty, is the root directory of the worker as we see it, /proc/PID/root. Dir is then inside of it, and
	// no link leads out.
	Root string
	// Dir is where the script is written.
	Dir string
	// As is what php-fpm calls Dir; empty: the same.
	As string
}

// temporaryDir is a directory for a script that another user has to read: TMPDIR may be one that only its owner can enter.
func temporaryDir() string {
	for _, dir := range []string{os.TempDir(), "/tmp", "/var/tmp"} {
		if entered(dir) {
			return dir
		}
	}
	return os.TempDir()
}

// entered reports whether everybody may pass through dir and the directories above.
func entered(dir string) bool {
	dir, err := filepath.EvalSymlinks(dir)
	for err == nil {
		var info fs.FileInfo
		if info, err = os.Stat(dir); err != nil || info.Mode().Perm()&0o001 == 0 {
			return false
		}
		if dir == filepath.Dir(dir) {
			return true
		}
		dir = filepath.Dir(dir)
	}
	return false
}

// open returns the place as a directory that no name leads out of, and what php-fpm calls it.
func (p FPMPlace) open() (dir *os.Root, as string, err error) {
	if p.Dir == "" {
		p.Dir = temporaryDir()
	}
	if as = p.As; as == "" {
		if as, err = filepath.Abs(p.Dir); err != nil {
			return nil, "", err
		}
	}
	if p.Root == "" {
		dir, err = os.OpenRoot(p.Dir)
		return dir, as, err
	}
	outer, err := os.OpenRoot(p.Root)
	if err != nil {
		return nil, "", err
	}
	defer outer.Close()
	dir, err = outer.OpenRoot(strings.TrimPrefix(p.Dir, "/"))
	return dir, as, err
}

// laidScript is the script on disk.
type laidScript struct {
	in   *os.Root
	name string // of the script's directory
	path string // of the script, as php-fpm sees it
}

// layScript writes the script, readable for everybody whatever the umask, into a directory of its own whose name nobody can
// guess or list.
func layScript(place FPMPlace) (*laidScript, error) {
	in, as, err := place.open()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFPMScript, err)
	}
	s := &laidScript{in: in, name: "hotreload-" + rand.Text()}
	s.path = path.Join(as, s.name, fpmScriptName)
	if err := s.write(path.Join(s.name, fpmScriptName)); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFPMScript, errors.Join(err, s.remove()))
	}
	return s, nil
}

func (s *laidScript) write(file string) error {
	if err := s.in.Mkdir(s.name, 0o700); err != nil {
		return err
	}
	if err := s.in.Chmod(s.name, 0o711); err != nil {
		return err
	}
	if err := s.in.WriteFile(file, fpmScript, 0o600); err != nil {
		return err
	}
	if err := s.in.Chmod(file, 0o644); err != nil {
		return err
	}
	// OPcache keeps no file without a modification time (persistent_compile_file), so the script leaves nothing in the
	// cache that it asks about.
	return s.in.Chtimes(file, time.Time{}, time.Unix(0, 0))
}

func (s *laidScript) remove() error {
	return errors.Join(s.in.RemoveAll(s.name), s.in.Close())
}
