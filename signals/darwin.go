//go:build darwin

package signals

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const lastSignal = 31 // no real-time signals

// notHere is the error of what macOS does not tell about other processes.
func notHere(what string) error {
	return fmt.Errorf("%s: not possible on macOS: %w", what, errors.ErrUnsupported)
}

func readInfo(pid int) (Info, error) {
	kinfo, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	if errors.Is(err, unix.EIO) || errors.Is(err, unix.ESRCH) {
		return Info{}, ErrGone // x/sys says EIO for an empty answer
	}
	if err != nil {
		return Info{}, err
	}
	return infoOf(kinfo), nil
}

func readAll() ([]Info, error) {
	kinfos, err := unix.SysctlKinfoProcSlice("kern.proc.all")
	if err != nil {
		return nil, err
	}
	infos := make([]Info, len(kinfos))
	for i := range kinfos {
		infos[i] = infoOf(&kinfos[i])
	}
	return infos, nil
}

func infoOf(kinfo *unix.KinfoProc) Info {
	const states = "?IRSTZ" // SIDL, SRUN, SSLEEP, SSTOP, SZOMB in sys/proc.h
	state := byte('?')
	if n := int(kinfo.Proc.P_stat); n > 0 && n < len(states) {
		state = states[n]
	}
	sid, _ := unix.Getsid(int(kinfo.Proc.P_pid)) // 0 when not ours to know
	comm, _, _ := bytes.Cut(kinfo.Proc.P_comm[:], []byte{0})
	started := kinfo.Proc.P_starttime
	return Info{
		Process: Process{
			PID:   int(kinfo.Proc.P_pid),
			Start: uint64(started.Sec)*1e6 + uint64(started.Usec),
		},
		PPID:  int(kinfo.Eproc.Ppid),
		PGID:  int(kinfo.Eproc.Pgid),
		SID:   sid,
		UID:   int(kinfo.Eproc.Ucred.Uid),
		State: state,
		Comm:  string(comm),
	}
}

func refuseThread(int) error { return nil } // threads have no pids

func (p Process) signal(sig syscall.Signal) error { return p.checkAndKill(sig) }

func (p Process) wait(ctx context.Context) error { return p.waitByPolling(ctx) }

// walk has nothing to follow on macOS; the caller reads the table, one sysctl.
func walk(Process) ([]Info, bool, error) { return nil, false, nil }

// StartedAt is when the process was started.
func (p Process) StartedAt() (time.Time, error) { return time.UnixMicro(int64(p.Start)), nil }

// Cmdline is the command line.
func (p Process) Cmdline() ([]string, error) {
	// int32 argc, path of the executable, padding of NULs, the arguments.
	data, err := unix.SysctlRaw("kern.procargs2", p.PID)
	if err != nil {
		return nil, fmt.Errorf("read cmdline of process %d: %w", p.PID, err)
	}
	if len(data) < 4 {
		return nil, nil
	}
	argc := int(data[0]) | int(data[1])<<8 | int(data[2])<<16 | int(data[3])<<24
	_, rest, _ := bytes.Cut(data[4:], []byte{0})
	fields := bytes.Split(bytes.TrimLeft(rest, "\x00"), []byte{0})
	var args []string
	for _, field := range fields[:min(argc, len(fields))] {
		args = append(args, string(field))
	}
	return args, nil
}

// Exe is the path of the executable file.
func (p Process) Exe() (string, error) {
	data, err := unix.SysctlRaw("kern.procargs2", p.PID)
	if err != nil {
		return "", fmt.Errorf("read exe of process %d: %w", p.PID, err)
	}
	if len(data) < 4 {
		return "", notHere("exe of another user's process")
	}
	path, _, _ := bytes.Cut(data[4:], []byte{0})
	return string(path), nil
}

// Cwd is not possible on macOS.
func (p Process) Cwd() (string, error) { return "", notHere("working directory") }

// Waiting is not possible on macOS.
func (p Process) Waiting() (string, error) { return "", notHere("wait channel") }

// Disposition is not possible on macOS.
func (p Process) Disposition(syscall.Signal) (Disposition, error) {
	return Default, notHere("signal dispositions")
}

// Dispositions is not possible on macOS.
func (p Process) Dispositions() (Dispositions, error) {
	return Dispositions{}, notHere("signal dispositions")
}

// Listeners is not possible on macOS.
func Listeners([]Process) ([]Listener, error) { return nil, notHere("sockets of processes") }

// BecomeSubreaper is not possible on macOS: orphans go to launchd.
func BecomeSubreaper() error { return notHere("adopting orphans") }

// Reaper starts and waits for children. On macOS nothing is ever left to this
// process, so there is nothing to reap.
type Reaper struct{}

// NewReaper returns a Reaper.
func NewReaper() *Reaper { return &Reaper{} }

// Start starts cmd.
func (r *Reaper) Start(cmd *exec.Cmd) error { return cmd.Start() }

// Wait waits for cmd.
func (r *Reaper) Wait(cmd *exec.Cmd) error { return cmd.Wait() }

// Run starts cmd and waits for it.
func (r *Reaper) Run(cmd *exec.Cmd) error { return cmd.Run() }

// OnStop is not possible on macOS: nobody is told.
func (r *Reaper) OnStop(*exec.Cmd, func(syscall.Signal)) {}

// AllowBackgroundWrites does nothing on macOS.
func AllowBackgroundWrites() {}

// SetForegroundGroup is not possible on macOS.
func SetForegroundGroup(*os.File, int) error { return notHere("setting the foreground process group") }

// Serve waits for ctx.
func (r *Reaper) Serve(ctx context.Context) error {
	<-ctx.Done()
	return context.Cause(ctx)
}

// isRemote reports whether a file lies on a network file system.
func isRemote(f *os.File) bool {
	var st unix.Statfs_t
	err := unix.Fstatfs(int(f.Fd()), &st)
	return err != nil || st.Flags&unix.MNT_LOCAL == 0
}
