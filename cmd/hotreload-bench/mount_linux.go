package main

import (
	"errors"

	"golang.org/x/sys/unix"
)

// mountDisk puts an empty disk on a directory. How large it is options say, as in tmpfs(5).
func mountDisk(dir, options string) (unmount func() error, err error) {
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		return nil, err
	}
	return func() error { return unix.Unmount(dir, 0) }, nil
}

// coverReadOnly makes a directory read-only for everybody who opens something in it from now on.
func coverReadOnly(dir string) (uncover func() error, err error) {
	if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err != nil {
		return nil, err
	}
	uncover = func() error { return unix.Unmount(dir, 0) }
	if err := unix.Mount("", dir, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		return nil, errors.Join(err, uncover())
	}
	return uncover, nil
}
