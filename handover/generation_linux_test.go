package handover

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A generation that begins to listen beside another gets no connection but those that are made for it, until it takes all; and that can be
// taken back.
func TestTake(t *testing.T) {
	for _, test := range []struct {
		name    string
		bind    string
		flags   string
		clients []string
	}{
		{"specific", "127.0.0.1", "nonblock", []string{"127.0.0.1"}},
		{"blocking", "127.0.0.1", "", []string{"127.0.0.1"}},
		{"wildcard", "0.0.0.0", "nonblock cloexec", []string{"127.0.0.1", "127.0.0.2"}},
		{"IPv6", "::1", "nonblock", []string{"::1"}},
		{"dual stack", "::", "nonblock", []string{"127.0.0.1", "::1", "127.0.0.2"}},
		{"mapped", "::ffff:127.0.0.1", "nonblock", []string{"127.0.0.1"}},
		{"IPv6 only", "::", "nonblock v6only", []string{"::1"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			port := freePort(t)
			at := net.JoinHostPort(test.bind, port)
			var clients []string
			for _, c := range test.clients {
				clients = append(clients, net.JoinHostPort(c, port))
			}
			w := newWorld(t)
			first := w.begin(1).serve(at, test.flags).take()
			first.answers(clients...)
			second := w.begin(2)
			second.do("bind x %s %s", at, test.flags)
			first.answers(clients...)
			second.do("listen x")
			first.answers(clients...)
			second.do("serve x")
			second.answersProbe(clients...) // before it is sealed: so its readiness is found out
			first.answers(clients...)
			second.Seal()
			first.answers(clients...)
			second.answersProbe(clients...)
			first.answers(clients...)
			second.take()
			second.answers(clients...)
			first.answersProbe(clients...)
			if err := second.Verify(t.Context(), second.pids); err != nil {
				t.Error(err)
			}
			if err := first.Verify(t.Context(), first.pids); err == nil {
				t.Error("new connections are said to reach the old generation")
			}
			first.take()
			first.answers(clients...)
			second.answersProbe(clients...)
			second.take()
			first.end()
			second.answers(clients...)
			for _, g := range []generation{second} {
				if n := g.do("again -"); !strings.Contains(test.flags, "nonblock") && n != "0" {
					t.Errorf("a blocking server was told %s times to try again", n)
				}
			}
			want := fmt.Sprintf("nonblock %v cloexec %v", strings.Contains(test.flags, "nonblock"), strings.Contains(test.flags, "cloexec"))
			if have := second.do("flags x"); have != want {
				t.Errorf("the socket has %s, the server made it %s", have, want)
			}
		})
	}
}

// The kernel counts sockets in an order that changes when one leaves. Whatever comes and goes, connections go where they are to go.
func TestOrderOverGenerations(t *testing.T) {
	w := newWorld(t)
	at := "127.0.0.1:" + freePort(t)
	first := w.begin(1).serve(at).take()

	never := w.begin(2) // listens, and is never ready
	never.do("bind x %s", at)
	never.do("listen x")
	never.do("serve x")
	first.answers(at)
	never.end()
	first.answers(at)

	silent := w.begin(3) // never even listens
	silent.do("bind x %s", at)
	silent.end()
	first.answers(at)

	fourth := w.begin(4).serve(at)
	first.answers(at)
	fourth.take().answers(at)
	refused := w.begin(5).serve(at) // ready, and then not good enough: it leaves from the middle
	refused.answersProbe(at)
	fourth.answers(at)
	refused.end()
	fourth.answers(at)
	first.end() // the old one leaves: the last takes its place
	fourth.answers(at)

	crash := w.begin(6).serve(at).take()
	fourth.end()
	crash.answers(at)
	crash.kill()
	crash.Abandon()
	seventh := w.begin(7).serve(at).take() // with the socket of the sixth
	seventh.answers(at)
	eighth := w.begin(8).serve(at)
	seventh.answers(at)
	eighth.answersProbe(at)
	ninth := w.begin(9).serve(at) // three at a time
	seventh.answers(at)
	eighth.answersProbe(at)
	ninth.answersProbe(at)
	ninth.take().answers(at)
	seventh.end()
	ninth.answers(at)
	eighth.answersProbe(at)
	eighth.end()
	ninth.answers(at)
}

