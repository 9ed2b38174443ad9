package watcher

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestHoldsAreBounded(t *testing.T) {
	f := newFault(t)
	f.opt.HoldFiles = []string{f.path("lock")}
	f.env.holdLimit = 200 * time.Millisecond
	f.watch()
	f.write("lock", "")
	f.write("z.php", "two")
	f.until("modified z.php")
	// The lock that was waited for in vain is not waited for again, until it is another one.
	inTree(f.w, func(tr *tree) { tr.held = 0 })
	f.write("z.php", "three")
	f.until("modified z.php")
	inTree(f.w, func(tr *tree) {
		if tr.held != 0 {
			t.Errorf("held %d times by a stale lock", tr.held)
		}
	})
}

func TestStaleLock(t *testing.T) {
	now := time.Now()
	path := filepath.Join(t.TempDir(), "lock")
	h := newHolder(testEnv(), []string{path})
	check := func(at time.Duration, want bool) {
		t.Helper()
		if got := h.locked(now.Add(at)); got != want {
			t.Errorf("after %v: %v", at, got)
		}
	}
	check(0, false)
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	check(time.Second, true)
	check(time.Second+10*time.Millisecond, true)
	check(time.Minute, false)
	check(2*time.Minute, false)
	if err := os.WriteFile(path, []byte("another operation"), 0o644); err != nil {
		t.Fatal(err)
	}
	check(3*time.Minute, true)
	h = newHolder(testEnv(), []string{path})
	check(time.Hour, false) // left behind long ago
}

func TestConsistentAutoloader(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(dir+"/composer", 0o755); err != nil {
		t.Fatal(err)
	}
	put := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		name, text string
		want       bool
	}{
		{"autoload.php", "return ComposerAutoloaderInita1::getLoader();", false},
		{"composer/autoload_real.php", "class ComposerAutoloaderInita1\n", false},
		{"composer/autoload_static.php", "class ComposerStaticInita1\n", true},
		{"composer/autoload_real.php", "", false},
		{"composer/autoload_real.php", "class ComposerAutoloaderInitb2\n", false},
		{"composer/autoload_static.php", "class ComposerStaticInitb2\n", false},
		{"autoload.php", "return ComposerAutoloaderInitb2::getLoader();", true},
	} {
		if put(step.name, step.text); consistentAutoloader(dir) != step.want {
			t.Errorf("after %s %q: not %v", step.name, step.text, step.want)
		}
	}
}
