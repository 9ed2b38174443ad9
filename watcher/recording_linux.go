package watcher

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Recording notes which files are opened. See [Watcher.Record]. Its methods may be called from any goroutine.
//
// All watches are of one inotify instance, because only there the order of events says anything: inotify(7) promises that
// the events of one instance are read in the order in which they occurred.
type Recording struct {
	match *matcher
	until string
	skip  string // RecordOptions.Except
	file  *os.File
	conn  interface {
		Control(func(uintptr)) error
		Read(func(uintptr) bool) error
	}
	free func()        // called at the end
	done chan struct{} // closed when the reader has ended

	mu      sync.Mutex
	places  map[int32][]place
	dirs    map[int32]string // of the directories that are watched for a name: Until, Except, or on the way there
	opened  []string
	skipped int // how many of opened count if what follows turns out to be skipped; -1: nothing may be
	cut     bool
	exact   bool // it was Until that ended it
	err     error
	ended   bool
	buf     []byte
}

const (
	openMask  = unix.IN_OPEN | unix.IN_CREATE | unix.IN_MOVED_TO
	writeMask = unix.IN_CREATE | unix.IN_MODIFY | unix.IN_CLOSE_WRITE | unix.IN_MOVED_TO
)

// record watches the places. Every error means that nothing is known, and is ErrNotRecorded. Without one, free is called when the
// recording has ended.
func record(places []place, m *matcher, opt RecordOptions, free func()) (*Recording, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, notRecorded(err)
	}
	r := &Recording{match: m, free: free, until: opt.Until, skip: opt.Except, file: os.NewFile(uintptr(fd), "inotify"), done: make(chan struct{}),
		places: map[int32][]place{}, dirs: map[int32]string{}, skipped: -1, buf: make([]byte, 64<<10)}
	for _, dir := range opt.Also {
		places = append(places, place{path: dir, all: true})
	}
	if err := r.watch(fd, places); err != nil {
		r.file.Close()
		return nil, notRecorded(err)
	}
	if r.conn, err = r.file.SyscallConn(); err != nil {
		r.file.Close()
		return nil, notRecorded(err)
	}
	go r.read()
	return r, nil
}

func notRecorded(err error) error {
	if line := remedy(err); line != "" {
		return fmt.Errorf("%w: %w; %s", ErrNotRecorded, err, line)
	}
	return fmt.Errorf("%w: %w", ErrNotRecorded, err)
}

func (r *Recording) watch(fd int, places []place) error {
	for _, p := range places {
		wd, err := unix.InotifyAddWatch(fd, p.path, openMask|unix.IN_MASK_ADD)
		switch {
		case err == nil:
			r.places[int32(wd)] = append(r.places[int32(wd)], p)
		case !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EACCES): // gone, or not to be read by the server either
			return fmt.Errorf("%s: %w", p.path, err)
		}
	}
	if r.skip != "" {
		wd, err := unix.InotifyAddWatch(fd, filepath.Dir(r.skip), openMask|unix.IN_CLOSE_WRITE|unix.IN_MASK_ADD)
		if err == nil { // else nothing is skipped
			r.dirs[int32(wd)] = filepath.Dir(r.skip)
		}
	}
	if r.until == "" {
		return nil
	}
	return r.approach(fd)
}

// approach watches the directory of the file that ends the recording, or what there is on the way to it. A link on that way is
// followed: the server opens the same path.
func (r *Recording) approach(fd int) error {
	for dir := filepath.Dir(r.until); ; dir = filepath.Dir(dir) {
		wd, err := unix.InotifyAddWatch(fd, dir, writeMask|unix.IN_MASK_ADD)
		switch {
		case err == nil:
			r.dirs[int32(wd)] = dir
			return nil
		case !errors.Is(err, unix.ENOENT) || dir == filepath.Dir(dir):
			return fmt.Errorf("%s: %w", dir, err)
		}
	}
}

// read takes events until the recording ends, so that the kernel's queue does not overflow.
func (r *Recording) read() {
	defer close(r.done)
	defer r.free()
	defer r.file.Close()
	_ = r.conn.Read(func(fd uintptr) bool { // it fails only when the file is closed
		r.mu.Lock()
		defer r.mu.Unlock()
		r.drain(int(fd))
		return r.ended
	})
}