// One that listens when another one leaves, before anybody has looked at it.
func TestOrderUnseen(t *testing.T) {
	w := newWorld(t)
	at := "127.0.0.1:" + freePort(t)
	first := w.begin(1).serve(at).take()
	second := w.begin(2).serve(at).take()
	third := w.begin(3)
	third.do("bind x %s", at)
	third.do("listen x") // 1, 2, 3 in the kernel
	third.do("serve x")
	first.end() // 3, 2
	second.answers(at)
	third.answersProbe(at)
	second.answers(at)
	third.Seal()
	third.take().answers(at)
	second.end()
	third.answers(at)
}

// A server that crashes leaves its sockets: connections wait for the next one.
func TestAbandon(t *testing.T) {
	for _, test := range []struct{ before, after string }{{"nonblock", "nonblock"}, {"nonblock", ""}, {"", "nonblock cloexec"}} {
		t.Run(test.before+" then "+test.after, func(t *testing.T) {
			w := newWorld(t)
			at := "127.0.0.1:" + freePort(t)
			first := w.begin(1).serve(at, test.before).take()
			first.answers(at)
			first.kill()
			first.Abandon()
			type answer struct {
				said string
				err  error
			}
			const clients = 20
			answers := make(chan answer, clients)
			for range clients {
				c, err := net.DialTimeout("tcp", at, patience)
				if err != nil {
					t.Fatalf("while there is no server: %v", err)
				}
				go func() {
					defer c.Close()
					said, err := say(c, "hello")
					answers <- answer{said, err}
				}()
			}
			second := w.begin(2)
			second.do("bind x %s %s", at, test.after)
			if have := second.do("name x"); have != at {
				t.Fatalf("bound to %s, not %s", have, at)
			}
			second.do("listen x")
			second.do("serve x")
			second.Seal()
			second.take()
			want := fmt.Sprintf("gen 2 %d", second.pid)
			for range clients {
				if a := <-answers; a.err != nil || a.said != want {
					t.Errorf("%q, %v, want %q", a.said, a.err, want)
				}
			}
			second.answers(at)
			if have, want := second.do("flags x"), fmt.Sprintf("nonblock %v cloexec %v", strings.Contains(test.after, "nonblock"), strings.Contains(test.after, "cloexec")); have != want {
				t.Errorf("the socket has %s, the server made it %s", have, want)
			}
			if n := second.do("again -"); test.after == "" && n != "0" {
				t.Errorf("a blocking server was told %s times to try again", n)
			}
		})
	}
}

// When there will be no next one, nothing may wait for ever.
func TestDrop(t *testing.T) {
	w := newWorld(t)
	at := "127.0.0.1:" + freePort(t)
	first := w.begin(1).serve(at).take()
	first.kill()
	first.Abandon()
	c, err := net.DialTimeout("tcp", at, patience)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	w.sockets.Drop()
	if said, err := say(c, "hello"); err == nil {
		t.Errorf("somebody answers %q", said)
	}
	if _, err := net.DialTimeout("tcp", at, patience); err == nil {
		t.Error("there is still a listener")
	}
}

// A bind that fails is none, and one that succeeds later is one.
func TestBindAgain(t *testing.T) {
	for _, ready := range []bool{false, true} {
		t.Run(fmt.Sprintf("ready %v", ready), func(t *testing.T) {
			w := newWorld(t)
			at := "127.0.0.1:" + freePort(t)
			l, err := net.Listen("tcp", at)
			if err != nil {
				t.Fatal(err)
			}
			g := w.begin(1)
			if said, err := g.try("bind x %s", at); err == nil {
				t.Fatalf("two listen on %s: %s", at, said)
			}
			l.Close()
			if ready {
				g.Seal()
			}
			g.do("bind x %s", at)
			if have := g.do("name x"); have != at {
				t.Fatalf("bound to %s, not %s", have, at)
			}
			g.do("listen x")
			g.do("serve x")
			g.answers(at)
		})
	}
}

// What a server that crashed had tried in vain to bind is not left to the next one.
func TestAbandonUnbound(t *testing.T) {
	w := newWorld(t)
	at := "127.0.0.1:" + freePort(t)
	l, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	first := w.begin(1)
	if said, err := first.try("bind x %s", at); err == nil {
		t.Fatalf("two listen on %s: %s", at, said)
	}
	first.kill()
	first.Abandon()
	l.Close()
	second := w.begin(2)
	second.do("bind x %s", at)
	if have := second.do("name x"); have != at {
		t.Fatalf("bound to %s, not %s", have, at)
	}
	second.do("listen x")
	second.do("serve x")
	second.Seal()
	second.take().answers(at)
}

