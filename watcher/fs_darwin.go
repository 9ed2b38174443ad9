package watcher

import (
	"errors"

	"golang.org/x/sys/unix"
)

const eventBackend = "kqueue"

// fileSystem: see statfs(2); MNT_LOCAL is absent on nfs, smbfs, afpfs, webdav and most of macFUSE.
func fileSystem(path string) (name string, remote bool) {
	var fs unix.Statfs_t
	if ignoringEINTR(func() error { return unix.Statfs(path, &fs) }) != nil {
		return "", false
	}
	return unix.ByteSliceToString(fs.Fstypename[:]), fs.Flags&unix.MNT_LOCAL == 0
}

// pinning opens a file without keeping its volume from being unmounted.
const pinning = unix.O_EVTONLY

// refresh: there is no call for it.
func refresh(string) {}

// remedy returns what to do about a limit that err ran into, or "" if it is none. kqueue needs an open descriptor for
// each file.
func remedy(err error) string {
	switch {
	case errors.Is(err, unix.EMFILE):
		return "ulimit -n 65536"
	case errors.Is(err, unix.ENFILE):
		return "sudo sysctl -w kern.maxfiles=524288"
	}
	return ""
}

// watchBudget is half of the descriptors that the process may have: kqueue takes one for each file in a watched directory,
// and the rest of the program needs some, too. What is beyond is polled.
func watchBudget() int64 {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return 128
	}
	return int64(min(limit.Cur, 1<<20) / 2)
}
