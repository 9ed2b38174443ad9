//go:build linux

package handover

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The test binary is also the shim, the keeper, a server that does what it is told, a process that holds on to a socket, and a hotreload
// that can be killed.
func TestMain(m *testing.M) {
	ShimMain()
	KeeperMain()
	switch os.Getenv(roleEnv) {
	case "server":
		os.Exit(obey(newFakeServer().command))
	case "hotreload":
		os.Exit(obey(newFakeHotreload().command))
	case "holder":
		<-time.After(patience) // unless the test ends it
		os.Exit(0)
	}
	os.Exit(m.Run())
}

const (
	roleEnv    = "HANDOVER_TEST_ROLE"
	numberEnv  = "HANDOVER_TEST_NUMBER"  // of a server
	controlEnv = "HANDOVER_TEST_CONTROL" // the unix socket at which the test waits for whoever obeys
	keeperEnv  = "HANDOVER_TEST_KEEPER"  // where a hotreload's keeper is found
)

// patience bounds the wait for something that must happen.
const patience = 2 * time.Minute

// obey connects to the test, says who it is, and does what it is told, one line after the other, until the test is gone.
func obey(command func(words []string) (string, error)) int {
	c, err := net.Dial("unix", os.Getenv(controlEnv))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Fprintf(c, "%s %s %d\n", os.Getenv(roleEnv), os.Getenv(numberEnv), os.Getpid())
	lines := bufio.NewScanner(c)
	for lines.Scan() {
		said, err := command(strings.Fields(lines.Text()))
		if err != nil {
			said = "error: " + err.Error()
		}
		fmt.Fprintln(c, strings.ReplaceAll(said, "\n", " "))
	}
	return 0
}

// childEnv is the environment of a child that plays a role. Nothing waits for the race detector, which sleeps when a process ends.
func childEnv(role string, more ...string) []string {
	env := append(os.Environ(), roleEnv+"="+role, "GORACE=atexit_sleep_ms=0")
	return append(env, more...)
}

// fakeServer answers "gen NUMBER PID" to each line, to "slow DURATION" that much later, to "held" when the test says so, and to "stream
// DURATION" again and again.
type fakeServer struct {
	number  string
	sockets map[string]int // by the names that the test gives them
	again   atomic.Int64   // how often accept said EAGAIN
	held    chan struct{}  // one that was read
	release chan struct{}  // one that may be answered
}

func newFakeServer() *fakeServer {
	return &fakeServer{number: os.Getenv(numberEnv), sockets: map[string]int{}, held: make(chan struct{}), release: make(chan struct{})}
}

func (f *fakeServer) command(words []string) (string, error) {
	switch name := words[1]; words[0] {
	case "bind": // NAME ADDRESS [nonblock] [v6only] [udp] [cloexec]
		return f.bind(name, words[2], words[3:])
	case "listen": // NAME
		return "listens", unix.Listen(f.sockets[name], 128)
	case "serve": // NAME
		go f.serve(f.sockets[name])
		return "serves", nil
	case "flags": // NAME
		status, err := unix.FcntlInt(uintptr(f.sockets[name]), unix.F_GETFL, 0)
		if err != nil {
			return "", err
		}
		own, err := unix.FcntlInt(uintptr(f.sockets[name]), unix.F_GETFD, 0)
		return fmt.Sprintf("nonblock %v cloexec %v", status&unix.O_NONBLOCK != 0, own&unix.FD_CLOEXEC != 0), err
	case "name": // NAME
		at, err := localOf(f.sockets[name])
		return at.String(), err
	case "close": // NAME
		return "closed", unix.Close(f.sockets[name])
	case "await": // -
		<-f.held
		return "it has a request that is held", nil
	case "release": // -
		f.release <- struct{}{}
		return "the request is answered", nil
	case "again": // -
		return fmt.Sprint(f.again.Load()), nil
	case "netlink": // -
		fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
		if err != nil {
			return "", err
		}
		return "bound", unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	case "privileges": // -
		on, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
		return fmt.Sprintf("no_new_privs %d uid %d", on, os.Getuid()), err
	case "hold": // NAME: a child keeps the socket, and outlives the server
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = childEnv("holder")
		cmd.ExtraFiles = []*os.File{os.NewFile(uintptr(f.sockets[name]), name)}
		if err := cmd.Start(); err != nil {
			return "", err
		}
		return strconv.Itoa(cmd.Process.Pid), nil
	}
	return "", fmt.Errorf("unknown command %q", words)
}

