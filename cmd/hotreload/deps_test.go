package main

import (
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

// The arrows between the packages: who may import whom of ours. What decides does not know what is assembled around it.
func TestImportDirection(t *testing.T) {
	const module = "github.com/hotreload/hotreload/"
	allowed := map[string][]string{
		"signals":    {},
		"watcher":    {},
		"php":        {},
		"release":    {},
		"config":     {"signals"},
		"supervisor": {"watcher", "signals"},
		"control":    {"supervisor", "watcher", "signals"}, // watcher through supervisor
	}
	direct := map[string][]string{"control": {"supervisor", "signals"}}
	for pkg, may := range allowed {
		for _, dep := range goList(t, "-deps", module+pkg) {
			name, ours := strings.CutPrefix(dep, module)
			if ours && name != pkg && !slices.Contains(may, name) {
				t.Errorf("%s depends on %s; it may depend on %v of ours", pkg, name, may)
			}
		}
	}
	for pkg, may := range direct {
		for _, dep := range goList(t, "-f", `{{join .Imports "\n"}}`, module+pkg) {
			if name, ours := strings.CutPrefix(dep, module); ours && !slices.Contains(may, path.Clean(name)) {
				t.Errorf("%s imports %s itself; it may import %v", pkg, name, may)
			}
		}
	}
}

func goList(t *testing.T, args ...string) []string {
	t.Helper()
	out, err := exec.Command("go", append([]string{"list"}, args...)...).Output()
	if err != nil {
		t.Fatalf("go list %v: %v", args, err)
	}
	return strings.Fields(string(out))
}
