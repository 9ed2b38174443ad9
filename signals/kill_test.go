package signals

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
)

func session(t *testing.T, sid int) []Info {
	t.Helper()
	table, err := Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	return table.Select(func(i Info) bool { return i.SID == sid })
}

// The whole tree ends although it forks all the time, and although the tree below
// the master cannot be found any more once the master is dead.
func TestKillTreeThatForks(t *testing.T) {
	h := startHelper(t, "crash-loop")
	manager := h.fact(t, 0)
	eventually(t, "the manager forks", func() bool {
		tree, err := Tree(h.Process)
		return err == nil && len(tree) > 2
	})
	err := KillTree(within(t), func() ([]Info, error) { return Tree(h.Process) })
	if err != nil {
		t.Fatal(err)
	}
	if left := session(t, h.Process.PID); len(left) > 0 {
		t.Errorf("still there: %+v (manager %d)", left, manager)
	}
}

func TestKillTreeOfAnother(t *testing.T) {
	h := startHelper(t, "family") // one of them in another session, none hears a hangup
	tree, err := Tree(h.Process)
	if err != nil {
		t.Fatal(err)
	}
	if err := KillTree(within(t), func() ([]Info, error) { return Tree(h.Process) }); err != nil {
		t.Fatal(err)
	}
	for _, info := range tree {
		if info.Alive() {
			t.Errorf("%v is alive", info)
		}
	}
}

// Whatever members says: not this process, not its ancestors, not a later process
// with the same pid.
func TestKillTreeSpares(t *testing.T) {
	bystander := startHelper(t, "sleep")
	err := KillTree(within(t), func() ([]Info, error) {
		parent, err := readInfo(os.Getppid())
		earlier := Process{PID: bystander.Process.PID, Start: 1}
		return []Info{{Process: Self()}, parent, {Process: earlier}, {}}, err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := bystander.Process.Signal(0); err != nil {
		t.Error(err)
	}
}

func TestKillTreeOfNobody(t *testing.T) {
	calls := 0
	err := KillTree(within(t), func() ([]Info, error) { calls++; return nil, ErrGone })
	if err != nil || calls < 2 {
		t.Errorf("got %v after %d calls", err, calls)
	}
}

func TestKillTreeErrors(t *testing.T) {
	broken := errors.New("no table")
	if err := KillTree(within(t), func() ([]Info, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Errorf("got %v, want what members returned", err)
	}

	// Time is up before anything began: what is known is killed all the same.
	h := startHelper(t, "sleep")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := KillTree(ctx, func() ([]Info, error) { return Tree(h.Process) })
	if err != nil && (!errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), h.Process.String())) {
		t.Errorf("got %v, want context.Canceled and the survivor", err)
	}
	h.Cmd.Wait()
	if status := h.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGKILL {
		t.Errorf("ended by %v", status)
	}
}