func (f *fakeServer) bind(name, address string, flags []string) (string, error) {
	var has = map[string]bool{}
	for _, flag := range flags {
		has[flag] = true
	}
	var at unix.Sockaddr
	domain, kind := unix.AF_UNIX, unix.SOCK_STREAM
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		at = &unix.SockaddrUnix{Name: path}
	} else {
		tcp, err := net.ResolveTCPAddr("tcp", address)
		if err != nil {
			return "", err
		}
		to := netip.AddrPortFrom(tcp.AddrPort().Addr().Unmap(), uint16(tcp.Port))
		if strings.Contains(address, "::ffff:") {
			to = tcp.AddrPort() // an IPv6 socket for IPv4
		}
		at = sockaddr(to)
		domain = unix.AF_INET6
		if to.Addr().Is4() {
			domain = unix.AF_INET
		}
	}
	if has["udp"] {
		kind = unix.SOCK_DGRAM
	}
	if has["nonblock"] {
		kind |= unix.SOCK_NONBLOCK
	}
	if has["cloexec"] {
		kind |= unix.SOCK_CLOEXEC
	}
	fd, err := unix.Socket(domain, kind, 0)
	if err != nil {
		return "", err
	}
	if !has["udp"] { // with it, two could have the same UDP port
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	}
	if domain == unix.AF_INET6 {
		only := 0
		if has["v6only"] {
			only = 1
		}
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only); err != nil {
			return "", err
		}
	}
	if err := unix.Bind(fd, at); err != nil {
		unix.Close(fd)
		return "", err
	}
	f.sockets[name] = fd
	return "bound", nil
}

// serve accepts as a blocking server does, or as one with an event loop.
func (f *fakeServer) serve(fd int) {
	blocking, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		return
	}
	for {
		if blocking&unix.O_NONBLOCK != 0 {
			if _, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1); err != nil && !errors.Is(err, unix.EINTR) {
				return
			}
		}
		c, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
		switch {
		case errors.Is(err, unix.EAGAIN):
			f.again.Add(1)
			continue
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.ECONNABORTED):
			continue
		case err != nil:
			return
		}
		file := os.NewFile(uintptr(c), "connection")
		conn, err := net.FileConn(file)
		file.Close()
		if err == nil {
			go f.talk(conn)
		}
	}
}

func (f *fakeServer) talk(c net.Conn) {
	defer c.Close()
	for lines := bufio.NewScanner(c); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), "slow "); ok {
			d, _ := time.ParseDuration(text)
			<-time.After(d)
		}
		if text, ok := strings.CutPrefix(lines.Text(), "stream "); ok {
			d, _ := time.ParseDuration(text)
			for f.answer(c) == nil {
				<-time.After(d)
			}
			return
		}
		if lines.Text() == "held" {
			f.held <- struct{}{}
			<-f.release
		}
		_ = f.answer(c) // a client that is gone is no matter
	}
}

func (f *fakeServer) answer(c net.Conn) error {
	_, err := fmt.Fprintf(c, "gen %s %d\n", f.number, os.Getpid())
	return err
}

// place is where the test waits for its children to connect.
type place struct {
	t        *testing.T
	path     string
	children chan *child
}

// child is a process that obeys.
type child struct {
	t      *testing.T
	role   string
	number string
	pid    int
	conn   net.Conn
	said   *bufio.Scanner
	done   chan struct{} // closed when it has ended, if the test itself started it
	cmd    *exec.Cmd
}

func newPlace(t *testing.T) *place {
	t.Helper()
	dir, err := os.MkdirTemp("", "ho") // short: the path of a unix socket may have some hundred bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil { // for children of another user
		t.Fatal(err)
	}
	p := &place{t: t, path: dir + "/control", children: make(chan *child, 100)}
	l, err := net.Listen("unix", p.path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(p.path, 0o777); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			said := bufio.NewScanner(c)
			if !said.Scan() {
				c.Close()
				continue
			}
			who := &child{t: t, conn: c, said: said}
			words := strings.Split(said.Text(), " ")
			who.role, who.number = words[0], words[1]
			who.pid, _ = strconv.Atoi(words[2])
			t.Cleanup(func() { c.Close() }) // and with it the child ends
			p.children <- who
		}
	}()
	return p
}

func (p *place) file(name string) string { return p.path + "." + name }

// next is the child that connects next.
func (p *place) next() *child {
	p.t.Helper()
	select {
	case c := <-p.children:
		return c
	case <-time.After(patience):
		p.t.Fatal("nobody connects to the test")
		return nil
	}
}

// do has a child do something that must succeed.
func (c *child) do(format string, args ...any) string {
	c.t.Helper()
	said, err := c.try(format, args...)
	if err != nil {
		c.t.Fatalf("%s %s: %s: %v", c.role, c.number, fmt.Sprintf(format, args...), err)
	}
	return said
}

func (c *child) try(format string, args ...any) (string, error) {
	if err := c.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	if _, err := fmt.Fprintf(c.conn, format+"\n", args...); err != nil {
		return "", err
	}
	if !c.said.Scan() {
		return "", fmt.Errorf("it is gone: %v", c.said.Err())
	}
	if text, ok := strings.CutPrefix(c.said.Text(), "error: "); ok {
		return "", errors.New(text)
	}
	return c.said.Text(), nil
}

