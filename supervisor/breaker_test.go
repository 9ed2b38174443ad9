package supervisor

import (
	"testing"
	"time"
)

// breakerScript drives a loopBreaker by a little story: times are in milliseconds.
type breakerScript struct {
	t *testing.T
	b *loopBreaker
	z time.Time
}

func (s *breakerScript) at(ms int) time.Time { return s.z.Add(time.Duration(ms) * time.Millisecond) }
func (s *breakerScript) begin(ms int)        { s.b.begin(s.at(ms)) }
func (s *breakerScript) end(ms int)          { s.b.end(s.at(ms), true) }
func (s *breakerScript) change(ms int) bool  { return s.b.changed("/gen.php", s.at(ms)) }

func newBreakerScript(t *testing.T) *breakerScript {
	return &breakerScript{t, newLoopBreaker(), time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
}

func TestLoopBreakerIgnoresWhatTheServerWritesInThreeReloads(t *testing.T) {
	s := newBreakerScript(t)
	s.begin(0)
	if s.change(20) {
		t.Error("ignored after one reload")
	}
	s.end(40)
	if wait := s.b.holdBack([]string{"/gen.php"}, s.at(40)); wait != 0 {
		t.Errorf("held back for %s after one reload", wait)
	}
	s.begin(60)
	if s.change(80) {
		t.Error("ignored after two reloads")
	}
	s.end(100)
	wait := s.b.holdBack([]string{"/gen.php"}, s.at(100))
	if wait != leftAlone-20*time.Millisecond {
		t.Errorf("held back for %s, want until it was left alone for %s", wait, leftAlone)
	}
	s.begin(100 + int(wait.Milliseconds()))
	if !s.change(400) {
		t.Error("not ignored although it changed during three reloads, the last one in isolation")
	}
	s.end(420)
	if !s.b.ignores("/gen.php") {
		t.Error("ignores forgot the file")
	}
}

// A batch comes later than its changes: what counts is when they were noticed.
func TestLoopBreakerGoesByWhenAChangeWasNoticed(t *testing.T) {
	for _, tt := range []struct {
		after int // the end of each reload, in ms
		want  bool
	}{{-5, true}, {5, false}} {
		s := newBreakerScript(t)
		ignored := false
		for ms := 0; ms < 3000; ms += 1000 {
			s.begin(ms)
			s.end(ms + 40)
			ignored = s.change(ms + 40 + tt.after)
		}
		if ignored != tt.want {
			t.Errorf("changes %d ms after the end of three reloads: ignored = %v", tt.after, ignored)
		}
	}
}

// Somebody saves faster than the server reloads: all saves fall into reloads, none may be lost.
func TestLoopBreakerNeverIgnoresAFileThatIsSavedAllTheTime(t *testing.T) {
	s := newBreakerScript(t)
	for ms := 0; ms < 60000; ms += 700 {
		s.begin(ms)
		for save := ms + 100; save <= ms+500; save += 200 {
			if s.change(save) {
				t.Fatalf("ignored at %d ms", save)
			}
		}
		s.end(ms + 600)
	}
}

func TestLoopBreakerAcquits(t *testing.T) {
	t.Run("a file that one reload left alone", func(t *testing.T) {
		s := newBreakerScript(t)
		s.begin(0)
		s.change(20)
		s.end(40)
		s.begin(500)
		s.end(540)
		s.begin(1000)
		s.change(1020)
		s.end(1040)
		s.begin(1500)
		if s.change(1520) {
			t.Error("ignored although the reloads were not in a row")
		}
	})
	t.Run("an ignored file that one reload left alone", func(t *testing.T) {
		s := newBreakerScript(t)
		for ms := 0; ms < 3000; ms += 1000 {
			s.begin(ms)
			s.change(ms + 20)
			s.end(ms + 40)
		}
		s.begin(4000)
		s.end(4040)
		s.begin(5000)
		if s.b.ignores("/gen.php") {
			t.Error("still ignored after a reload that did not change it")
		}
	})
	t.Run("an ignored file that somebody else saves", func(t *testing.T) {
		s := newBreakerScript(t)
		for ms := 0; ms < 3000; ms += 1000 {
			s.begin(ms)
			s.change(ms + 20)
			s.end(ms + 40)
		}
		if !s.b.ignores("/gen.php") {
			t.Fatal("not ignored")
		}
		s.change(5000)
		if s.b.ignores("/gen.php") {
			t.Error("still ignored after a change while nothing ran")
		}
	})
}

func TestLoopBreakerHoldsBackNothingThatHasAnotherCause(t *testing.T) {
	s := newBreakerScript(t)
	for ms := 0; ms < 200; ms += 100 {
		s.begin(ms)
		s.change(ms + 20)
		s.end(ms + 40)
	}
	if wait := s.b.holdBack([]string{"/gen.php"}, s.at(140)); wait == 0 {
		t.Error("the suspected file alone is not held back")
	}
	if wait := s.b.holdBack([]string{"/gen.php", "/app.php"}, s.at(140)); wait != 0 {
		t.Errorf("a change of another file waits %s", wait)
	}
}

func TestLoopBreakerDoesNotBlameARefusedOperation(t *testing.T) {
	s := newBreakerScript(t)
	for ms := 0; ms < 5000; ms += 1000 {
		s.begin(ms)
		if s.change(ms + 5) {
			t.Fatalf("ignored at %d ms", ms)
		}
		s.b.end(s.at(ms+10), false)
		if s.change(ms + 20) {
			t.Fatalf("ignored at %d ms", ms)
		}
	}
}
