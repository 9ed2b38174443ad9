//go:build linux

package handover

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pathServerEnv makes the test binary a server on a unix socket, which does what it reads from its input, line by line.
const pathServerEnv = "HANDOVER_TEST_PATH_SERVER"

// It cannot wait for TestMain, which belongs to all tests: a child that is neither a test nor one of the roles known there ends here.
func init() {
	ShimMain()
	KeeperMain()
	number := os.Getenv(pathServerEnv)
	if number == "" || os.Args[0] == shimName {
		return
	}
	s := &pathServer{number: number}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		said, err := s.obey(strings.Fields(lines.Text()))
		if err != nil {
			said = "error: " + err.Error()
		}
		fmt.Println(strings.TrimSpace(said))
	}
	os.Exit(0)
}

// pathServer answers its number to each line that a client sends.
type pathServer struct {
	number string
	fd     int
}

func (s *pathServer) obey(words []string) (said string, err error) {
	switch words[0] {
	case "bind":
		if s.fd, err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return "", err
		}
		return "bound", unix.Bind(s.fd, &unix.SockaddrUnix{Name: words[1]})
	case "listen":
		if err := unix.Listen(s.fd, 64); err != nil {
			return "", err
		}
		go s.serve()
		return "listens", nil
	case "unlink":
		return "gone", unix.Unlink(words[1])
	case "gap": // how long the path is missing
		begin := time.Now()
		err := unix.Unlink(words[1])
		called := time.Since(begin)
		for errors.Is(unix.Access(words[1], 0), unix.ENOENT) && time.Since(begin) < deadline {
		}
		return fmt.Sprintf("%d %d", called.Nanoseconds(), time.Since(begin).Nanoseconds()), err
	case "again": // removes the path as often, each time as soon as it is back
		n, err := strconv.Atoi(words[2])
		for begin := time.Now(); n > 0 && err == nil; n-- {
			if err = unix.Unlink(words[1]); err != nil {
				break
			}
			for unix.Access(words[1], 0) != nil {
				if time.Since(begin) > deadline {
					return "", errors.New("it is not put back")
				}
			}
		}
		return "done", err
	case "gone": // how long unlink takes
		f, err := os.Create(words[1])
		if err != nil {
			return "", err
		}
		f.Close()
		begin := time.Now()
		err = unix.Unlink(words[1])
		called := time.Since(begin).Nanoseconds()
		return fmt.Sprintf("%d %d", called, called), err
	case "exists":
		_, err := os.Lstat(words[1])
		return fmt.Sprint(err == nil), nil
	case "chmod":
		mode, err := strconv.ParseUint(words[2], 8, 32)
		if err != nil {
			return "", err
		}
		return "changed", os.Chmod(words[1], os.FileMode(mode))
	case "umask":
		mask, err := strconv.ParseUint(words[1], 8, 32)
		unix.Umask(int(mask))
		return "set", err
	case "chdir":
		return "there", os.Chdir(words[1])
	}
	return "", fmt.Errorf("unknown command %q", words)
}

func (s *pathServer) serve() {
	for {
		fd, _, err := unix.Accept4(s.fd, unix.SOCK_CLOEXEC)
		if err != nil {
			return
		}
		go func() {
			defer unix.Close(fd)
			buf := make([]byte, 100)
			for {
				n, err := unix.Read(fd, buf)
				if err != nil || n == 0 {
					return
				}
				_, _ = unix.Write(fd, []byte(s.number+"\n")) // the client sees it
			}
		}()
	}
}

// deadline bounds the wait for something that must happen.
const deadline = 20 * time.Second

// pathWorld is a server's sockets and a directory for them.
type pathWorld struct {
	*Sockets
	t     testing.TB
	dir   string
	path  string
	notes chan string
}

