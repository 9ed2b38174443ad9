package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// errNotThere says that a directory does not exist.
var errNotThere = errors.New("it is not there")

// writable returns an error unless we could make files in dir. Nothing is made.
func writable(dir string) error {
	st, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errNotThere
	case err != nil:
		return err
	case !st.IsDir():
		return errors.New("not a directory")
	}
	return access(dir, unix.W_OK|unix.X_OK)
}

// writableAbove is writable for the nearest directory that is there: the missing ones could be made.
func writableAbove(dir string) error {
	for {
		err := writable(dir)
		if !errors.Is(err, errNotThere) || dir == filepath.Dir(dir) {
			return err
		}
		dir = filepath.Dir(dir)
	}
}

// executable returns an error unless we could run the file.
func executable(file string) error {
	st, err := os.Stat(file)
	switch {
	case err != nil:
		return err
	case !st.Mode().IsRegular():
		return errors.New("not a regular file")
	}
	return access(file, unix.X_OK)
}

// access asks for the rights of the effective user, which is whose rights our children have.
func access(path string, mode uint32) error {
	return unix.Faccessat(unix.AT_FDCWD, path, mode, unix.AT_EACCESS)
}

// isThere returns an error unless something lies at path. Being forbidden to look at it is no such error.
func isThere(path string) error {
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrPermission) {
		return nil
	}
	return err
}
