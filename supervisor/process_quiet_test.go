package supervisor_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hotreload/hotreload/supervisor"
)

// A program that listens nowhere counts as ready after a moment; its end must be noticed all the same.
func TestTheEndOfAProgramThatListensNowhere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ready := make(chan struct{})
	s, err := supervisor.New(supervisor.Options{
		Mode: supervisor.Run, Reaper: reaper,
		Server: supervisor.Server{
			Kind: supervisor.KindNone, Dir: dir,
			Command: []string{"sh", "-c", "until [ -e go ]; do sleep 0.05; done; exit 3"},
		},
		Notify: func(e supervisor.Event) {
			if e.Kind == supervisor.EventReady {
				close(ready)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	result := make(chan error, 1)
	go func() { result <- s.Run(t.Context(), nil) }()
	select {
	case <-ready:
	case <-time.After(deadline):
		t.Fatal("not ready")
	}
	if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-result:
		var exit *supervisor.ExitError
		if !errors.As(err, &exit) || exit.Code != 3 {
			t.Errorf("Run = %v, want the program's exit code 3", err)
		}
	case <-time.After(deadline):
		t.Fatal("the end of the program was not noticed")
	}
}
