package watcher

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// sight looks where a path leads, and has every directory watched in which that can change. It belongs to the goroutine
// of [LinkWatcher.Run].
type sight struct {
	opt LinkOptions
	env *env
	*notices

	notifier *fsnotify.Watcher // nil: nothing is watched through events
	intake   *intake
	stop     func() // closes it

	hops    []hop // whose names matter
	anchors []anchor
	armed   time.Time // when they were last watched anew
	stale   bool      // one of them may have lost its watch
	refused bool      // one of them is not watched
	remote  bool      // one of them is changed by others without an event
}

// anchor is a directory in which it is decided where the path leads.
type anchor struct {
	path string
	id   inode
}

// way is one answer to where the path leads.
type way struct {
	hops   []hop
	target target
	err    error // why there is no target
}

func (w way) same(u way) bool { return slices.Equal(w.hops, u.hops) && w.target.same(u.target) }

func newSight(opt LinkOptions, e *env) *sight {
	nothing := &matcher{} // counts but the names in the anchors
	return &sight{opt: opt, env: e, notices: newNotices(opt.Log), intake: newIntake(nothing)}
}

func (s *sight) close() {
	if s.notifier != nil {
		s.stop()
	}
}

// rounds is how often a look is repeated at once when it found something else than the one before.
const rounds = 8

var errUnsettled = errors.New("the way is changing all the time")

// look returns what was found twice in a row, with all watches in place before the second time. What changes later
// has an event, and what was seen of several symlinks was true of all of them at one moment.
func (s *sight) look() view {
	s.absorb()
	was := s.resolve()
	for range rounds {
		s.arm(was.hops)
		now := s.resolve()
		if was.target.close(); !s.stale && now.same(was) {
			return view{now.target, now.err, s.again()}
		}
		was = now
	}
	was.target.close()
	return view{err: errUnsettled, again: s.env.unsettled}
}

// absorb takes in what the events said: nothing but that it is time to look, and whether an anchor may have lost its watch.
func (s *sight) absorb() {
	hints, lost, errs := s.intake.take()
	for _, err := range errs {
		s.once(err.Error(), "watching a link", zap.String("path", s.opt.Path), zap.Error(err))
	}
	s.stale = s.stale || lost
	for _, a := range s.anchors {
		s.stale = s.stale || hints[a.path].op&(fsnotify.Remove|fsnotify.Rename) != 0
	}
}

// again is the pause until the next look that no event asks for.
func (s *sight) again() time.Duration {
	switch {
	case s.opt.Poll == PollNever:
		return 0
	case s.opt.Poll == PollAlways || s.notifier == nil || s.refused || s.remote:
		return s.opt.PollInterval
	}
	return s.env.recheck
}

// resolve follows the path to its end.
func (s *sight) resolve() (w way) {
	var end string
	if w.hops, end, w.err = trace("/", s.opt.Path); w.err == nil {
		w.target, w.err = s.env.pin(end)
	}
	return w
}

// pin opens a directory, to know which one it is and will be.
func (e *env) pin(path string) (target, error) {
	fd, err := e.open(path, pinning|unix.O_DIRECTORY|unix.O_NOFOLLOW)
	if err != nil {
		return target{}, &os.PathError{Op: "open", Path: path, Err: err}
	}
	t := target{path: path, pin: os.NewFile(uintptr(fd), path)}
	var st unix.Stat_t
	if err := ignoringEINTR(func() error { return unix.Fstat(fd, &st) }); err != nil {
		t.close()
		return target{}, &os.PathError{Op: "fstat", Path: path, Err: err}
	}
	t.id = inodeOf(&st)
	return t, nil
}

// arm has the directories of the hops watched, and them only. When one of them is another than before, or its watch may be
// gone, all are watched anew: a path, a directory and a watch that fsnotify holds for one another are then never
// mistaken for those that have just taken their place.
func (s *sight) arm(hops []hop) {
	if !slices.Equal(hops, s.hops) {
		s.publish(hops)
	}
	anchors := s.anchorsOf(hops)
	if s.refused && time.Since(s.armed) >= s.env.retry {
		s.stale = true // perhaps the limit was raised
	}
	if !s.stale && slices.Equal(anchors, s.anchors) {
		return
	}
	s.remote = s.opt.Poll == PollAuto && slices.ContainsFunc(anchors, s.isRemote)
	old := s.anchors
	s.anchors, s.armed, s.stale, s.refused = anchors, time.Now(), false, false
	if s.opt.Poll == PollAlways {
		return
	}
	if s.notifier == nil {
		n, stop, err := s.env.listen(s.intake)
		if err != nil {
			s.refused = true
			s.limited(err, s.opt.Poll)
			return
		}
		s.notifier, s.stop = n, stop
	}
	for _, a := range old {
		_ = s.notifier.Remove(a.path) // the kernel or fsnotify may have removed it already
	}
	for _, a := range anchors {
		if err := s.env.add(s.notifier, a.path); errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
			s.stale = true // it has just gone, and may come back before the way is looked at again
		} else if err != nil {
			s.refused = true
			s.unwatchable(a.path, err, s.opt.Poll)
		}
	}
}

// anchorsOf returns the directories of the hops as they are now.
func (s *sight) anchorsOf(hops []hop) (anchors []anchor) {
	for _, h := range hops {
		if slices.ContainsFunc(anchors, func(a anchor) bool { return a.path == h.dir }) {
			continue
		}
		if s.opt.Poll == PollAlways || s.remote {
			refresh(h.dir)
		}
		_, id, _ := lookAt(h.dir)
		anchors = append(anchors, anchor{h.dir, id})
	}
	slices.SortFunc(anchors, func(a, b anchor) int { return strings.Compare(a.path, b.path) })
	return anchors
}

// publish says which names matter. A directory with two paths has one watch and the name of one of them, therefore every name
// matters in every anchor.
func (s *sight) publish(hops []hop) {
	s.hops = hops
	names, sp := map[string]struct{}{}, map[string]special{}
	for _, h := range hops {
		names[h.name] = struct{}{}
		sp[h.dir] = special{anchor: true, names: names}
	}
	s.intake.special.Store(&sp)
}

func (s *sight) isRemote(a anchor) bool {
	name, remote := s.env.fileSystem(a.path)
	if remote {
		s.eventless(a.path, name, s.opt.PollInterval)
	}
	return remote
}
