package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/procfs"

	"github.com/hotreload/hotreload/signals"
)

// grace is how long a process may take to end when it is asked to.
const grace = 15 * time.Second

// process is one that was started here, and is ended here.
type process struct {
	cmd      *exec.Cmd
	identity signals.Process
	done     chan struct{} // closed when it has ended
	said     *tail
}

// launch starts cmd in a process group of its own: Ctrl-C is for this program, which then ends the others in order.
// Whatever cmd has no place for is kept for reports.
func launch(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, done: make(chan struct{}), said: &tail{}}
	if cmd.Stdout == nil {
		cmd.Stdout = p.said
	}
	if cmd.Stderr == nil {
		cmd.Stderr = p.said
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second // what it leaves behind may hold its output open
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	var err error
	p.identity, err = signals.Lookup(cmd.Process.Pid)
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // its state tells
	}()
	if err != nil {
		<-p.done
		return nil, p.ended()
	}
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// ended is the error that a process that should run does not.
func (p *process) ended() error {
	return fmt.Errorf("%s ended: %v\n%s", p.cmd.Path, p.cmd.ProcessState, p.said)
}

// stop ends the process gracefully, and after the grace it and everything below it by force.
func (p *process) stop() {
	members, _ := signals.Tree(p.identity)
	_ = p.identity.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(grace):
		fmt.Fprintf(os.Stderr, "hotreload-bench: %s does not end, and is killed\n%s\n", p.cmd.Path, p.said)
		p.kill(members)
		<-p.done
	}
	// Nothing that was there before may be left, whatever the process itself did about it.
	p.kill(members)
}

func (p *process) kill(members []signals.Info) {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	err := signals.KillTree(ctx, func() ([]signals.Info, error) {
		var living []signals.Info
		for _, m := range members {
			if info, err := m.Process.Info(); err == nil {
				living = append(living, info)
			}
		}
		tree, err := signals.Tree(p.identity)
		if errors.Is(err, signals.ErrGone) {
			err = nil
		}
		return append(living, tree...), err
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "hotreload-bench:", err)
	}
}

// memory is the resident set of a process now, and the largest it ever was, in bytes.
func (p *process) memory() (now, most uint64, err error) {
	proc, err := procfs.NewProc(p.pid())
	if err != nil {
		return 0, 0, err
	}
	status, err := proc.NewStatus()
	if err != nil {
		return 0, 0, err
	}
	return status.VmRSS, status.VmHWM, nil
}

// ticks is the processor time that a process has used, in clock ticks of 10 ms.
func (p *process) ticks() (uint, error) {
	proc, err := procfs.NewProc(p.pid())
	if err != nil {
		return 0, err
	}
	stat, err := proc.Stat()
	if err != nil {
		return 0, err
	}
	return stat.UTime + stat.STime, nil
}

// until looks every few milliseconds until done is true, p ends, or ctx does.
func (p *process) until(ctx context.Context, done func() bool) error {
	for !done() {
		select {
		case <-p.done:
			return p.ended()
		case <-ctx.Done():
			return fmt.Errorf("%s: %w\n%s", p.cmd.Path, ctx.Err(), p.said)
		case <-time.After(5 * time.Millisecond):
		}
	}
	return nil
}

// tail keeps the end of what a process says.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const tailSize = 16 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if extra := len(t.text) - tailSize; extra > 0 {
		t.text = append(t.text[:0], t.text[extra:]...)
	}
	return len(p), nil
}

func (t *tail) contains(text string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return bytes.Contains(t.text, []byte(text))
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.ToValidUTF8(string(t.text), "?")
}
