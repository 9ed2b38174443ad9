//go:build linux && !amd64

package handover

import "golang.org/x/sys/unix"

// unlinkCalls are the system calls that remove a path.
var unlinkCalls = []uint32{unix.SYS_UNLINKAT}

func unlinkArguments(q *notification) (dir int, path uint64, flags uint64) {
	return int(int32(q.Data.Args[0])), q.Data.Args[1], q.Data.Args[2]
}
