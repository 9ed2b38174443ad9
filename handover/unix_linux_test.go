package handover

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func noPIDs() []int { return nil }

func TestUnixHandover(t *testing.T) {
	t.Parallel()
	w := newPathWorld(t)
	one := w.begin(1).serve(w.path).take()
	w.answers(1)
	w.has(w.own(1), "x.sock")

	two := w.begin(2)
	two.do("unlink %s", w.path) // as some servers do
	w.answers(1)
	two.serve(w.path)
	w.answers(1)
	two.answersProbe()
	one.answersProbe()
	if got := two.Listening(); !slices.Equal(got, []string{"unix:" + w.path}) {
		t.Errorf("it listens on %q", got)
	}
	two.take()
	w.answers(2)
	if err := two.Verify(context.Background(), noPIDs); err != nil {
		t.Error(err)
	}
	if err := one.Verify(context.Background(), noPIDs); err == nil {
		t.Error("connections are said to reach the old server")
	}
	one.end()
	w.answers(2)
	w.has(w.own(2), "x.sock")

	three := w.begin(3).serve(w.path).take()
	two.end()
	w.answers(3)
	w.has(w.own(3), "x.sock")
	three.end() // nobody is left: the path goes with it
	w.has()
}

func TestUnixRelativePath(t *testing.T) {
	t.Parallel()
	w := newPathWorld(t)
	if err := os.Symlink(w.dir, filepath.Join(w.dir, "link")); err != nil {
		t.Fatal(err)
	}
	one := w.begin(1)
	one.do("chdir %s", filepath.Join(w.dir, "link"))
	one.serve("x.sock").take()
	two := w.begin(2).serve(w.path).take()
	w.answers(2)
	one.end()
	w.answers(2)
	two.answersProbe()
}

// A switch that failed is undone.
func TestUnixTakeBack(t *testing.T) {
	t.Parallel()
	w := newPathWorld(t)
	one := w.begin(1).serve(w.path).take()
	two := w.begin(2).serve(w.path).take()
	w.answers(2)
	one.take()
	w.answers(1)
	two.end()
	w.answers(1)
	w.has(w.own(1), "x.sock")
	w.begin(3).serve(w.path).take()
	w.answers(3)
}

// A server that never listens leaves nothing.
func TestUnixNeverReady(t *testing.T) {
	t.Parallel()
	w := newPathWorld(t)
	w.begin(1).serve(w.path).take()
	two := w.begin(2)
	two.do("bind %s", w.path)
	w.answers(1)
	two.end()
	w.answers(1)
	w.has(w.own(1), "x.sock")
}

