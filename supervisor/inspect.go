package supervisor

import (
	"fmt"
	"syscall"

	"github.com/hotreload/hotreload/signals"
)

// Inspection is what one look at a server that runs tells. Nothing is sent to it.
type Inspection struct {
	Master  signals.Info
	Roles   map[Role]int // how many processes below the master have each role
	Handles bool         // the master is prepared for the signal that was asked about
	Ignores bool         // the signal would be lost on it
	Tree    []signals.Process
}

// Inspect looks at the tree of a master, and at what sig would do to it. The error wraps [signals.ErrGone] when it has ended.
func Inspect(layout Layout, master signals.Process, sig syscall.Signal) (Inspection, error) {
	v, err := newObserver(realKernel(), layout, master).look()
	if err != nil {
		return Inspection{}, fmt.Errorf("look at master %d: %w", master.PID, err)
	}
	in := Inspection{Master: v.procs[0].Info, Roles: map[Role]int{}, Handles: v.procs[0].handles(sig), Ignores: v.procs[0].ignores(sig)}
	for i, s := range v.procs {
		in.Tree = append(in.Tree, s.Process)
		if i > 0 {
			in.Roles[s.role]++
		}
	}
	return in, nil
}