// A second descriptor for the same address, as workers make with SO_REUSEPORT, is one for the same socket.
func TestBindBesideItself(t *testing.T) {
	w := newWorld(t)
	at := "127.0.0.1:" + freePort(t)
	first := w.begin(1).serve(at, "nonblock").take()
	second := w.begin(2).serve(at, "nonblock")
	for _, g := range []generation{first, second} {
		g.do("bind y %s nonblock", at)
		g.do("listen y")
		g.do("close x") // the master's, as if the workers had only their own
		g.do("serve y")
	}
	first.answers(at)
	second.answersProbe(at)
	second.take().answers(at)
	first.end()
	second.answers(at)
}

// A socket that is bound and does not listen yet is dialled in vain, and that is all.
func TestDialTooEarly(t *testing.T) {
	w := newWorld(t)
	at := "127.0.0.1:" + freePort(t)
	first := w.begin(1)
	for _, g := range []generation{first, w.begin(2)} {
		g.do("bind x %s", at)
		c, _, err := g.Dial(t.Context(), at)
		if err == nil && g == first {
			t.Error("somebody listens")
		}
		if err == nil {
			c.Close()
		}
		if g == first {
			g.do("listen x")
			g.do("serve x")
			g.answersFirst(at)
			g.Seal()
			g.take()
		}
	}
	first.answers(at)
}

// answersFirst checks what a first generation answers to a probe.
func (g generation) answersFirst(at string) {
	g.t.Helper()
	c, _, err := g.Dial(g.t.Context(), at)
	if err != nil {
		g.t.Fatal(err)
	}
	defer c.Close()
	if said, err := say(c, "hello"); err != nil || said != fmt.Sprintf("gen 1 %d", g.pid) {
		g.t.Errorf("%q, %v", said, err)
	}
}

// A socket that never listens is none, and Take does not stumble over it.
func TestNeverListens(t *testing.T) {
	w := newWorld(t)
	at, other := "127.0.0.1:"+freePort(t), "127.0.0.1:"+freePort(t)
	g := w.begin(1)
	g.do("bind y %s", other)
	g.serve(at)
	g.take().answers(at)
	g.kill()
	g.Abandon()
	second := w.begin(2)
	second.do("bind y %s", other)
	second.serve(at).take().answers(at)
}

// One that dies with a socket that did not listen yet, and one that binds that address only after it was ready.
func TestOrphanedAfterReady(t *testing.T) {
	w := newWorld(t)
	at, other := "127.0.0.1:"+freePort(t), "127.0.0.1:"+freePort(t)
	first := w.begin(1)
	first.do("bind y %s", other)
	first.kill()
	first.Abandon()
	second := w.begin(2).serve(at)
	second.do("bind y %s", other)
	second.take().answers(at)
	second.do("listen y")
	second.do("serve y")
	second.answers(other)
}

// A process that outlives its server and holds on to the socket takes nothing away from the next generations.
func TestOrphanHolds(t *testing.T) {
	w := newWorld(t)
	at := "127.0.0.1:" + freePort(t)
	first := w.begin(1).serve(at).take()
	holder, err := strconv.Atoi(first.do("hold x"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(holder, syscall.SIGKILL) })
	second := w.begin(2).serve(at).take()
	first.end()
	second.answers(at)
	third := w.begin(3).serve(at)
	second.answers(at)
	third.answersProbe(at)
	third.take().answers(at)
	second.end()
	third.answers(at)
	if !running(holder) {
		t.Error("nobody held the socket")
	}
}

// A server whose readiness is not there yet when the old one crashes.
func TestCrashDuringHandover(t *testing.T) {
	w := newWorld(t)
	at := "127.0.0.1:" + freePort(t)
	first := w.begin(1).serve(at).take()
	second := w.begin(2).serve(at)
	first.kill()
	first.Abandon()
	second.take().answers(at)
	third := w.begin(3).serve(at)
	second.answers(at)
	third.take().answers(at)
}

func TestUDPBesideTCP(t *testing.T) {
	w := newWorld(t)
	at := "127.0.0.1:" + freePort(t)
	first := w.begin(1)
	first.do("bind u %s udp", at)
	first.serve(at).take()
	first.do("bind v 127.0.0.1:%s udp", freePort(t))
	if err := unix.Kill(first.pid, 0); err != nil {
		t.Fatal(err)
	}
	first.answers(at)
	w.noted("UDP sockets are not handed over: " + at)
	second := w.begin(2)
	if said, err := second.try("bind u %s udp", at); err == nil {
		t.Errorf("two have the same UDP port: %s", said)
	}
	second.serve(at).take().answers(at)
}

