package release

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// linger is how long the output of a command may stay open when the command has ended. What still has it open then was left
// running in the background.
const linger = time.Second

// shellCommand is a command line of a step, or of on_failure.
type shellCommand struct {
	line    string
	dir     string
	env     []string
	timeout time.Duration // 0: none
	grace   time.Duration // between SIGTERM and SIGKILL
}

// timeoutError says that a command was ended because it took too long.
type timeoutError struct{ after time.Duration }

func (e *timeoutError) Error() string { return fmt.Sprintf("not done within %s, and ended", e.after) }

// run runs the command in a process group of its own until it has ended, and writes its output to out. The end of ctx ends the
// group with SIGTERM, and with SIGKILL after the grace; that of now kills it at once. The error is context.Canceled then. left reports
// that something goes on in the background that still has its output open, which nobody reads any more.
func (c shellCommand) run(ctx, now context.Context, out io.Writer) (left bool, err error) {
	p, err := c.start(out)
	if err != nil {
		return false, err
	}
	var expired <-chan time.Time
	if c.timeout > 0 {
		timer := time.NewTimer(c.timeout)
		defer timer.Stop()
		expired = timer.C
	}
	var why error
	stop, kill := ctx.Done(), now.Done()
	for {
		select {
		case err := <-p.ended:
			return p.close(), cmp.Or(why, err)
		case <-stop:
			why, stop = context.Canceled, nil
			p.end('t')
		case <-expired:
			why = &timeoutError{c.timeout}
			p.end('t')
		case <-kill:
			why, kill = context.Canceled, nil
			p.end(atOnce)
		}
	}
}

// running is a command that was started.
type running struct {
	life  *os.File      // the guard's pipe
	out   *os.File      // where the command's output comes from
	read  chan struct{} // closed when all of it was
	ended chan error
}

func (c shellCommand) start(out io.Writer) (*running, error) {
	self, err := executable()
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(c.dir); err != nil { // else it is the program of which it is said that it does not exist
		return nil, fmt.Errorf("start a command: %w", err)
	}
	theirLife, life, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start a command: %w", err)
	}
	defer theirLife.Close()
	read, theirOut, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start a command: %w", errors.Join(err, life.Close()))
	}
	defer theirOut.Close()
	cmd := exec.Command(self)
	cmd.Args = []string{"hotreload: deploy step", c.line}
	cmd.Dir, cmd.Env = c.dir, append(slices.Clone(c.env), guardEnv+"="+c.grace.String())
	cmd.Stdout, cmd.Stderr = theirOut, theirOut
	cmd.ExtraFiles = []*os.File{theirLife}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a command: %w", errors.Join(err, life.Close(), read.Close()))
	}
	p := &running{life: life, out: read, read: make(chan struct{}), ended: make(chan error, 1)}
	go func() {
		defer close(p.read)
		_, _ = io.Copy(out, read) // ends when the last one has closed it, or with close
	}()
	go func() { p.ended <- ending(cmd.Wait()) }()
	return p, nil
}

// executable is this program, also when its file has been replaced since: a deploy may upgrade hotreload.
func executable() (string, error) {
	const self = "/proc/self/exe" // of Linux (proc_pid_exe(5)): opened it is the file that runs, whatever has its name
	if exists(self) {
		return self, nil
	}
	path, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find own executable: %w", err)
	}
	return path, nil
}

// end has the guard end the group.
func (p *running) end(how byte) { _, _ = p.life.Write([]byte{how}) } // a guard that is gone has nothing left to end

// close waits for the rest of the output, but not for ever; it reports whether it gave up.
func (p *running) close() (left bool) {
	defer p.life.Close()
	defer p.out.Close()
	select {
	case <-p.read:
		return false
	case <-time.After(linger):
	}
	p.out.Close()
	<-p.read
	return true
}

// ending puts the end of a guard into words: that of its command.
func ending(err error) error {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return err
	}
	ws := exit.Sys().(syscall.WaitStatus)
	switch {
	case ws.Signaled():
		return fmt.Errorf("ended by %s", unix.SignalName(ws.Signal()))
	case ws.ExitStatus() > 128 && unix.SignalName(syscall.Signal(ws.ExitStatus()-128)) != "":
		return fmt.Errorf("exit status %d (%s)", ws.ExitStatus(), unix.SignalName(syscall.Signal(ws.ExitStatus()-128)))
	}
	return fmt.Errorf("exit status %d", ws.ExitStatus())
}
