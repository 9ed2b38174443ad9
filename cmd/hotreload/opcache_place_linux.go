package main

import (
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hotreload/hotreload/php"
	"github.com/hotreload/hotreload/signals"
)

// placeSeenBy is where the pool that listens there can read a script: a temporary directory of the machine, or, where its
// workers have another /tmp (chroot, PrivateTmp of systemd, a container), theirs, which root can reach. master is the zero
// value when it is not known.
func placeSeenBy(a php.FPMAddress, master signals.Process) php.FPMPlace {
	if os.Geteuid() != 0 {
		return php.FPMPlace{}
	}
	if master == (signals.Process{}) {
		master = listenerOf(a)
	}
	tree, err := signals.Tree(master)
	if err != nil || !strings.Contains(tree[0].Comm, "fpm") {
		return php.FPMPlace{} // systemd may have opened the socket
	}
	// Workers first: each has the sockets of its own pool only, and its root.
	for _, p := range slices.Backward(tree) {
		root := "/proc/" + strconv.Itoa(p.PID) + "/root"
		if otherTmp(root) && listens(p.Process, a) {
			return php.FPMPlace{Root: root, Dir: "/tmp"}
		}
	}
	return php.FPMPlace{}
}

func listens(p signals.Process, a php.FPMAddress) bool {
	listeners, err := signals.Listeners([]signals.Process{p})
	return err == nil && slices.ContainsFunc(listeners, func(l signals.Listener) bool { return l.Addr == a.Addr })
}

// listenerOf is the process that opened a unix socket; the zero value where that cannot be told. Of TCP nobody knows.
func listenerOf(a php.FPMAddress) signals.Process {
	if a.Network != "unix" {
		return signals.Process{}
	}
	pid, err := listenerPID(a.Addr)
	if err != nil {
		return signals.Process{} // who asks next says why
	}
	p, err := signals.Lookup(pid)
	if err != nil {
		return signals.Process{}
	}
	return p
}

// listenerPID is the process that called listen(2) on a unix socket.
func listenerPID(path string) (int, error) {
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0, err
	}
	var peer *unix.Ucred
	var optErr error
	if err := raw.Control(func(fd uintptr) { peer, optErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		return 0, err
	}
	if optErr != nil {
		return 0, optErr
	}
	return int(peer.Pid), nil
}

// otherTmp reports whether a process with this root has a /tmp, and it is not ours.
func otherTmp(root string) bool {
	theirs, err := os.Stat(root + "/tmp")
	if err != nil || !theirs.IsDir() {
		return false
	}
	ours, err := os.Stat("/tmp")
	return err != nil || !os.SameFile(ours, theirs)
}
