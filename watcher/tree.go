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
	*notices

	notifier *fsnotify.Watcher // nil: nothing is watched through events
	intake   *intake
	stop     func() // closes it

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
	dirs     map[*dir]bool      // what is to be crawled; true: and to be watched anew
	offer    []offered          // what the batch on offer consists of
	seen     span               // when relevant events came, since the last absorb
	rescan   bool               // the next batch follows a rescan
	again    time.Time          // a rescan is owed, but not before this time
	rest     time.Time          // no rescan before this time, so that a storm does not keep us busy with them
	composer map[*dir]time.Time // the last change below each vendor/composer that waits to be reported
	reader   *reader
	holder   *holder
	held     int // how often a look was put off because of a hold

	// idle is held while a file is read that nobody asked for, and for as long as a recording of opened files lasts: reading
	// opens, and would look as if the server had. Any goroutine may send to it and receive from it again.
	idle chan struct{}

	auditing    bool // what is marked now was found by the patrol
	unannounced map[suspect]unannounced
	onPolled    func() // called when there is something to poll

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
	t := &tree{env: e, opt: opt, match: m, notices: newNotices(log), intake: newIntake(m),
		nodes: map[string]*dir{}, byID: map[inode]*dir{}, devs: map[uint64]*device{},
		marked: map[*dir]struct{}{}, relist: map[*dir]struct{}{}, recheck: map[*link]bool{}, ghosts: map[*dir]struct{}{},
		dirs: map[*dir]bool{}, composer: map[*dir]time.Time{}, reader: newReader(e),
		holder: newHolder(e, opt.HoldFiles), unannounced: map[suspect]unannounced{}, idle: make(chan struct{}, 1)}
	for _, path := range opt.Paths {
		t.roots = append(t.roots, &link{path: path})
	}
	t.publish()
	return t
}

// start takes the first look at everything.
func (t *tree) start(ctx context.Context) {
	t.adopting = true
	t.openNotifier()
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
		t.stop()
		t.notifier = nil
	}
}

// openNotifier starts the flow of events, if it may.
func (t *tree) openNotifier() {
	if t.opt.Poll == PollAlways {
		return
	}
	n, stop, err := t.env.listen(t.intake)
	if err != nil {
		t.limited(err, t.opt.Poll)
		return
	}
	t.notifier, t.stop = n, stop
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

// mark says that a file must be looked at because of what happened between first and last.
func (t *tree) mark(d *dir, name string, first, last time.Time) {
	t.seen.add(first, last)
	t.composing(d, last)
	if t.auditing && d.marks[name] == nil {
		t.unannounced[suspect{d, name}] = unannounced{found: time.Now()}
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
