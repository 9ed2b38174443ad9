package watcher

import (
	"context"
	"errors"
	"io/fs"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
)

// offered is a difference in the batch on offer, as it was when the batch was made.
type offered struct {
	dir  *dir
	name string
	op   Op
	next fileState
}

// finding is what a look at a marked file found.
type finding struct {
	dir   *dir
	name  string
	state fileState
	there bool
	err   error // it cannot be told
}

// look looks at every marked file and makes the offer of all differences found so far. A file that is empty or gone
// although it was reported with content is given a moment to get its content back: then retry is not zero, and
// the caller may wait until then, or take the offer without that file.
func (t *tree) look(ctx context.Context) (retry time.Time) {
	if len(t.relist) > 0 {
		for d := range t.relist {
			if d.live {
				t.listSoon(d)
			}
			delete(t.relist, d)
		}
		t.settleLinks(ctx)
	}
	now := time.Now()
	for _, f := range t.inspectFiles(ctx) {
		if until := t.judge(f, now); !until.IsZero() && (retry.IsZero() || until.Before(retry)) {
			retry = until
		}
	}
	t.makeOffer()
	if t.pending == 0 {
		t.rescan = false
		t.purge()
	}
	return retry
}

// parallelFrom is the number of files from which it pays to look with several goroutines.
const parallelFrom = 16

// inspectFiles reads the marked files.
func (t *tree) inspectFiles(ctx context.Context) []finding {
	var found []finding
	for d := range t.marked {
		for name, m := range d.marks {
			if m.dirty {
				found = append(found, finding{dir: d, name: name})
			}
		}
	}
	inspect := func(r *reader, part []finding) {
		for i := range part {
			f := &part[i]
			state, err := r.look(ctx, f.dir.join(f.name), f.name, t.remote(f.dir))
			f.state, f.there = state, err == nil
			if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errNotRegular) {
				f.err = err
			}
		}
	}
	if len(found) < parallelFrom {
		inspect(t.reader, found)
	} else {
		var group sync.WaitGroup
		n := runtime.GOMAXPROCS(0)
		for part := range slices.Chunk(found, (len(found)+n-1)/n) {
			group.Go(func() { inspect(newReader(t.env), part) })
		}
		group.Wait()
	}
	if ctx.Err() != nil {
		return nil // what was not read must not pass for what is gone
	}
	return found
}

// judge compares what was found with what was reported. It returns until when the file should be given time.
func (t *tree) judge(f finding, now time.Time) (until time.Time) {
	d, m := f.dir, f.dir.marks[f.name]
	if f.err != nil { // a network file system that does not answer has not deleted anything
		t.once(d.path, "file cannot be looked at", zap.String("path", d.join(f.name)), zap.Error(f.err))
		if m.dirty, m.polled = false, false; m.op == 0 {
			t.unmark(d, f.name)
		}
		return time.Time{}
	}
	i, known := d.file(f.name)
	lacking := !f.there && known || f.there && f.state.size == 0 && !(known && d.files[i].size == 0)
	if !lacking {
		m.since = time.Time{}
	} else if m.since.IsZero() {
		m.since = now
	}
	if lacking && now.Before(m.since.Add(t.env.comeBack)) {
		return m.since.Add(t.env.comeBack)
	}
	m.dirty, m.polled = false, false
	if f.there && !d.live {
		t.revive(d)
	}
	op := Op(0)
	switch {
	case f.there && !known:
		op = Created
	case !f.there && known:
		op = Deleted
	case !f.there: // it came and went
	case d.files[i].sameContent(&f.state):
		d.files[i] = f.state
	default:
		op = Modified
	}
	t.setOp(m, op)
	m.next = f.state
	if u, ok := t.unannounced[suspect{d, f.name}]; ok {
		u.differs = true
		t.unannounced[suspect{d, f.name}] = u
		if op == 0 {
			delete(t.unannounced, suspect{d, f.name})
		}
	}
	if op == 0 {
		t.unmark(d, f.name)
	}
	return time.Time{}
}

func (t *tree) setOp(m *mark, op Op) {
	if m.op != 0 {
		t.pending--
	}
	if op != 0 {
		t.pending++
	}
	m.op = op
}

func (t *tree) unmark(d *dir, name string) {
	delete(d.marks, name)
	if len(d.marks) == 0 {
		d.marks = nil
		delete(t.marked, d)
		delete(t.composer, d)
		if !d.live {
			t.ghosts[d] = struct{}{}
		}
	}
}

// makeOffer collects the differences. A file that is being given time is left out.
func (t *tree) makeOffer() {
	t.offer = t.offer[:0]
	if t.pending == 0 {
		return
	}
	for d := range t.marked {
		for name, m := range d.marks {
			if m.op != 0 && !m.dirty {
				t.offer = append(t.offer, offered{d, name, m.op, m.next})
			}
		}
	}
}

// markedFiles returns the paths of the files that are marked, nil when there are more than so many or when directories are
// still to be read.
func (t *tree) markedFiles(most int) []string {
	if len(t.relist) > 0 {
		return nil
	}
	var paths []string
	for d := range t.marked {
		for name := range d.marks {
			if len(paths) == most {
				return nil
			}
			paths = append(paths, d.join(name))
		}
	}
	return paths
}

// changes renders the offer.
func (t *tree) changes() []Change {
	if len(t.offer) == 0 {
		return nil
	}
	out := make([]Change, len(t.offer))
	for i, o := range t.offer {
		path := o.dir.join(o.name)
		out[i] = Change{Path: path, Rel: t.match.rel(path), Op: o.op}
	}
	slices.SortFunc(out, func(a, b Change) int { return strings.Compare(a.Path, b.Path) })
	return out
}

func (t *tree) rescanned() bool { return t.rescan }

// commit records that the offer was taken: from now on this is what was reported.
func (t *tree) commit() {
	for _, o := range t.offer {
		m := o.dir.marks[o.name]
		t.setOp(m, 0)
		if o.op == Deleted {
			if o.dir.drop(o.name) {
				t.files--
			}
		} else if o.dir.put(o.next) {
			t.files++
		}
		if !m.dirty {
			t.unmark(o.dir, o.name)
		}
	}
	t.offer = t.offer[:0]
	t.rescan = false
	t.purge()
	t.publish()
}

// changedSince lists what changed after a time, from what was found at the first look or reported since.
func (t *tree) changedSince(at time.Time) []string {
	since := at.Add(-racyLocal).UnixNano() // time stamps lag behind the clock
	var out []string
	for _, d := range t.nodes {
		before := len(out)
		for i := range d.files {
			if d.files[i].ctime > since {
				out = append(out, d.join(d.files[i].name))
			}
		}
		if d.live && !d.anchor() && len(out) == before && d.mtime > since {
			out = append(out, d.path+"/")
		}
	}
	slices.Sort(out)
	return out
}
