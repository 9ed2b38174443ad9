package watcher

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// tree is what is known of the directories and files, and what of it has been reported. All of it belongs to the
// goroutine of [Watcher.Run], except where it says otherwise.
type tree struct {
	env   *env
	opt   *Options
	match *matcher
	log   *zap.Logger

	notifier *fsnotify.Watcher // nil: nothing is watched through events
	intake   *intake
	reading  func() // ends the reader of the notifier's events

	nodes map[string]*dir
	byID  map[inode]*dir // the first of the lexical paths of a directory; the others hang on dir.next
	roots []*link
	devs  map[uint64]*device

	adopting bool // the first look: what is found is known, not changed
	marked   map[*dir]struct{}
	pending  int                // marks that hold a difference
	relist   map[*dir]struct{}  // directories with more unknown names than are worth remembering one by one
	recheck  map[*link]bool     // links whose way must be looked at; true: also if it leads to the same place
	ghosts   map[*dir]struct{}  // nodes that may be dropped once they are idle
	dirs     map[*dir]struct{}  // what is to be crawled
	offer    []offered          // what the batch on offer consists of
	seen     span               // when relevant events came, since the last absorb
	rescan   bool               // the next batch follows a rescan
	again    time.Time          // a rescan is owed, but not before this time
	rest     time.Time          // no rescan before this time, so that a storm does not keep us busy with them
	said     map[string]bool    // notices that are given once
	composer map[*dir]time.Time // the last change below each vendor/composer that waits to be reported
	reader   *reader
	holder   *holder
	held     int // how often a look was put off; for tests

	auditing    bool             // what is marked now was found by the patrol
	unannounced map[suspect]bool // changes for which no event has come so far; true: the content does differ
	onPolled    func()           // called when there is something to poll

	specialChanged bool
	files          int
	watchedDirs    int
	polled         int                   // of the watched directories
	toPoll         int                   // and anchors
	spent          atomic.Int64          // descriptors used for watching, where that takes any
	stats          atomic.Pointer[Stats] // read by any goroutine
}

// span is a range of times; the zero value is empty.
type span struct{ first, last time.Time }

func (s *span) add(first, last time.Time) {
	if s.first.IsZero() || first.Before(s.first) {
		s.first = first
	}
	if last.After(s.last) {
		s.last = last
	}
}

type device struct {
	polled bool
	remote bool // time stamps are coarse, or another machine's
}

func newTree(e *env, opt *Options, m *matcher, log *zap.Logger) *tree {
	t := &tree{env: e, opt: opt, match: m, log: log, intake: newIntake(m),
		nodes: map[string]*dir{}, byID: map[inode]*dir{}, devs: map[uint64]*device{},
		marked: map[*dir]struct{}{}, relist: map[*dir]struct{}{}, recheck: map[*link]bool{}, ghosts: map[*dir]struct{}{},
		dirs: map[*dir]struct{}{}, said: map[string]bool{}, composer: map[*dir]time.Time{}, reader: newReader(e),
		holder: newHolder(e, opt.HoldFiles), unannounced: map[suspect]bool{}}
	for _, path := range opt.Paths {
		t.roots = append(t.roots, &link{path: path})
	}
	t.publish()
	return t
}

// start takes the first look at everything.
func (t *tree) start(ctx context.Context) {
	t.adopting = true
	t.openNotifier(ctx)
	for _, r := range t.roots {
		t.recheck[r] = true
	}
	t.settleLinks(ctx)
	t.hashRacy(ctx)
	t.adopting = false
	t.publish()
}

// close ends the watches and the reader of events.
func (t *tree) close() {
	if t.notifier != nil {
		t.reading()
		t.notifier.Close()
		t.notifier = nil
	}
}

// openNotifier starts the flow of events, if it may.
func (t *tree) openNotifier(ctx context.Context) {
	if t.opt.Poll == PollAlways {
		return
	}
	n, err := t.env.newNotifier()
	if err != nil {
		t.limited(err)
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		t.intake.read(ctx, t.env.events(n), n.Errors)
	}()
	t.notifier = n
	t.reading = func() { cancel(); <-done }
}

// limited says, once, that a limit of the kernel was met and how to raise it.
func (t *tree) limited(err error) {
	what := "polling what cannot be watched"
	if t.opt.Poll == PollNever {
		what = "changes there are not noticed, because polling is off"
	}
	fields := []zap.Field{zap.Error(err)}
	if line := remedy(err); line != "" {
		fields = append(fields, zap.String("remedy", line))
	}
	t.once("limit", "watch limit reached, "+what, fields...)
}

