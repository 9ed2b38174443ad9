package supervisor

import "time"

// loopBreaker finds files that the server itself changes whenever it is reloaded: each such change would cause the
// next reload, for ever.
//
// A file that changed during two operations in a row is suspected. A person may have saved it twice, so it is put to the
// test: its next operation waits until the file has been left alone for a while. If it then changes again while that
// operation runs, the operation is what changes it, and it is ignored. A change while nothing runs acquits it.
type loopBreaker struct {
	files    map[string]*suspect
	running  bool
	started  time.Time
	duration time.Duration // of the last operation
}

// suspect is what is known of one file that changed during an operation.
type suspect struct {
	strikes int
	last    time.Time // its last change
	struck  bool      // by the operation that runs
	alone   bool      // it was left alone before the operation that runs
	ignored bool
}

// strikeout is the number of operations in a row during which a file must have changed to be ignored.
const strikeout = 3

// leftAlone is how long a suspected file must not change before it is put to the test.
const leftAlone = 300 * time.Millisecond

// aftermath is how long after an operation a change still counts as made by it: workers write caches with their first
// requests.
const aftermath = 50 * time.Millisecond

// maxSuspects bounds the memory for files that changed during one operation.
const maxSuspects = 1000

func newLoopBreaker() *loopBreaker { return &loopBreaker{files: map[string]*suspect{}} }

// begin notes that an operation starts. Files that did not change during the one before are cleared of suspicion.
func (b *loopBreaker) begin(now time.Time) {
	b.running, b.started = true, now
	for path, s := range b.files {
		if !s.struck && !s.ignored {
			delete(b.files, path)
			continue
		}
		s.struck = false
		s.alone = now.Sub(s.last) >= b.patience()
	}
}

// end notes that it ended. An operation that did not touch the server cannot be what changed a file.
func (b *loopBreaker) end(now time.Time, acted bool) {
	b.running, b.duration = false, now.Sub(b.started)
	if acted {
		return
	}
	b.started = time.Time{}
	for _, s := range b.files {
		if s.struck && !s.ignored {
			s.strikes, s.struck = s.strikes-1, false
		}
	}
}

// changed notes a change and reports whether the file is ignored from now on because of it.
func (b *loopBreaker) changed(path string, now time.Time, running bool) bool {
	during := running || (!b.started.IsZero() && now.Sub(b.started.Add(b.duration)) <= aftermath)
	s := b.files[path]
	if s == nil {
		if during && len(b.files) < maxSuspects {
			b.files[path] = &suspect{strikes: 1, last: now, struck: true}
		}
		return false
	}
	s.last = now
	switch {
	case !during:
		// Somebody else changes it.
		delete(b.files, path)
		return false
	case s.ignored || s.struck:
		return false
	}
	s.struck = true
	s.strikes++
	if s.strikes >= strikeout && s.alone {
		s.ignored = true
		return true
	}
	return false
}

// ignores reports whether changes of this file are ignored.
func (b *loopBreaker) ignores(path string) bool {
	s := b.files[path]
	return s != nil && s.ignored
}

// holdBack returns how long an operation for these files must still wait because all of them are suspected.
func (b *loopBreaker) holdBack(paths []string, now time.Time) time.Duration {
	var wait time.Duration
	for _, path := range paths {
		s := b.files[path]
		if s == nil || s.strikes < strikeout-1 {
			return 0
		}
		wait = max(wait, b.patience()-now.Sub(s.last))
	}
	return wait
}

// patience is how long a suspected file must be left alone: long enough that a person who saves it again and again is not
// taken for the server.
func (b *loopBreaker) patience() time.Duration { return max(leftAlone, b.duration) }
