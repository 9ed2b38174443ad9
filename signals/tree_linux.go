package signals

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
)

// readAll looks at every process. Processes that come and go meanwhile may be
// missing; one that lives throughout is there.
func readAll() ([]Info, error) {
	pids, err := readNumbers("/proc")
	if err != nil {
		return nil, err
	}
	infos := make([]Info, 0, len(pids))
	for _, pid := range pids {
		info, err := readInfo(pid)
		if errors.Is(err, ErrGone) || errors.Is(err, errHidden) {
			continue
		}
		if err != nil {
			return nil, err
		}
		infos = append(infos, info)
	}
	return infos, nil
}

// walk follows /proc/PID/task/*/children from root. A tree of ten costs a few
// dozen system calls, however many processes the machine has.
//
// The kernel promises little for these lists: when the child it printed last is
// reaped before it looks for the next one, it counts positions, and skips one
// child for each that went away (get_children_proc in fs/proc/array.c). A skip needs
// a child that was printed and is gone, and that is seen when the child is looked
// at next; complete is false then, and the caller reads the table instead. It is also false
// when a thread ended before its list was read, for its children moved to
// another thread, and when the kernel has no such lists (CONFIG_PROC_CHILDREN).
func walk(root Process) (tree []Info, complete bool, err error) {
	info, err := root.look()
	if err != nil {
		return nil, false, err
	}
	tree = []Info{info}
	for i := 0; i < len(tree); i++ {
		pids, complete, err := childrenOf(tree[i].PID)
		if err != nil || !complete {
			return nil, false, err
		}
		for _, pid := range pids {
			child, err := readInfo(pid)
			if errors.Is(err, ErrGone) || (err == nil && child.PPID != tree[i].PID) {
				return nil, false, nil
			}
			if err != nil {
				return nil, false, err
			}
			if !child.dead() {
				tree = append(tree, child)
			}
		}
	}
	return tree, true, nil
}

// childrenOf lists the children of all threads of pid, zombies included, in
// order of pids; not complete in the cases that walk describes.
func childrenOf(pid int) (pids []int, complete bool, err error) {
	dir := "/proc/" + strconv.Itoa(pid) + "/task"
	tids, err := readNumbers(dir)
	if errors.Is(gone(pid, err), ErrGone) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	for _, tid := range tids {
		data, err := os.ReadFile(dir + "/" + strconv.Itoa(tid) + "/children")
		if errors.Is(err, fs.ErrNotExist) || errors.Is(gone(pid, err), ErrGone) {
			return nil, false, nil
		}
		if err != nil {
			return nil, false, err
		}
		for _, field := range strings.Fields(string(data)) {
			child, err := strconv.Atoi(field)
			if err != nil {
				return nil, false, err
			}
			pids = append(pids, child)
		}
	}
	slices.Sort(pids)
	return pids, true, nil
}