// What is none of ours: a port that the kernel chooses, netlink.
func TestLeftAlone(t *testing.T) {
	w := newWorld(t)
	g := w.begin(1)
	g.do("bind x 127.0.0.1:0")
	if have := g.do("name x"); strings.HasSuffix(have, ":0") {
		t.Errorf("bound to %s", have)
	}
	g.do("netlink -")
	for _, l := range g.Seal() {
		t.Errorf("%s is to be handed over", l.Address)
	}
	g.take()
}

// Two generations of an ordinary user's hotreload.
func TestOrdinaryUser(t *testing.T) {
	p := newPlace(t)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = childEnv("hotreload")
	want := os.Getuid()
	if want == 0 {
		want = 65534
		asNobody(cmd)
	}
	h := fakeHotreload{p.start(cmd, nil), p}
	h.do("new -")
	at := "127.0.0.1:" + freePort(t)
	first := h.begin(1)
	first.do("bind x %s nonblock", at)
	first.do("listen x")
	first.do("serve x")
	if have, want := first.do("privileges -"), fmt.Sprintf("no_new_privs 1 uid %d", want); have != want {
		t.Errorf("the server has %q, want %q", have, want)
	}
	h.do("seal 1")
	h.do("take 1")
	answersOf(t, first, at)
	second := h.begin(2)
	second.do("bind x %s nonblock", at)
	second.do("listen x")
	second.do("serve x")
	answersOf(t, first, at)
	h.do("seal 2")
	h.do("dial 2 %s", at)
	answersOf(t, first, at)
	h.do("take 2")
	answersOf(t, second, at)
	h.do("verify 2 %d", second.pid)
	eventually(t, func() error {
		if notes := h.do("notes -"); !strings.Contains(notes, "no_new_privs") {
			return fmt.Errorf("it is not said that setuid programs do not work: %q", notes)
		}
		return nil
	})
	h.do("retire 1")
	answersOf(t, second, at)
}

// A privileged hotreload leaves setuid programs alone.
func TestPrivileged(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	w := newWorld(t)
	if have := w.begin(1).do("privileges -"); have != "no_new_privs 0 uid 0" {
		t.Errorf("the server has %q", have)
	}
}

// A command that cannot be started is an error of its start, and says why there is no handover.
func TestNoServer(t *testing.T) {
	w := newWorld(t)
	cmd := exec.Command("/nonexistent/program")
	g := w.sockets.Begin(1, cmd)
	err := cmd.Start()
	g.Started()
	g.Proceed()
	if err == nil {
		_ = cmd.Wait()
	}
	g.Retire()
	broken := exec.Command("/proc/self/exe")
	broken.Dir = "/nonexistent" // the shim itself is never executed
	g = w.sockets.Begin(2, broken)
	if broken.Start() == nil {
		t.Fatal("started in a directory that is not there")
	}
	g.Started()
	if method, why := g.Method(); method != "off" || why == "" {
		t.Errorf("%s, because %q", method, why)
	}
	g.Retire()
}

// The numbers of processes and their threads are told apart, and descriptors that were passed on are not lost.
func TestBusyDescriptors(t *testing.T) {
	w := newWorld(t)
	cmd := exec.Command("/proc/self/exe")
	r, wr, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer wr.Close()
	cmd.ExtraFiles = []*os.File{r}
	g := w.sockets.Begin(1, cmd)
	g.Started()
	if method, why := g.Method(); method != "off" || why == "" || len(cmd.ExtraFiles) != 1 {
		t.Errorf("%s, because %q", method, why)
	}
	g.Retire()
}

// Nobody is left who could answer, when the test is over.
func TestCloseEndsEverything(t *testing.T) {
	w := newWorld(t)
	at := "127.0.0.1:" + freePort(t)
	first := w.begin(1).serve(at).take()
	second := w.begin(2).serve(at)
	first.kill()
	second.kill()
	w.sockets.Close()
	eventually(t, func() error {
		c, err := net.DialTimeout("tcp", at, time.Second)
		if err == nil {
			c.Close()
			return fmt.Errorf("there is still a listener")
		}
		return nil
	})
}
