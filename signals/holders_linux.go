package signals

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
)

// Holders returns the processes, other than this one, that still hold one of these listening sockets in this
// process's network namespace. It is cheap when the sockets are gone, and looks at every process when they are not.
func Holders(listeners []Listener) ([]Info, error) {
	all, err := Self().namespaceListeners()
	if err != nil {
		return nil, fmt.Errorf("read listening sockets: %w", err)
	}
	left := make(map[string]int)
	for i, l := range all {
		if slices.ContainsFunc(listeners, func(old Listener) bool { return old.Inode == l.Inode }) {
			left["socket:["+strconv.FormatUint(l.Inode, 10)+"]"] = i
		}
	}
	if len(left) == 0 {
		return nil, nil
	}
	infos, err := readAll()
	if err != nil {
		return nil, fmt.Errorf("read process table: %w", err)
	}
	var holders []Info
	for _, info := range infos {
		if info.dead() || info.Process == Self() {
			continue
		}
		unclaimed := make(map[string]int, len(left))
		for name := range left {
			unclaimed[name] = left[name]
		}
		// Processes of other users cannot be looked at, and are not ours.
		if err := info.claim(unclaimed, make([]bool, len(all))); err != nil && !errors.Is(err, ErrGone) {
			continue
		}
		if len(unclaimed) < len(left) {
			holders = append(holders, info)
		}
	}
	return holders, nil
}
