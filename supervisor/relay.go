package supervisor

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"sync"
	"syscall"

	"github.com/hotreload/hotreload/signals"
)

// A server whose output pipe has lost its reader ends at its next echo (PHP's command line treats it as an aborted
// connection). So that a killed hotreload does not take the server along, the pipe is read by a relay: this program
// executed again, which passes everything on to hotreload, and, once that is gone, to where hotreload's output went.

// relayEnv marks the relay process; its value is the number of streams.
const relayEnv = "HOTRELOAD_RELAY"

// RelayMain is the whole life of a relay process. A program that uses this package calls it first in main, and
// returns at once when it reports true.
func RelayMain() bool {
	streams, err := strconv.Atoi(os.Getenv(relayEnv))
	if err != nil || streams < 1 {
		return false
	}
	// The relay ends when the last process that can write to it has ended, and not before.
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGPIPE,
		syscall.SIGTSTP, syscall.SIGTTOU, syscall.SIGUSR1, syscall.SIGUSR2)
	var all sync.WaitGroup
	for i := range streams {
		from := os.NewFile(uintptr(3+i), "server")
		to := os.NewFile(uintptr(3+streams+i), "hotreload")
		last := []*os.File{os.Stdout, os.Stderr}[i]
		all.Go(func() { relay(from, to, last) })
	}
	all.Wait()
	return true
}

// relay copies until from ends: to the first writer as long as that takes it, then to the last resort, and if
// that is gone too, to nowhere, because the server must not be held up.
func relay(from io.Reader, to io.WriteCloser, last io.Writer) {
	buf := make([]byte, 32<<10)
	var out io.Writer = to
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if out == to {
				if done, werr := to.Write(buf[:n]); werr != nil {
					to.Close()
					out = last
					last.Write(buf[done:n])
				}
			} else if _, werr := out.Write(buf[:n]); werr != nil {
				out = io.Discard
			}
		}
		if err != nil {
			to.Close()
			return
		}
	}
}

// startRelay puts a relay between the server's streams and the returned ones.
func startRelay(reaper *signals.Reaper, streams []*os.File, last [2]*os.File) ([]*os.File, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find own executable: %w", err)
	}
	cmd := exec.Command(self)
	cmd.Args = []string{"hotreload: output relay"}
	cmd.Env = []string{relayEnv + "=" + strconv.Itoa(len(streams))}
	if last[0] != nil {
		cmd.Stdout = last[0]
	}
	if last[1] != nil {
		cmd.Stderr = last[1]
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Dir = "/"
	var ours, theirs []*os.File
	for range streams {
		r, w, err := os.Pipe()
		if err != nil {
			closeAll(append(ours, theirs...))
			return nil, fmt.Errorf("open pipe: %w", err)
		}
		ours, theirs = append(ours, r), append(theirs, w)
	}
	cmd.ExtraFiles = append(append([]*os.File{}, streams...), theirs...)
	err = reaper.Start(cmd)
	closeAll(theirs)
	if err != nil {
		closeAll(ours)
		return nil, fmt.Errorf("start output relay: %w", err)
	}
	go reaper.Wait(cmd)
	return ours, nil
}

func closeAll(files []*os.File) error {
	var errs []error
	for _, f := range files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
