package watcher

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// makeTree makes n directories with ten files each, of which all match.
func makeTree(tb testing.TB, n int) string {
	tb.Helper()
	root := tb.TempDir()
	for i := range n {
		dir := filepath.Join(root, fmt.Sprintf("d%d", i/100), fmt.Sprintf("e%d", i%100))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			tb.Fatal(err)
		}
		for j := range 10 {
			if err := os.WriteFile(fmt.Sprintf("%s/Class%d.php", dir, j), fmt.Appendf(nil, "<?php // %d %d\n", i, j), 0o644); err != nil {
				tb.Fatal(err)
			}
		}
	}
	time.Sleep(2 * racyLocal) // a tree that has been there for a while
	return root
}

func benchWatcher(b *testing.B, root string) (*Watcher, func()) {
	b.Helper()
	w, err := New(Options{Base: root, Paths: []string{root}, Include: defaultInclude, Exclude: defaultExclude})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = w.Run(ctx)
	}()
	<-w.Ready()
	return w, func() { cancel(); <-done }
}

// BenchmarkReady is the time until all of 10,000 directories with 100,000 files are watched, and the memory for it.
func BenchmarkReady(b *testing.B) {
	const dirs = 10000
	root := makeTree(b, dirs)
	var before, after runtime.MemStats
	for b.Loop() {
		runtime.GC()
		runtime.ReadMemStats(&before)
		start := time.Now()
		w, stop := benchWatcher(b, root)
		b.ReportMetric(float64(time.Since(start).Microseconds())/1e3, "ms/ready")
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/dirs, "B/dir-of-10-files")
		if s := w.Stats(); s.Files != 10*dirs {
			b.Fatalf("%+v", s)
		}
		stop()
	}
}

// BenchmarkSave is the time from a save to the batch, the quiet period included.
func BenchmarkSave(b *testing.B) {
	for _, how := range []string{"write", "save"} {
		b.Run(how, func(b *testing.B) {
			root := makeTree(b, 100)
			w, stop := benchWatcher(b, root)
			defer stop()
			n := 0
			for b.Loop() {
				n++
				if err := fileCommand(how, []string{root + "/d0/e1/Class1.php", fmt.Sprint(n)}, filepath.Clean); err != nil {
					b.Fatal(err)
				}
				if got := <-w.Batches(); len(got.Changes) != 1 {
					b.Fatal(got.Changes)
				}
			}
		})
	}
}

// BenchmarkBurst is the time from the end of rewriting 5,000 files to the batch with all of them.
func BenchmarkBurst(b *testing.B) {
	root := makeTree(b, 500)
	w, stop := benchWatcher(b, root)
	defer stop()
	batches, n := 0, 0
	for b.Loop() {
		b.StopTimer()
		n++
		for i := range 500 {
			for j := range 10 {
				path := fmt.Sprintf("%s/d%d/e%d/Class%d.php", root, i/100, i%100, j)
				if err := os.WriteFile(path, fmt.Append(nil, n), 0o644); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.StartTimer()
		for seen := 0; seen < 5000; batches++ {
			seen += len((<-w.Batches()).Changes)
		}
	}
	b.ReportMetric(float64(batches)/float64(n), "batches/burst")
}

// BenchmarkSwitch is the time from the switch of a link, by rename, to the new target, by an event.
func BenchmarkSwitch(b *testing.B) {
	for _, how := range []string{"current", "parent"} {
		b.Run(how, func(b *testing.B) {
			dir := b.TempDir()
			for _, release := range []string{"a/releases/1", "a/releases/2", "b/releases/1"} {
				if err := os.MkdirAll(filepath.Join(dir, release), 0o755); err != nil {
					b.Fatal(err)
				}
			}
			turns, link := []string{"a/releases/2", "a/releases/1"}, "current"
			if how == "parent" {
				turns, link = []string{"b", "a"}, "app/releases/1"
			}
			name, _, _ := strings.Cut(link, "/")
			turn := func(n int) {
				if err := fileCommand("relink", []string{turns[n%2], filepath.Join(dir, name)}, filepath.Clean); err != nil {
					b.Fatal(err)
				}
			}
			turn(1)
			w, err := NewLinkWatcher(LinkOptions{Path: filepath.Join(dir, link), Poll: PollNever})
			if err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan error)
			go func() { done <- w.Run(ctx) }()
			<-w.Targets()
			n := 0
			for b.Loop() {
				turn(n)
				<-w.Targets()
				n++
			}
			cancel()
			if err := <-done; err != nil {
				b.Error(err)
			}
		})
	}
}

// BenchmarkLook is what it costs to look where a link leads, when nothing has changed.
func BenchmarkLook(b *testing.B) {
	dir := b.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "releases/1"), 0o755); err != nil {
		b.Fatal(err)
	}
	if err := os.Symlink("releases/1", filepath.Join(dir, "current")); err != nil {
		b.Fatal(err)
	}
	w, err := NewLinkWatcher(LinkOptions{Path: filepath.Join(dir, "current")})
	if err != nil {
		b.Fatal(err)
	}
	defer w.sight.close()
	for b.Loop() {
		v := w.sight.look()
		if v.target.close(); v.err != nil {
			b.Fatal(v.err)
		}
	}
}
