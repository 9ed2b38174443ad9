//go:build linux

package watcher

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// stage is a watched tree in which a server seems to start.
type stage struct {
	t   *testing.T
	dir string
	w   *Watcher
}

func newStage(t *testing.T, paths ...string) *stage {
	t.Helper()
	s := &stage{t: t, dir: t.TempDir()}
	if real, err := filepath.EvalSymlinks(s.dir); err == nil {
		s.dir = real
	}
	for _, file := range []string{"app/a.php", "app/b.php", "app/sub/c.php", "config/d.php", "app/notes.txt", "server.php"} {
		s.write(file, file)
	}
	s.write("../"+filepath.Base(s.dir)+"-lib/shared.php", "shared")
	t.Cleanup(func() { os.RemoveAll(s.dir + "-lib") })
	if err := os.Symlink(s.dir+"-lib/shared.php", s.path("app/link.php")); err != nil {
		t.Fatal(err)
	}
	if len(paths) == 0 {
		paths = []string{"."}
	}
	for i, p := range paths {
		paths[i] = s.path(p)
	}
	w, err := New(Options{Base: s.dir, Paths: paths, Include: []string{"**/*.php"}, Exclude: []string{"**/runtime/**"}})
	if err != nil {
		t.Fatal(err)
	}
	s.w = w
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = w.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	<-w.Ready()
	return s
}

func (s *stage) path(rel string) string { return filepath.Join(s.dir, rel) }

func (s *stage) write(rel, text string) {
	s.t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(s.path(rel)), 0o755), os.WriteFile(s.path(rel), []byte(text), 0o644)); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) load(files ...string) {
	s.t.Helper()
	for _, f := range files {
		if _, err := os.ReadFile(s.path(f)); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *stage) record(opt RecordOptions) *Recording {
	s.t.Helper()
	for _, p := range []*string{&opt.Until, &opt.Except} {
		if *p != "" {
			*p = s.path(*p)
		}
	}
	for i := range opt.Also {
		opt.Also[i] = s.path(opt.Also[i])
	}
	rec, err := s.w.Record(s.t.Context(), opt)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _, _ = rec.Close() })
	return rec
}

// found compares what was opened, by names relative to the stage.
func (s *stage) found(rec *Recording, want ...string) {
	s.t.Helper()
	opened, err := rec.Close()
	if err != nil {
		s.t.Fatal(err)
	}
	var have []string
	for _, path := range opened {
		have = append(have, strings.TrimPrefix(path, s.dir+"/"))
	}
	if !slices.Equal(have, want) {
		s.t.Errorf("opened %q, want %q", have, want)
	}
}

func TestRecordingEndsWithThePIDFile(t *testing.T) {
	s := newStage(t)
	s.write("runtime/old", "")
	rec := s.record(RecordOptions{Until: "runtime/server.pid"})
	s.load("server.php", "app/a.php", "app/notes.txt", "app/link.php")
	s.write("runtime/other", "")
	s.load("config/d.php")
	s.write("runtime/server.pid", "1")
	s.load("app/b.php", "app/sub/c.php")
	s.found(rec, "app/a.php", "app/link.php", "config/d.php", "server.php")
	if !rec.Exact() {
		t.Error("not exact")
	}
}

func TestRecordingEndsWithAPIDFileThatIsRenamedIntoPlace(t *testing.T) {
	s := newStage(t)
	rec := s.record(RecordOptions{Until: "server.pid"}) // in a directory that is watched itself
	s.load("app/a.php")
	s.write("pid~", "1")
	if err := os.Rename(s.path("pid~"), s.path("server.pid")); err != nil {
		t.Fatal(err)
	}
	s.load("app/b.php")
	s.found(rec, "app/a.php")
}

// The directory of the pid file is made by the server itself. Between its appearance and the watch on it the server may already
// be further: too much may be noted, but nothing may be missed.
func TestRecordingWithoutADirectoryForThePIDFile(t *testing.T) {
	s := newStage(t)
	rec := s.record(RecordOptions{Until: "runtime/deep/server.pid"})
	s.load("app/a.php")
	s.write("runtime/deep/server.pid", "1")
	opened, err := rec.closeWhenEnded()
	if err != nil || !opened.Has(s.path("app/a.php")) {
		t.Errorf("opened %q, %v", opened, err)
	}
}

// closeWhenEnded waits until the recording ends by itself.
func (r *Recording) closeWhenEnded() (Opened, error) {
	select {
	case <-r.done:
	case <-time.After(patience):
	}
	return r.Close()
}

func TestRecordingIsCut(t *testing.T) {
	s := newStage(t)
	rec := s.record(RecordOptions{Until: "runtime/never"})
	s.load("app/a.php")
	rec.Cut()
	s.load("app/b.php")
	rec.Cut()
	s.found(rec, "app/a.php")
	if rec.Exact() {
		t.Error("a recording that was cut is called exact")
	}
}

