package handover

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// socket is our copy of a socket that a server binds: the same socket, another descriptor.
type socket struct {
	fd     int
	inode  uint64
	binder uint32 // the thread that was about to bind it
	names         // of a unix socket
}

func (s *socket) close() { unix.Close(s.fd) }

// retire ends the listening for everybody who still holds the socket: left open by an orphan it would stay in the group.
func (s *socket) retire() {
	_ = unix.Shutdown(s.fd, unix.SHUT_RDWR) // ENOTCONN: it does not listen
	s.close()
}

// listening reports whether listen(2) was called on it, and it was not shut down.
func (s *socket) listening() bool {
	on, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	return err == nil && on == 1
}

// isBound reports whether the bind that was let through went well. Another thread's may still be on its way: it is given a moment.
func (s *socket) isBound(asking uint32) bool {
	const moment = 50 * time.Millisecond
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		at, err := localOf(s.fd)
		switch {
		case err == nil && at.Port() != 0:
			return true
		case err != nil || s.binder == asking || time.Since(began) > moment:
			return false
		}
	}
}

// steer attaches a program to the group of the socket.
func (s *socket) steer(instructions []bpf.Instruction) error {
	raw, err := bpf.Assemble(instructions)
	if err != nil {
		return err
	}
	program := sockFprog(raw)
	return unix.SetsockoptSockFprog(s.fd, unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_CBPF, &program)
}

// caller is whoever is about to bind.
type caller struct {
	pid   int // of the process
	pidfd int
}

// callerOf finds the process of the thread that waits for us. The caller checks afterwards that it still does.
func callerOf(thread int) (caller, error) {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(thread) + "/status")
	if err != nil {
		return caller{}, err
	}
	_, rest, _ := strings.Cut(string(status), "\nTgid:")
	line, _, _ := strings.Cut(rest, "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		return caller{}, fmt.Errorf("process of thread %d: %w", thread, err)
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return caller{}, fmt.Errorf("pidfd_open: %w", err)
	}
	return caller{pid, fd}, nil
}

func (c caller) close() { unix.Close(c.pidfd) }

// socket returns a copy of a descriptor of the caller's.
func (c caller) socket(theirs int) (*socket, error) {
	fd, err := unix.PidfdGetfd(c.pidfd, theirs, 0)
	if err != nil {
		return nil, fmt.Errorf("pidfd_getfd: %w", err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return &socket{fd: fd, inode: st.Ino}, nil
}

// maxSockaddr is the longest address there is (struct sockaddr_storage).
const maxSockaddr = 128

// read copies memory of the caller.
func (c caller) read(address uint64, length int) ([]byte, error) {
	if length < 0 || length > maxSockaddr {
		return nil, errForeign
	}
	buf := make([]byte, length)
	if length == 0 {
		return buf, nil
	}
	local := []unix.Iovec{{Base: &buf[0]}}
	local[0].SetLen(length)
	n, err := unix.ProcessVMReadv(c.pid, local, []unix.RemoteIovec{{Base: uintptr(address), Len: length}}, 0)
	if err != nil {
		return nil, fmt.Errorf("process_vm_readv: %w", err)
	}
	return buf[:n], nil
}

// closesOnExec reports whether a descriptor of the caller's has FD_CLOEXEC (proc_pid_fdinfo(5)).
func (c caller) closesOnExec(fd int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%d", c.pid, fd))
	if err != nil {
		return true
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "flags:"); ok {
			flags, err := strconv.ParseUint(strings.TrimSpace(value), 8, 64)
			return err != nil || flags&unix.O_CLOEXEC != 0
		}
	}
	return true
}

// nature says what kind of socket it is.
func (s *socket) nature() (domain, kind, protocol int, err error) {
	for name, value := range map[int]*int{unix.SO_DOMAIN: &domain, unix.SO_TYPE: &kind, unix.SO_PROTOCOL: &protocol} {
		v, e := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, name)
		if e != nil {
			return 0, 0, 0, errors.Join(errForeign, e)
		}
		*value = v
	}
	return domain, kind, protocol, nil
}

// nonblock is a flag of the socket, not of its descriptor: all who hold it see it.
func (s *socket) nonblock() (bool, error) {
	flags, err := unix.FcntlInt(uintptr(s.fd), unix.F_GETFL, 0)
	return flags&unix.O_NONBLOCK != 0, err
}
