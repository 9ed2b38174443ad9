package main

import (
	"errors"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// fileClock: there are no files without a name here.
func fileClock(string) (time.Time, bool) { return time.Time{}, false }

// mountTable: the watcher knows the file systems here.
func mountTable() []mount { return nil }

// systemRelease is "Darwin 25.0.0".
func systemRelease() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "macOS"
	}
	return unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:])
}

// tryPidfd returns an error: kqueue does that work here, without the guarantee.
func tryPidfd() error { return errors.ErrUnsupported }

// tryInotify: there is none here.
func tryInotify() error { return nil }

func isReadOnly(fs *unix.Statfs_t) bool { return fs.Flags&unix.MNT_RDONLY != 0 }

// deviceOf tells file systems apart.
func deviceOf(st os.FileInfo) uint64 {
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		return uint64(sys.Dev)
	}
	return 0
}
