package signals

import (
	"os"
	"slices"
	"testing"
)

func TestTableTree(t *testing.T) {
	at := func(pid, ppid int) Info {
		return Info{Process: Process{PID: pid, Start: uint64(1000 + pid)}, PPID: ppid, State: 'S', Threads: 1}
	}
	zombie := at(13, 10)
	zombie.State = 'Z'
	endingLeader := at(14, 10) // its main thread has ended, another one runs
	endingLeader.State, endingLeader.Threads = 'Z', 2
	table := newTable([]Info{
		at(12, 11), at(2, 0), at(10, 1), at(1, 0), at(11, 10), zombie, endingLeader, at(9, 10), at(20, 1),
	})
	tests := []struct {
		name string
		root Process
		want []int
	}{
		{"parents before children", at(10, 1).Process, []int{10, 9, 11, 14, 12}},
		{"leaf", at(12, 11).Process, []int{12}},
		{"all of init", at(1, 0).Process, []int{1, 10, 20, 9, 11, 14, 12}},
		{"not there", at(99, 1).Process, nil},
		{"zombie", zombie.Process, nil},
		{"later process with this pid", Process{PID: 10, Start: 1}, nil},
		{"nobody", Process{}, nil},
	}
	for _, test := range tests {
		if got := pids(table.Tree(test.root)); !slices.Equal(got, test.want) {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
	below10 := table.Select(func(i Info) bool { return i.PPID == 10 })
	if got := pids(below10); !slices.Equal(got, []int{9, 11, 14}) {
		t.Errorf("Select: got %v", got)
	}
}

// A table read while processes moved can hold anything.
func TestTableTreeEndsOnLoops(t *testing.T) {
	root := Info{Process: Process{PID: 5, Start: 1}, PPID: 6}
	table := newTable([]Info{root, {Process: Process{PID: 6, Start: 2}, PPID: 5}})
	if got := pids(table.Tree(root.Process)); !slices.Equal(got, []int{5, 6}) {
		t.Errorf("got %v", got)
	}
}

func TestTree(t *testing.T) {
	h := startHelper(t, "family")
	want := []int{h.fact(t, 0), h.fact(t, 1), h.fact(t, 2)}
	slices.Sort(want)
	want = append([]int{h.Process.PID}, want...)

	tree, err := Tree(h.Process)
	if err != nil || !slices.Equal(pids(tree), want) {
		t.Errorf("Tree: got %v, %v, want %v", pids(tree), err, want)
	}
	table, err := Snapshot()
	if err != nil || !slices.Equal(pids(table.Tree(h.Process)), want) {
		t.Errorf("Snapshot: got %v, %v, want %v", pids(table.Tree(h.Process)), err, want)
	}
	if !slices.Contains(pids(table.Tree(Self())), h.Process.PID) {
		t.Error("the tree of this process lacks its child")
	}
	_, err = Tree(Process{PID: h.Process.PID, Start: 1})
	wantGone(t, "Tree of an earlier process", err)
}

func TestAncestors(t *testing.T) {
	chain, err := Ancestors()
	if err != nil {
		t.Fatal(err)
	}
	if len(chain) == 0 && os.Getppid() != 0 {
		t.Fatal("no ancestors")
	}
	if len(chain) > 0 && chain[0].PID != os.Getppid() {
		t.Errorf("got %v, want the parent %d first", chain, os.Getppid())
	}
}

func pids(infos []Info) []int {
	var pids []int
	for _, info := range infos {
		pids = append(pids, info.PID)
	}
	return pids
}
