package supervisor_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// serverEnv makes the test binary a server: its value is a behaviour.
const serverEnv = "HOTRELOAD_TEST_SERVER"

// promptExit keeps the race detector from sleeping for a second in every process that ends.
const promptExit = "GORACE=atexit_sleep_ms=0"

// behaviour is a small server with children as workers, and all that it may do wrong. A worker reads App when it starts, and
// says its text and its own pid to everybody who connects.
type behaviour struct {
	Port    int
	PIDFile string
	App     string
	Workers int
	Reload  syscall.Signal // replaces the workers

	// At the start.
	Say       string        // said on the standard error first
	Exit      int           // the exit code with which the server ends before it has done anything; 0: it goes on
	Terminal  bool          // says whether its output is a terminal, and then bytes that a terminal might change
	NoPort    bool          // nothing listens, and nothing works
	Daemonize bool          // a child in a session of its own is the master, and the parent ends before that has begun
	Half      bool          // the pid file is empty first, then holds half the pid
	WrongPID  int           // what the pid file says instead
	BootDelay time.Duration // before the pid file is written and the workers are started

	// At the end.
	IgnoreStop bool // SIGTERM
	StopExit   int  // exit code after SIGTERM
	Orphans    bool // workers do not end with their master
	Leave      bool // workers have sessions of their own, so that they are in no process group

	// At the reload signal.
	ReloadIgnored bool // it is ignored
	ReloadDropped bool // it is caught and nothing happens
	ReloadDies    int  // the exit code with which the master ends
	ReloadStuck   bool // new workers are started and the old ones stay

	// While it runs.
	Flood         bool // workers print without end
	Holder        bool // the master has a child in a session of its own that holds the output open
	Escaped       bool // ... whose parent has ended
	Command       bool // each worker runs a command that does not end
	EndWhenTalked bool // the master ends with StopExit when the first worker was asked

	Worker bool // what this process is
	Daemon bool
}

func (b behaviour) env() string {
	text, err := json.Marshal(b)
	if err != nil {
		panic(err)
	}
	return serverEnv + "=" + string(text)
}

// throws is the text in App that no worker survives.
const throws = "throw"

// fatal is what workers that do not start say.
const fatal = "PHP Fatal error:  Uncaught Error: boom in app/handler.php:3"

// payload holds what a terminal would change if it were not told to leave it alone.
const payload = "one\ntwo\r\nthree\ttabs\x1b[31m red \x04\x03\x7f\xff\r four\n"

func serverMain() int {
	var b behaviour
	if err := json.Unmarshal([]byte(os.Getenv(serverEnv)), &b); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	if b.Worker {
		return b.work()
	}
	if b.Daemonize && !b.Daemon {
		return b.daemonize()
	}
	if b.Say != "" {
		fmt.Fprintln(os.Stderr, b.Say)
	}
	if b.Exit != 0 {
		return b.Exit
	}
	if b.Terminal {
		fmt.Printf("terminal=%v\n%s", term.IsTerminal(1), payload)
	}
	m := &master{behaviour: b, deaths: make(chan int), workers: map[int]*exec.Cmd{}}
	if err := m.run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return b.StopExit
}

func (b behaviour) daemonize() int {
	b.Daemon = true
	cmd := b.command(b.env())
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func (b behaviour) command(env string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), env)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd
}

// master owns the workers. One goroutine, run, does everything.
type master struct {
	behaviour
	listener *os.File
	lifeline *os.File // the workers' end: it ends with the master
	alive    *os.File // the master's
	deaths   chan int
	workers  map[int]*exec.Cmd // those that must be there
}

func (m *master) run() error {
	// Buffered for more than any test sends.
	signals := make(chan os.Signal, 100)
	signal.Notify(signals, syscall.SIGTERM, m.Reload)
	if m.IgnoreStop {
		signal.Ignore(syscall.SIGTERM)
	}
	if m.ReloadIgnored {
		signal.Ignore(m.Reload)
	}
	if m.NoPort {
		if err := m.writePIDFile(); err != nil {
			return err
		}
		<-signals
		return os.Remove(m.PIDFile)
	}
	time.Sleep(m.BootDelay)
	if err := m.open(); err != nil {
		return err
	}
	if err := m.companions(); err != nil {
		return err
	}
	for range m.Workers {
		if err := m.start(); err != nil {
			return err
		}
	}
	if err := m.writePIDFile(); err != nil {
		return err
	}
	for {
		select {
		case pid := <-m.deaths:
			if m.workers[pid] == nil {
				continue
			}
			delete(m.workers, pid)
			if m.EndWhenTalked {
				return nil
			}
			if err := m.start(); err != nil {
				return err
			}
		case s := <-signals:
			if s == syscall.SIGTERM {
				return m.stop()
			}
			if err := m.reload(); err != nil {
				return err
			}
		}
	}
}

