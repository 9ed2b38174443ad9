// Package examples_test holds the examples to what their servers are known for: examples/prefork stands in for Swoole in
// every other test of hotreload, so what it does is checked here, and the same checks run on Swoole itself where that is
// installed.
package examples_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/procfs"
)

// deadline bounds every wait for something observable. Passing it is a failure.
const deadline = 60 * time.Second

// kind is a server that the examples hold.
type kind struct {
	name string
	dir  string
	php  string
}

func prefork(t *testing.T) kind {
	t.Helper()
	path, err := exec.LookPath("php")
	if err != nil {
		t.Skip("php is not installed")
	}
	return needs(t, kind{"prefork", "prefork", path}, "pcntl", "posix")
}

// swoole is skipped where neither php nor HOTRELOAD_TEST_PHP has the extension.
func swoole(t *testing.T) kind {
	t.Helper()
	path := os.Getenv("HOTRELOAD_TEST_PHP")
	if path == "" {
		var err error
		if path, err = exec.LookPath("php"); err != nil {
			t.Skip("php is not installed")
		}
	}
	return needs(t, kind{"swoole", "swoole", path}, "swoole", "pcntl")
}

func needs(t *testing.T, k kind, extensions ...string) kind {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("the processes of a server are read from /proc")
	}
	modules, err := exec.Command(k.php, "-m").Output()
	if err != nil {
		t.Skipf("%s -m: %v", k.php, err)
	}
	for _, extension := range extensions {
		if !slices.Contains(strings.Fields(string(modules)), extension) {
			t.Skipf("%s has no extension %s", k.php, extension)
		}
	}
	return k
}

// onBoth runs a test on the stand-in and on the real thing.
func onBoth(t *testing.T, test func(t *testing.T, k kind)) {
	t.Run("prefork", func(t *testing.T) { t.Parallel(); test(t, prefork(t)) })
	t.Run("swoole", func(t *testing.T) { t.Parallel(); test(t, swoole(t)) })
}

// server is one that runs.
type server struct {
	t       *testing.T
	cmd     *exec.Cmd
	output  *output
	exited  chan struct{}
	address string
	pidFile string
	app     string
	begun   string // a file that is there once a worker has begun to greet: see original
}

// start starts k with a copy of its app, on a free port, and waits until it answers and takes signals.
func start(t *testing.T, k kind, args ...string) *server {
	t.Helper()
	s := launch(t, k, args...)
	s.eventually("it answers and takes signals", func() bool {
		status, _, err := get("http://" + s.address + "/health")
		return err == nil && status == http.StatusOK && s.takesSignals()
	})
	return s
}

// launch starts k and does not wait.
func launch(t *testing.T, k kind, args ...string) *server {
	t.Helper()
	dir := t.TempDir()
	port := freePort(t)
	s := &server{
		t:       t,
		output:  &output{},
		exited:  make(chan struct{}),
		address: "127.0.0.1:" + port,
		pidFile: filepath.Join(dir, "run", "server.pid"),
		app:     filepath.Join(dir, "app"),
		begun:   filepath.Join(dir, "begun"),
	}
	if err := os.CopyFS(s.app, os.DirFS(filepath.Join(k.dir, "app"))); err != nil {
		t.Fatal(err)
	}
	s.save("v1")
	s.run(exec.Command(k.php, slices.Concat([]string{"server.php",
		"--port=" + port, "--pid-file=" + s.pidFile, "--app=" + s.app}, args)...), k.dir)
	return s
}

func (s *server) run(cmd *exec.Cmd, dir string) {
	s.cmd = cmd
	cmd.Dir = dir
	cmd.Stdout, cmd.Stderr = s.output, s.output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = deadline
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func() {
		defer close(s.exited)
		_ = cmd.Wait() // its state says how it ended
	}()
	s.t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-s.exited
		if s.t.Failed() {
			s.t.Logf("output of the server:\n%s", s.output)
		}
	})
}

// eventually waits until done is true.
func (s *server) eventually(what string, done func() bool) {
	s.t.Helper()
	for end := time.Now().Add(deadline); !done(); {
		if time.Now().After(end) {
			s.t.Fatalf("it did not become true that %s", what)
		}
		time.Sleep(2 * time.Millisecond) // between two looks at the same fact
	}
}

func (s *server) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatalf("signal the master: %v", err)
	}
}

// waitExit returns the exit code, or minus the number of the signal that ended the master.
func (s *server) waitExit() int {
	s.t.Helper()
	select {
	case <-s.exited:
	case <-time.After(deadline):
		s.t.Fatal("the master did not end")
	}
	status := s.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return -int(status.Signal())
	}
	return status.ExitStatus()
}

// takesSignals says whether the master's handlers are installed. A php with Zend signal handling (php -i) shows SIGHUP, SIGINT,
// SIGQUIT, SIGTERM, SIGUSR1 and SIGUSR2 as caught from its first moment, and dies of them all the same. SIGCHLD is not
// among them; a single process has no use for that one, but ignores SIGHUP in the same breath. A blocked signal is
// only put off, unless it is blocked to be read from a signalfd, as Swoole does.
func (s *server) takesSignals() bool {
	return s.catches(syscall.SIGCHLD) || has(s.mask("SigIgn"), syscall.SIGHUP) ||
		has(s.mask("SigBlk"), syscall.SIGHUP) && s.hasSignalfd()
}

