package watcher

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"
)

func TestChangedSince(t *testing.T) {
	f := newFault(t)
	f.watch()
	if got := f.w.ChangedSince(time.Now().Add(time.Hour)); len(got) != 0 {
		t.Errorf("in the future: %q", got)
	}
	want := []string{f.path("a/x.php"), f.path("b/y.php"), f.path("z.php")}
	if got := f.w.ChangedSince(time.Now().Add(-time.Hour)); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestChangedSinceFindsDeletions(t *testing.T) {
	f := newFault(t)
	if err := os.Remove(f.path("a/x.php")); err != nil {
		t.Fatal(err)
	}
	f.watch()
	if got := f.w.ChangedSince(time.Now().Add(-time.Hour)); !slices.Contains(got, f.path("a")+"/") {
		t.Errorf("got %q", got)
	}
}

func TestNewRefuses(t *testing.T) {
	good := Options{Base: "/srv", Paths: []string{"/srv"}}
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Options){
		"relative base": func(o *Options) { o.Base = "srv" },
		"relative path": func(o *Options) { o.Paths = []string{"app"} },
		"no path":       func(o *Options) { o.Paths = nil },
		"bad pattern":   func(o *Options) { o.Exclude = []string{"[a"} },
		"bad times":     func(o *Options) { o.Quiet, o.MaxWait = time.Second, time.Millisecond },
		"negative":      func(o *Options) { o.PollInterval = -1 },
	} {
		opt := good
		if change(&opt); opt.Base != "" {
			if _, err := New(opt); err == nil {
				t.Errorf("%s: accepted", name)
			}
		}
	}
}

func TestRunEndsBeforeReady(t *testing.T) {
	f := newFault(t)
	w, err := newWatcher(f.opt, f.env)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := w.Run(ctx); err != nil {
		t.Error(err)
	}
	if _, open := <-w.Batches(); open {
		t.Error("the channel is not closed")
	}
	if got := w.ChangedSince(time.Time{}); got != nil {
		t.Errorf("got %q", got)
	}
	select {
	case <-w.Ready():
		t.Error("ready")
	default:
	}
}

func TestEndlessWritesAreReported(t *testing.T) {
	f := newFault(t)
	f.opt.MaxWait = 50 * time.Millisecond
	f.watch()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() {
		for i := 0; ctx.Err() == nil; i++ {
			if err := os.WriteFile(f.path("z.php"), fmt.Append(nil, i, "\n"), 0o644); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	f.until("modified z.php")
	f.until("modified z.php")
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func waitFor(t *testing.T, what string, fact func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !fact(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come", what)
		}
	}
}
