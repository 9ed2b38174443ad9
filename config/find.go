package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// maxSize bounds what is read as a configuration. A real one is some kilobytes.
const maxSize = 64 << 10

// find returns the configuration file to read, absolute, or "" for none.
func find(explicit, workDir string) (string, error) {
	if explicit != "" {
		return absolute(workDir, explicit), nil
	}
	for dir := workDir; ; dir = filepath.Dir(dir) {
		file := filepath.Join(dir, FileName)
		info, err := os.Stat(file)
		switch {
		case err == nil && info.IsDir():
			// Somebody's directory of that name says nothing about us.
		case err == nil:
			if dir == workDir || !planted(dir, info) {
				return file, nil
			}
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
			if broken, err := os.Readlink(file); err == nil {
				return "", &Error{File: shown(file, workDir), Msg: "is a link to " + broken + ", which is not there"}
			}
		case dir == workDir:
			return "", &Error{File: shown(file, workDir), Msg: reason(err)}
		}
		if dir == filepath.Dir(dir) {
			return "", nil
		}
	}
}

// planted reports whether a file found above the working directory may have
// been put there by anybody: the directory is open to all, as /tmp is, and the
// file is not ours. Its command would run with our rights.
func planted(dir string, file fs.FileInfo) bool {
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm()&0o002 == 0 {
		return false
	}
	stat, ok := file.Sys().(*syscall.Stat_t)
	return ok && stat.Uid != 0 && int(stat.Uid) != os.Geteuid()
}

// readFile reads a regular file of a sane size. It never blocks: a FIFO is
// refused instead of waited for.
func readFile(file string, limit int64) ([]byte, error) {
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errNotRegular
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return data[:limit], fmt.Errorf("%w: more than %d KiB", errTooLarge, limit>>10)
	}
	return data, nil
}

var (
	errNotRegular = errors.New("not a regular file")
	errTooLarge   = errors.New("too large")
)

// reason is an error without the path that os adds, which the caller shows.
func reason(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}

// shown is how messages name a file: relative to the working directory, as an
// editor's or a terminal's click expects it.
func shown(file, workDir string) string {
	if rel, err := filepath.Rel(workDir, file); err == nil {
		return rel
	}
	return file
}
