package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// testDir is where the product is built, once, when it is needed, and where everything else is.
var testDir string

var built = sync.OnceValues(func() (path string, err error) {
	path = filepath.Join(testDir, "hotreload")
	out, err := exec.Command("go", "build", "-o", path, "../hotreload").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, err
})

func TestMain(m *testing.M) {
	var err error
	if testDir, err = os.MkdirTemp("", "hotreload-bench-test-"); err == nil {
		testDir, err = filepath.EvalSymlinks(testDir)
	}
	if err == nil {
		err = os.Chmod(testDir, 0o711) // other users are played
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(testDir)
	os.Exit(code)
}

// newTestBench measures the product with examples/prefork.
func newTestBench(t *testing.T) *bench {
	t.Helper()
	if err := (example{"prefork", "php"}).runs(t.Context()); err != nil {
		t.Skipf("examples/prefork: %v", err)
	}
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{hotreload: path, examples: filepath.Join("..", "..", "examples"), out: io.Discard, scale: quickScale()}
	b.scale.away = time.Minute // whatever else the machine does
	if b.temp, err = os.MkdirTemp(testDir, "bench-"); err != nil {
		t.Fatal(err)
	}
	return b
}

// What grows with every reload, restart or release switch would have grown by more than this.
const (
	soakActions    = 40
	moreThreads    = soakActions / soakRound // the Go runtime keeps those that it once needed
	moreGoroutines = soakActions / soakRound / 2
)

func TestSoak(t *testing.T) {
	t.Parallel()
	b := newTestBench(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	a, name, err := b.someApp(ctx)
	if err != nil {
		t.Fatal(err)
	}
	d, err := b.newDeployed(name, a, "runtime/server.pid", "v1", "v2")
	if err != nil {
		t.Fatal(err)
	}
	var before, after soakPoint
	s, err := b.soak(ctx, d, func(s *soaking) (goOn bool, err error) {
		if before.actions == 0 {
			before, err = s.point(ctx)
			return true, err
		}
		if s.actions < before.actions+soakActions {
			return true, nil
		}
		after, err = s.point(ctx)
		return false, err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s; before %+v, after %+v; goroutines %d and %d", s.tally(), before, after, s.first, s.last)
	for _, text := range s.wrong {
		t.Error(text)
	}
	if after.descriptors > before.descriptors {
		t.Errorf("file descriptors: %d before, %d after %d actions", before.descriptors, after.descriptors, soakActions)
	}
	if after.threads > before.threads+moreThreads {
		t.Errorf("threads: %d before, %d after %d actions", before.threads, after.threads, soakActions)
	}
	if s.last > s.first+moreGoroutines {
		t.Errorf("goroutines: %d before, %d after %d actions", s.first, s.last, soakActions)
	}
}
