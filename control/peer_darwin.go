package control

import "golang.org/x/sys/unix"

// peerPID is the pid of the process that listens on the other end (LOCAL_PEERPID, sys/un.h); 0 when it is unknown.
func peerPID(fd int) int {
	pid, err := unix.GetsockoptInt(fd, unix.SOL_LOCAL, unix.LOCAL_PEERPID)
	if err != nil {
		return 0
	}
	return pid
}
