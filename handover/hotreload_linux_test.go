package handover

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// killable is a hotreload in a process of its own, which a test can kill.
type killable struct {
	sockets *Sockets
	mu      sync.Mutex
	notes   []string
}

func newFakeHotreload() *killable { return &killable{} }

func (k *killable) note(text string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.notes = append(k.notes, text)
}

func startAndWait(cmd *exec.Cmd) error {
	err := cmd.Start()
	if err == nil {
		go func() { _ = cmd.Wait() }() // whatever it ends with
	}
	return err
}

func (k *killable) command(words []string) (string, error) {
	number, _ := strconv.Atoi(words[1])
	path := os.Getenv(keeperEnv)
	switch words[0] {
	case "new":
		var err error
		if k.sockets, err = New(nil, k.note); err == nil && path != "" {
			k.sockets.KeepAt(path, startAndWait)
		}
		return "new", err
	case "resume":
		var err error
		k.sockets, err = Resume(path, startAndWait, nil, k.note)
		return "resumed", err
	case "notes":
		k.mu.Lock()
		defer k.mu.Unlock()
		return strings.Join(k.notes, "; "), nil
	case "keeper":
		k.sockets.mu.Lock()
		defer k.sockets.mu.Unlock()
		if k.sockets.keeper == nil {
			return "", errors.New("there is none")
		}
		return strconv.Itoa(k.sockets.keeper.pid), nil
	case "close":
		k.sockets.Close()
		return "closed", nil
	case "begin":
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(childEnv("server", numberEnv+"="+words[1]), "HANDOVER_TEST_LAST=")
		cmd.Stderr = os.Stderr
		g := k.sockets.Begin(number, cmd)
		err := startAndWait(cmd)
		g.Started()
		g.Proceed()
		method, why := g.Method()
		return method + " " + why, err
	}
	g := k.sockets.Generation(number)
	if g == nil {
		return "", fmt.Errorf("there is no generation %d", number)
	}
	switch words[0] {
	case "seal":
		return fmt.Sprint(g.Seal()), nil
	case "take":
		return "taken", g.Take()
	case "retire":
		g.Retire()
		return "retired", nil
	case "abandon":
		g.Abandon()
		return "abandoned", nil
	case "dial":
		c, steered, err := g.Dial(context.Background(), words[2])
		if err != nil {
			return "", err
		}
		defer c.Close()
		said, err := say(c, "hello")
		if !strings.HasPrefix(said, "gen "+words[1]+" ") || !steered {
			return "", fmt.Errorf("%q, %v, steered %v", said, err, steered)
		}
		return said, err
	case "verify":
		pid, err := strconv.Atoi(words[2])
		if err != nil {
			return "", err
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		return "verified", g.Verify(ctx, func() []int { return []int{pid} })
	}
	return "", fmt.Errorf("unknown command %q", words)
}

// fakeHotreload is a killable, seen from the test.
type fakeHotreload struct {
	*child
	place *place
}

func (p *place) hotreload(how string) fakeHotreload {
	p.t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = childEnv("hotreload", keeperEnv+"="+p.file("keeper"))
	h := fakeHotreload{p.start(cmd, nil), p}
	h.do("%s -", how)
	return h
}

// begin starts a server, which connects to the test.
func (h fakeHotreload) begin(number int) *child {
	h.t.Helper()
	said := h.do("begin %d", number)
	c := h.place.next()
	if why, off := strings.CutPrefix(said, "off "); off {
		h.t.Skip("no handover here: " + why)
	}
	return c
}

func (h fakeHotreload) serve(number int, address string) *child {
	h.t.Helper()
	c := h.begin(number)
	c.do("bind x %s nonblock", address)
	c.do("listen x")
	c.do("serve x")
	h.do("seal %d", number)
	return c
}

// keeperPID waits until there is a keeper.
func (h fakeHotreload) keeperPID() int {
	h.t.Helper()
	pid, err := strconv.Atoi(h.do("keeper -"))
	if err != nil {
		h.t.Fatal(err)
	}
	return pid
}

func answersOf(t *testing.T, c *child, at string) {
	t.Helper()
	generation{child: c}.answers(at)
}

// ended waits until a process that is not a child of the test's is gone.
func ended(t *testing.T, pid int) {
	t.Helper()
	eventually(t, func() error {
		if running(pid) {
			return fmt.Errorf("process %d still runs", pid)
		}
		return nil
	})
}

// end closes the connection, at which a child ends by itself, and waits until it is gone.
func (c *child) end() {
	c.t.Helper()
	c.conn.Close()
	ended(c.t, c.pid)
}

// A hotreload that is killed leaves a server that goes on, and whose processes can bind again; the next one goes on where it was.
func TestKeeper(t *testing.T) {
	p := newPlace(t)
	at, later := "127.0.0.1:"+freePort(t), "127.0.0.1:"+freePort(t)
	h := p.hotreload("new")
	first := h.serve(1, at)
	h.do("take 1")
	second := h.serve(2, at)
	keeper := h.keeperPID()
	t.Cleanup(func() { endKeeper(keeper) })
	answersOf(t, first, at)
	h.kill()

	first.do("bind y %s nonblock", at) // a worker that binds again, with the same socket
	first.do("listen y")
	first.do("serve y")
	first.do("bind z %s nonblock", later)
	first.do("netlink -")
	answersOf(t, first, at)
	if !running(keeper) {
		t.Fatal("the keeper is gone")
	}

	h = p.hotreload("resume")
	if have := h.keeperPID(); have != keeper {
		t.Errorf("the keeper is process %d, not %d", have, keeper)
	}
	answersOf(t, first, at)
	h.do("dial 2 %s", at)
	answersOf(t, first, at)
	h.do("take 2")
	answersOf(t, second, at)
	first.end()
	h.do("retire 1")
	third := h.serve(3, at)
	answersOf(t, second, at)
	h.do("take 3")
	answersOf(t, third, at)
	h.kill() // once more

	third.do("bind y %s nonblock", at)
	h = p.hotreload("resume")
	second.end()
	h.do("retire 2")
	answersOf(t, third, at)
	third.do("bind w %s nonblock", at)
	h.do("close -")
	ended(t, keeper)
}

func endKeeper(pid int) {
	if running(pid) {
		_ = unix.Kill(pid, unix.SIGKILL)
	}
}

// A keeper ends with the server, when hotreload is gone.
func TestKeeperEnds(t *testing.T) {
	p := newPlace(t)
	h := p.hotreload("new")
	first := h.serve(1, "127.0.0.1:"+freePort(t))
	h.do("take 1")
	keeper := h.keeperPID()
	t.Cleanup(func() { endKeeper(keeper) })
	h.kill()
	first.do("bind y 127.0.0.1:%s", freePort(t)) // it is answered: the keeper stands in
	first.end()
	ended(t, keeper)
	eventually(t, func() error {
		if _, err := os.Stat(p.file("keeper")); err == nil {
			return errors.New("its socket is left")
		}
		return nil
	})
}

// A keeper that was killed is replaced when something changes.
func TestKeeperKilled(t *testing.T) {
	p := newPlace(t)
	at := "127.0.0.1:" + freePort(t)
	h := p.hotreload("new")
	first := h.serve(1, at)
	h.do("take 1")
	old := h.keeperPID()
	if err := unix.Kill(old, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	ended(t, old)
	answersOf(t, first, at)
	second := h.serve(2, at)
	keeper := h.keeperPID()
	t.Cleanup(func() { endKeeper(keeper) })
	if keeper == old {
		t.Fatal("nobody was started in its place")
	}
	h.kill()
	second.do("bind y %s", at)
	h = p.hotreload("resume")
	h.do("take 2")
	answersOf(t, second, at)
	h.do("close -")
	ended(t, keeper)
}

// Whoever cannot take over leaves everything with the keeper, and so does whoever is killed while taking over.
func TestKeeperKeeps(t *testing.T) {
	for _, test := range []struct {
		name string
		fail func(t *testing.T, path string)
	}{
		{"only looks", func(t *testing.T, path string) {
			k, fds, fd := takeOver(t, path)
			if k.Protocol != protocol || len(fds) == 0 {
				t.Errorf("%+v with %d descriptors is kept", k, len(fds))
			}
			closeAll(append(fds, fd))
		}},
		{"speaks another protocol", func(t *testing.T, path string) {
			_, fds, fd := takeOver(t, path)
			if err := send(fd, kept{Protocol: protocol + 1}, nil); err != nil {
				t.Error(err)
			}
			closeAll(append(fds, fd))
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPlace(t)
			at := "127.0.0.1:" + freePort(t)
			h := p.hotreload("new")
			first := h.serve(1, at)
			h.do("take 1")
			keeper := h.keeperPID()
			t.Cleanup(func() { endKeeper(keeper) })
			h.kill()
			test.fail(t, p.file("keeper"))
			first.do("bind y %s nonblock", at)
			answersOf(t, first, at)
			h = p.hotreload("resume")
			second := h.serve(2, at)
			answersOf(t, first, at)
			h.do("take 2")
			answersOf(t, second, at)
			h.do("close -")
			ended(t, keeper)
		})
	}
}

// takeOver asks a keeper for everything, as soon as there is one.
func takeOver(t *testing.T, path string) (kept, []int, int) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error { return unix.Connect(fd, &unix.SockaddrUnix{Name: path}) })
	k, fds, err := receive(fd)
	if err != nil {
		t.Fatal(err)
	}
	return k, fds, fd
}

// A hotreload that is killed right after it has taken over, before anything has changed.
func TestResumeAndDie(t *testing.T) {
	p := newPlace(t)
	at := "127.0.0.1:" + freePort(t)
	h := p.hotreload("new")
	first := h.serve(1, at)
	h.do("take 1")
	keeper := h.keeperPID()
	t.Cleanup(func() { endKeeper(keeper) })
	h.kill()
	for range 3 {
		h = p.hotreload("resume")
		first.do("bind y %s nonblock", at)
		h.kill()
		first.do("bind z %s nonblock", at)
	}
	h = p.hotreload("resume")
	h.do("close -")
	ended(t, keeper)
}

// What a keeper of another version says is not understood, and that is said.
func TestForeignProtocol(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll(pair[:])
	if err := send(pair[0], kept{Protocol: protocol + 1}, []int{0}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := receive(pair[1]); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("protocol %d", protocol+1)) {
		t.Errorf("%v", err)
	}
	if err := unix.Sendmsg(pair[0], []byte("{"), nil, nil, 0); err != nil {
		t.Fatal(err)
	}
	if _, _, err := receive(pair[1]); err == nil {
		t.Error("half a message is understood")
	}
}
