package watcher

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/sys/unix"
)

// fileState is what is known of a file: 64 bytes, and one for each file of the tree.
type fileState struct {
	name         string
	size         int64
	mtime, ctime int64 // ns since 1970
	ino          uint64
	hash         uint64 // xxhash of the content; valid if known
	known        bool   // the content has been read
	opaque       bool   // the content cannot be read or is too large: the stat must do
	racy         bool   // looked at so soon after its last change that a further change may have left the stat equal
}

func byName(f fileState, name string) int { return cmp.Compare(f.name, name) }

// sameStat says whether nothing that the kernel keeps about the file differs. An older mtime is a difference, too.
func (f *fileState) sameStat(g *fileState) bool {
	return f.size == g.size && f.mtime == g.mtime && f.ctime == g.ctime && f.ino == g.ino
}

// sameContent says whether two looks at a file saw the same content. Where one of them did not read it, only an equal
// stat counts, and only if the stat can be trusted: so a touch may pass for a change, but never a change for none.
func (f *fileState) sameContent(g *fileState) bool {
	if f.known && g.known {
		return f.size == g.size && f.hash == g.hash
	}
	return f.sameStat(g) && !f.racy
}

const (
	// racyLocal covers the granularity of time stamps: a jiffy, at most 10 ms on Linux (multigrain time stamps, since
	// 6.13, are finer, but not on every file system).
	racyLocal = 25 * time.Millisecond
	// racyRemote covers FAT's 2 s, the coarsest in use, and time stamps given by another machine.
	racyRemote = 2100 * time.Millisecond
)

// isRacy judges a stat taken at the time now. Time stamps far in the future come from a clock that is wrong, and stay so for
// long: to distrust them would mean to read such files again and again.
func isRacy(now time.Time, changed int64, remote bool) bool {
	window := racyLocal
	if remote {
		window = racyRemote
	}
	age := now.UnixNano() - changed
	return age < int64(window) && age > -int64(window)
}

func (f *fileState) setRacy(now time.Time, remote bool) {
	f.racy = isRacy(now, max(f.ctime, f.mtime), remote)
}

func stateOf(name string, st *unix.Stat_t) fileState {
	return fileState{name: name, size: st.Size, mtime: st.Mtim.Nano(), ctime: st.Ctim.Nano(), ino: st.Ino}
}

// maxContent bounds what is read of one file. PHP would not load a larger one either.
const maxContent = 64 << 20

// errNotRegular: there is something else under the name now.
var errNotRegular = errors.New("not a regular file")

// reader reads contents with one buffer.
type reader struct {
	env *env
	buf []byte
}

func newReader(e *env) *reader { return &reader{env: e, buf: make([]byte, 64<<10)} }

// look returns the state of the file with its content read, or fs.ErrNotExist, or errNotRegular. What is not a regular
// file is never opened: opening a FIFO would wake its writer.
func (r *reader) look(ctx context.Context, path, name string, remote bool) (fileState, error) {
	for try := 0; ; try++ {
		now := time.Now()
		var st unix.Stat_t
		if err := ignoringEINTR(func() error { return unix.Stat(path, &st) }); err != nil {
			return fileState{}, notFound(err)
		}
		if st.Mode&unix.S_IFMT != unix.S_IFREG {
			return fileState{}, errNotRegular
		}
		state := stateOf(name, &st)
		state.setRacy(now, remote)
		if state.size > maxContent {
			state.opaque = true
			return state, nil
		}
		n, err := r.sum(ctx, path, &state)
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, errNotRegular), ctx.Err() != nil:
			return fileState{}, err
		case err != nil:
			state.opaque = true
			return state, nil
		case n == state.size:
			state.known = true
			return state, nil
		case try == 2: // it grows while it is read; there will be another event
			state.size, state.known = n, true
			return state, nil
		}
	}
}

// sum reads the file and sets the hash.
func (r *reader) sum(ctx context.Context, path string, state *fileState) (int64, error) {
	fd, err := r.env.open(path, unix.O_NONBLOCK|unix.O_NOCTTY)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return 0, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return 0, errNotRegular // it was replaced between the two looks
	}
	var digest xxhash.Digest
	digest.Reset()
	var total int64
	for total <= maxContent && ctx.Err() == nil {
		var n int
		err := ignoringEINTR(func() (err error) { n, err = unix.Read(fd, r.buf); return err })
		if err != nil {
			return total, err
		}
		if n == 0 {
			state.hash = digest.Sum64()
			return total, nil
		}
		digest.Write(r.buf[:n])
		total += int64(n)
	}
	if ctx.Err() != nil {
		return total, ctx.Err()
	}
	return total, errors.New("too large")
}

