package release

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// mountsIn returns where below dir, or on it, something is mounted. dir is resolved.
func mountsIn(dir string) ([]string, error) {
	n, err := unix.Getfsstat(nil, unix.MNT_NOWAIT)
	if err != nil {
		return nil, fmt.Errorf("read mounts: %w", err)
	}
	mounts := make([]unix.Statfs_t, n)
	if n, err = unix.Getfsstat(mounts, unix.MNT_NOWAIT); err != nil {
		return nil, fmt.Errorf("read mounts: %w", err)
	}
	var in []string
	for _, m := range mounts[:min(n, len(mounts))] {
		if path := unix.ByteSliceToString(m.Mntonname[:]); within(path, dir) {
			in = append(in, path)
		}
	}
	return in, nil
}