func TestRecordingThatNothingEnds(t *testing.T) {
	s := newStage(t)
	rec := s.record(RecordOptions{Until: "runtime/never"})
	s.load("app/a.php")
	if opened, err := rec.Close(); !errors.Is(err, ErrNeverCut) || opened != nil {
		t.Errorf("opened %q, %v", opened, err)
	}
	if _, err := rec.Close(); !errors.Is(err, ErrNeverCut) {
		t.Errorf("the second time: %v", err)
	}
	rec.Cut()
}

// A child of the server scans all files: what it opens does not count, what its parent opens before and after does.
func TestRecordingWithAScan(t *testing.T) {
	s := newStage(t)
	s.write("runtime/scan", "old")
	s.write("runtime/proxy/a.proxy.php", "")
	rec := s.record(RecordOptions{Until: "runtime/pid", Except: "runtime/scan", Also: []string{"runtime/proxy", "runtime/missing"}})
	s.load("config/d.php")
	s.load("runtime/scan", "app/a.php", "app/b.php", "runtime/proxy/a.proxy.php")
	s.write("runtime/scan", "new")
	s.load("runtime/scan", "app/sub/c.php", "runtime/proxy/a.proxy.php")
	s.write("runtime/pid", "1")
	s.found(rec, "app/sub/c.php", "config/d.php", "runtime/proxy/a.proxy.php")
}

// Where no scan is made, reading what the last one has left begins nothing.
func TestRecordingWithAScanThatWasNotMade(t *testing.T) {
	s := newStage(t)
	s.write("runtime/scan", "old")
	rec := s.record(RecordOptions{Until: "runtime/pid", Except: "runtime/scan"})
	s.load("config/d.php", "runtime/scan", "app/a.php")
	s.write("runtime/pid", "1")
	s.found(rec, "app/a.php", "config/d.php")
}

func TestRecordingOfADirectoryThatAppears(t *testing.T) {
	s := newStage(t)
	rec := s.record(RecordOptions{Until: "runtime/pid"})
	s.write("app/new/e.php", "")
	s.write("runtime/cache/x.php", "")
	rec.Cut()
	opened, err := rec.Close()
	if err != nil || !opened.Has(s.path("app/new/e.php")) || !opened.Has(s.path("app/new/deep/f.php")) || opened.Has(s.path("app/a.php")) {
		t.Errorf("opened %q, %v", opened, err)
	}
}

func TestRecordingOfASingleFile(t *testing.T) {
	s := newStage(t, "server.php", "config")
	rec := s.record(RecordOptions{Until: "runtime/pid"})
	s.load("server.php", "app/a.php")
	rec.Cut()
	s.found(rec, "server.php")
}

// What the watcher reads for itself is not opened by the server. It reads at leisure after it is ready, and while it does
// that there is no recording; in the recording it does not go on.
func TestRecordingIsNotFooledByTheWatcher(t *testing.T) {
	for range 20 {
		s := newStage(t)
		rec := s.record(RecordOptions{Until: "runtime/pid"})
		s.load("app/a.php")
		rec.Cut()
		s.found(rec, "app/a.php")
		eventually(t, func() bool { return s.allRead() })
	}
}

// allRead reports whether the watcher knows the content of every file.
func (s *stage) allRead() bool {
	answer := make(chan bool)
	s.w.calls <- func() {
		all := true
		for _, d := range s.w.tree.nodes {
			for _, f := range d.files {
				all = all && (f.known || f.racy)
			}
		}
		answer <- all
	}
	return <-answer
}

func eventually(t *testing.T, done func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !done(); <-time.After(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it did not come true")
		}
	}
}

func TestRecordingLosesEvents(t *testing.T) {
	s := newStage(t)
	rec := s.record(RecordOptions{Until: "runtime/pid"})
	rec.mu.Lock()
	rec.event(-1, -1, unix.IN_Q_OVERFLOW, "")
	rec.mu.Unlock()
	if opened, err := rec.Close(); !errors.Is(err, ErrEventsLost) || opened != nil {
		t.Errorf("opened %q, %v", opened, err)
	}
}

func TestRecordingAfterTheWatcher(t *testing.T) {
	s := newStage(t)
	other, err := New(Options{Base: s.dir, Paths: []string{s.dir}, Include: []string{"**/*.php"}, Poll: PollAlways})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = other.Run(ctx) }()
	<-other.Ready()
	rec, err := other.Record(ctx, RecordOptions{Until: s.path("runtime/pid")})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	<-ended // a watcher that reads at leisure must not wait for the end of the recording
	s.load("app/a.php")
	rec.Cut()
	s.found(rec, "app/a.php")
	if _, err := other.Record(t.Context(), RecordOptions{}); !errors.Is(err, ErrNotRecorded) {
		t.Errorf("a watcher that has ended: %v", err)
	}
}

func TestOpenedHas(t *testing.T) {
	o := Opened{"/p/a.php", "/p/new/", "/p/z.php"}
	for path, want := range map[string]bool{
		"/p/a.php": true, "/p/z.php": true, "/p/b.php": false, "/p/new/a/b.php": true, "/p/new": false, "/p/newer/a.php": false, "": false,
	} {
		if o.Has(path) != want || Opened(nil).Has(path) {
			t.Errorf("%s: %v", path, !want)
		}
	}
}
