package examples_test

import (
	"os/exec"
	"strings"
	"testing"
)

func TestSystemdUnit(t *testing.T) {
	t.Parallel()
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	out, _ := exec.Command(analyze, "verify", "--man=no", "systemd/hotreload.service").CombinedOutput() // it fails where the program is not installed
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "hotreload.service:") && !strings.Contains(line, "is not executable") {
			t.Error(line)
		}
	}
}
