package supervisor_test

import (
	"errors"
	"syscall"
	"testing"

	"github.com/hotreload/hotreload/signals"
	"github.com/hotreload/hotreload/supervisor"
)

func TestInspect(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	r := p.start(p.options(behaviour{Workers: 3, Reload: syscall.SIGUSR1}))
	st := r.status()
	master, err := signals.Lookup(st.Master.PID)
	if err != nil {
		t.Fatal(err)
	}
	in, err := supervisor.Inspect(supervisor.LayoutForked, master, syscall.SIGUSR1)
	if err != nil {
		t.Fatal(err)
	}
	if in.Master.Process != master || in.Roles[supervisor.Worker] != 3 || len(in.Tree) != 4 || !in.Handles || in.Ignores {
		t.Errorf("%+v", in)
	}
	if err := r.end(); err != nil {
		t.Error(err)
	}
	if _, err := supervisor.Inspect(supervisor.LayoutForked, master, syscall.SIGUSR1); !errors.Is(err, signals.ErrGone) {
		t.Errorf("after the end: %v", err)
	}
}
