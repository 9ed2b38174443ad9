package main

import (
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// fileClock is the time that a new file in dir gets. The file has no name at any moment (O_TMPFILE), and is gone when it is
// closed; where a file system has no such files, ok is false.
func fileClock(dir string) (at time.Time, ok bool) {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return time.Time{}, false
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return time.Time{}, false
	}
	return time.Unix(st.Mtim.Unix()), true
}

// unescaped undoes what the kernel does to names in its tables (mangle in fs/seq_file.c).
var unescaped = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// mountTable is what is mounted where; empty when that cannot be read. It does not touch the mounts.
func mountTable() []mount {
	infos, err := procfs.GetMounts()
	if err != nil {
		return nil
	}
	mounts := make([]mount, len(infos))
	for i, m := range infos {
		mounts[i] = mount{point: unescaped.Replace(m.MountPoint), kind: m.FSType, options: m.SuperOptions}
	}
	return mounts
}

// systemRelease is "Linux 6.18.1".
func systemRelease() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "Linux"
	}
	return unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:])
}

// tryPidfd returns an error where processes cannot be held by a descriptor.
func tryPidfd() error {
	fd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// tryInotify returns the error with which a watcher would be refused: others of this user, whom we do not see, count too.
func tryInotify() error {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

func isReadOnly(fs *unix.Statfs_t) bool { return fs.Flags&unix.ST_RDONLY != 0 }

// deviceOf tells file systems apart.
func deviceOf(st os.FileInfo) uint64 {
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		return sys.Dev
	}
	return 0
}
