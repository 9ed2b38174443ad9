package main

import (
	"time"

	"golang.org/x/sys/unix"
)

// fileID tells one state of a file from another.
type fileID struct {
	dev, inode uint64
	size       int64
	modified   time.Time
	changed    time.Time // the change time, which nobody can set
}

func identify(file string) (fileID, bool) {
	var st unix.Stat_t
	if err := unix.Stat(file, &st); err != nil {
		return fileID{}, false
	}
	return fileID{
		dev: uint64(st.Dev), inode: st.Ino, size: st.Size,
		modified: time.Unix(st.Mtim.Unix()), changed: time.Unix(st.Ctim.Unix()),
	}, true
}