func TestUnixPathIsGuarded(t *testing.T) {
	t.Parallel()
	w := newPathWorld(t)
	one := w.begin(1).serve(w.path).take()
	two := w.begin(2).serve(w.path).take()
	for range 100 {
		one.try("unlink %s", w.path) // nobody has told the first one's filter to stop there
		w.isBack()
		w.answers(2)
	}
	one.do("again %s 3000", w.path)
	w.answers(2)
	other := filepath.Join(w.dir, "other")
	if err := os.WriteFile(other, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	two.do("unlink %s", w.path)
	if said := two.do("exists %s", w.path); said != "true" {
		t.Error("a later generation has removed the path")
	}
	two.do("chdir %s", w.dir)
	two.do("unlink x.sock")
	if said := two.do("exists %s", w.path); said != "true" {
		t.Error("a later generation has removed the path by a relative name")
	}
	two.do("unlink %s", other)
	if said := two.do("exists %s", other); said != "false" {
		t.Error("another file cannot be removed")
	}
	one.end()
	two.do("unlink %s", w.path) // it serves alone: its path is its own affair
	if said := two.do("exists %s", w.path); said != "false" {
		t.Error("a server that is alone cannot remove its path")
	}
}

// Connections wait for the next server, though the path was removed.
func TestUnixCrash(t *testing.T) {
	t.Parallel()
	w := newPathWorld(t)
	one := w.begin(1).serve(w.path).take()
	w.answers(1)
	one.do("unlink %s", w.path)
	one.kill()
	one.Abandon()
	w.isBack()
	waiting := w.connect()
	two := w.begin(2)
	two.do("unlink %s", w.path)
	two.serve(w.path).take()
	if said := w.answer(waiting); said != "2" {
		t.Errorf("a connection that waited was answered by %s", said)
	}
	three := w.begin(3).serve(w.path).take() // the socket of the first was bound to the path itself
	if d, err := two.Drain(context.Background(), 0, noPIDs); err != nil || d.Cut != 1 {
		t.Errorf("the second has %d connections, %v, want the one that waited", d.Cut, err)
	}
	two.end()
	w.answers(3)
	if err := three.Verify(context.Background(), noPIDs); err != nil {
		t.Error(err)
	}
}

func TestUnixCrashForGood(t *testing.T) {
	t.Parallel()
	w := newPathWorld(t)
	one := w.begin(1).serve(w.path).take()
	one.kill()
	one.Abandon()
	w.has(w.own(1), "x.sock")
	w.Drop()
	w.has()
}

func TestUnixDrain(t *testing.T) {
	t.Parallel()
	w := newPathWorld(t)
	one := w.begin(1).serve(w.path).take()
	two := w.begin(2).serve(w.path)
	c := w.connect()
	w.answer(c)
	two.take()
	w.answer(w.connect()) // is the second's
	d, err := one.Drain(context.Background(), 50*time.Millisecond, noPIDs)
	if err != nil || d.Cut != 1 || d.Idle != 0 {
		t.Errorf("%+v, %v, want one that is cut", d, err)
	}
	c.Close()
	if d, err = one.Drain(context.Background(), deadline, noPIDs); err != nil || d.Cut != 0 || d.Took >= deadline {
		t.Errorf("%+v, %v, want none left", d, err)
	}
}

func TestUnixOwnerAndMode(t *testing.T) {
	t.Parallel()
	w := newPathWorld(t)
	w.begin(1).serve(w.path).take()
	var who *syscall.Credential
	want := access{uid: uint32(os.Getuid()), gid: uint32(os.Getgid()), mode: 0o710}
	if os.Getuid() == 0 {
		who = &syscall.Credential{Uid: 12345, Gid: 23456}
		want.uid, want.gid = who.Uid, who.Gid
	}
	two := w.start(2, who)
	two.do("umask 067")
	two.serve(w.path).take()
	if is, err := accessOf(w.path); err != nil || is != want {
		t.Errorf("%+v, %v, want %+v", is, err, want)
	}
	three := w.begin(3)
	three.serve(w.path)
	three.do("chmod %s 0642", w.path) // means its own file, and meets that of the second
	three.take()
	if is, err := accessOf(w.path); err != nil || is.mode != 0o642 {
		t.Errorf("mode %o, %v, want what the server has changed it to", is.mode, err)
	}
}

// What a hotreload that was killed has left is removed, and nothing else.
func TestUnixSweep(t *testing.T) {
	t.Parallel()
	w := newPathWorld(t)
	bind := func(name string) *net.UnixListener {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(w.dir, name), Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		l.SetUnlinkOnClose(false)
		t.Cleanup(func() { l.Close() })
		return l
	}
	bind(w.own(7)).Close()
	bind(w.own(8))
	bind("foreign").Close()
	w.begin(1).serve(w.path)
	w.has(w.own(1), w.own(8), "foreign", "x.sock")
}

func TestUnixNameTooLong(t *testing.T) {
	t.Parallel()
	w := newPathWorld(t)
	dir := filepath.Join(w.dir, strings.Repeat("d", 90-len(w.dir)))
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	one := w.begin(1).serve(filepath.Join(dir, "x.sock"))
	method, why := one.Method()
	if method != "off" || !strings.Contains(why, "too long") {
		t.Errorf("method %s, %q", method, why)
	}
	if err := one.Take(); err != nil {
		t.Error(err)
	}
}

// What the keeper holds is enough to go on.
func TestUnixKept(t *testing.T) {
	t.Parallel()
	w := newPathWorld(t)
	one := w.begin(1).serve(w.path).take()
	w.mu.Lock()
	k, fds := w.snapshot()
	w.mu.Unlock()
	for i := range fds {
		fd, err := unix.Dup(fds[i])
		if err != nil {
			t.Fatal(err)
		}
		fds[i] = fd
	}
	k.Generations[0].Notify = -1 // it goes on to be answered by the first
	again, err := restore(k, fds, nil, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	w2 := *w
	w2.Sockets = again
	old := again.Generation(1)
	two := w2.begin(2).serve(w.path).take()
	w.answers(2)
	one.try("unlink %s", w.path)
	w.isBack()
	one.kill()
	old.Retire()
	w.answers(2)
	w.has(w.own(2), "x.sock")
	two.end()
	w.has()
}

func TestUnixConnections(t *testing.T) {
	const table = `Num       RefCount Protocol Flags    Type St Inode Path
ffff8a0f86b4b400: 00000002 00000000 00010000 0001 01 25934 /run/x.sock
ffff8a0f86b4b401: 00000003 00000000 00000000 0001 03  1234 /run/x.sock
ffff8a0f86b4b402: 00000002 00000000 00000000 0001 02     0 /run/x.sock
ffff8a0f86b4b403: 00000003 00000000 00000000 0001 03 125935
ffff8a0f86b4b404: 00000003 00000000 00000000 0001 03 125936 /run/x.sock2
ffff8a0f86b4b405: 00000003 00000000 00000000 0002 03 125937 /run/x.sock
ffff8a0f86b4b406: 00000003 00000000 00000000 0001 03 125938 /run/a b
ffff8a0f86b4b407: 00000003 00000000 00000000 0001 03 125939 @/run/x.sock
`
	if n := unixConnections(table, map[string]bool{"/run/x.sock": true}); n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
	if n := unixConnections(table, map[string]bool{"/run/a b": true}); n != 1 {
		t.Errorf("%d connections of a path with a space, want 1", n)
	}
}

// BenchmarkUnixGap measures how long a path is missing when the first generation removes it, and what unlink(2) of another file
// costs a later one.
func BenchmarkUnixGap(b *testing.B) {
	w := newPathWorld(b)
	other := filepath.Join(w.dir, "other")
	one := w.begin(1).serve(w.path).take()
	var two *pathGeneration
	for _, sub := range []struct {
		name string
		ask  func() string
	}{
		{"other, no filter", func() string { return one.do("gone %s", other) }},
		{"path, no filter", func() string { return one.do("gap %s", w.path) }},
		{"path", func() string { return two.do("gap %s", w.path) }},
		{"other, guarded", func() string { return two.do("gone %s", other) }},
		{"other", func() string { return two.do("gone %s", other) }},
	} {
		switch sub.name {
		case "path, no filter":
			two = w.begin(2).serve(w.path).take()
		case "other":
			one.end()
		}
		b.Run(sub.name, func(b *testing.B) {
			var all []int
			for b.Loop() {
				var called, back int
				if _, err := fmt.Sscan(sub.ask(), &called, &back); err != nil {
					b.Fatal(err)
				}
				all = append(all, back)
			}
			slices.Sort(all)
			b.ReportMetric(float64(all[len(all)/2])/1000, "µs-median")
			b.ReportMetric(float64(all[len(all)*99/100])/1000, "µs-p99")
			b.ReportMetric(float64(all[len(all)-1])/1000, "µs-max")
		})
	}
}

// Everything was killed, and the path is left: a server that does not remove it could not bind it.
func TestUnixLeftover(t *testing.T) {
	t.Parallel()
	w := newPathWorld(t)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: w.path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	one := w.begin(1)
	if said := one.try("bind %s", w.path); !strings.Contains(said, "in use") {
		t.Errorf("what stands at the path and is not known to be ours was removed: %s", said)
	}
	if err := os.Link(w.path, ownName(w.path, 7)); err != nil {
		t.Fatal(err)
	}
	one.serve(w.path).take()
	w.answers(1)
	w.has(w.own(1), "x.sock")
}

// The server has found its path by itself, as when hotreload and its keeper were killed together.
func TestUnixLost(t *testing.T) {
	t.Parallel()
	w := newPathWorld(t)
	one := w.begin(1).serve(w.path).take()
	lost := newPathWorld(t)
	lost.path = w.path
	old := lost.Lost(1, []string{"unix:" + w.path})
	two := lost.begin(2).serve(w.path)
	w.answers(1)
	two.take()
	w.answers(2)
	c, err := net.Dial("unix", ownName(w.path, 1))
	if err != nil {
		t.Fatal(err)
	}
	if d, err := old.Drain(context.Background(), 0, noPIDs); err != nil || d.Cut == 0 {
		t.Errorf("%+v, %v, want one connection at least", d, err)
	}
	c.Close()
	if d, err := old.Drain(context.Background(), deadline, noPIDs); err != nil || d.Cut != 0 {
		t.Errorf("%+v, %v, want none left", d, err)
	}
	one.try("unlink %s", w.path)
	w.isBack()
	one.kill()
	old.Retire()
	w.answers(2)
	w.has(w.own(2), "x.sock")
}

func TestUnixAbstract(t *testing.T) {
	t.Parallel()
	w := newPathWorld(t)
	one := w.begin(1)
	one.do("bind @%s", w.path) // as the package unix writes it
	one.do("listen")
	one.Seal()
	if method, why := one.Method(); method != "off" || !strings.Contains(why, "abstract") {
		t.Errorf("method %s, %q", method, why)
	}
	if got := one.Listening(); len(got) != 0 {
		t.Errorf("it is said to hand over %q", got)
	}
}