// catches says whether the master has a handler for sig (SigCgt in /proc/PID/status).
func (s *server) catches(sig syscall.Signal) bool {
	return has(s.mask("SigCgt"), sig)
}

func has(mask uint64, sig syscall.Signal) bool {
	return mask&(1<<(sig-1)) != 0
}

func (s *server) hasSignalfd() bool {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", s.cmd.Process.Pid))
	return slices.ContainsFunc(files, func(file string) bool {
		target, _ := os.Readlink(file)
		return target == "anon_inode:[signalfd]"
	})
}

// mask returns a set of signals from the master's /proc/PID/status.
func (s *server) mask(name string) uint64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+":\t"); ok {
			mask, _ := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
			return mask
		}
	}
	return 0
}

// save writes the handler with version in place of v1, as an editor does: never half a file.
func (s *server) save(version string) {
	s.t.Helper()
	s.saveText(func(text string) string { return strings.Replace(text, "'v1'", "'"+version+"'", 1) })
}

func (s *server) saveText(edit func(original string) string) {
	s.t.Helper()
	file := filepath.Join(s.app, "handler.php")
	if err := os.WriteFile(file+"~", []byte(edit(s.original())), 0o644); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(file+"~", file); err != nil {
		s.t.Fatal(err)
	}
}

// original is the handler of the examples, which also leaves a sign when it begins to greet somebody.
func (s *server) original() string {
	s.t.Helper()
	text, err := os.ReadFile("prefork/app/handler.php")
	if err != nil {
		s.t.Fatal(err)
	}
	const greeting = "    return 'hello '"
	if strings.Count(string(text), greeting) != 1 {
		s.t.Fatalf("the handler greets otherwise than by %q:\n%s", greeting, text)
	}
	return strings.Replace(string(text), greeting, "    touch('"+s.begun+"');\n"+greeting, 1)
}

// inFlight waits until a worker works on a request for / or /slow. That a connection exists, or that the request was written, says
// nothing about any worker.
func (s *server) inFlight() {
	s.t.Helper()
	s.eventually("a worker works on the request", func() bool {
		_, err := os.Stat(s.begun)
		return err == nil
	})
}

// ask returns the body of an answer on a new connection.
func (s *server) ask(path string) string {
	s.t.Helper()
	_, body, err := get("http://" + s.address + path)
	if err != nil {
		s.t.Fatalf("GET %s: %v", path, err)
	}
	return strings.TrimSpace(body)
}

// tree returns the pids of the master's descendants by their depth: children first.
func (s *server) tree() [][]int {
	s.t.Helper()
	procs, err := procfs.AllProcs()
	if err != nil {
		s.t.Fatal(err)
	}
	children := map[int][]int{}
	for _, proc := range procs {
		if stat, err := proc.Stat(); err == nil && stat.State != "Z" {
			children[stat.PPID] = append(children[stat.PPID], proc.PID)
		}
	}
	var levels [][]int
	for level := []int{s.cmd.Process.Pid}; ; {
		var next []int
		for _, pid := range level {
			next = append(next, children[pid]...)
		}
		if len(next) == 0 {
			return levels
		}
		slices.Sort(next)
		levels = append(levels, next)
		level = next
	}
}

// leaves are the workers, the task workers and the user processes.
func (s *server) leaves() []int {
	levels := s.tree()
	if len(levels) == 0 {
		return nil
	}
	return levels[len(levels)-1]
}

// leavesWhenComplete waits until there are count of them.
func (s *server) leavesWhenComplete(count int) []int {
	s.t.Helper()
	var pids []int
	s.eventually(fmt.Sprintf("there are %d workers", count), func() bool {
		pids = s.leaves()
		return len(pids) == count
	})
	return pids
}

// replaced waits until none of old is left, and count processes are there again.
func (s *server) replaced(old []int, count int) []int {
	s.t.Helper()
	var pids []int
	s.eventually("all old workers are replaced", func() bool {
		pids = s.leaves()
		return len(pids) == count && len(common(pids, old)) == 0
	})
	return pids
}

func common(a, b []int) []int {
	var both []int
	for _, pid := range a {
		if slices.Contains(b, pid) {
			both = append(both, pid)
		}
	}
	return both
}

func without(pids, gone []int) []int {
	return slices.DeleteFunc(slices.Clone(pids), func(pid int) bool { return slices.Contains(gone, pid) })
}

// alone says whether nothing of the server's process group is left.
func (s *server) alone() bool {
	return errors.Is(syscall.Kill(-s.cmd.Process.Pid, 0), syscall.ESRCH)
}

// freePort returns a port that nobody listens on and that the kernel gives to no client: above 20000 and below the ephemeral ports.
func freePort(t *testing.T) string {
	t.Helper()
	for range 100 {
		port := strconv.Itoa(20000 + rand.IntN(12000))
		if listener, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			listener.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return ""
}

// output collects what the server prints.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}
