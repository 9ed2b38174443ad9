package release

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestCopy(t *testing.T) {
	dir, s := newSite(t)
	from := dir + "/build"
	old := time.Date(2020, 2, 3, 4, 5, 6, 789, time.UTC)
	for path, mode := range map[string]fs.FileMode{"bin/run": 0o755, "secret": 0o600, "locked/file": 0o444, "REVISION": 0o644, "empty": 0o644, "setgid": 0o755 | fs.ModeSetgid} {
		write(t, from+"/"+path, strings.Repeat(path, 100))
		if err := errors.Join(os.Chmod(from+"/"+path, mode), os.Chtimes(from+"/"+path, old, old)); err != nil {
			t.Fatal(err)
		}
	}
	write(t, from+"/empty", "")
	write(t, from+"/.git/config", "")
	write(t, from+"/vendor/lib/.git", "gitdir: x")
	write(t, from+"/vendor/lib/lib.php", "")
	symlink(t, "bin/run", from+"/link")
	symlink(t, "/etc/passwd", from+"/absolute")
	symlink(t, "nowhere", from+"/broken")
	symlink(t, "bin", from+"/dirlink")
	if err := errors.Join(syscall.Mkfifo(from+"/fifo", 0o600), os.Mkdir(from+"/dir", 0o750)); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", from+"/socket")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := errors.Join(os.Chmod(from+"/locked", 0o555), os.Chtimes(from+"/locked", old, old), os.Chtimes(from+"/dir", old, old)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod(from+"/locked", 0o755); os.Chmod(dir+"/to/locked", 0o755) })

	to := dir + "/to"
	if err := os.Mkdir(to, 0o755); err != nil {
		t.Fatal(err)
	}
	c, err := s.newCopier(from, to)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.run(ctx); err != nil {
		t.Fatal(err)
	}
	if got, want := names(t, to), "REVISION absolute bin broken dir dirlink empty link locked secret setgid vendor"; got != want {
		t.Errorf("copied: %s\nwant    %s", got, want)
	}
	if exists(to + "/vendor/lib/.git") {
		t.Error("a .git within was copied")
	}
	for _, path := range []string{"bin/run", "secret", "locked", "locked/file", "REVISION", "empty", "setgid", "dir", "link", "broken", "bin", "."} {
		a, errA := os.Lstat(filepath.Join(from, path))
		b, errB := os.Lstat(filepath.Join(to, path))
		if err := errors.Join(errA, errB); err != nil {
			t.Error(err)
			continue
		}
		if a.Mode() != b.Mode() || !a.ModTime().Equal(b.ModTime()) || a.Mode().IsRegular() && a.Size() != b.Size() {
			t.Errorf("%s: %s %s, want %s %s", path, b.Mode(), b.ModTime(), a.Mode(), a.ModTime())
		}
	}
	for path, want := range map[string]string{"link": "bin/run", "absolute": "/etc/passwd", "broken": "nowhere", "dirlink": "bin"} {
		if got := readlink(t, filepath.Join(to, path)); got != want {
			t.Errorf("%s leads to %s, want %s", path, got, want)
		}
	}
	if got := read(t, to+"/bin/run"); got != strings.Repeat("bin/run", 100) {
		t.Errorf("bin/run: %q", got)
	}
	if got := c.describe(); !strings.HasPrefix(got, "11 files, 3.") || !strings.HasSuffix(got, ", without 2 that are none: fifo, socket") {
		t.Errorf("description %q", got)
	}
}

// Whoever may not set owners (not root) copies nevertheless; and the marker comes last, whatever the directory it lies in.
func TestCopyMarkerLast(t *testing.T) {
	dir, s := newSite(t)
	s.opt.Marker = "var/READY"
	write(t, dir+"/build/var/READY", "yes")
	write(t, dir+"/build/var/z", "z")
	write(t, dir+"/build/z", "z")
	if err := os.Chmod(dir+"/build/var", 0o555); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod(dir+"/build/var", 0o755); os.Chmod(dir+"/to/var", 0o755) })
	if err := os.Mkdir(dir+"/to", 0o755); err != nil {
		t.Fatal(err)
	}
	c, err := s.newCopier(dir+"/build", dir+"/to")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.directory(ctx, "."); err != nil || exists(dir+"/to/var/READY") || !exists(dir+"/to/z") {
		t.Fatalf("the marker is there before the end: %v", err)
	}
	if err := os.RemoveAll(dir + "/to"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir+"/to", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := c.run(ctx); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(dir + "/to/var"); err != nil || st.Mode().Perm() != 0o555 || read(t, dir+"/to/var/READY") != "yes" {
		t.Errorf("var: %v, %v", st, err)
	}
}

// What lies beside current stays there, should somebody deploy from that directory.
func TestCopyFromBeside(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(Options{Current: dir + "/app/current", Dir: dir + "/releases", SharedDir: dir + "/app/shared"})
	check(err)
	write(t, dir+"/app/index.php", "<?php")
	write(t, dir+"/app/shared/.env", "secret")
	write(t, dir+"/app/.hotreload/state.json", "{}")
	write(t, dir+"/app/sub/.hotreload/x", "somebody else's")
	symlink(t, "/tmp", dir+"/app/current")
	d := Deployment{Dir: dir, Steps: []Step{{Name: StepRelease, From: dir + "/app"}}}
	rec, err := s.deploy(ctx, d, "")
	if err != nil {
		t.Fatal(err)
	}
	if got := names(t, rec.Path); got != "index.php sub" {
		t.Errorf("copied: %s", got)
	}
}

func TestCopyRefuses(t *testing.T) {
	dir, s := newSite(t)
	write(t, dir+"/file", "")
	symlink(t, ".", dir+"/link")
	for from, want := range map[string]string{
		"": "nothing says what to copy", dir + "/nowhere": "no such file or directory", dir + "/file": "it is not a directory",
		dir: "the releases (" + dir + "/releases) lie in it", dir + "/link": "the releases", "/": "the releases", dir + "/releases": "the releases",
	} {
		_, err := s.newCopier(from, dir+"/to")
		wantError(t, err, want)
	}
	if _, err := s.newCopier(dir+"/current", dir+"/to"); err != nil {
		t.Errorf("a copy of what is live: %v", err)
	}
	write(t, dir+"/build/a", "")
	write(t, dir+"/build/b", "")
	if err := os.Mkdir(dir+"/to", 0o755); err != nil {
		t.Fatal(err)
	}
	c, err := s.newCopier(dir+"/build", dir+"/to")
	check(err)
	stopped, cancel := context.WithCancel(ctx)
	cancel()
	if err := c.run(stopped); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
}

func TestSizeOf(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KB", 1536: "1.5 KB", 1<<20 - 1: "1.0 MB", 1 << 40: "1.0 TB"} {
		if got := sizeOf(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
