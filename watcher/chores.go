package watcher

import (
	"context"
	"time"

	"golang.org/x/sys/unix"
)

// chores are what goes on beside the events: polling, the slow patrol that finds changes no event announced, and the
// reading of contents after the first look. The reading is done by goroutines that get copies and send back functions,
// which run in the loop that owns the tree.
type chores struct {
	t     *tree
	calls chan<- func()
	jobs  chan func(ctx context.Context) func()

	armed  bool      // a poll is planned or under way
	began  time.Time // when it began
	round  []*dir    // what is left of it
	under  int       // its jobs under way
	beat   []*dir    // what is left of the patrol
	walked time.Time // when it began
	unread []*dir    // what is left to be hashed
}

type suspect struct {
	dir  *dir
	name string // "": the directory itself
}

// pollers is how many files are looked at together: on a network file system each look waits for an answer.
const pollers = 4

func newChores(t *tree, calls chan<- func()) *chores {
	return &chores{t: t, calls: calls, jobs: make(chan func(context.Context) func(), 64)}
}

// work runs jobs until ctx is done.
func (c *chores) work(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case job := <-c.jobs:
			c.call(ctx, job(ctx))
		}
	}
}

func (c *chores) call(ctx context.Context, f func()) {
	if f == nil {
		return
	}
	select {
	case <-ctx.Done():
	case c.calls <- f:
	}
}

// after has f run in the loop after d.
func (c *chores) after(ctx context.Context, d time.Duration, f func()) {
	time.AfterFunc(d, func() { c.call(ctx, f) })
}

// sample is a copy of what is known of a directory, for a goroutine to compare with.
type sample struct {
	dir    *dir
	path   string
	id     inode
	mtime  int64
	ctime  int64
	racy   bool
	anchor bool
	files  []fileState
}

func sampleOf(d *dir) sample {
	return sample{d, d.path, d.id, d.mtime, d.ctime, d.racy, d.anchor(), d.seen()}
}

// difference is what a poll or the patrol found to differ from what is known.
type difference struct {
	suspect
	stat fileState // zero: gone
}

// outcome of the comparison of samples.
type outcome struct {
	differ []difference
	same   []difference // the stat was equal but could not be trusted, and the content is equal, too
}

// compare looks at everything in the sample and reads only what the stat cannot tell. It takes token to read, if there is one.
func (s *sample) compare(ctx context.Context, r *reader, token chan struct{}, out *outcome) {
	var st unix.Stat_t
	if !s.anchor {
		err := unix.Stat(s.path, &st)
		if err != nil || s.racy || inodeOf(&st) != s.id || st.Mtim.Nano() != s.mtime || st.Ctim.Nano() != s.ctime {
			out.differ = append(out.differ, difference{suspect: suspect{s.dir, ""}})
		}
		if err != nil {
			return
		}
	}
	for i := range s.files {
		f := &s.files[i]
		d := difference{suspect: suspect{s.dir, f.name}}
		if unix.Stat(joinPath(s.path, f.name), &st) == nil {
			d.stat = stateOf(f.name, &st)
		}
		if !d.stat.sameStat(f) {
			out.differ = append(out.differ, d)
			continue
		}
		if !f.racy || !f.known {
			continue
		}
		if token != nil && !take(ctx, token) {
			return
		}
		now, err := r.look(ctx, joinPath(s.path, f.name), f.name, true)
		if token != nil {
			<-token
		}
		if err == nil && now.sameContent(f) {
			d.stat = now
			out.same = append(out.same, d)
		} else if ctx.Err() == nil {
			out.differ = append(out.differ, d)
		}
	}
}

// start plans everything that goes on in the background.
func (c *chores) start(ctx context.Context) {
	c.t.onPolled = func() { c.arm(ctx, c.t.opt.PollInterval) }
	if c.t.toPoll > 0 {
		c.t.onPolled()
	}
	if c.t.opt.Poll == PollAuto && c.t.notifier != nil {
		c.walked = time.Now()
		c.after(ctx, c.t.env.patrol, func() { c.patrol(ctx) })
	}
	for _, d := range c.t.nodes {
		if len(d.files) > 0 {
			c.unread = append(c.unread, d)
		}
	}
	c.hash(ctx)
}

// arm plans the next poll, if there is anything to poll.
func (c *chores) arm(ctx context.Context, d time.Duration) {
	if !c.armed && c.t.toPoll > 0 {
		c.armed = true
		c.after(ctx, d, func() { c.poll(ctx) })
	}
}

