package watcher

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"
)

// link is a path whose meaning is decided elsewhere: a root, which may be a symlink, may lie behind others, or may not be there
// yet; or a symlink inside a tree. Every directory in which the way to its target can change is watched for the name
// that decides. So a root that vanishes is found again, a switch such as Kubernetes' ..data is seen, and so is a write to
// the shared file that a .env leads to.
type link struct {
	path string
	dir  *dir // where it lies; nil for a root
	name string
	hops []hop
}

// hop is a name in a directory, without symlinks, that decides where a link leads.
type hop struct{ dir, name string }

// maxHops is the kernel's own limit of symlinks in one path (MAXSYMLINKS in linux/namei.h).
const maxHops = 40

// trace follows rest from the directory start. It returns every name at which the way could change, whether it has an end or
// not, and the end: a path without symlinks.
func trace(start, rest string) (hops []hop, end string, err error) {
	cur := start
	todo := names(rest)
	for links := 0; len(todo) > 0; {
		name := todo[0]
		todo = todo[1:]
		if name == ".." {
			cur = filepath.Dir(cur)
			continue
		}
		path := filepath.Join(cur, name)
		info, err := os.Lstat(path)
		switch {
		case err != nil:
			return append(hops, hop{cur, name}), "", err
		case info.Mode()&os.ModeSymlink != 0:
			hops = append(hops, hop{cur, name})
			if links++; links > maxHops {
				return hops, "", &os.PathError{Op: "follow", Path: path, Err: unix.ELOOP}
			}
			target, err := os.Readlink(path)
			if err != nil {
				return hops, "", err
			}
			if filepath.IsAbs(target) {
				cur = "/"
			}
			todo = append(names(target), todo...)
		case len(todo) == 0:
			return append(hops, hop{cur, name}), path, nil
		case !info.IsDir():
			return append(hops, hop{cur, name}), "", &os.PathError{Op: "enter", Path: path, Err: unix.ENOTDIR}
		default:
			cur = path
		}
	}
	return hops, cur, nil
}

// names are the segments of a path that mean something.
func names(path string) []string {
	return slices.DeleteFunc(strings.Split(path, "/"), func(name string) bool { return name == "" || name == "." })
}

func (l *link) trace() []hop {
	if l.dir == nil {
		hops, _, _ := trace("/", l.path)
		return hops
	}
	real, err := filepath.EvalSymlinks(l.dir.path)
	if err != nil {
		return nil
	}
	hops, _, _ := trace(real, l.name)
	if len(hops) > 0 {
		hops = hops[1:] // the link itself lies in a directory that is watched
	}
	return hops
}

// follow starts to watch the way of a symlink in d, whose target is or was looked at by the caller.
func (t *tree) follow(d *dir, name string) {
	l := &link{path: d.join(name), dir: d, name: name}
	if d.links == nil {
		d.links = map[string]*link{}
	}
	d.links[name] = l
	t.recheck[l] = t.recheck[l] || false
}

// addLink handles a symlink that has appeared.
func (t *tree) addLink(d *dir, name string) {
	if !t.match.file(d.scope, name) && !t.match.mayHold(t.match.into(d.scope, name)) {
		return
	}
	t.follow(d, name)
	t.recheck[d.links[name]] = true
}

// unlink forgets a symlink.
func (t *tree) unlink(l *link) {
	t.setHops(l, nil)
	delete(t.recheck, l)
	if l.dir != nil && l.dir.links[l.name] == l {
		delete(l.dir.links, l.name)
	}
}

// hooked handles events at a name that decides where a link leads.
func (t *tree) hooked(l *link, h hint) {
	if h.op&(fsnotify.Create|fsnotify.Remove|fsnotify.Rename) != 0 {
		t.recheck[l] = true
		return
	}
	// The way is the same; what it leads to was written to, or its mode was changed.
	if n := t.nodes[l.path]; n != nil && n.live {
		if n.unreadable {
			t.recheck[l] = true
		}
		return
	}
	if l.dir != nil {
		if t.match.file(l.dir.scope, l.name) {
			t.mark(l.dir, l.name, h.first, h.last)
		}
		return
	}
	dir, name := split(l.path)
	if d := t.nodes[dir]; d != nil {
		if _, single := d.only[name]; single {
			t.mark(d, name, h.first, h.last)
		}
	}
}

// settleLinks visits what is queued and looks at the links whose way may have changed, until nothing is left to do.
func (t *tree) settleLinks(ctx context.Context) {
	for ctx.Err() == nil {
		t.crawl(ctx)
		if len(t.recheck) == 0 {
			return
		}
		for l, fresh := range t.recheck {
			delete(t.recheck, l)
			t.settle(ctx, l)
			if l.dir == nil {
				t.arriveRoot(l, fresh)
			} else {
				t.arriveLink(l, fresh)
			}
		}
	}
}

