package handover

import (
	"errors"
	"os"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The seccomp user notification: seccomp_unotify(2), linux/seccomp.h. golang.org/x/sys/unix has none of it.

// notification is struct seccomp_notif.
type notification struct {
	ID    uint64
	PID   uint32 // of the thread
	Flags uint32
	Data  struct {
		NR   int32
		Arch uint32
		IP   uint64
		Args [6]uint64
	}
}

// response is struct seccomp_notif_resp.
type response struct {
	ID    uint64
	Val   int64
	Error int32
	Flags uint32
}

// addition is struct seccomp_notif_addfd.
type addition struct {
	ID         uint64
	Flags      uint32
	SrcFD      uint32
	NewFD      uint32
	NewFDFlags uint32
}

const (
	ioctlRecv    = 0xc0502100 // SECCOMP_IOCTL_NOTIF_RECV
	ioctlSend    = 0xc0182101 // SECCOMP_IOCTL_NOTIF_SEND
	ioctlIDValid = 0x40082102 // SECCOMP_IOCTL_NOTIF_ID_VALID
	ioctlAddFD   = 0x40182103 // SECCOMP_IOCTL_NOTIF_ADDFD
	ioctlFlags   = 0x40082104 // SECCOMP_IOCTL_NOTIF_SET_FLAGS
	flagContinue = 1          // SECCOMP_USER_NOTIF_FLAG_CONTINUE
	flagSetFD    = 1          // SECCOMP_ADDFD_FLAG_SETFD
	flagSyncWake = 1          // SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP
)

func ioctl(fd int, request uint, argument unsafe.Pointer) error {
	for {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(argument))
		switch errno {
		case 0:
			return nil
		case unix.EINTR:
		default:
			return errno
		}
	}
}

// notifier takes notifications one by one and has each answered.
type notifier struct {
	fd   int // of file
	file *os.File
	done chan struct{} // closed when it takes none any more
	gone chan struct{} // closed when nobody is left who could notify

	paused atomic.Bool
}

// newNotifier owns fd.
func newNotifier(fd int) (*notifier, error) {
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, err
	}
	// Whoever asks waits on the processor on which it is answered (Linux 6.6): that is faster, and only that.
	_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(fd), ioctlFlags, flagSyncWake)
	return &notifier{fd: fd, file: os.NewFile(uintptr(fd), "seccomp notify"), done: make(chan struct{}), gone: make(chan struct{})}, nil
}

// serve calls answer for each notification until close, or until nobody is left who could notify.
func (n *notifier) serve(answer func(fd int, q *notification) response) {
	defer close(n.done)
	conn, err := n.file.SyscallConn()
	if err != nil {
		return
	}
	_ = conn.Read(func(fd uintptr) bool { // it fails only when the file is closed
		for {
			if n.paused.Load() {
				return true
			}
			poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
			_, err := unix.Poll(poll, 0)
			switch {
			case errors.Is(err, unix.EINTR):
				continue
			case err != nil:
				return true
			case poll[0].Revents&unix.POLLHUP != 0: // nobody has the filter any more
				close(n.gone)
				return true
			case poll[0].Revents&unix.POLLIN == 0:
				return false
			}
			answerOne(int(fd), answer)
		}
	})
}

func answerOne(fd int, answer func(fd int, q *notification) response) {
	var q notification
	if ioctl(fd, ioctlRecv, unsafe.Pointer(&q)) != nil {
		return // ENOENT: whoever asked was killed or interrupted meanwhile
	}
	r := answer(fd, &q)
	r.ID = q.ID
	_ = ioctl(fd, ioctlSend, unsafe.Pointer(&r)) // the same
}

func (n *notifier) close() {
	n.file.Close()
	<-n.done
}

// pause has serve return, and take nothing any more, without closing the file.
func (n *notifier) pause() {
	n.paused.Store(true)
	_ = n.file.SetReadDeadline(time.Unix(1, 0)) // ends the wait
	<-n.done
}

// resume goes on after a pause.
func (n *notifier) resume(answer func(fd int, q *notification) response) {
	n.paused.Store(false)
	_ = n.file.SetReadDeadline(time.Time{})
	n.done = make(chan struct{})
	go n.serve(answer)
}

// valid reports whether whoever asked still waits: only then is its pid still its own.
func valid(fd int, id uint64) bool { return ioctl(fd, ioctlIDValid, unsafe.Pointer(&id)) == nil }

// replace puts a copy of our socket in place of the descriptor of whoever asked.
func replace(fd int, q *notification, socket, theirs int, closeOnExec bool) error {
	a := addition{ID: q.ID, Flags: flagSetFD, SrcFD: uint32(socket), NewFD: uint32(theirs)}
	if closeOnExec {
		a.NewFDFlags = unix.O_CLOEXEC
	}
	return ioctl(fd, ioctlAddFD, unsafe.Pointer(&a))
}
