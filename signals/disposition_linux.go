package signals

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// threadStatus is what we need of /proc/PID/task/TID/status.
type threadStatus struct {
	tgid    int
	blocked Set // SigBlk, of this thread
	ignored Set // SigIgn, of the process
	caught  Set // SigCgt, of the process

	switches uint64 // voluntary_ctxt_switches, of this thread
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
	set := func(to *Set, value string) error {
		n, err := strconv.ParseUint(value, 16, 64)
		*to = Set(n)
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
		case "voluntary_ctxt_switches": // not counted below: it is no signal set
			status.switches, _ = strconv.ParseUint(value, 10, 64)
			continue
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

// Disposition tells what sig would do to p if it were sent now. See
// [Dispositions] for what that means for PHP.
func (p Process) Disposition(sig syscall.Signal) (Disposition, error) {
	d, err := p.Dispositions()
	return d.Of(sig), err
}

// Dispositions reads what p has arranged for its signals. When it blocks some,
// its descriptors are looked at, which needs the right to: same user, or root.
//
// A thread that does not block what the signalfd is for would be killed by it, so
// a signal counts as blocked only if all threads block it.
func (p Process) Dispositions() (Dispositions, error) {
	d, err := p.dispositions()
	return d, p.still(err, "signal dispositions")
}

func (p Process) dispositions() (Dispositions, error) {
	status, err := readStatus(p.PID, p.PID)
	if err != nil {
		return Dispositions{}, err
	}
	d := Dispositions{Caught: status.caught, Ignored: status.ignored, Blocked: status.blocked}
	if d.Blocked == 0 {
		return d, nil
	}
	if d.Blocked, err = p.blockedByAll(d.Blocked); err != nil {
		return Dispositions{}, err
	}
	d.Received, err = p.received(d.Blocked)
	return d, err
}

func (p Process) blockedByAll(blocked Set) (Set, error) {
	tids, err := p.threads()
	if err != nil {
		return 0, err
	}
	for _, tid := range tids {
		status, err := readStatus(p.PID, tid)
		if errors.Is(err, ErrGone) {
			continue // this thread has ended
		}
		if err != nil {
			return 0, err
		}
		blocked &= status.blocked
	}
	return blocked, nil
}

// threads returns the ids of the threads.
func (p Process) threads() ([]int, error) { return readNumbers(p.path("task")) }

// received returns what the signalfds of p are for. Their fdinfo holds it:
// "sigmask:\t0000000000000200". A worker may hold ten thousand connections, so
// the search, from the lowest descriptor, ends when all of wanted is found.
func (p Process) received(wanted Set) (Set, error) {
	fds, err := readNumbers(p.path("fd"))
	if err != nil {
		return 0, err
	}
	slices.Sort(fds)
	var received Set
	for _, fd := range fds {
		if wanted&^received == 0 {
			break
		}
		target, err := os.Readlink(p.path("fd/" + strconv.Itoa(fd)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, err
		}
		if target != "anon_inode:[signalfd]" {
			continue
		}
		info, err := os.ReadFile(p.path("fdinfo/" + strconv.Itoa(fd)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, err
		}
		received |= parseSigmask(info)
	}
	return received, nil
}

func parseSigmask(fdinfo []byte) Set {
	for line := range bytes.Lines(fdinfo) {
		if value, found := bytes.CutPrefix(line, []byte("sigmask:")); found {
			n, _ := strconv.ParseUint(string(bytes.TrimSpace(value)), 16, 64)
			return Set(n)
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
