package watcher

import (
	"slices"
	"time"
)

// dir is a directory under one lexical path. Its files are what was last reported of them, and so it outlives the
// directory on disk until the last deletion has been reported.
type dir struct {
	path, name string
	parent     *dir // nil for roots and anchors
	children   map[string]*dir
	scope      *scope // nil for an anchor

	files []fileState      // as last reported, sorted by name
	marks map[string]*mark // what must be looked at or has been found to differ

	// An anchor is watched for a few names only: where a root or the target of a link lives, or would live.
	only  map[string]struct{} // single files
	hooks map[string][]*link  // names that decide where a link leads
	links map[string]*link    // symlinks in this directory

	id           inode
	next         *dir // another lexical path of the same directory
	mtime, ctime int64
	racy         bool // as for files

	live       bool // it exists, and is watched or polled
	polled     bool
	refused    bool // the kernel does not watch it
	visiting   bool // a crawl is looking at it
	unreadable bool
	viaLink    bool // the lexical path leads through a symlink below the root
}

// mark is a name that must be looked at, or whose difference waits to be reported.
type mark struct {
	dirty  bool
	op     Op        // 0: no difference found yet
	next   fileState // what will be known when op is reported
	polled bool      // stat is what a poll found
	stat   fileState
	since  time.Time // since when the file is empty or gone although it was reported with content
}

func (d *dir) anchor() bool { return d.scope == nil }

func (d *dir) file(name string) (int, bool) { return slices.BinarySearchFunc(d.files, name, byName) }

func (d *dir) join(name string) string { return joinPath(d.path, name) }

func joinPath(dir, name string) string {
	if dir == "/" {
		return "/" + name
	}
	return dir + "/" + name
}

// seen returns a copy of the files as they were last looked at, whether that has been reported or not.
func (d *dir) seen() []fileState {
	files := slices.Clone(d.files)
	for name, m := range d.marks {
		i, known := slices.BinarySearchFunc(files, name, byName)
		switch {
		case m.op == Deleted && known:
			files = slices.Delete(files, i, i+1)
		case (m.op == Created || m.op == Modified) && known:
			files[i] = m.next
		case m.op == Created || m.op == Modified:
			files = slices.Insert(files, i, m.next)
		}
	}
	return files
}

// put stores what is known of a file.
func (d *dir) put(f fileState) (added bool) {
	i, found := d.file(f.name)
	if found {
		d.files[i] = f
		return false
	}
	d.files = slices.Insert(d.files, i, f)
	return true
}

func (d *dir) drop(name string) (dropped bool) {
	i, found := d.file(name)
	if found {
		d.files = slices.Delete(d.files, i, i+1)
	}
	return found
}

// inLoop says whether the directory with this identity is d or one above it.
func (d *dir) inLoop(id inode) bool {
	for ; d != nil; d = d.parent {
		if d.id == id {
			return true
		}
	}
	return false
}

// idle says whether nothing needs this node any more.
func (d *dir) idle() bool {
	return !d.live && len(d.files) == 0 && len(d.marks) == 0 && len(d.children) == 0 && len(d.hooks) == 0 && len(d.only) == 0
}
