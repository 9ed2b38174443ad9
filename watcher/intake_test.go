package watcher

import (
	"fmt"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
)

// TestHintsAreBounded: what cannot be remembered is found by comparing.
func TestHintsAreBounded(t *testing.T) {
	in := newIntake(mustMatcher(t, []string{"/srv/app"}, defaultInclude, nil))
	for i := range 3 * maxHints {
		in.add(fsnotify.Event{Name: fmt.Sprintf("/srv/app/%d.php", i), Op: fsnotify.Create})
	}
	hints, lost, _ := in.take()
	if !lost || len(hints) > maxHints {
		t.Errorf("%d hints, lost %v", len(hints), lost)
	}
	in.add(fsnotify.Event{Name: "/srv/app/a.php", Op: fsnotify.Create})
	if hints, lost, _ = in.take(); lost || len(hints) != 1 {
		t.Errorf("%d hints, lost %v", len(hints), lost)
	}
}

func TestIrrelevantWritesEndAtOnce(t *testing.T) {
	in := newIntake(mustMatcher(t, []string{"/srv/app"}, defaultInclude, defaultExclude))
	in.special.Store(&map[string]special{
		"/srv":        {anchor: true, names: map[string]struct{}{"app": {}}},
		"/srv/app/l":  {all: true},
		"/srv/shared": {anchor: true, names: map[string]struct{}{"env": {}}},
	})
	verdicts := map[string]bool{}
	for _, tt := range []struct {
		name string
		op   fsnotify.Op
		want bool
	}{
		{"/srv/app/app.log", fsnotify.Write, false},
		{"/srv/app/app.log", fsnotify.Write, false},
		{"/srv/app/a.php", fsnotify.Write, true},
		{"/srv/app/runtime/a.php", fsnotify.Write, false},
		{"/srv/app/new", fsnotify.Create, true}, // may be a directory
		{"/srv/app/l/any", fsnotify.Write, true},
		{"/srv/shared/env", fsnotify.Write, true},
		{"/srv/shared/other", fsnotify.Write, false},
		{"/srv/shared/other", fsnotify.Create, false},
		{"/srv/other", fsnotify.Create, false},
		{"/srv/app", fsnotify.Remove, true},
		{"/srv/shared", fsnotify.Remove, true},
	} {
		if got := in.matters(fsnotify.Event{Name: tt.name, Op: tt.op}, verdicts); got != tt.want {
			t.Errorf("%v %s: %v", tt.op, tt.name, got)
		}
	}
	for i := range 2 * maxVerdicts {
		in.matters(fsnotify.Event{Name: fmt.Sprintf("/srv/app/%d.log", i), Op: fsnotify.Write}, verdicts)
	}
	if len(verdicts) > maxVerdicts {
		t.Errorf("%d cached", len(verdicts))
	}
}

// TestReaderRestsInAStorm: a relevant event in the middle of a storm of others is not dropped with them.
func TestReaderRestsInAStorm(t *testing.T) {
	in := newIntake(mustMatcher(t, []string{"/srv/app"}, defaultInclude, defaultExclude))
	events := make(chan fsnotify.Event)
	done := make(chan struct{})
	go func() { defer close(done); in.read(t.Context(), events, nil) }()
	for i := range 3 * patient {
		events <- fsnotify.Event{Name: "/srv/app/app.log", Op: fsnotify.Write}
		if i == 2*patient {
			events <- fsnotify.Event{Name: "/srv/app/a.php", Op: fsnotify.Write}
		}
	}
	close(events)
	<-done
	if hints, _, _ := in.take(); len(hints) != 1 {
		t.Errorf("hints %v", hints)
	}
}

func TestManyNewNamesAreNotRemembered(t *testing.T) {
	f := newFault(t)
	f.opt.Quiet, f.opt.MaxWait = time.Hour, time.Hour
	f.watch()
	inTree(f.w, func(tr *tree) {
		d := tr.nodes[f.dir]
		for i := range 2 * maxMarks {
			tr.mark(d, fmt.Sprintf("%d.php", i), time.Now(), time.Now())
		}
		tr.mark(d, "z.php", time.Now(), time.Now())
		if len(d.marks) > maxMarks+1 || len(tr.relist) != 1 || d.marks["z.php"] == nil {
			t.Errorf("%d marks, %d directories to list", len(d.marks), len(tr.relist))
		}
	})
}