// poll begins a round. Links are looked at by this goroutine: they are few.
func (c *chores) poll(ctx context.Context) {
	c.began = time.Now()
	for _, r := range c.t.roots {
		c.t.recheck[r] = c.t.recheck[r] || false
	}
	for _, d := range c.t.nodes {
		if !d.polled || !d.live {
			continue
		}
		c.round = append(c.round, d)
		for _, l := range d.links {
			c.t.recheck[l] = c.t.recheck[l] || false
		}
	}
	for range pollers {
		c.pollPart(ctx)
	}
	if c.under == 0 {
		c.armed = false
		c.arm(ctx, c.t.opt.PollInterval)
	}
}

// pollPart sends off the next part of the round, or ends it.
func (c *chores) pollPart(ctx context.Context) {
	part, rest := cut(c.round, 512)
	c.round = rest
	if len(part) == 0 {
		return
	}
	c.under++
	c.jobs <- func(ctx context.Context) func() {
		found := c.compare(ctx, part, c.t.idle)
		return func() {
			for _, d := range found.differ {
				if d.dir.live {
					c.t.suspect(d)
				}
			}
			c.t.calm(found.same)
			c.under--
			if c.pollPart(ctx); c.under == 0 {
				c.armed = false
				// A large or slow tree must not keep a processor busy.
				c.arm(ctx, max(c.t.opt.PollInterval, 3*time.Since(c.began)))
			}
		}
	}
}

// cut takes directories with about n files together off the front, as copies.
func cut(dirs []*dir, n int) (part []sample, rest []*dir) {
	for len(dirs) > 0 && n > 0 {
		d := dirs[0]
		dirs = dirs[1:]
		if d.live {
			part = append(part, sampleOf(d))
			n -= 1 + len(d.files)
		}
	}
	return part, dirs
}

func (c *chores) compare(ctx context.Context, part []sample, token chan struct{}) (found outcome) {
	r := newReader(c.t.env)
	for i := range part {
		part[i].compare(ctx, r, token, &found)
	}
	return found
}

// suspect follows up a difference from what is known. What is found again as it was found before is no new event, or it
// would never be quiet.
func (t *tree) suspect(f difference) {
	d := f.dir
	if f.name == "" {
		t.listSoon(d)
		return
	}
	if m := d.marks[f.name]; m != nil && m.dirty && m.polled && m.stat.sameStat(&f.stat) {
		return
	}
	now := time.Now()
	t.mark(d, f.name, now, now)
	if m := d.marks[f.name]; m != nil {
		m.polled, m.stat = true, f.stat
	}
}

// calm takes over that a file which was looked at soon after a change did not change again.
func (t *tree) calm(same []difference) {
	for _, f := range same {
		if i, ok := f.dir.file(f.name); ok && f.dir.files[i].sameStat(&f.stat) && f.dir.files[i].sameContent(&f.stat) {
			f.dir.files[i] = f.stat
		}
		if m := f.dir.marks[f.name]; m != nil && m.op != 0 && m.next.sameStat(&f.stat) && m.next.sameContent(&f.stat) {
			m.next = f.stat
		}
	}
}

// hash reads some of the contents that were not read before the first look ended.
func (c *chores) hash(ctx context.Context) {
	part, rest := cut(c.unread, 256)
	c.unread = rest
	if len(part) == 0 {
		c.unread = nil
		return
	}
	remote := c.t.opt.Poll == PollAlways
	c.jobs <- func(ctx context.Context) func() {
		began := time.Now()
		r := newReader(c.t.env)
		for _, s := range part {
			for i := range s.files {
				if f := &s.files[i]; !f.known && take(ctx, c.t.idle) {
					if state, err := r.look(ctx, joinPath(s.path, f.name), f.name, remote); err == nil && state.sameStat(f) {
						*f = state
					}
					<-c.t.idle
				}
			}
		}
		pause(ctx, time.Since(began)) // leave half of a processor, and of the disk, to others
		return func() {
			for _, s := range part {
				for _, f := range s.files {
					c.t.learn(s.dir, f)
				}
			}
			c.hash(ctx)
		}
	}
}

// take waits for a token, and reports false when ctx is done first.
func take(ctx context.Context, token chan struct{}) bool {
	select {
	case <-ctx.Done():
		return false
	case token <- struct{}{}:
		return true
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// learn takes over the content of a file that is otherwise as it was at the first look.
func (t *tree) learn(d *dir, f fileState) {
	if i, ok := d.file(f.name); ok && f.known && !d.files[i].known && !d.files[i].racy && d.files[i].sameStat(&f) {
		d.files[i] = f
	}
}
