package supervisor

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/creack/pty"
	"golang.org/x/term"

	"github.com/hotreload/hotreload/signals"
)

// Output says where the server's output goes.
type Output struct {
	Stdout, Stderr *os.File // nil: nowhere
	Stdin          *os.File // what the server reads; nil: nothing
	// Terminal gives the server a terminal for its output. It is a terminal of its own, which controls
	// nothing: no signal reaches the server from it.
	Terminal bool
	// Direct reads the server's output without a relay. As PID 1 nothing can outlive hotreload.
	Direct bool
	// Foreground gives the server the terminal of hotreload: it gets Stdin, Stdout and Stderr as they are, and its process group
	// comes to the foreground, as long as hotreload's own is there or nobody. Nothing of its output is kept. nil: it does not.
	Foreground *os.File
	// Stopped is told the pid of a server in the foreground, and the signal that stopped it, as Ctrl-Z does. It must not wait, and what
	// was stopped may go on, or have ended, by then. nil: nobody wants to know.
	Stopped func(pid int, sig syscall.Signal)
}

// kept is how many of the server's last lines are kept for reports.
const kept = 50

// longest is how much of one line is kept, in bytes.
const longest = 2000

// output is what one generation prints: passed on, and the last lines kept.
type output struct {
	mu    sync.Mutex
	lines []string // the newest last
	total int      // lines ever seen
	part  []byte   // the beginning of a line
	done  sync.WaitGroup
}

// mark is a point in the output, for since.
func (o *output) mark() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.total
}

// since returns the lines after mark, as far as they are kept.
func (o *output) since(mark int) []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := min(o.total-mark, len(o.lines))
	lines := append([]string{}, o.lines[len(o.lines)-n:]...)
	if len(o.part) > 0 {
		lines = append(lines, string(o.part))
	}
	return lines
}

func (o *output) last() []string { return o.since(0) }

// drained waits until everything that was printed has been taken, at most for so long: a process that got away may hold
// the other end for ever.
func (o *output) drained(most time.Duration) {
	all := make(chan struct{})
	go func() {
		o.done.Wait()
		close(all)
	}()
	select {
	case <-all:
	case <-time.After(most):
	}
}

// Write takes what the server prints. It never fails.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for rest := p; len(rest) > 0; {
		line, after, whole := bytes.Cut(rest, []byte("\n"))
		o.part = append(o.part, line[:min(len(line), max(0, longest-len(o.part)))]...)
		if !whole {
			break
		}
		if text := string(bytes.TrimRight(o.part, "\r")); text != "" {
			o.lines = append(o.lines, text)
			o.lines = o.lines[max(0, len(o.lines)-kept):]
			o.total++
		}
		o.part = o.part[:0]
		rest = after
	}
	return len(p), nil
}

// follow copies from until it ends.
func (o *output) follow(from io.ReadCloser, to *os.File) {
	o.done.Go(func() {
		defer from.Close()
		var pass io.Writer = io.Discard
		if to != nil {
			pass = to
		}
		buf := make([]byte, 32<<10)
		for {
			n, err := from.Read(buf)
			if n > 0 {
				o.Write(buf[:n])
				// Output that nobody can take any more must not stop the server.
				if _, werr := pass.Write(buf[:n]); werr != nil {
					pass = io.Discard
				}
			}
			if err != nil {
				return // EIO is how a terminal ends
			}
		}
	})
}

// streams are the server's ends of its output, and ours.
type streams struct {
	theirs [2]*os.File // stdout and stderr of the server
	ours   []*os.File
	pty    *os.File // nil without a terminal
	shared bool     // theirs are hotreload's own
}

// connect opens what the server writes to, and begins to read it.
func connect(out Output, reaper *signals.Reaper, o *output) (streams, error) {
	s, err := open(out)
	if err != nil {
		return s, fmt.Errorf("open the server's output: %w", err)
	}
	reading := s.ours
	if !out.Direct && len(s.ours) > 0 {
		reading, err = startRelay(reaper, s.ours, [2]*os.File{out.Stdout, out.Stderr})
		closeAll(s.ours) // the relay has them now
		if err != nil {
			s.closeTheirs()
			return s, err
		}
	}
	passTo := []*os.File{out.Stdout, out.Stderr}
	for i, r := range reading {
		o.follow(r, passTo[i])
	}
	return s, nil
}

func open(out Output) (streams, error) {
	if out.Foreground != nil {
		return streams{theirs: [2]*os.File{out.Stdout, out.Stderr}, shared: true}, nil
	}
	if out.Terminal {
		if s, err := openTerminal(out.Stdout); err == nil {
			return s, nil
		}
		// No terminal to be had (no /dev/ptmx in this container): pipes do.
	}
	r1, w1, err := os.Pipe()
	if err != nil {
		return streams{}, err
	}
	r2, w2, err := os.Pipe()
	if err != nil {
		closeAll([]*os.File{r1, w1})
		return streams{}, err
	}
	return streams{theirs: [2]*os.File{w1, w2}, ours: []*os.File{r1, r2}}, nil
}

// place puts the server into a process group of its own, and in the foreground of the terminal that it gets, unless somebody else is
// there: a shell that hotreload was sent to the background of.
func (out Output) place() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true}
	if out.Foreground == nil {
		return attr
	}
	front, err := signals.ForegroundGroup(out.Foreground)
	if err == nil && (front == syscall.Getpgrp() || !signals.GroupLives(front)) {
		attr.Foreground, attr.Ctty = true, int(out.Foreground.Fd())
	}
	return attr
}

func openTerminal(like *os.File) (streams, error) {
	ptmx, tty, err := pty.Open()
	if err != nil {
		return streams{}, err
	}
	// Raw: what the server prints reaches our terminal as it is, and is cooked there, once.
	if _, err := term.MakeRaw(int(tty.Fd())); err != nil {
		closeAll([]*os.File{ptmx, tty})
		return streams{}, err
	}
	if like != nil {
		// Without a size the server's own idea of one has to do.
		_ = pty.InheritSize(like, ptmx)
	}
	return streams{theirs: [2]*os.File{tty, tty}, ours: []*os.File{ptmx}, pty: ptmx}, nil
}

func (s streams) closeTheirs() {
	if s.shared {
		return
	}
	s.theirs[0].Close()
	if s.theirs[1] != s.theirs[0] {
		s.theirs[1].Close()
	}
}
