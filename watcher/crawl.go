package watcher

import (
	"context"
	"errors"
	"io/fs"
	"runtime"
	"slices"
	"sync"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// visit is one directory to be watched and then listed, in this order: what is made in between is found by both, what is
// made before by the list, what is made later by the watch.
type visit struct {
	dir    *dir
	path   string
	scope  *scope // nil: an anchor is not listed
	watch  bool
	remote bool
}

type visited struct {
	visit
	listing
}

// crawl visits the queued directories and all new ones below them. Watching and listing is done by several goroutines,
// everything else by this one.
func (t *tree) crawl(ctx context.Context) {
	if len(t.dirs) == 0 {
		return
	}
	var todo []visit
	collect := func() {
		for d, anew := range t.dirs {
			if d.visiting {
				continue // again, when it has come back
			}
			delete(t.dirs, d)
			d.visiting = true
			todo = append(todo, visit{d, d.path, d.scope, t.notifier != nil && anew && !d.refused, t.remote(d)})
		}
	}
	collect()
	notifier := t.notifier
	for len(todo) == 1 && ctx.Err() == nil { // the usual case after the start: no goroutines for a mkdir
		v := todo[0]
		todo = todo[:0]
		t.arrive(t.visit(notifier, v))
		collect()
	}
	if len(todo) == 0 {
		return
	}

	jobs, results := make(chan visit), make(chan visited, 64)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for v := range jobs {
				results <- t.visit(notifier, v)
			}
		})
	}
	for under := 0; len(todo)+under > 0; {
		var out chan visit
		var next visit
		if len(todo) > 0 && ctx.Err() == nil {
			out, next = jobs, todo[len(todo)-1]
		} else if under == 0 {
			break
		}
		select {
		case out <- next:
			todo = todo[:len(todo)-1]
			under++
		case r := <-results:
			under--
			t.arrive(r)
			collect()
		}
	}
	close(jobs)
	workers.Wait()
}

// visit runs in any goroutine and touches nothing that changes.
func (t *tree) visit(notifier *fsnotify.Watcher, v visit) visited {
	var watchErr error
	if v.watch {
		// fsnotify must not have this name for another directory when it is added: it would forget the watch but not the
		// name, and crash when the name is removed.
		_ = notifier.Remove(v.path)
		if watchErr = unix.EMFILE; t.env.budget == 0 || t.spent.Load() < t.env.budget {
			watchErr = t.env.add(notifier, v.path)
		}
	}
	r := visited{visit: v}
	if v.scope != nil {
		r.listing = t.env.list(v.path, t.match, v.scope, v.remote)
	} else {
		r.listing = t.env.identity(v.path)
	}
	r.watchErr = watchErr
	t.spent.Add(1 + int64(r.entries))
	return r
}

// identity is the listing of an anchor.
func (e *env) identity(path string) (l listing) {
	var st unix.Stat_t
	if l.err = unix.Stat(path, &st); l.err == nil {
		l.id, l.mtime, l.ctime = inodeOf(&st), st.Mtim.Nano(), st.Ctim.Nano()
	}
	return l
}

// arrive puts what a visit found into the tree.
func (t *tree) arrive(r visited) {
	d := r.dir
	d.visiting = false
	if d.scope != r.scope {
		t.visitSoon(d) // an anchor became a directory meanwhile, or a directory an anchor
		return
	}
	if errors.Is(r.err, fs.ErrNotExist) || errors.Is(r.err, unix.ENOTDIR) || errors.Is(r.watchErr, fs.ErrNotExist) {
		if r.err == nil {
			t.visitSoon(d) // it was not there, and now it is
			return
		}
		t.detach(d)
		return
	}
	if r.err != nil {
		t.arriveUnreadable(r)
		return
	}
	if d.viaLink && d.parent.inLoop(r.id) || t.crowded(d, r.id) {
		t.leaveOut(d, r.id)
		return
	}
	if d.live && d.id != r.id {
		for _, child := range d.children {
			t.detach(child) // it is another directory, and so are those in it
		}
	}
	if t.identify(d, r.id) {
		t.visitSoon(d)
		return
	}
	t.setPolled(d, r)
	if !d.live {
		d.live = true
		t.count(d, 1)
	}
	d.unreadable = false
	d.mtime, d.ctime, d.racy = r.mtime, r.ctime, r.racy
	if !d.anchor() {
		t.compareFiles(d, r.files)
		t.compareDirs(d, r.dirs)
		t.compareLinks(d, r.links)
	}
}

// leaveOut gives up a directory that is followed under other paths.
func (t *tree) leaveOut(d *dir, id inode) {
	had := t.notifier != nil && t.notifier.Remove(d.path) == nil
	t.detach(d)
	for p := t.byID[id]; had && p != nil; p = p.next {
		t.visitSoon(p) // the watch had this name
	}
}

func (t *tree) crowded(d *dir, id inode) bool {
	if d.id == id || d.anchor() || t.aliases(id) < maxAliases {
		return false
	}
	t.once("aliases", "a directory is reached by too many links, not all of them are followed", zap.String("path", d.path))
	return true
}

