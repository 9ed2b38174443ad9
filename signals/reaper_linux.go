package signals

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// BecomeSubreaper makes the orphans among the descendants children of this
// process instead of PID 1's, so that they can be found, ended and reaped. A
// [Reaper] must serve from then on. PID 1 has that duty anyway.
func BecomeSubreaper() error {
	if os.Getpid() == 1 {
		return nil
	}
	return os.NewSyscallError("prctl PR_SET_CHILD_SUBREAPER",
		unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
}

// Reaper reaps what is left to this process, as PID 1 or as a subreaper, and
// keeps its hands off the children of os/exec: wait4(-1) would steal their exit
// status. So every child of the program must be started and waited for through its
// one Reaper.
//
// What a child started by os/exec inherits of signals: handlers of Go are reset to the
// default; what was ignored when this program was started (SIGHUP under
// nohup, SIGINT after "&" in a script) or by signal.Ignore stays ignored, unless
// signal.Notify was called for it; no signal is blocked, also when this program was
// started with some blocked.
type Reaper struct {
	// mu makes fork and registration one step: a child that dies at once must not
	// be taken for an orphan.
	mu       sync.Mutex
	children map[int]*exec.Cmd
	stops    map[*exec.Cmd]func(syscall.Signal) // whom to tell when it is stopped

	waited chan struct{} // a child was waited for: its pid may be an orphan's now
}

// NewReaper returns a Reaper that knows no children.
func NewReaper() *Reaper {
	return &Reaper{
		children: make(map[int]*exec.Cmd),
		stops:    make(map[*exec.Cmd]func(syscall.Signal)),
		waited:   make(chan struct{}, 1),
	}
}

// Start is cmd.Start. [Reaper.Wait] must follow it.
func (r *Reaper) Start(cmd *exec.Cmd) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := unblocked(cmd.Start); err != nil {
		delete(r.stops, cmd)
		return err
	}
	r.children[cmd.Process.Pid] = cmd
	return nil
}

// Wait is cmd.Wait.
func (r *Reaper) Wait(cmd *exec.Cmd) error {
	err := cmd.Wait()
	if cmd.Process == nil {
		return err
	}
	r.mu.Lock()
	if r.children[cmd.Process.Pid] == cmd { // else the pid is that of a later child already
		delete(r.children, cmd.Process.Pid)
	}
	delete(r.stops, cmd)
	r.mu.Unlock()
	select {
	case r.waited <- struct{}{}:
	default:
	}
	return err
}

// Run is cmd.Run.
func (r *Reaper) Run(cmd *exec.Cmd) error {
	if err := r.Start(cmd); err != nil {
		return err
	}
	return r.Wait(cmd)
}

// OnStop has stopped called with the signal whenever cmd, which Start is about to
// start, is stopped by one. Serve calls it, so it must not wait; what is stopped may
// have been continued, or have ended, by then.
func (r *Reaper) OnStop(cmd *exec.Cmd, stopped func(syscall.Signal)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stops[cmd] = stopped
}

// Serve reaps until ctx ends, and returns its error. Nothing is polled: each
// SIGCHLD that finds the channel full belongs to a zombie that the pending round
// will see.
func (r *Reaper) Serve(ctx context.Context) error {
	deaths := make(chan os.Signal, 1)
	signal.Notify(deaths, syscall.SIGCHLD)
	defer signal.Stop(deaths)
	for {
		if err := r.reap(); err != nil {
			return err
		}
		r.tellStops()
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-deaths:
		case <-r.waited:
		}
	}
}

// reap reaps all zombies that are nobody's.
func (r *Reaper) reap() error {
	for {
		pid, ours, err := r.reapNext()
		switch {
		case err != nil:
			return err
		case pid == 0:
			return nil
		case ours:
			// A child of ours that nobody has waited for yet hides the zombies behind it.
			return r.reapListed()
		}
	}
}

// reapNext reaps the first zombie, unless it is one of ours; pid is 0 when there
// is none. It asks the kernel, so it costs the same however many children there are.
func (r *Reaper) reapNext() (pid int, ours bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	pid, err = peekZombie()
	if err != nil || pid == 0 {
		return 0, false, err
	}
	if r.children[pid] != nil {
		return pid, true, nil
	}
	return pid, false, reapOne(pid)
}

// reapListed looks at every child.
func (r *Reaper) reapListed() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	zombies, err := zombieChildren()
	if err != nil {
		return err
	}
	for _, pid := range zombies {
		if r.children[pid] != nil {
			continue
		}
		if err := reapOne(pid); err != nil {
			return err
		}
	}
	return nil
}

// tellStops tells of the children that were stopped since it last looked.
func (r *Reaper) tellStops() {
	var calls []func()
	r.mu.Lock()
	for cmd, stopped := range r.stops {
		if cmd.Process == nil {
			continue // it is not started yet
		}
		if sig := takeStop(cmd.Process.Pid); sig != 0 {
			calls = append(calls, func() { stopped(sig) })
		}
	}
	r.mu.Unlock()
	for _, call := range calls {
		call()
	}
}

func zombieChildren() ([]int, error) {
	self := os.Getpid()
	pids, complete, err := childrenOf(self)
	if err != nil {
		return nil, err
	}
	var infos []Info
	if complete {
		for _, pid := range pids {
			if info, err := readInfo(pid); err == nil {
				infos = append(infos, info)
			}
		}
	} else if infos, err = readAll(); err != nil {
		return nil, err
	}
	var zombies []int
	for _, info := range infos {
		if info.PPID == self && info.dead() {
			zombies = append(zombies, info.PID)
		}
	}
	return zombies, nil
}

// peekZombie returns the pid of a child that has ended, and leaves it.
func peekZombie() (int, error) {
	var info unix.Siginfo
	err := ignoringEINTR(func() error {
		return unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT|unix.WALL, nil)
	})
	if errors.Is(err, unix.ECHILD) {
		return 0, nil
	}
	if err != nil {
		return 0, os.NewSyscallError("waitid", err)
	}
	pid, _ := childOf(&info)
	return pid, nil
}

// takeStop returns the signal that a child was stopped by since this was last asked, 0 when it was not.
func takeStop(pid int) syscall.Signal {
	var info unix.Siginfo
	err := ignoringEINTR(func() error {
		return unix.Waitid(unix.P_PID, pid, &info, unix.WSTOPPED|unix.WNOHANG|unix.WALL, nil)
	})
	if stopped, status := childOf(&info); err == nil && stopped != 0 {
		return syscall.Signal(status)
	}
	return 0 // it has ended, or it runs
}

// childOf reads si_pid and si_status, which x/sys has no names for: they are in the union behind three ints, which is aligned
// like a pointer, with si_uid between them (siginfo_t in asm-generic/siginfo.h).
func childOf(info *unix.Siginfo) (pid, status int) {
	const align = unsafe.Sizeof(uintptr(0))
	const offset = (unsafe.Offsetof(info.Code) + unsafe.Sizeof(info.Code) + align - 1) &^ (align - 1)
	child := (*struct{ pid, uid, status int32 })(unsafe.Add(unsafe.Pointer(info), offset))
	return int(child.pid), int(child.status)
}

func reapOne(pid int) error {
	err := ignoringEINTR(func() error {
		_, err := unix.Wait4(pid, nil, unix.WNOHANG|unix.WALL, nil)
		return err
	})
	if errors.Is(err, unix.ECHILD) {
		return nil // somebody was faster
	}
	return os.NewSyscallError("wait4", err)
}
