package control

import "golang.org/x/sys/unix"

// peerPID is the pid of the process that listens on the other end, as our namespace sees it (SO_PEERCRED, unix(7)); 0 when
// it cannot be seen from here.
func peerPID(fd int) int {
	cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return 0
	}
	return int(cred.Pid)
}
