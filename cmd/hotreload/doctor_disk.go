package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// diskFacts are about the file system of a directory in which something is written while the server runs.
type diskFacts struct {
	what string
	dir  string // the nearest that is there

	device   uint64
	free     uint64 // bytes that we may use
	inodes   bool   // it has a limited number of files ...
	files    uint64 // ... of which so many are left
	readOnly bool
	err      error
}

func (f *diskFacts) gather() {
	for {
		st, err := os.Stat(f.dir)
		if err == nil {
			f.device = deviceOf(st)
			break
		}
		if f.dir == filepath.Dir(f.dir) {
			f.err = err
			return
		}
		f.dir = filepath.Dir(f.dir)
	}
	var fs unix.Statfs_t
	if f.err = unix.Statfs(f.dir, &fs); f.err != nil {
		return
	}
	f.free = fs.Bavail * uint64(fs.Bsize)
	if os.Geteuid() == 0 {
		f.free = fs.Bfree * uint64(fs.Bsize) // some are kept for root
	}
	f.inodes, f.files = fs.Files > 0, fs.Ffree
	f.readOnly = isReadOnly(&fs)
}

// Below these a log line, a proxy or a pid file may not fit any more.
const (
	fewBytes = 16 << 20
	fewFiles = 100
)

// judgeDisks has a line for each file system in trouble, or one for all that are well. The server's own files may be
// read-only.
func judgeDisks(places []diskFacts) []finding {
	var found, well []finding
	seen := map[uint64]bool{}
	for i, f := range places {
		if f.err == nil && seen[f.device] {
			continue
		}
		if f.err == nil && !(i == 0 && f.readOnly) {
			seen[f.device] = true
		}
		switch {
		case f.err != nil:
			found = append(found, warning("%s: %s: %v", f.what, f.dir, f.err))
		case f.readOnly && i > 0:
			found = append(found, failure("%s lies on a read-only file system: %s", f.what, f.dir).remedy("mount a volume there, or: sudo mount -o remount,rw %s", shellWord(f.dir)))
		case f.readOnly:
		case f.free == 0, f.inodes && f.files == 0:
			found = append(found, failure("the disk is full: %s (%s)", f.dir, f.what).remedy("df -h %[1]s; df -i %[1]s", shellWord(f.dir)))
		case f.free < fewBytes, f.inodes && f.files < fewFiles:
			found = append(found, warning("the disk is nearly full, %s left: %s (%s)", bytesLeft(f.free), f.dir, f.what).remedy("df -h %[1]s; df -i %[1]s", shellWord(f.dir)))
		default:
			well = append(well, fine("%s free in %s", bytesLeft(f.free), f.dir))
		}
	}
	if len(found) > 0 || len(well) == 0 {
		return found
	}
	texts := make([]string, len(well))
	for i, f := range well {
		texts[i] = f.Found
	}
	return []finding{fine("%s", strings.Join(texts, ", "))}
}

func bytesLeft(n uint64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.1f GB", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.0f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%d kB", n/1000)
}