// drain handles all events that there are.
func (r *Recording) drain(fd int) {
	for !r.ended {
		n, err := unix.Read(fd, r.buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n < unix.SizeofInotifyEvent {
			return // EAGAIN: no more
		}
		for at := 0; at+unix.SizeofInotifyEvent <= n && !r.ended; {
			e := (*unix.InotifyEvent)(unsafe.Pointer(&r.buf[at]))
			name := r.buf[at+unix.SizeofInotifyEvent : at+unix.SizeofInotifyEvent+int(e.Len)]
			at += unix.SizeofInotifyEvent + int(e.Len)
			r.event(fd, e.Wd, e.Mask, string(bytes.TrimRight(name, "\x00")))
		}
	}
}

func (r *Recording) event(fd int, wd int32, mask uint32, name string) {
	switch {
	case mask&unix.IN_Q_OVERFLOW != 0:
		r.end(ErrEventsLost)
		return
	case mask&unix.IN_IGNORED != 0:
		delete(r.places, wd)
		delete(r.dirs, wd)
		return
	}
	if dir, ok := r.dirs[wd]; ok {
		r.mark(fd, filepath.Join(dir, name), mask)
	}
	for _, p := range r.places[wd] {
		r.open(p, name, mask)
	}
}

// mark handles what happens to the files that bound the recording.
func (r *Recording) mark(fd int, path string, mask uint32) {
	switch {
	case path == r.until && mask&writeMask != 0:
		r.cut, r.exact = true, true
		r.end(nil)
	case path == r.skip && mask&unix.IN_CLOSE_WRITE != 0:
		if r.skipped >= 0 {
			r.opened = r.opened[:r.skipped]
		}
		r.skipped = -1
	case path == r.skip && mask&unix.IN_OPEN != 0 && r.skipped < 0:
		r.skipped = len(r.opened)
	case mask&unix.IN_ISDIR != 0 && mask&(unix.IN_CREATE|unix.IN_MOVED_TO) != 0 && isAbove(path, r.until):
		if err := r.approach(fd); err != nil {
			r.end(notRecorded(err))
			return
		}
		if _, err := os.Lstat(r.until); err == nil { // it was faster than the watch: a little too much may have been noted
			r.cut, r.exact = true, true
			r.end(nil)
		}
	}
}

// isAbove reports whether dir lies on the way to path.
func isAbove(dir, path string) bool {
	for path != "" && path != "/" && path != "." {
		if path = filepath.Dir(path); path == dir {
			return true
		}
	}
	return false
}

func (r *Recording) open(p place, name string, mask uint32) {
	path := p.path
	if name != "" {
		path = joinPath(p.path, name)
	}
	isDir := mask&unix.IN_ISDIR != 0
	switch {
	case isDir && mask&(unix.IN_CREATE|unix.IN_MOVED_TO) != 0:
		if p.scope != nil && r.match.mayHold(r.match.into(p.scope, name)) {
			r.opened = append(r.opened, path+"/")
		}
	case isDir || mask&unix.IN_OPEN == 0:
	case p.all || p.scope == nil || r.match.file(p.scope, name):
		if n := len(r.opened); n == 0 || r.opened[n-1] != path {
			r.opened = append(r.opened, path)
		}
	}
}

func (r *Recording) end(err error) {
	r.ended, r.err = true, err
}

// Cut ends the recording: what was opened before this call counts, what is opened later does not. It does nothing when the
// recording has ended already.
func (r *Recording) Cut() { r.finish(true) }

// Close ends the recording and returns what was opened. The error says why that is not known.
func (r *Recording) Close() (Opened, error) {
	r.finish(false)
	<-r.done
	switch {
	case r.err != nil:
		return nil, r.err
	case !r.cut:
		return nil, ErrNeverCut
	}
	slices.Sort(r.opened)
	return slices.Compact(r.opened), nil
}

// Exact reports, after Close, whether it was RecordOptions.Until that ended the recording. After a Cut too much may have been noted:
// what was opened shortly before.
func (r *Recording) Exact() bool { return r.exact }

// finish takes the events that there are and ends the recording, unless one of them did.
func (r *Recording) finish(cut bool) {
	_ = r.conn.Control(func(fd uintptr) { // it fails when the file is closed: the recording has ended
		r.mu.Lock()
		defer r.mu.Unlock()
		r.drain(int(fd))
		if !r.ended {
			r.cut = cut
			r.end(nil)
		}
	})
	_ = r.file.Close() // the reader sees that it has ended
}
