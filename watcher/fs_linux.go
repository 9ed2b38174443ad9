package watcher

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

const eventBackend = "inotify"

// remoteMagic holds the f_type of the file systems on which a change made by another machine sends no event here: see
// statfs(2), linux/magic.h, and for those outside the kernel the table in stat.c of GNU coreutils.
var remoteMagic = map[uint32]string{
	0x01021997: "9p", // WSL2's /mnt/c, lima, QEMU
	0x00006969: "nfs",
	0x0000517B: "smb",
	0xFF534D42: "cifs",
	0xFE534D42: "smb2",
	0x786F4256: "vboxsf",
	0x6A656A63: "fakeowner", // Docker Desktop
	0x7C7C6673: "prl_fs",    // Parallels
	0xBACBACBC: "vmhgfs",    // VMware
	0x00C36400: "ceph",
	0x0BD00BD0: "lustre",
	0x47504653: "gpfs",
	0x5346414F: "afs",
	0x6B414653: "kafs",
	0x73757245: "coda",
	0x01161970: "gfs2",
	0x7461636F: "ocfs2",
	0x19830326: "beegfs",
	0xAAD7AAEA: "panfs",
	0x0000564C: "ncp",
}

// fuseMagic is FUSE and also virtiofs. Most of what comes by it is a share of the host, as in Docker Desktop, Lima or
// OrbStack, or a remote machine, as with sshfs.
const fuseMagic = 0x65735546

// localFUSE are the FUSE file systems whose files are only changed through this kernel.
var localFUSE = map[string]bool{
	"fuseblk":             true, // ntfs-3g, exfat
	"fuse.fuse-overlayfs": true, "fuse.bindfs": true, "fuse.mergerfs": true, "fuse.unionfs": true, "fuse.gocryptfs": true,
	"fuse.encfs": true, "fuse.cryfs": true, "fuse.ntfs-3g": true, "fuse.lxcfs": true,
}

func fileSystem(path string) (name string, remote bool) {
	var fs unix.Statfs_t
	if ignoringEINTR(func() error { return unix.Statfs(path, &fs) }) != nil {
		return "", false
	}
	magic := uint32(fs.Type)
	if magic == fuseMagic {
		name = fuseType(path)
		return name, !localFUSE[name]
	}
	name, remote = remoteMagic[magic]
	return name, remote
}

// pinning opens a file without any right to it, and without a trace on a server.
const pinning = unix.O_PATH

// refresh has a network file system ask its server what has become of a directory. NFS answers from its cache for up to a
// minute otherwise (acdirmax in nfs(5)), and so do the names in the directory; see AT_STATX_FORCE_SYNC in statx(2).
func refresh(dir string) {
	var st unix.Statx_t
	_ = unix.Statx(unix.AT_FDCWD, dir, unix.AT_STATX_FORCE_SYNC, unix.STATX_BASIC_STATS, &st) // the look that follows will tell
}

// fuseType looks the type up in /proc/self/mountinfo, by the device number.
func fuseType(path string) string {
	var st unix.Stat_t
	if unix.Stat(path, &st) == nil {
		device := fmt.Sprintf("%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev))
		mounts, _ := procfs.GetMounts()
		for _, m := range mounts {
			if m.MajorMinorVer == device {
				return m.FSType
			}
		}
	}
	return "fuse"
}

// remedy returns what to do about a limit that err ran into, or "" if it is none.
func remedy(err error) string {
	switch {
	case errors.Is(err, unix.ENOSPC): // inotify_add_watch(2)
		return raise("fs.inotify.max_user_watches", 524288)
	case errors.Is(err, unix.EMFILE): // inotify_init1(2); also the limit on descriptors, which a server needs far higher
		return raise("fs.inotify.max_user_instances", 1024)
	}
	return ""
}

// raise returns the line that raises a limit to at least the given value and to the double of what it is.
func raise(key string, least int) string {
	text, _ := os.ReadFile("/proc/sys/" + strings.ReplaceAll(key, ".", "/"))
	if now, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
		least = max(least, 2*now)
	}
	return fmt.Sprintf("sudo sysctl -w %s=%d", key, least)
}

// watchBudget: inotify holds no files open.
func watchBudget() int64 { return 0 }