// settle watches the way of a link. It looks again after the watches are in place, because the way may have changed before.
func (t *tree) settle(ctx context.Context, l *link) {
	hops := l.trace()
	for range 8 {
		t.setHops(l, hops)
		t.crawl(ctx)
		t.publish() // so that the events of these names are not dropped
		again := l.trace()
		if slices.Equal(again, hops) {
			return
		}
		hops = again
	}
}

// setHops moves the hooks of a link.
func (t *tree) setHops(l *link, hops []hop) {
	if slices.Equal(l.hops, hops) {
		for _, h := range hops {
			t.anchorAt(h.dir) // one of them may have been lost
		}
		return
	}
	old := l.hops
	l.hops = hops
	for _, h := range hops {
		d := t.anchorAt(h.dir)
		if d.hooks == nil {
			d.hooks = map[string][]*link{}
		}
		if !slices.Contains(d.hooks[h.name], l) {
			d.hooks[h.name] = append(d.hooks[h.name], l)
		}
	}
	for _, h := range old {
		if !slices.Contains(hops, h) {
			t.unhook(h, l)
		}
	}
	t.specialChanged = true
}

func (t *tree) unhook(h hop, l *link) {
	d := t.nodes[h.dir]
	if d == nil {
		return
	}
	left := slices.DeleteFunc(d.hooks[h.name], func(x *link) bool { return x == l })
	if len(left) > 0 {
		d.hooks[h.name] = left
		return
	}
	delete(d.hooks, h.name)
	if d.anchor() && len(d.hooks) == 0 && len(d.only) == 0 {
		t.detach(d)
	}
}

// anchorAt has a directory watched for some names.
func (t *tree) anchorAt(path string) *dir {
	d := t.node(path)
	if !d.live {
		t.visitSoon(d)
	}
	return d
}

// arriveRoot looks at what a root is now. With fresh it may be another one under an old inode number.
func (t *tree) arriveRoot(r *link, fresh bool) {
	kind, id, st := lookAt(r.path)
	n := t.nodes[r.path]
	if n != nil && n.live && (fresh || kind != unix.S_IFDIR || n.id != id || n.anchor()) {
		t.detach(n)
	}
	if kind == unix.S_IFDIR {
		n = t.node(r.path)
		if !n.live {
			t.enclose(n, t.match.roots[r.path])
		}
	} else if kind == unix.S_IFREG {
		dir, name := split(r.path)
		d := t.anchorAt(dir)
		if d.only == nil {
			d.only = map[string]struct{}{}
		}
		if _, known := d.only[name]; !known {
			d.only[name] = struct{}{}
			t.specialChanged = true
		}
	}
	if kind != unix.S_IFDIR {
		t.markSingle(r.path, st, fresh)
	}
}

// markSingle marks a root that is, or was, a single file. Without an event only the appearance of one is news here;
// polls look at the files that are known.
func (t *tree) markSingle(path string, st *unix.Stat_t, fresh bool) {
	dir, name := split(path)
	d := t.nodes[dir]
	if d == nil {
		return
	}
	if _, single := d.only[name]; !single {
		return
	}
	_, known := d.file(name)
	switch {
	case st == nil && !known:
	case st != nil && !known && t.adopting:
		state := stateOf(name, st)
		state.racy = true // so that it is read before Ready
		d.put(state)
		t.files++
	case fresh && !t.adopting, st != nil && !known && d.marks[name] == nil:
		now := time.Now()
		t.mark(d, name, now, now)
	}
}

// arriveLink looks at what a symlink inside a tree leads to now.
func (t *tree) arriveLink(l *link, fresh bool) {
	d := l.dir
	if info, err := os.Lstat(l.path); !d.live || err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.unlink(l)
		return
	}
	kind, id, _ := lookAt(l.path)
	child := d.children[l.name]
	if child != nil && child.live && (fresh || kind != unix.S_IFDIR || child.id != id) {
		t.detach(child)
	}
	if kind == unix.S_IFDIR {
		if child == nil || !child.live {
			t.enter(d, subdir{name: l.name, link: true, id: id})
		}
	} else if fresh && t.match.file(d.scope, l.name) {
		t.mark(d, l.name, time.Now(), time.Now())
	}
}

// lookAt follows path and returns the type of what is there, 0 if nothing is.
func lookAt(path string) (kind uint32, id inode, st *unix.Stat_t) {
	st = new(unix.Stat_t)
	if ignoringEINTR(func() error { return unix.Stat(path, st) }) != nil {
		return 0, inode{}, nil
	}
	kind = uint32(st.Mode) & unix.S_IFMT
	if kind != unix.S_IFREG {
		return kind, inodeOf(st), nil
	}
	return kind, inodeOf(st), st
}
