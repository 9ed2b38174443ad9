package handover

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// places are the paths of unix sockets, and what each must lead to: another name of the same socket. While two generations live, or one has
// crashed, they are guarded: what a server removes is put back, or not removed at all. They have a lock of their own, because a
// client that connects in between does not wait.
type places struct {
	guarded atomic.Bool

	mu      sync.Mutex
	own     map[string]string
	watcher *pathWatcher // while they are guarded
}

func newPlaces() *places { return &places{own: map[string]string{}} }

// set returns what the path led to before; "" is nothing.
func (p *places) set(path, own string) (was string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	was = p.own[path]
	if own == "" {
		delete(p.own, path)
		return was
	}
	p.own[path] = own
	_ = p.watch(path) // said when it could not be guarded at first
	return was
}

// clear reports whether the path led to that socket.
func (p *places) clear(path, own string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.own[path] != own {
		return false
	}
	delete(p.own, path)
	return true
}

func (p *places) has(path string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.own[path] != ""
}

// hasBase is for most of what servers remove: it costs little.
func (p *places) hasBase(name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for path := range p.own {
		if filepath.Base(path) == name {
			return true
		}
	}
	return false
}

func (p *places) empty() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.own) == 0
}

// putBack lets a path that was removed lead to its socket again. If it leads anywhere, it is left alone.
func (p *places) putBack(path string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if own := p.own[path]; own != "" {
		_ = os.Link(own, path) // fs.ErrExist: it was not removed
	}
}

func (p *places) putAllBack() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for path, own := range p.own {
		_ = os.Link(own, path) // as above
	}
}

// guard begins to put back what is removed.
func (p *places) guard() error {
	p.mu.Lock()
	if p.watcher != nil {
		p.mu.Unlock()
		return nil
	}
	w, err := newPathWatcher(p.putAllBack)
	if err != nil {
		p.mu.Unlock()
		return err
	}
	p.watcher = w
	for path := range p.own {
		err = errors.Join(err, p.watch(path))
	}
	p.guarded.Store(true)
	p.mu.Unlock()
	p.putAllBack()
	return err
}

// watch needs the lock.
func (p *places) watch(path string) error {
	if p.watcher == nil {
		return nil
	}
	return p.watcher.add(filepath.Dir(path))
}

// unguard is for when the last of those that might remove a path has ended.
func (p *places) unguard() {
	p.mu.Lock()
	w := p.watcher
	p.watcher = nil
	p.guarded.Store(false)
	p.mu.Unlock()
	if w == nil {
		return
	}
	w.close()
	p.putAllBack()
}

// beware guards the places, or not any more; the caller holds the lock of a.
func (a *Sockets) beware() {
	crashed := false
	for _, g := range a.generations {
		crashed = crashed || g.dead
	}
	if a.places.empty() || len(a.generations) < 2 && !crashed {
		a.places.unguard()
		return
	}
	if err := a.places.guard(); err != nil {
		a.once("the paths of unix sockets cannot be guarded: " + err.Error())
	}
}

// answerUnlink decides about one unlink(2): a server that ends must not take the path from the one that serves. To the server it seems as
// if nothing had been there.
func (g *Generation) answerUnlink(fd int, q *notification) response {
	if !g.all.places.guarded.Load() {
		return goOn
	}
	dir, at, flags := unlinkArguments(q)
	if flags&unix.AT_REMOVEDIR != 0 {
		return goOn
	}
	c := caller{pid: int(q.PID)} // a thread will do
	path, err := c.readPath(at)
	if err != nil || !g.all.places.hasBase(filepath.Base(path)) || !valid(fd, q.ID) {
		return goOn
	}
	if !filepath.IsAbs(path) && dir != unix.AT_FDCWD {
		return goOn // relative to a descriptor: it is put back
	}
	path, err = c.place(path)
	if err != nil || !g.all.places.has(path) {
		return goOn
	}
	g.all.places.putBack(path)
	return response{}
}

// readPath copies a string of the caller's.
func (c caller) readPath(at uint64) (string, error) {
	buf := make([]byte, unix.PathMax)
	if n, err := c.readTo(buf[:256], at); err == nil && bytes.IndexByte(buf[:n], 0) >= 0 { // as most are
		return unix.ByteSliceToString(buf[:n]), nil
	}
	n, err := c.readTo(buf, at)
	if err != nil {
		return "", err
	}
	if bytes.IndexByte(buf[:n], 0) < 0 {
		return "", unix.ENAMETOOLONG
	}
	return unix.ByteSliceToString(buf[:n]), nil
}

// readTo copies memory of the caller's, as much as there is.
func (c caller) readTo(buf []byte, at uint64) (int, error) {
	// The second part may lie on a page that is not there.
	first := min(len(buf), os.Getpagesize()-int(at)%os.Getpagesize())
	local := []unix.Iovec{{Base: &buf[0]}}
	local[0].SetLen(len(buf))
	return unix.ProcessVMReadv(c.pid, local, []unix.RemoteIovec{
		{Base: uintptr(at), Len: first}, {Base: uintptr(at) + uintptr(first), Len: len(buf) - first}}, 0)
}
