package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// keyboard reads single keys from a terminal that other programs use as well: the shell that started us, and whatever runs
// in the foreground while we are in the background. A nil keyboard has no keys.
type keyboard struct {
	in   *os.File
	keys chan byte
	ring [2]*os.File // a pipe: writing to it wakes run

	mu    sync.Mutex
	saved *unix.Termios // as the terminal was; nil: it is as it was
	away  bool          // suspended: the terminal is left alone until resume
}

// openKeyboard returns nil when in is no terminal. It does not touch the terminal yet.
func openKeyboard(in *os.File) *keyboard {
	if !term.IsTerminal(int(in.Fd())) {
		return nil
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil // watching is possible without keys
	}
	return &keyboard{in: in, keys: make(chan byte), ring: [2]*os.File{r, w}}
}

func (k *keyboard) pressed() <-chan byte {
	if k == nil {
		return nil
	}
	return k.keys
}

// wake makes run look at the terminal again.
func (k *keyboard) wake() { _, _ = k.ring[1].Write([]byte{0}) }

// suspend gives the terminal back until resume.
func (k *keyboard) suspend() {
	k.mu.Lock()
	k.away = true
	k.mu.Unlock()
	k.leave()
}

func (k *keyboard) resume() {
	k.mu.Lock()
	k.away = false
	k.mu.Unlock()
	k.wake()
}

// foreground reports whether the terminal is ours now. A background process that reads from it, or changes its settings, is
// stopped by the kernel (SIGTTIN, SIGTTOU), or disturbs whoever is in front.
func (k *keyboard) foreground() bool {
	group, err := unix.IoctlGetInt(int(k.in.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

// enter makes keys arrive one by one and unseen, with Ctrl-C and Ctrl-Z as ever, and output as ever. It reports false in the
// background.
func (k *keyboard) enter() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.away || !k.foreground() {
		return false
	}
	now, err := unix.IoctlGetTermios(int(k.in.Fd()), ioctlGetTermios)
	if err != nil {
		return false
	}
	if k.saved == nil {
		before := *now
		k.saved = &before
	}
	now.Lflag &^= unix.ICANON | unix.ECHO
	now.Cc[unix.VMIN], now.Cc[unix.VTIME] = 1, 0
	return unix.IoctlSetTermios(int(k.in.Fd()), ioctlSetTermios, now) == nil
}

// leave gives the terminal back as it was. In the background there is nothing to give back: the shell has seen to it.
func (k *keyboard) leave() {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.saved == nil {
		return
	}
	if k.foreground() {
		// Where it fails the terminal is gone.
		_ = unix.IoctlSetTermios(int(k.in.Fd()), ioctlSetTermios, k.saved)
	}
	k.saved = nil
}

// leaveOnPanic is deferred by every goroutine: a panic ends the program, and must not leave a terminal without echo.
func (k *keyboard) leaveOnPanic() {
	if r := recover(); r != nil {
		k.leave()
		panic(r)
	}
}

// background is how often a program in the background looks whether it has been brought to the front: `fg` tells only a
// stopped one.
const background = 500 * time.Millisecond

// run reads keys until ctx is done or the terminal is gone.
func (k *keyboard) run(ctx context.Context) {
	defer context.AfterFunc(ctx, k.wake)()
	for ctx.Err() == nil {
		fds := []unix.PollFd{{Fd: int32(k.ring[0].Fd()), Events: unix.POLLIN}}
		timeout := int(background.Milliseconds())
		if k.enter() {
			fds = append(fds, unix.PollFd{Fd: int32(k.in.Fd()), Events: unix.POLLIN})
			timeout = -1
		}
		if _, err := unix.Poll(fds, timeout); err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
		if fds[0].Revents != 0 {
			_, _ = k.ring[0].Read(make([]byte, 16))
			continue
		}
		if len(fds) > 1 && fds[1].Revents != 0 && k.foreground() && !k.read(ctx) {
			return
		}
	}
}

// pasted is how many bytes at once are not typed: nobody wants a pasted word to restart the server.
const pasted = 8

// read passes on what was typed. It reports false when the terminal is gone.
func (k *keyboard) read(ctx context.Context) bool {
	buf := make([]byte, 1024)
	n, err := unix.Read(int(k.in.Fd()), buf)
	if errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN) {
		return true
	}
	if err != nil || n == 0 {
		return false
	}
	const escape = 0x1b // an arrow or a function key sends more: ESC O R is F3
	if n >= pasted || bytes.IndexByte(buf[:n], escape) >= 0 {
		return true
	}
	for _, key := range buf[:n] {
		select {
		case k.keys <- key:
		case <-ctx.Done():
			return true
		}
	}
	return true
}