func (t *tree) arriveUnreadable(r visited) {
	d := r.dir
	t.once(d.path, "directory cannot be read, changes in it are not noticed", zap.String("path", d.path), zap.Error(r.err))
	if !d.live {
		d.live = true
		t.count(d, 1)
	}
	d.unreadable = true
	if l := t.env.identity(d.path); l.err == nil { // a change of the mode will show
		t.identify(d, l.id)
		d.mtime, d.ctime, d.racy = l.mtime, l.ctime, false
		t.setPolled(d, visited{listing: listing{id: l.id}})
	}
	t.markAll(d)
}

// setPolled decides how the directory is followed.
func (t *tree) setPolled(d *dir, r visited) {
	dev := t.device(r.id.dev, d.path)
	polled := dev.polled || t.notifier == nil
	if r.watchErr != nil && !errors.Is(r.watchErr, fsnotify.ErrClosed) {
		t.unwatchable(d.path, r.watchErr, t.opt.Poll)
		d.refused = true
	}
	polled = polled || d.refused
	if t.opt.Poll == PollNever {
		polled = false
	}
	if d.polled != polled {
		if d.live {
			t.count(d, -1)
		}
		d.polled = polled
		if d.live {
			t.count(d, 1)
		}
	}
}

// device looks at a file system when it is met for the first time.
func (t *tree) device(dev uint64, path string) *device {
	if known := t.devs[dev]; known != nil {
		return known
	}
	name, remote := t.env.fileSystem(path)
	known := &device{remote: remote, polled: t.opt.Poll == PollAlways}
	if remote && t.opt.Poll == PollAuto {
		known.polled = true
		t.eventless(path, name, t.opt.PollInterval)
	}
	t.devs[dev] = known
	return known
}

func (t *tree) remote(d *dir) bool {
	for ; d != nil; d = d.parent {
		if dev := t.devs[d.id.dev]; dev != nil {
			return dev.remote || dev.polled
		}
	}
	return t.opt.Poll == PollAlways
}

// compareFiles marks what differs from what was last seen. Where the stat is equal and can be trusted, there is no need
// to look.
func (t *tree) compareFiles(d *dir, found []fileState) {
	if t.adopting {
		before := len(d.files)
		if before == 0 {
			d.files = found
		} else { // a single file was adopted before its directory, or the directory is adopted again
			for _, f := range found {
				if _, known := d.file(f.name); !known {
					d.put(f)
				}
			}
		}
		t.files += len(d.files) - before
		return
	}
	old := d.seen()
	for len(old) > 0 || len(found) > 0 {
		switch {
		case len(found) == 0 || len(old) > 0 && old[0].name < found[0].name:
			if _, single := d.only[old[0].name]; !single {
				t.suspect(difference{suspect: suspect{d, old[0].name}})
			}
			old = old[1:]
		case len(old) == 0 || found[0].name < old[0].name:
			t.suspect(difference{suspect{d, found[0].name}, found[0]})
			found = found[1:]
		default:
			// A poll reads what it cannot trust by itself, without any fuss.
			if old[0].racy && !d.polled || !old[0].sameStat(&found[0]) {
				t.suspect(difference{suspect{d, found[0].name}, found[0]})
			}
			old, found = old[1:], found[1:]
		}
	}
}

// compareDirs enters the new sub-directories and leaves those that are gone.
func (t *tree) compareDirs(d *dir, found []subdir) {
	there := make(map[string]bool, len(found))
	for _, sub := range found {
		there[sub.name] = true
		child := d.children[sub.name]
		if child != nil && child.live && sub.link && child.id != sub.id {
			t.detach(child)
		}
		if child == nil || !child.live {
			t.enter(d, sub)
		}
	}
	for name, child := range d.children {
		switch {
		case there[name]:
		case child.live:
			t.detach(child)
		default:
			t.abandon(child)
		}
	}
}

// compareLinks follows the new symlinks and forgets those that are gone.
func (t *tree) compareLinks(d *dir, found []string) {
	if len(found) == 0 && len(d.links) == 0 {
		return
	}
	there := make(map[string]bool, len(found))
	for _, name := range found {
		there[name] = true
		if d.links[name] == nil {
			t.follow(d, name)
		}
	}
	for name, l := range d.links {
		if !there[name] {
			t.unlink(l)
		}
	}
}

// hashRacy reads the files that were changed an instant before the first look: for these an equal stat says nothing.
// The watches are in place, so that a change after this has its event.
func (t *tree) hashRacy(ctx context.Context) {
	var dirs []*dir
	for _, d := range t.nodes {
		if slices.ContainsFunc(d.files, func(f fileState) bool { return f.racy }) {
			dirs = append(dirs, d)
		}
	}
	var group sync.WaitGroup
	for part := range slices.Chunk(dirs, len(dirs)/pollers+1) {
		group.Go(func() {
			r := newReader(t.env)
			for _, d := range part {
				for i := range d.files {
					if !d.files[i].racy {
						continue
					}
					if state, err := r.look(ctx, d.join(d.files[i].name), d.files[i].name, t.remote(d)); err == nil {
						d.files[i] = state
					}
				}
			}
		})
	}
	group.Wait()
}
