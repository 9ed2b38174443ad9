package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// roleOfTarget as the first argument makes this program a target.
const roleOfTarget = "target"

// target is a small server of the usual kind: a master with a pid file, and workers that load the code once, when they
// start. SIGUSR1 replaces the workers. A signal that arrives while they are replaced is dropped, as Swoole and Workerman
// drop it. Everything that happens is written to the feed.
type target struct {
	feed    *os.File
	pidFile string
	load    string // the directory that workers load
	workers int

	generation int
	running    []*exec.Cmd
}

func targetMain(args []string) int {
	var t target
	flags := flag.NewFlagSet(roleOfTarget, flag.ContinueOnError)
	feed := flags.String("feed", "", "the named pipe to report to")
	flags.StringVar(&t.pidFile, "pid-file", "", "written when the target takes signals")
	flags.StringVar(&t.load, "load", "", "the directory that the workers load")
	flags.IntVar(&t.workers, "workers", 2, "how many there are")
	isWorker := flags.Bool("worker", false, "be a worker")
	if flags.Parse(args) != nil {
		return 2
	}
	// A worker's parent is a thread, not a process, and its state is looked up by the first thread (/proc/PID/wchan).
	runtime.LockOSThread()
	if *isWorker {
		return workerMain(t.load)
	}
	if err := t.run(*feed); err != nil {
		fmt.Fprintln(os.Stderr, "target:", err)
		return 1
	}
	return 0
}

func (t *target) run(feed string) (err error) {
	if t.feed, err = os.OpenFile(feed, os.O_WRONLY, 0); err != nil {
		return err
	}
	// As many as a burst of saves may send before this process gets a core.
	reloads := make(chan os.Signal, 1<<16)
	stops := make(chan os.Signal, 1)
	signal.Notify(reloads, syscall.SIGUSR1)
	signal.Notify(stops, syscall.SIGTERM, syscall.SIGINT)
	if err := t.replace(); err != nil {
		return err
	}
	if err := os.WriteFile(t.pidFile, []byte(strconv.Itoa(os.Getpid())), 0o644); err != nil {
		return err
	}
	wanted := make(chan struct{})
	go func() {
		for range reloads {
			t.report("signal %d", monotonic())
			select {
			case wanted <- struct{}{}:
			default: // the workers are being replaced
			}
		}
	}()
	for {
		select {
		case <-wanted:
			if err := t.replace(); err != nil {
				return err
			}
		case <-stops:
			t.end(t.running)
			return os.Remove(t.pidFile)
		}
	}
}

// report writes one line; lines this short are written whole (pipe(7), PIPE_BUF).
func (t *target) report(format string, args ...any) {
	fmt.Fprintf(t.feed, format+"\n", args...)
}

// replace starts new workers, and ends the old ones when the new ones have loaded the code.
func (t *target) replace() error {
	old := t.running
	t.running = nil
	t.generation++
	oldest := -1
	var loaded []*bufio.Reader
	for range t.workers {
		r, err := t.startWorker()
		if err != nil {
			return err
		}
		loaded = append(loaded, r)
	}
	for _, r := range loaded {
		line, err := r.ReadString('\n')
		if err != nil {
			return fmt.Errorf("start worker: %w", err)
		}
		version, err := strconv.Atoi(strings.TrimSpace(line))
		if err != nil {
			return fmt.Errorf("start worker: %w", err)
		}
		if oldest < 0 || version < oldest {
			oldest = version
		}
	}
	t.end(old)
	t.report("replaced %d %d %d", monotonic(), t.generation, oldest)
	return nil
}

func (t *target) startWorker() (*bufio.Reader, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, roleOfTarget, "-worker", "-load", t.load)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = endsWithParent()
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	t.running = append(t.running, cmd)
	return bufio.NewReader(out), nil
}

func (t *target) end(workers []*exec.Cmd) {
	for _, cmd := range workers {
		_ = cmd.Process.Kill()
	}
	for _, cmd := range workers {
		_ = cmd.Wait() // it was killed
	}
}

// workerMain loads the code, says which version its oldest file has, and waits for ever.
func workerMain(dir string) int {
	oldest, err := oldestVersion(dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		return 1
	}
	fmt.Println(oldest)
	for {
		// In the kernel, as a server that waits for connections.
		_, _ = unix.Select(0, nil, nil, nil, nil)
	}
}

// oldestVersion reads all PHP files below dir. A file that is not there, or not all there, has version 0.
func oldestVersion(dir string) (int, error) {
	oldest := -1
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".php" {
			return ignoreGone(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return ignoreGone(err)
		}
		if v := versionOf(string(text)); oldest < 0 || v < oldest {
			oldest = v
		}
		return nil
	})
	return max(oldest, 0), err
}

func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// monotonic is CLOCK_MONOTONIC in nanoseconds, which all processes of a machine share.
func monotonic() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(err) // there is no machine without it
	}
	return time.Duration(ts.Nano())
}