// kill ends a process that the test started, and waits until it is gone.
func (c *child) kill() {
	_ = c.cmd.Process.Kill()
	<-c.done
}

func (c *child) pids() []int { return []int{c.pid} }

// start starts cmd, which is going to connect to the place.
func (p *place) start(cmd *exec.Cmd, started func()) *child {
	p.t.Helper()
	cmd.Stderr = os.Stderr
	cmd.Env = append(cmd.Env, controlEnv+"="+p.path)
	err := cmd.Start()
	if started != nil {
		started()
	}
	if err != nil {
		p.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = cmd.Wait() // it is killed
	}()
	p.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-done
	})
	c := p.next()
	c.cmd, c.done = cmd, done
	return c
}

// world is a server's sockets, and the servers.
type world struct {
	*place
	sockets *Sockets
	mu      sync.Mutex
	notes   []string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{place: newPlace(t)}
	var err error
	if w.sockets, err = New(nil, w.note); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.sockets.Close)
	return w
}

func (w *world) note(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.notes = append(w.notes, text)
}

// noted waits for a note.
func (w *world) noted(part string) {
	w.t.Helper()
	eventually(w.t, func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if !strings.Contains(strings.Join(w.notes, "\n"), part) {
			return fmt.Errorf("%q is not among %q", part, w.notes)
		}
		return nil
	})
}

// generation is a server of the test's.
type generation struct {
	*child
	*Generation
}

// begin starts a server that has bound nothing yet. The test is skipped where the kernel refuses.
func (w *world) begin(number int) generation {
	w.t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = childEnv("server", fmt.Sprintf("%s=%d", numberEnv, number))
	g := w.sockets.Begin(number, cmd)
	c := w.start(cmd, func() { g.Started(); g.Proceed() })
	if method, why := g.Method(); method == "off" {
		w.t.Skip("no handover here: " + why)
	}
	return generation{c, g}
}

// serve has it bind, listen, answer, and be ready.
func (g generation) serve(address string, flags ...string) generation {
	g.t.Helper()
	g.do("bind x %s %s", address, strings.Join(flags, " "))
	g.do("listen x")
	g.do("serve x")
	g.Seal()
	return g
}

func (g generation) take() generation {
	g.t.Helper()
	if err := g.Take(); err != nil {
		g.t.Fatal(err)
	}
	return g
}

// end is how the supervisor ends a generation.
func (g generation) end() {
	g.kill()
	g.Retire()
}

// ask says one line on a new connection.
func ask(address, line string) (string, error) {
	c, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return "", err
	}
	defer c.Close()
	return say(c, line)
}

func say(c net.Conn, line string) (string, error) {
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	if _, err := fmt.Fprintln(c, line); err != nil {
		return "", err
	}
	said, err := bufio.NewReader(c).ReadString('\n')
	return strings.TrimSpace(said), err
}

// answers checks that all new connections reach a generation. Fewer than some dozen could do so by chance.
func (g generation) answers(addresses ...string) {
	g.t.Helper()
	want := fmt.Sprintf("gen %s %d", g.child.number, g.pid)
	for _, address := range addresses {
		for range 40 {
			if said, err := ask(address, "hello"); err != nil || said != want {
				g.t.Fatalf("%s answers %q, %v, want %q", address, said, err, want)
			}
		}
	}
}

// answersProbe checks that Dial reaches a generation.
func (g generation) answersProbe(addresses ...string) {
	g.t.Helper()
	for _, address := range addresses {
		for range 5 {
			c, steered, err := g.Dial(g.t.Context(), address)
			if err != nil {
				g.t.Fatalf("dial generation %d at %s: %v", g.Generation.number, address, err)
			}
			said, err := say(c, "hello")
			c.Close()
			if want := fmt.Sprintf("gen %s %d", g.child.number, g.pid); said != want || !steered {
				g.t.Fatalf("dialled at %s: %q, %v, steered %v, want %q", address, said, err, steered, want)
			}
		}
	}
}

// freePort returns a port that nobody listens on and that the kernel gives to no client.
func freePort(t *testing.T) string {
	t.Helper()
	for port := 20000 + os.Getpid()%10000; port < 32000; port++ {
		if _, used := usedPorts.LoadOrStore(port, true); used {
			continue
		}
		l, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
		if err == nil {
			l.Close()
			return strconv.Itoa(port)
		}
	}
	t.Fatal("no port is free")
	return ""
}

// usedPorts are those that were given to a test.
var usedPorts sync.Map

// eventually tries until it succeeds.
func eventually(t *testing.T, try func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still not after %v: %v", patience, err)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// running reports whether a process exists and is no zombie.
func running(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z")
}

// asNobody has cmd run as an ordinary user.
func asNobody(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
}