// notFound makes "a directory above is a file now" and "too many links" the same as "is not there".
func notFound(err error) error {
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENAMETOOLONG) {
		return fs.ErrNotExist
	}
	return err
}

func ignoringEINTR(f func() error) error {
	for {
		if err := f(); err != unix.EINTR {
			return err
		}
	}
}

// inode identifies a file or a directory while it exists.
type inode struct{ dev, ino uint64 }

func inodeOf(st *unix.Stat_t) inode { return inode{uint64(st.Dev), st.Ino} }

// listing is one directory as it was found.
type listing struct {
	id           inode
	mtime, ctime int64
	racy         bool
	files        []fileState // that match, sorted; content not read
	dirs         []subdir    // that may hold such files
	links        []string    // symlinks whose target matters
	entries      int         // of any kind
	watchErr     error       // the directory could not be watched
	err          error       // it could not be listed
}

type subdir struct {
	name string
	link bool // reached through a symlink
	id   inode
}

// list reads a directory. It follows symlinks, and opens nothing but the directory.
func (e *env) list(path string, m *matcher, s *scope, remote bool) (l listing) {
	now := time.Now()
	fd, err := e.open(path, unix.O_DIRECTORY)
	if err != nil {
		l.err = notFound(err)
		return l
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	var st unix.Stat_t
	if l.err = unix.Fstat(fd, &st); l.err != nil {
		return l
	}
	l.id = inodeOf(&st)
	l.mtime, l.ctime = st.Mtim.Nano(), st.Ctim.Nano()
	l.racy = isRacy(now, max(l.mtime, l.ctime), remote)
	entries, err := f.ReadDir(-1)
	if err != nil {
		l.err = err
		return l
	}
	l.entries = len(entries)
	for _, entry := range entries {
		name, kind := entry.Name(), entry.Type()
		counts := false
		if !kind.IsDir() {
			if kind != 0 && kind != fs.ModeSymlink && kind != fs.ModeIrregular {
				continue
			}
			counts = m.file(s, name)
		}
		if kind == 0 && !counts {
			continue
		}
		if !kind.IsDir() {
			if unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
				continue // gone again: there will be an event
			}
		}
		switch mode := uint32(st.Mode) & unix.S_IFMT; {
		case kind.IsDir(), mode == unix.S_IFDIR:
			if m.mayHold(m.into(s, name)) {
				l.dirs = append(l.dirs, subdir{name: name})
			}
		case mode == unix.S_IFREG:
			l.addFile(name, &st, now, remote)
		case mode == unix.S_IFLNK:
			l.addLink(fd, name, m, s, counts, now, remote)
		}
	}
	slices.SortFunc(l.files, func(a, b fileState) int { return cmp.Compare(a.name, b.name) })
	return l
}

func (l *listing) addFile(name string, st *unix.Stat_t, now time.Time, remote bool) {
	state := stateOf(name, st)
	state.setRacy(now, remote)
	l.files = append(l.files, state)
}

func (l *listing) addLink(fd int, name string, m *matcher, s *scope, counts bool, now time.Time, remote bool) {
	holds := m.mayHold(m.into(s, name))
	if !counts && !holds {
		return
	}
	l.links = append(l.links, name) // also a dangling one: its target may appear
	var st unix.Stat_t
	if unix.Fstatat(fd, name, &st, 0) != nil {
		return
	}
	switch mode := uint32(st.Mode) & unix.S_IFMT; {
	case mode == unix.S_IFDIR && holds:
		l.dirs = append(l.dirs, subdir{name: name, link: true, id: inodeOf(&st)})
	case mode == unix.S_IFREG && counts:
		l.addFile(name, &st, now, remote)
	}
}

// openForReading returns a plain descriptor: os.File's poller has no use for directories and regular files.
func openForReading(path string, flags int) (fd int, err error) {
	err = ignoringEINTR(func() (err error) {
		fd, err = unix.Open(path, flags|unix.O_RDONLY|unix.O_CLOEXEC, 0)
		return err
	})
	return fd, err
}
