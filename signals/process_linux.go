package signals

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// userHZ is the unit of times in /proc. The kernel converts to it whatever its
// own tick is; 100 on every architecture that Go runs on.
const userHZ = 100

// readInfo looks at whatever has this pid now, zombies included.
func readInfo(pid int) (Info, error) {
	dir := "/proc/" + strconv.Itoa(pid)
	var buf [2048]byte // 52 numbers and a name; a kernel page is the upper limit
	stat, err := readSmall(dir+"/stat", buf[:])
	if err != nil {
		return Info{}, gone(pid, err)
	}
	info, err := parseStat(stat)
	if err != nil {
		return Info{}, err
	}
	// The directory belongs to the effective user. Its files belong to root once
	// a process has changed its user (it is not dumpable then), as workers do.
	var st unix.Stat_t
	if err := ignoringEINTR(func() error { return unix.Stat(dir, &st) }); err != nil {
		return Info{}, gone(pid, err)
	}
	info.UID = int(st.Uid)
	return info, nil
}

// gone turns the errors of reading /proc/PID into ErrGone where that is what
// they mean.
func gone(pid int, err error) error {
	if !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ESRCH) {
		return err
	}
	if unix.Kill(pid, 0) == unix.EPERM {
		if _, statErr := os.Stat("/proc/" + strconv.Itoa(pid)); statErr != nil {
			return errHidden
		}
	}
	return ErrGone
}

