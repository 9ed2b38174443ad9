package signals

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// signalSet has bit n-1 set for signal n, as the kernel prints it.
type signalSet uint64

func (s signalSet) has(sig syscall.Signal) bool {
	return sig >= 1 && sig <= 64 && s&(1<<(sig-1)) != 0
}

// threadStatus is what we need of /proc/PID/task/TID/status.
type threadStatus struct {
	tgid    int
	blocked signalSet // SigBlk, of this thread
	ignored signalSet // SigIgn, of the process
	caught  signalSet // SigCgt, of the process
}

func readStatus(pid, tid int) (threadStatus, error) {
	path := fmt.Sprintf("/proc/%d/task/%d/status", pid, tid)
	data, err := os.ReadFile(path)
	if err != nil {
		return threadStatus{}, gone(pid, err)
	}
	return parseStatus(data)
}

// parseStatus reads /proc/PID/status (proc_pid_status(5)). procfs does not read
// the signal sets.
func parseStatus(data []byte) (threadStatus, error) {
	var status threadStatus
	found := 0
	set := func(to *signalSet, value string) error {
		n, err := strconv.ParseUint(value, 16, 64)
		*to = signalSet(n)
		return err
	}
	for line := range bytes.Lines(data) {
		key, value, _ := strings.Cut(string(line), ":")
		value = strings.TrimSpace(value)
		var err error
		switch key {
		case "Tgid":
			status.tgid, err = strconv.Atoi(value)
		case "SigBlk":
			err = set(&status.blocked, value)
		case "SigIgn":
			err = set(&status.ignored, value)
		case "SigCgt":
			err = set(&status.caught, value)
		default:
			continue
		}
		if err != nil {
			return threadStatus{}, fmt.Errorf("parse status: %s: %w", key, err)
		}
		found++
	}
	if found < 4 {
		return threadStatus{}, fmt.Errorf("parse status: %d of 4 fields found", found)
	}
	return status, nil
}

// Disposition tells what sig would do to p if it were sent now.
//
// It is the answer to "are the handlers installed?", in both styles: sigaction
// (SigCgt), and signalfd with the signal blocked. A thread that does not block
// what the signalfd is for would be killed by it, so all threads count. It needs the
// right to look at the process' descriptors when a signal is blocked: same user, or root.
func (p Process) Disposition(sig syscall.Signal) (Disposition, error) {
	d, err := p.disposition(sig)
	return d, p.still(err, "signal dispositions")
}

func (p Process) disposition(sig syscall.Signal) (Disposition, error) {
	status, err := readStatus(p.PID, p.PID)
	switch {
	case err != nil:
		return Default, err
	case status.caught.has(sig):
		return Handled, nil
	case status.ignored.has(sig):
		return Ignored, nil
	case !status.blocked.has(sig):
		return Default, nil
	}
	blocked, err := p.allThreadsBlock(sig)
	if err != nil || !blocked {
		return Default, err
	}
	received, err := p.hasSignalfd(sig)
	if err != nil || !received {
		return Blocked, err
	}
	return Handled, nil
}

func (p Process) allThreadsBlock(sig syscall.Signal) (bool, error) {
	tids, err := p.threads()
	if err != nil {
		return false, err
	}
	for _, tid := range tids {
		status, err := readStatus(p.PID, tid)
		if errors.Is(err, ErrGone) {
			continue // this thread has ended
		}
		if err != nil {
			return false, err
		}
		if !status.blocked.has(sig) {
			return false, nil
		}
	}
	return true, nil
}

// threads returns the ids of the threads.
func (p Process) threads() ([]int, error) { return readNumbers(p.path("task")) }

// hasSignalfd reports whether one of the descriptors is a signalfd for sig. Its
// fdinfo holds the set: "sigmask:\t0000000000000200".
func (p Process) hasSignalfd(sig syscall.Signal) (bool, error) {
	fds, err := readNumbers(p.path("fd"))
	if err != nil {
		return false, err
	}
	for _, fd := range fds {
		target, err := os.Readlink(p.path("fd/" + strconv.Itoa(fd)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
		if target != "anon_inode:[signalfd]" {
			continue
		}
		info, err := os.ReadFile(p.path("fdinfo/" + strconv.Itoa(fd)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
		if parseSigmask(info).has(sig) {
			return true, nil
		}
	}
	return false, nil
}

func parseSigmask(fdinfo []byte) signalSet {
	for line := range bytes.Lines(fdinfo) {
		if value, found := bytes.CutPrefix(line, []byte("sigmask:")); found {
			n, _ := strconv.ParseUint(string(bytes.TrimSpace(value)), 16, 64)
			return signalSet(n)
		}
	}
	return 0
}

// readNumbers lists the entries of a directory of /proc that are numbers.
func readNumbers(dir string) ([]int, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	numbers := make([]int, 0, len(names))
	for _, name := range names {
		if n, err := strconv.Atoi(name); err == nil {
			numbers = append(numbers, n)
		}
	}
	return numbers, nil
}