func (t *tree) once(key, msg string, fields ...zap.Field) {
	if !t.said[key] && len(t.said) < 1000 {
		t.said[key] = true
		t.log.Warn(msg, fields...)
	}
}

// absorb takes in what the events said and says when the relevant ones came.
func (t *tree) absorb(ctx context.Context) span {
	t.absorbHints()
	if !t.again.IsZero() && !time.Now().Before(t.again) {
		t.startOver(ctx)
	}
	t.settleLinks(ctx)
	t.publish()
	s := t.seen
	t.seen = span{}
	return s
}

func (t *tree) absorbHints() {
	hints, lost, errs := t.intake.take()
	for _, err := range errs {
		t.once(err.Error(), "watching files", zap.Error(err))
	}
	if lost {
		t.owe()
	}
	for path, h := range hints {
		t.process(path, h)
	}
}

// owe plans a rescan.
func (t *tree) owe() {
	now := time.Now()
	t.again = now
	if t.rest.After(now) {
		t.again = t.rest
		time.AfterFunc(t.rest.Sub(now), t.intake.signal)
	}
}

// process marks what a path's events may have changed.
func (t *tree) process(path string, h hint) {
	if n := t.nodes[path]; n != nil && n.live && n.parent == nil && h.op&(fsnotify.Remove|fsnotify.Rename) != 0 {
		// Its own end, or it was moved. Nobody else tells: the directory above need not be watched.
		t.detach(n)
		for _, r := range t.roots {
			if r.path == path {
				t.recheck[r] = true
			}
		}
	}
	dir, name := split(path)
	first := t.nodes[dir]
	if first == nil {
		return
	}
	if !first.live {
		t.entry(first, name, h)
		return
	}
	for d := t.byID[first.id]; d != nil; d = d.next {
		t.entry(d, name, h)
	}
}

// entry handles the events of one name in one directory.
func (t *tree) entry(d *dir, name string, h hint) {
	delete(t.unannounced, suspect{d, name})
	for _, l := range d.hooks[name] {
		t.hooked(l, h)
	}
	if _, ok := d.only[name]; ok {
		t.mark(d, name, h.first, h.last)
	}
	if d.anchor() || !d.live {
		return
	}
	child := d.children[name]
	if h.op&(fsnotify.Create|fsnotify.Remove|fsnotify.Rename) != 0 || h.op&fsnotify.Chmod != 0 && child != nil && child.unreadable {
		t.inspect(d, name)
	}
	if (child == nil || !child.live) && t.match.file(d.scope, name) {
		t.mark(d, name, h.first, h.last)
	}
}

// inspect finds out what a name is now, after it came, went or was replaced, and forgets what it was. A directory that
// was deleted and made again may well have got the old inode number: only the event tells.
func (t *tree) inspect(d *dir, name string) {
	if child := d.children[name]; child != nil && child.live {
		t.detach(child)
	}
	if l := d.links[name]; l != nil {
		t.unlink(l)
	}
	var st unix.Stat_t
	if unix.Lstat(d.join(name), &st) != nil {
		return
	}
	switch uint32(st.Mode) & unix.S_IFMT {
	case unix.S_IFDIR:
		t.enter(d, subdir{name: name})
	case unix.S_IFLNK:
		t.addLink(d, name)
	}
}

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
	t.dirs[d] = struct{}{}
}

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

// mark says that a file must be looked at because of what happened between first and last.
func (t *tree) mark(d *dir, name string, first, last time.Time) {
	t.seen.add(first, last)
	t.composing(d, last)
	if t.auditing && d.marks[name] == nil {
		t.unannounced[suspect{d, name}] = false
	}
	if m := d.marks[name]; m != nil {
		m.dirty = true
		return
	}
	if len(d.marks) >= maxMarks {
		if _, known := d.file(name); !known {
			t.relist[d] = struct{}{} // names that come and go: do not remember each
			return
		}
	}
	if d.marks == nil {
		d.marks = map[string]*mark{}
	}
	d.marks[name] = &mark{dirty: true}
	t.marked[d] = struct{}{}
}

// maxMarks is how many names of one directory are remembered although no file was known under them.
const maxMarks = 4096

