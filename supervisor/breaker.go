package supervisor

import "time"

// loopBreaker finds files that the server itself changes whenever it is reloaded: each such change would cause the
// next reload, for ever.
//
// A file that changed during two operations in a row is suspected. A person may have saved it twice, so it is put to the
// test: its next operation waits until the file has been left alone for a while. If it then changes again while that
// operation runs, the operation is likely what changes it, and it is ignored. Likely is not certain, and no change may be lost: so
// the change that convicts it is still applied, once, a little later (see appeal). A file that an operation left alone, or
// that changed while none ran, is acquitted.
type loopBreaker struct {
	files    map[string]*suspect
	running  bool
	started  time.Time // of the last operation
	ended    time.Time
	duration time.Duration
}

// suspect is what is known of one file that changed during an operation.
type suspect struct {
	strikes int
	last    time.Time // its last change
	struck  bool      // it changed during the last operation
	before  bool      // struck, before that
	alone   bool      // it was left alone before the last operation
	ignored bool
}

// strikeout is the number of operations in a row during which a file must have changed to be ignored.
const strikeout = 3

// leftAlone is how long a suspected file must not change before it is put to the test.
const leftAlone = 300 * time.Millisecond

// appeal is how long after the change that made a file ignored that change is applied after all.
const appeal = time.Second

// maxSuspects bounds the memory for files that changed during one operation.
const maxSuspects = 1000

func newLoopBreaker() *loopBreaker { return &loopBreaker{files: map[string]*suspect{}} }

// begin notes that an operation starts. Files that did not change during the one before are acquitted.
func (b *loopBreaker) begin(now time.Time) {
	b.running, b.started = true, now
	for path, s := range b.files {
		if !s.struck {
			delete(b.files, path)
			continue
		}
		s.before, s.struck = s.struck, false
		s.alone = now.Sub(s.last) >= b.patience()
	}
}

// end notes that it ended. An operation that did not touch the server cannot be what changed a file.
func (b *loopBreaker) end(now time.Time, acted bool) {
	b.running, b.ended, b.duration = false, now, now.Sub(b.started)
	if acted {
		return
	}
	b.started, b.ended = time.Time{}, time.Time{}
	for _, s := range b.files {
		if s.struck && !s.ignored {
			s.strikes--
		}
		s.struck = s.before
	}
}

// during reports whether something that was noticed at t may be the doing of the last operation.
func (b *loopBreaker) during(t time.Time) bool {
	return !b.started.IsZero() && !t.Before(b.started) && (b.running || !t.After(b.ended))
}

// changed notes a change that was noticed at t, and reports whether the file is ignored from now on because of it.
func (b *loopBreaker) changed(path string, t time.Time) bool {
	during := b.during(t)
	s := b.files[path]
	switch {
	case s == nil && during && len(b.files) < maxSuspects:
		b.files[path] = &suspect{strikes: 1, last: t, struck: true}
		return false
	case s == nil:
		return false
	case !during: // somebody else changes it
		delete(b.files, path)
		return false
	}
	s.last = t
	if s.struck {
		return false
	}
	s.struck = true
	s.strikes++
	if s.ignored || s.strikes < strikeout || !s.alone {
		return false
	}
	s.ignored = true
	return true
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
		if s == nil || s.ignored || s.strikes < strikeout-1 {
			return 0
		}
		wait = max(wait, b.patience()-now.Sub(s.last))
	}
	return wait
}

// patience is how long a suspected file must be left alone: long enough that a person who saves it again and again is not
// taken for the server.
func (b *loopBreaker) patience() time.Duration { return max(leftAlone, b.duration) }
