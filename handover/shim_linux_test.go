package handover

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// When the shim was let go on it is the server already: nobody takes it for one that is ready.
func TestShimIsGoneWhenItMayProceed(t *testing.T) {
	for range 20 {
		cmd := exec.Command("cat")
		input, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		shim, err := wrap(cmd)
		if err != nil {
			t.Fatal(err)
		}
		theirs := cmd.ExtraFiles[0]
		err = cmd.Start()
		theirs.Close()
		if err != nil {
			t.Fatal(err)
		}
		said, err := hear(shim)
		if err != nil {
			input.Close()
			cmd.Wait()
			t.Skipf("sockets cannot be interposed here: %v", err)
		}
		if err := proceed(shim); err != nil {
			t.Fatal(err)
		}
		args, err := os.ReadFile("/proc/" + strconv.Itoa(cmd.Process.Pid) + "/cmdline")
		if err != nil || !strings.HasPrefix(string(args), "cat\x00") {
			t.Errorf("it is %q, %v", args, err)
		}
		unix.Close(said.notify)
		input.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
}

// A hotreload that is killed after it has started a server, and before it has written that down, leaves none behind.
func TestNoServerThatNobodyKnowsOf(t *testing.T) {
	for _, proceeds := range []bool{true, false} {
		file := filepath.Join(t.TempDir(), "started")
		cmd := exec.Command("touch", file)
		shim, err := wrap(cmd)
		if err != nil {
			t.Fatal(err)
		}
		theirs := cmd.ExtraFiles[0]
		err = cmd.Start()
		theirs.Close()
		if err != nil {
			t.Fatal(err)
		}
		if said, err := hear(shim); err == nil {
			unix.Close(said.notify)
		}
		if _, err := os.Stat(file); err == nil {
			t.Error("the server was started before it was allowed to")
		}
		if proceeds {
			if err := proceed(shim); err != nil {
				t.Error(err)
			}
		} else {
			shim.Close() // as the end of hotreload does
		}
		if err := cmd.Wait(); (err == nil) != proceeds {
			t.Errorf("proceeds: %t: it ended with %v", proceeds, err)
		}
		if _, err := os.Stat(file); (err == nil) != proceeds {
			t.Errorf("proceeds: %t: the server was started: %v", proceeds, err)
		}
	}
}
