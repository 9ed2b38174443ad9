package watcher

import (
	"golang.org/x/sys/unix"
)

// enter queues the sub-directory for a crawl, if it can hold anything of interest.
func (t *tree) enter(d *dir, sub subdir) {
	path := d.join(sub.name)
	scope := t.match.roots[path]
	if scope == nil {
		scope = t.match.into(d.scope, sub.name)
	}
	if !t.match.mayHold(scope) {
		return
	}
	if sub.link && d.inLoop(sub.id) {
		return
	}
	child := t.node(path)
	child.parent = d
	child.viaLink = d.viaLink || sub.link
	if d.children == nil {
		d.children = map[string]*dir{}
	}
	d.children[sub.name] = child
	t.enclose(child, scope)
}

// enclose queues a directory to be watched and listed as a whole, also if it was but an anchor.
func (t *tree) enclose(d *dir, scope *scope) {
	if d.anchor() {
		t.specialChanged = true
	}
	if d.live {
		t.count(d, -1)
	}
	d.scope = scope
	if d.live {
		t.count(d, 1)
	}
	t.visitSoon(d)
}

// visitSoon queues a directory to be watched and listed.
func (t *tree) visitSoon(d *dir) { t.dirs[d] = true }

// listSoon queues a directory that is watched already to be listed again. To watch it anew would lose the events that are
// under way.
func (t *tree) listSoon(d *dir) { t.dirs[d] = t.dirs[d] || !d.live }

// node returns the node of a path. There is only ever one.
func (t *tree) node(path string) *dir {
	d := t.nodes[path]
	if d == nil {
		_, name := split(path)
		d = &dir{path: path, name: name}
		t.nodes[path] = d
	}
	return d
}

// detach ends the watching of a directory and of all below it, marks their files, and has the links that lead through it
// looked at. The watches of a directory that was moved away would go on, under the old names.
func (t *tree) detach(d *dir) {
	delete(t.dirs, d)
	t.ghosts[d] = struct{}{}
	t.markAll(d)
	if d.live || d.id != (inode{}) { // the identity is recorded a little before it counts as alive
		t.unwatch(d)
	}
	if d.live {
		t.count(d, -1)
		d.live, d.refused = false, false
		for _, links := range d.hooks {
			for _, l := range links {
				t.recheck[l] = true
			}
		}
		for _, l := range d.links {
			t.unlink(l)
		}
	}
	for _, child := range d.children {
		t.detach(child)
	}
}

// abandon marks what is known below a directory that is neither there nor watched: a look may have found files in it while
// it was there for a moment.
func (t *tree) abandon(d *dir) {
	for i := range d.files {
		if name := d.files[i].name; d.marks[name] == nil {
			t.suspect(difference{suspect: suspect{d, name}})
		}
	}
	for name, m := range d.marks {
		if !m.dirty && m.op != Deleted {
			t.suspect(difference{suspect: suspect{d, name}})
		}
	}
	for _, child := range d.children {
		t.abandon(child)
	}
}

// revive has a directory visited that is not known to be there, because a file in it is.
func (t *tree) revive(d *dir) {
	for d.parent != nil && !d.parent.live {
		d = d.parent
	}
	if !d.live {
		t.visitSoon(d)
		t.intake.signal()
	}
}

// unwatch removes the watch and the identity of a directory. Another lexical path of the same directory shares the
// watch in the kernel and needs a new one.
func (t *tree) unwatch(d *dir) {
	if t.notifier != nil {
		_ = t.notifier.Remove(d.path) // the kernel or fsnotify may have removed it already
	}
	if d.id == (inode{}) {
		return
	}
	head := t.byID[d.id]
	if head == d {
		if d.next == nil {
			delete(t.byID, d.id)
		} else {
			t.byID[d.id] = d.next
		}
	} else {
		for p := head; p != nil; p = p.next {
			if p.next == d {
				p.next = d.next
			}
		}
	}
	for p := t.byID[d.id]; p != nil; p = p.next {
		t.visitSoon(p)
	}
	if head != d || d.next != nil || d.anchor() || len(d.hooks) > 0 || len(d.only) > 0 {
		t.specialChanged = true
	}
	d.next, d.id = nil, inode{}
}

// identify records which directory d is, and says whether it must be visited once more because it is, or was, known under
// another path: the watch in the kernel has only one name.
func (t *tree) identify(d *dir, id inode) (again bool) {
	if d.id == id {
		return false
	}
	if d.id != (inode{}) {
		t.unwatch(d)
		again = true
	}
	for p := t.byID[id]; p != nil; {
		next := p.next
		var st unix.Stat_t
		if unix.Stat(p.path, &st) != nil || inodeOf(&st) != id {
			t.detach(p)
			again = true
		}
		p = next
	}
	d.id = id
	d.next = t.byID[id]
	t.byID[id] = d
	if d.next != nil {
		// From here on the reader of events must not judge names by one of the paths alone. It may have done so since the
		// directory was listed, so list it again.
		t.specialChanged = true
		t.publish()
		again = true
	}
	return again
}

// aliases counts the lexical paths of a directory.
func (t *tree) aliases(id inode) (n int) {
	for p := t.byID[id]; p != nil; p = p.next {
		n++
	}
	return n
}

// maxAliases bounds how many lexical paths of one directory are followed: links that lead to each other's siblings make
// more paths than anybody wants.
const maxAliases = 8

// count keeps the statistics. An anchor is not worth mentioning.
func (t *tree) count(d *dir, n int) {
	if !d.anchor() {
		t.watchedDirs += n
	}
	if !d.polled {
		return
	}
	if t.toPoll += n; n > 0 && t.onPolled != nil {
		t.onPolled()
	}
	if !d.anchor() {
		t.polled += n
	}
}

// purge drops the nodes that nothing needs any more.
func (t *tree) purge() {
	for d := range t.ghosts {
		if _, queued := t.dirs[d]; queued {
			continue // it may come to life
		}
		delete(t.ghosts, d)
		for d != nil && d.idle() {
			if _, queued := t.dirs[d]; queued {
				t.ghosts[d] = struct{}{}
				break
			}
			delete(t.nodes, d.path)
			parent := d.parent
			if parent != nil && parent.children[d.name] == d {
				delete(parent.children, d.name)
			}
			d = parent
		}
	}
}