func newPathWorld(t testing.TB) *pathWorld {
	t.Helper()
	dir, err := os.MkdirTemp("", "hu") // short, as the address of a socket must be
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil { // for servers of another user
		t.Fatal(err)
	}
	w := &pathWorld{t: t, dir: dir, path: filepath.Join(dir, "x.sock"), notes: make(chan string, 100)}
	if w.Sockets, err = New(nil, func(text string) { w.notes <- text }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

// pathGeneration is a server of the test's.
type pathGeneration struct {
	*Generation
	w    *pathWorld
	cmd  *exec.Cmd
	in   *os.File
	said *bufio.Scanner
}

// start starts a server that has bound nothing yet. The test is skipped where the kernel refuses.
func (w *pathWorld) start(number int, who *syscall.Credential) *pathGeneration {
	w.t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", pathServerEnv, number), "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who}
	theirs, in, err := os.Pipe()
	if err != nil {
		w.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	cmd.Stdin = theirs
	g := &pathGeneration{Generation: w.Begin(number, cmd), w: w, cmd: cmd, in: in, said: bufio.NewScanner(out)}
	err = cmd.Start()
	theirs.Close()
	g.Started()
	g.Proceed()
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(g.kill)
	if method, why := g.Method(); method == "off" {
		w.t.Skip("no handover here: " + why)
	}
	return g
}

func (g *pathGeneration) do(format string, args ...any) string {
	g.w.t.Helper()
	said := g.try(format, args...)
	if strings.HasPrefix(said, "error: ") {
		g.w.t.Fatalf("server %d: %s: %s", g.number, fmt.Sprintf(format, args...), said)
	}
	return said
}

func (g *pathGeneration) try(format string, args ...any) string {
	g.w.t.Helper()
	if _, err := fmt.Fprintf(g.in, format+"\n", args...); err != nil {
		g.w.t.Fatal(err)
	}
	if !g.said.Scan() {
		g.w.t.Fatalf("server %d has ended", g.number)
	}
	return g.said.Text()
}

// serve has it bind the path, listen, and be ready.
func (g *pathGeneration) serve(path string) *pathGeneration {
	g.w.t.Helper()
	g.do("bind %s", path)
	g.do("listen")
	g.Seal()
	return g
}

func (g *pathGeneration) take() *pathGeneration {
	g.w.t.Helper()
	if err := g.Take(); err != nil {
		g.w.t.Fatal(err)
	}
	return g
}

func (g *pathGeneration) kill() {
	if g.cmd.ProcessState == nil {
		_ = g.cmd.Process.Kill()
		_ = g.cmd.Wait() // it was killed
		g.in.Close()
	}
}

// end is how a server ends that removes its path, and how the supervisor ends its generation.
func (g *pathGeneration) end() {
	g.w.t.Helper()
	g.do("unlink %s", g.w.path)
	g.kill()
	g.Retire()
}

func (w *pathWorld) begin(number int) *pathGeneration {
	w.t.Helper()
	return w.start(number, nil)
}

// connect connects as a client does.
func (w *pathWorld) connect() net.Conn {
	w.t.Helper()
	c, err := net.Dial("unix", w.path)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	return c
}

// answer is the number of the server at the other end.
func (w *pathWorld) answer(c net.Conn) string {
	w.t.Helper()
	if err := c.SetDeadline(time.Now().Add(deadline)); err != nil {
		w.t.Fatal(err)
	}
	if _, err := fmt.Fprintln(c, "who"); err != nil {
		w.t.Fatal(err)
	}
	said, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		w.t.Fatal(err)
	}
	return strings.TrimSpace(said)
}

// answers checks which server new connections reach.
func (w *pathWorld) answers(number int) {
	w.t.Helper()
	c := w.connect()
	defer c.Close()
	if said := w.answer(c); said != strconv.Itoa(number) {
		w.t.Fatalf("%s is answered by server %s, not %d", w.path, said, number)
	}
}

// answersProbe checks that a probe reaches this one, whichever the others reach.
func (g *pathGeneration) answersProbe() {
	g.w.t.Helper()
	c, steered, err := g.Dial(context.Background(), "unix:"+g.w.path)
	if err != nil || !steered {
		g.w.t.Fatalf("probe of server %d: steered %v, %v", g.number, steered, err)
	}
	defer c.Close()
	if said := g.w.answer(c); said != strconv.Itoa(g.number) {
		g.w.t.Fatalf("a probe of server %d is answered by %s", g.number, said)
	}
}

// has checks what there is in the directory.
func (w *pathWorld) has(want ...string) {
	w.t.Helper()
	entries, err := os.ReadDir(w.dir)
	if err != nil {
		w.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if strings.Join(names, " ") != strings.Join(want, " ") {
		w.t.Fatalf("%s has %q, want %q", w.dir, names, want)
	}
}

// own is the name of a generation's socket beside the path.
func (w *pathWorld) own(number int) string { return filepath.Base(ownName(w.path, number)) }

// isBack waits until the path leads to a socket again.
func (w *pathWorld) isBack() {
	w.t.Helper()
	for until := time.Now().Add(deadline); ; {
		if _, err := os.Lstat(w.path); err == nil {
			return
		}
		if time.Now().After(until) {
			w.t.Fatalf("%s was not put back", w.path)
		}
	}
}
