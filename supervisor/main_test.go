package supervisor_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"testing"

	"github.com/hotreload/hotreload/signals"
	"github.com/hotreload/hotreload/supervisor"
)

// reaper starts and waits for every child of the test binary, which takes over the orphans of the servers under test as
// hotreload does.
var reaper = signals.NewReaper()

// A server's main goroutine stays on the main thread, whose place in the kernel tells whether a worker waits for work. Only
// an init function can bind it there.
func init() {
	if os.Getenv(serverEnv) != "" {
		runtime.LockOSThread()
	}
}

// TestMain makes the test binary the other programs of the tests, too: the relay of a server's output, a server that
// misbehaves, and a small hotreload that can be killed.
func TestMain(m *testing.M) {
	switch {
	case supervisor.RelayMain():
		// Not os.Exit: the race detector sleeps for a second in it, and a relay's environment is not the test's to choose.
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case os.Getenv(serverEnv) != "":
		os.Exit(serverMain())
	case os.Getenv(hotreloadEnv) != "":
		os.Exit(hotreloadMain())
	}
	if err := adoptOrphans(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func adoptOrphans() error {
	if runtime.GOOS != "linux" {
		return nil // the tests that need it are skipped
	}
	if err := signals.BecomeSubreaper(); err != nil {
		return err
	}
	go reaper.Serve(context.Background())
	return nil
}