func (m *master) open() error {
	l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(m.Port))
	if err != nil {
		return err
	}
	if m.listener, err = l.(*net.TCPListener).File(); err != nil {
		return err
	}
	m.lifeline, m.alive, err = os.Pipe()
	return err
}

// companions starts what is not a worker.
func (m *master) companions() error {
	if !m.Holder && !m.Escaped {
		return nil
	}
	// What the shell starts first is ended with it, or stays behind.
	script := "exec sleep 1000"
	if m.Escaped {
		script = "sleep 1000 & exit 0"
	}
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	if m.Escaped {
		return cmd.Wait()
	}
	go cmd.Wait()
	return nil
}

func (m *master) start() error {
	b := m.behaviour
	b.Worker = true
	cmd := b.command(b.env())
	if text, _ := os.ReadFile(m.App); string(text) == throws {
		// A process that is as quick to start as a fork of PHP.
		cmd = exec.Command("/bin/sh", "-c", "echo '"+fatal+"' >&2; exit 255")
		cmd.Stderr = os.Stderr
	}
	cmd.ExtraFiles = []*os.File{m.listener, m.lifeline}
	if m.Leave {
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	m.workers[cmd.Process.Pid] = cmd
	go func() {
		_ = cmd.Wait() // its death is all that matters
		m.deaths <- cmd.Process.Pid
	}()
	return nil
}

func (m *master) reload() error {
	if m.ReloadDies != 0 {
		os.Exit(m.ReloadDies)
	}
	if m.ReloadDropped {
		return nil
	}
	old := m.workers
	m.workers = map[int]*exec.Cmd{}
	for range m.Workers {
		if err := m.start(); err != nil {
			return err
		}
	}
	for pid, cmd := range old {
		if m.ReloadStuck {
			m.workers[pid] = cmd
			continue
		}
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
	}
	return nil
}

func (m *master) stop() error {
	for _, cmd := range m.workers {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
	}
	for len(m.workers) > 0 {
		delete(m.workers, <-m.deaths)
	}
	return os.Remove(m.PIDFile)
}

func (m *master) writePIDFile() error {
	if m.PIDFile == "" {
		return nil
	}
	pid := strconv.Itoa(os.Getpid())
	if m.WrongPID != 0 {
		pid = strconv.Itoa(m.WrongPID)
	}
	if !m.Half {
		return os.WriteFile(m.PIDFile, []byte(pid), 0o644)
	}
	// Each state lasts long enough to be looked at many times.
	for _, text := range []string{"", pid[:len(pid)/2], pid} {
		if err := os.WriteFile(m.PIDFile, []byte(text), 0o644); err != nil {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
	return nil
}

func (b behaviour) work() int {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	if !b.Orphans {
		go func() {
			io.Copy(io.Discard, os.NewFile(4, "lifeline"))
			os.Exit(0)
		}()
	}
	go func() {
		<-stop
		os.Exit(0)
	}()
	text, err := os.ReadFile(b.App)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if b.Command {
		cmd := exec.Command("sleep", "1000")
		if err := cmd.Start(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	if b.Flood {
		go func() {
			line := strings.Repeat("flood ", 1000) + "\n"
			for {
				fmt.Print(line)
			}
		}()
	}
	answer := fmt.Sprintf("%s %d\n", text, os.Getpid())
	for {
		// In the main thread and in the kernel: see isIdle.
		fd, _, err := unix.Accept(3)
		if errors.Is(err, unix.EINTR) || errors.Is(err, unix.ECONNABORTED) || errors.Is(err, unix.EAGAIN) {
			continue
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		if !b.Flood {
			fmt.Printf("answered %s", answer)
		}
		_, _ = unix.Write(fd, []byte(answer)) // a client that is gone is no matter
		unix.Close(fd)
		if b.EndWhenTalked {
			return 0
		}
	}
}

// left are the living processes that belong to the server in dir or that pass on its output to the file out, this process
// excepted. A server's processes are known by their working directory, and the relay by its output.
func left(dir, out string) []string {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return []string{err.Error()}
	}
	var found []string
	for _, proc := range dirs {
		if filepath.Base(proc) == strconv.Itoa(os.Getpid()) {
			continue
		}
		cwd, _ := os.Readlink(filepath.Join(proc, "cwd"))
		stdout, _ := os.Readlink(filepath.Join(proc, "fd/1"))
		if cwd != dir && !strings.HasPrefix(cwd, dir+"/") && stdout != out {
			continue
		}
		args, _ := os.ReadFile(filepath.Join(proc, "cmdline"))
		if len(args) == 0 {
			continue // it is ending: its memory is gone already
		}
		found = append(found, filepath.Base(proc)+" "+strings.ReplaceAll(string(args), "\x00", " "))
	}
	slices.Sort(found)
	return found
}
