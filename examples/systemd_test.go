package examples_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// notifyReload is the first version of systemd that knows Type=notify-reload (systemd.service(5)).
const notifyReload = 253

func TestSystemdUnit(t *testing.T) {
	t.Parallel()
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	text, err := os.ReadFile("systemd/hotreload.service")
	if err != nil {
		t.Fatal(err)
	}
	unit := string(text)
	if version := systemdVersion(t, analyze); version < notifyReload {
		t.Logf("systemd %d: with what the unit says for it", version)
		unit = forOlderSystemd(t, unit)
	}
	path := filepath.Join(t.TempDir(), "hotreload.service")
	if err := os.WriteFile(path, []byte(unit), 0o644); err != nil {
		t.Fatal(err)
	}
	out, _ := exec.Command(analyze, "verify", "--man=no", path).CombinedOutput() // it fails where the program is not installed
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "hotreload.service:") && !strings.Contains(line, "is not executable") {
			t.Error(line)
		}
	}
	if strings.Contains(string(out), "Failed to load") || strings.Contains(string(out), "Failed to prepare") {
		t.Errorf("%s", out)
	}
}

func systemdVersion(t *testing.T, analyze string) int {
	t.Helper()
	out, err := exec.Command(analyze, "--version").Output()
	m := regexp.MustCompile(`^systemd (\d+)`).FindSubmatch(out)
	if err != nil || m == nil {
		t.Skipf("systemd-analyze --version: %v %s", err, out)
	}
	version, _ := strconv.Atoi(string(m[1]))
	return version
}

// forOlderSystemd does what the comment in the unit says.
func forOlderSystemd(t *testing.T, unit string) string {
	t.Helper()
	reload := regexp.MustCompile(`(?m)^# +(ExecReload=.*)$`).FindStringSubmatch(unit)
	if reload == nil {
		t.Fatal("the unit does not say what ExecReload is to be")
	}
	for old, new := range map[string]string{"\nType=notify-reload\n": "\nType=notify\n", "\nReloadSignal=SIGHUP\n": "\n" + reload[1] + "\n"} {
		if strings.Count(unit, old) != 1 {
			t.Fatalf("%q is not in the unit once", old)
		}
		unit = strings.Replace(unit, old, new, 1)
	}
	return unit
}
