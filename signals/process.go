package signals

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"
)

// ErrGone says that a process does not exist any more: it has ended (a zombie
// has ended too), or its pid belongs to a later process now.
var ErrGone = errors.New("process is gone")

// errHidden says that /proc (Linux) is mounted with hidepid and the process belongs to
// somebody else: it exists, and nothing can be said about it.
var errHidden = errors.New("hidden by the hidepid option of /proc")

// Process identifies one process for as long as the machine runs; a later
// process with the same pid is another Process. Values may be compared with ==
// and stored. The zero value identifies nothing.
type Process struct {
	PID int `json:"pid"`

	// Start is when the process was started: on Linux in ticks of 10 ms since
	// boot (field 22 of /proc/PID/stat), on macOS in microseconds since 1970.
	Start uint64 `json:"start"`
}

// Info is what one cheap look at a process tells.
type Info struct {
	Process
	PPID    int    // parent
	PGID    int    // process group; 0 for kernel threads
	SID     int    // session
	UID     int    // effective user id
	State   byte   // as in /proc/PID/stat: R, S, D, T, t, Z, X, I; on macOS R, S, T or Z
	Comm    string // name of the executable, at most 15 bytes; a process may change it
	Threads int    // 0 where unknown (macOS)
	RSS     int64  // resident memory in bytes; 0 where unknown (macOS)
}

// Lookup identifies the process that has this pid now. It returns [ErrGone]
// when there is none, or only a zombie, or the number is that of a thread and
// not of a process (kill(2) would accept it and hit the process around it).
func Lookup(pid int) (Process, error) {
	info, err := lookup(pid)
	return info.Process, err
}

func lookup(pid int) (Info, error) {
	if pid <= 0 {
		// kill(0), kill(-1) and kill(-N) mean groups and everybody.
		return Info{}, fmt.Errorf("look up process: %d is not a process id", pid)
	}
	info, err := readInfo(pid)
	if err == nil && info.dead() {
		err = ErrGone
	}
	if err == nil {
		err = refuseThread(pid)
	}
	if err != nil {
		return Info{}, fmt.Errorf("look up process %d: %w", pid, err)
	}
	return info, nil
}

// Self identifies the calling process.
func Self() Process {
	info, err := readInfo(os.Getpid())
	if err != nil {
		// Without /proc nothing else can be identified either; those calls say so.
		return Process{PID: os.Getpid()}
	}
	return info.Process
}

// Info looks at the process again. It returns [ErrGone] like [Process.Signal].
func (p Process) Info() (Info, error) {
	info, err := p.look()
	if err != nil {
		return Info{}, fmt.Errorf("look at process %d: %w", p.PID, err)
	}
	return info, nil
}

// look returns what is known of p now, or ErrGone.
func (p Process) look() (Info, error) {
	if p.PID <= 0 {
		return Info{}, ErrGone
	}
	info, err := readInfo(p.PID)
	if err != nil {
		return Info{}, err
	}
	if info.Process != p || info.dead() {
		return Info{}, ErrGone
	}
	return info, nil
}

// Alive reports whether the process still runs. Zombies do not. A process that
// exists but may not be looked at counts as alive.
func (p Process) Alive() bool {
	_, err := p.look()
	return !errors.Is(err, ErrGone)
}

// Signal sends sig, and never to anything but p: the process is pinned by a
// pidfd, its start time is compared, and the signal goes through the pidfd.
// It returns [ErrGone] when the process has ended.
//
// Where there is no pidfd (Linux before 5.3, a seccomp filter that forbids it,
// macOS) the start time is compared and kill(2) follows: a process that ends, is
// reaped and has its pid given away within those few microseconds could be
// mistaken.
func (p Process) Signal(sig syscall.Signal) error {
	if err := p.signal(sig); err != nil {
		return fmt.Errorf("send %s to process %d: %w", SignalName(sig), p.PID, err)
	}
	return nil
}

func (p Process) checkAndKill(sig syscall.Signal) error {
	if _, err := p.look(); err != nil {
		return err
	}
	err := syscall.Kill(p.PID, sig)
	if errors.Is(err, syscall.ESRCH) {
		return ErrGone
	}
	return err
}

// Wait returns nil once the process has ended, whoever its parent is and
// whether or not it was reaped, or the error of ctx. It reaps nothing.
func (p Process) Wait(ctx context.Context) error {
	if err := p.wait(ctx); err != nil {
		return fmt.Errorf("wait for process %d: %w", p.PID, err)
	}
	return nil
}

// waitByPolling is for systems without pidfd.
func (p Process) waitByPolling(ctx context.Context) error {
	const shortest, longest = 2 * time.Millisecond, 50 * time.Millisecond
	pause := shortest
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for p.Alive() {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timer.C:
			pause = min(2*pause, longest)
			timer.Reset(pause)
		}
	}
	return nil
}

func (p Process) String() string { return strconv.Itoa(p.PID) }

// dead reports whether the process has ended and waits to be reaped. The state
// belongs to the main thread, which may have ended before the others.
func (i Info) dead() bool {
	return (i.State == 'Z' && i.Threads <= 1) || i.State == 'X' || i.State == 'x'
}
