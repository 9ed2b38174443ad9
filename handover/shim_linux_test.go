package handover

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// When the shim was let go on it is the server already: nobody takes it for one that is ready.
func TestShimIsGoneWhenItHasProceeded(t *testing.T) {
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
			shim.Close()
			input.Close()
			cmd.Wait()
			t.Skipf("sockets cannot be interposed here: %v", err)
		}
		proceed(shim)
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