// readSmall reads a file of /proc into buf by one read, without the detour of
// os.File through the poller.
func readSmall(path string, buf []byte) ([]byte, error) {
	var fd, n int
	err := ignoringEINTR(func() (err error) {
		fd, err = unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	err = ignoringEINTR(func() (err error) {
		n, err = unix.Read(fd, buf)
		return err
	})
	if err != nil {
		return nil, &os.PathError{Op: "read", Path: path, Err: err}
	}
	return buf[:n], nil
}

func ignoringEINTR(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

// parseStat reads a line of /proc/PID/stat (proc_pid_stat(5)). The name in
// parentheses is free text, parentheses and newlines included.
//
// procfs has a parser too; it reads through fmt.Fscan, which takes longer than
// the kernel needs to write the line, and a snapshot reads hundreds of them.
func parseStat(line []byte) (Info, error) {
	open, end := bytes.IndexByte(line, '('), bytes.LastIndexByte(line, ')')
	if open < 1 || end < open {
		return Info{}, fmt.Errorf("parse stat %.40q: no name in parentheses", line)
	}
	const state, ppid, pgid, sid, threads, start, rss = 0, 1, 2, 3, 17, 19, 21
	fields := strings.Fields(string(line[end+1:]))
	if len(fields) <= rss || len(fields[state]) != 1 {
		return Info{}, fmt.Errorf("parse stat %.40q: %d fields after the name", line, len(fields))
	}
	var firstErr error
	number := func(s string) int64 {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil && firstErr == nil {
			firstErr = fmt.Errorf("parse stat %.40q: %w", line, err)
		}
		return n
	}
	info := Info{
		Process: Process{
			PID:   int(number(strings.TrimSpace(string(line[:open])))),
			Start: uint64(number(fields[start])),
		},
		PPID:    int(number(fields[ppid])),
		PGID:    int(number(fields[pgid])),
		SID:     int(number(fields[sid])),
		State:   fields[state][0],
		Comm:    string(line[open+1 : end]),
		Threads: int(number(fields[threads])),
		RSS:     number(fields[rss]) * int64(os.Getpagesize()),
	}
	return info, firstErr
}

// refuseThread returns ErrGone for the id of a thread that is not the main one.
// /proc/TID exists for those too, though it is not listed.
func refuseThread(pid int) error {
	status, err := readStatus(pid, pid)
	if err != nil {
		return err
	}
	if status.tgid != pid {
		return fmt.Errorf("a thread of process %d: %w", status.tgid, ErrGone)
	}
	return nil
}

func (p Process) signal(sig syscall.Signal) error {
	if p.PID <= 0 {
		return ErrGone
	}
	fd, err := openPidfd(p.PID)
	if errors.Is(err, errors.ErrUnsupported) {
		return p.checkAndKill(sig)
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	// From here on the number cannot change its meaning unnoticed: what is looked
	// at now is what the descriptor holds, or that has ended.
	if _, err := p.look(); err != nil {
		return err
	}
	err = ignoringEINTR(func() error { return unix.PidfdSendSignal(fd, unix.Signal(sig), nil, 0) })
	switch err {
	case unix.ESRCH:
		return ErrGone
	case unix.ENOSYS:
		return p.checkAndKill(sig)
	}
	return err
}

// openPidfd returns ErrGone, or an error that is errors.ErrUnsupported where
// there are no pidfds.
func openPidfd(pid int) (int, error) {
	var fd int
	err := ignoringEINTR(func() (err error) {
		fd, err = unix.PidfdOpen(pid, 0) // sets close-on-exec
		return err
	})
	switch err {
	case nil:
		return fd, nil
	case unix.ESRCH:
		return 0, ErrGone
	case unix.EINVAL, unix.ENOENT: // a thread now; before and since Linux 6.9
		return 0, ErrGone
	case unix.EPERM: // never pidfd_open itself: older container runtimes refuse what they do not know
		return 0, fmt.Errorf("pidfd_open: %w", errors.ErrUnsupported)
	}
	return 0, os.NewSyscallError("pidfd_open", err)
}

func (p Process) wait(ctx context.Context) error {
	if !p.Alive() {
		return nil
	}
	fd, err := openPidfd(p.PID)
	if errors.Is(err, ErrGone) {
		return nil
	}
	if err != nil { // unsupported, or no descriptors left
		return p.waitByPolling(ctx)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // what makes os.NewFile use the poller
		unix.Close(fd)
		return os.NewSyscallError("fcntl", err)
	}
	file := os.NewFile(uintptr(fd), "pidfd:"+p.String())
	defer file.Close()
	if !p.Alive() { // the descriptor may hold a later process with this pid
		return nil
	}
	return waitReadable(ctx, file)
}

// waitReadable waits in the poller of the runtime: no thread and no goroutine
// is held, and ctx ends it through the deadline. A pidfd is readable once the last
// thread has ended (pidfd_open(2)).
func waitReadable(ctx context.Context, file *os.File) error {
	conn, err := file.SyscallConn()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	var pollErr error
	err = conn.Read(func(fd uintptr) bool {
		var ready bool
		ready, pollErr = readable(int(fd))
		return ready || pollErr != nil
	})
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return context.Cause(ctx)
	}
	return errors.Join(err, pollErr)
}

func readable(fd int) (bool, error) {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	var n int
	err := ignoringEINTR(func() (err error) {
		n, err = unix.Poll(fds, 0)
		return err
	})
	return n > 0, os.NewSyscallError("poll", err)
}

// StartedAt is when the process was started, by the clock as it is set now, to
// 10 ms, rounded down. It is computed from the time since boot and not from the
// boot time in /proc/stat, which is in whole seconds and, under lxcfs, that of
// the container. If the clock was set since, files written before have other times.
func (p Process) StartedAt() (time.Time, error) {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return time.Time{}, os.NewSyscallError("clock_gettime", err)
	}
	started := time.Duration(p.Start) * (time.Second / userHZ)
	return time.Now().Add(started - time.Duration(now.Nano())), nil
}

// Cmdline is the command line. A process may overwrite it (Hyperf does), so it
// is for people to read, not for recognising. Empty for zombies and kernel threads.
func (p Process) Cmdline() ([]string, error) {
	data, err := p.read("cmdline")
	if err != nil || len(data) == 0 {
		return nil, err
	}
	return strings.Split(strings.TrimRight(string(data), "\x00"), "\x00"), nil
}

// Exe is the path of the executable file, also when it has been deleted or
// replaced since. Under an emulator (qemu-user, Rosetta) it is the emulator.
func (p Process) Exe() (string, error) {
	path, err := p.link("exe")
	return strings.TrimSuffix(path, " (deleted)"), err
}

// Cwd is the working directory.
func (p Process) Cwd() (string, error) { return p.link("cwd") }

// Waiting is the kernel function the main thread sleeps in, such as "ep_poll" or
// "hrtimer_nanosleep"; "" when it runs, or the kernel does not say.
func (p Process) Waiting() (string, error) {
	data, err := p.read("wchan")
	if string(data) == "0" {
		return "", err
	}
	return string(data), err
}

func (p Process) path(name string) string { return "/proc/" + strconv.Itoa(p.PID) + "/" + name }

// read returns a file of /proc/PID and checks afterwards that it was p's.
func (p Process) read(name string) ([]byte, error) {
	data, err := os.ReadFile(p.path(name))
	return data, p.still(err, name)
}

func (p Process) link(name string) (string, error) {
	target, err := os.Readlink(p.path(name))
	return target, p.still(err, name)
}

// still returns err, unless p has ended, which explains everything.
func (p Process) still(err error, what string) error {
	if _, lookErr := p.look(); lookErr != nil {
		err = lookErr
	}
	if err != nil {
		return fmt.Errorf("read %s of process %d: %w", what, p.PID, err)
	}
	return nil
}
