package main

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/hotreload/hotreload/signals"
)

// What a command has left behind is found by its environment, whatever group or session it is in, and ended; nobody else is.
func TestEndStray(t *testing.T) {
	start := func(variable, line string) signals.Process {
		t.Helper()
		cmd := exec.Command("setsid", "sh", "-c", line)
		cmd.Env = append(os.Environ(), variable)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		p, err := signals.Lookup(cmd.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	orderly := start("HOTRELOAD_TOKEN=mine", "echo begun; sleep 600; true")
	stubborn := start("HOTRELOAD_TOKEN=mine", "trap '' TERM; echo begun; while :; do sleep 0.05; done")
	other := start("HOTRELOAD_TOKEN=mine-too", "echo begun; exec sleep 600")

	now, cancel := context.WithCancel(context.Background())
	cancel() // the stubborn one gets no grace
	ended, err := endStray(now, "HOTRELOAD_TOKEN=mine")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []signals.Process{orderly, stubborn} {
		if p.Alive() {
			t.Errorf("process %s was not ended", p)
		}
		if !strings.Contains(strings.Join(ended, ", "), "process "+p.String()+" (sh)") {
			t.Errorf("process %s is not among the ended: %q", p, ended)
		}
	}
	if !other.Alive() {
		t.Error("a stranger was ended")
	}
	if ended, err := endStray(context.Background(), "HOTRELOAD_TOKEN=nobody"); len(ended) != 0 || err != nil {
		t.Errorf("where there is nothing: %q, %v", ended, err)
	}
}
