package signals

import (
	"errors"
	"fmt"
	"os"
	"slices"
)

// Table is all living processes at one moment, without zombies.
type Table struct {
	infos    map[int]Info
	children map[int][]int
}

// Snapshot reads the whole process table. [Tree] is the cheaper way to one tree.
func Snapshot() (Table, error) {
	infos, err := readAll()
	if err != nil {
		return Table{}, fmt.Errorf("read process table: %w", err)
	}
	return newTable(infos), nil
}

func newTable(infos []Info) Table {
	t := Table{infos: make(map[int]Info, len(infos)), children: make(map[int][]int)}
	for _, info := range infos {
		if info.dead() {
			continue
		}
		t.infos[info.PID] = info
		t.children[info.PPID] = append(t.children[info.PPID], info.PID)
	}
	for _, pids := range t.children {
		slices.Sort(pids)
	}
	return t
}

// Tree returns root and all its descendants, parents before their children;
// nothing when root is not in the table.
func (t Table) Tree(root Process) []Info {
	info, found := t.infos[root.PID]
	if !found || info.Process != root {
		return nil
	}
	tree := []Info{info}
	for i := 0; i < len(tree); i++ {
		for _, pid := range t.children[tree[i].PID] {
			if child := t.infos[pid]; child.PID != root.PID {
				tree = append(tree, child)
			}
		}
	}
	return tree
}

// Select returns the processes for which keep is true, ordered by pid.
func (t Table) Select(keep func(Info) bool) []Info {
	var kept []Info
	for _, info := range t.infos {
		if keep(info) {
			kept = append(kept, info)
		}
	}
	slices.SortFunc(kept, func(a, b Info) int { return a.PID - b.PID })
	return kept
}

// Tree returns root and all its descendants that live now, parents before their
// children, or [ErrGone]. A process that lives throughout the call is never missed.
func Tree(root Process) ([]Info, error) {
	tree, complete, err := walk(root)
	if err == nil && !complete {
		var table Table
		table, err = Snapshot()
		tree = table.Tree(root)
	}
	if err == nil && len(tree) == 0 {
		err = ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("read process tree of %d: %w", root.PID, err)
	}
	return tree, nil
}

// Ancestors returns the parent of the calling process, its parent, and so on, as
// far as they can be seen (not across namespaces, nor under hidepid).
func Ancestors() ([]Process, error) {
	var chain []Process
	self, err := readInfo(os.Getpid())
	for pid := self.PPID; err == nil && pid > 0; {
		var info Info
		if info, err = readInfo(pid); err == nil {
			chain = append(chain, info.Process)
			pid = info.PPID
		}
	}
	if err != nil && !errors.Is(err, ErrGone) && !errors.Is(err, errHidden) {
		return nil, fmt.Errorf("read ancestors: %w", err)
	}
	return chain, nil
}
