package handover

import (
	"errors"
	"runtime"

	"golang.org/x/sys/unix"
)

// pathWatcher calls a function as soon as something is removed from one of its directories. A client that connects meanwhile is
// refused, so it does not go through Go's scheduler or wait behind processes that compute, where that can be helped.
type pathWatcher struct {
	inotify int
	quit    int // an eventfd
	done    chan struct{}
}

func newPathWatcher(removed func()) (*pathWatcher, error) {
	inotify, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, err
	}
	quit, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		unix.Close(inotify)
		return nil, err
	}
	w := &pathWatcher{inotify, quit, make(chan struct{})}
	go w.run(removed)
	return w, nil
}

func (w *pathWatcher) add(dir string) error {
	_, err := unix.InotifyAddWatch(w.inotify, dir, unix.IN_DELETE|unix.IN_MOVED_FROM|unix.IN_ONLYDIR)
	return err
}

// run does not look at what an event says: to act is faster than to parse.
func (w *pathWatcher) run(removed func()) {
	defer close(w.done)
	runtime.LockOSThread() // and the thread ends with us, together with its priority
	hurry()
	buf := make([]byte, 64*(unix.SizeofInotifyEvent+unix.NAME_MAX+1))
	for {
		both := []unix.PollFd{{Fd: int32(w.inotify), Events: unix.POLLIN}, {Fd: int32(w.quit), Events: unix.POLLIN}}
		if _, err := unix.Poll(both, -1); err != nil && !errors.Is(err, unix.EINTR) || both[1].Revents != 0 {
			return
		}
		if both[0].Revents != 0 {
			removed()
			_, _ = unix.Read(w.inotify, buf) // EAGAIN: it was read already
			removed()                        // what was removed in between may have been read too
		}
	}
}

// hurry has this thread run at once when it has something to do, if we may; else it gets short turns, which come sooner (Linux 6.12).
func hurry() {
	const once = unix.SCHED_FLAG_RESET_ON_FORK
	if unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1, Flags: once}, 0) != nil {
		_ = unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_NORMAL, Runtime: 100_000, Flags: once}, 0)
	}
}

// close returns when nothing is called any more.
func (w *pathWatcher) close() {
	_, _ = unix.Write(w.quit, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	<-w.done
	unix.Close(w.inotify)
	unix.Close(w.quit)
}
