//go:build unix

package php

import (
	"os/exec"
	"syscall"
)

// ownGroup keeps the terminal's Ctrl-C away from cmd, and lets the end of its context reach what a wrapper started.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error {
		return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
}