// markAll marks every known file of the directory, and what is about to be reported of it.
func (t *tree) markAll(d *dir) {
	now := time.Now()
	for i := range d.files {
		t.mark(d, d.files[i].name, now, now)
	}
	for name := range d.marks {
		t.mark(d, name, now, now)
	}
}

// detach ends the watching of a directory and of all below it, marks their files, and has the links that lead through it
// looked at. The watches of a directory that was moved away would go on, under the old names.
func (t *tree) detach(d *dir) {
	delete(t.dirs, d)
	t.ghosts[d] = struct{}{}
	t.markAll(d)
	if d.live {
		t.count(d, -1)
		d.live, d.refused = false, false
		t.unwatch(d)
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

// revive has a directory visited that is not known to be there, because a file in it is.
func (t *tree) revive(d *dir) {
	for d.parent != nil && !d.parent.live {
		d = d.parent
	}
	if !d.live {
		t.dirs[d] = struct{}{}
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
		t.dirs[p] = struct{}{}
	}
	if head != d || d.next != nil || d.anchor() || len(d.hooks) > 0 || len(d.only) > 0 {
		t.specialChanged = true
	}
	d.next, d.id = nil, inode{}
}

// identify records which directory d is, and says whether d stands for one that was known under another path and is not
// there any more: then its watch in the kernel still has the other name.
func (t *tree) identify(d *dir, id inode) (moved bool) {
	if d.id == id {
		return false
	}
	if d.id != (inode{}) {
		live := d.live
		t.unwatch(d)
		d.live = live
		moved = true
	}
	for p := t.byID[id]; p != nil; {
		next := p.next
		var st unix.Stat_t
		if unix.Stat(p.path, &st) != nil || inodeOf(&st) != id {
			t.detach(p)
			moved = true
		}
		p = next
	}
	d.id = id
	d.next = t.byID[id]
	t.byID[id] = d
	if d.next != nil {
		t.specialChanged = true
	}
	return moved
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
		delete(t.ghosts, d)
		for d != nil && d.idle() {
			delete(t.nodes, d.path)
			parent := d.parent
			if parent != nil && parent.children[d.name] == d {
				delete(parent.children, d.name)
			}
			d = parent
		}
	}
}

// startOver gives up all watches and compares everything. After lost events nothing is known of what was moved
// where, and so of what the kernel calls the watches.
func (t *tree) startOver(ctx context.Context) {
	began := time.Now()
	t.rescan = true
	t.log.Info("events were lost, comparing all files")
	if t.notifier != nil {
		t.close()
		t.intake.take()
		t.openNotifier(ctx)
	}
	clear(t.byID)
	clear(t.recheck)
	clear(t.dirs)
	old := make([]*dir, 0, len(t.nodes))
	for _, d := range t.nodes {
		if d.live {
			old = append(old, d)
			t.count(d, -1)
		}
		d.live, d.refused, d.id, d.next, d.hooks, d.links = false, false, inode{}, nil, nil, nil
	}
	for _, r := range t.roots {
		r.hops = nil
		t.recheck[r] = true
	}
	t.settleLinks(ctx)
	for _, d := range old {
		if !d.live {
			t.ghosts[d] = struct{}{}
			t.markAll(d)
		}
	}
	t.again = time.Time{}
	t.rest = began.Add(4 * time.Since(began))
}

// publish updates what other goroutines may read.
func (t *tree) publish() {
	if t.specialChanged {
		t.specialChanged = false
		t.publishSpecial()
	}
	s := Stats{Backend: eventBackend, Files: t.files, Dirs: t.watchedDirs, PolledDirs: t.polled}
	if t.notifier == nil {
		s.Backend = "poll"
	} else if t.polled > 0 {
		s.Backend += "+poll"
	}
	if old := t.stats.Load(); old == nil || *old != s {
		t.stats.Store(&s)
	}
}

func (t *tree) publishSpecial() {
	sp := map[string]special{}
	for path, d := range t.nodes {
		if !d.live || !d.anchor() && d.next == nil && t.byID[d.id] == d && len(d.hooks) == 0 && len(d.only) == 0 {
			continue
		}
		s := special{anchor: d.anchor(), names: map[string]struct{}{}}
		s.all = t.byID[d.id] != d || d.next != nil
		for name := range d.hooks {
			s.names[name] = struct{}{}
		}
		for name := range d.only {
			s.names[name] = struct{}{}
		}
		sp[path] = s
	}
	t.intake.special.Store(&sp)
}
