package handover

import "golang.org/x/sys/unix"

// unlinkCalls are the system calls that remove a path.
var unlinkCalls = []uint32{unix.SYS_UNLINK, unix.SYS_UNLINKAT}

func unlinkArguments(q *notification) (dir int, path uint64, flags uint64) {
	if q.Data.NR == unix.SYS_UNLINK {
		return unix.AT_FDCWD, q.Data.Args[0], 0
	}
	return int(int32(q.Data.Args[0])), q.Data.Args[1], q.Data.Args[2]
}
