package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hotreload/hotreload/config"
	"github.com/hotreload/hotreload/supervisor"
)

func TestPreflight(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "8")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	script := func(text string) []string { return []string{"sh", "-c", text} }
	for _, test := range []struct {
		name   string
		checks [][]string
		limit  time.Duration
		want   string // a part of the refusal; "": there is none
	}{
		{name: "none"},
		{name: "all pass", checks: [][]string{script("exit 0"), script(`test "$PWD" = "$HOTRELOAD_RELEASE_PATH" && test "$HOTRELOAD_RELEASE_NAME" = 8`)}},
		{name: "the second fails", checks: [][]string{script("exit 0"), script("echo one; echo two >&2; exit 3"), script("touch never")},
			want: "exit 3`: exit status 3: two"},
		{name: "it is not there", checks: [][]string{{"bin/check"}}, want: "bin/check`: "},
		{name: "it takes too long, with a child that would take longer", checks: [][]string{script("echo begun; sleep 600 & wait")}, limit: 200 * time.Millisecond,
			want: "not done within 200ms: begun"},
		{name: "it leaves a child that holds its output", checks: [][]string{script("sleep 600 & exit 0")}},
		{name: "it says very much", checks: [][]string{script("yes | head -c 100000; echo last; exit 1")}, want: "exit status 1: last"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := &config.Config{Release: &config.Release{Preflight: test.checks}}
			cfg.Server.ReadyTimeout = time.Minute
			if test.limit > 0 {
				cfg.Server.ReadyTimeout = test.limit
			}
			err := preflight(t.Context(), cfg, dir, (*exec.Cmd).Run)
			var refusal *supervisor.Refusal
			switch {
			case test.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case test.want != "" && (!errors.As(err, &refusal) || !strings.Contains(refusal.Message, test.want)):
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
	if _, err := os.Stat(filepath.Join(dir, "never")); err == nil {
		t.Error("a check ran after one that failed")
	}
}
