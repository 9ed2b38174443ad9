package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/hotreload/hotreload/config"
	"github.com/hotreload/hotreload/supervisor"
)

// preflight runs the configured checks in a release that is to go live, one after the other. A *supervisor.Refusal says which one it did
// not pass. Each may take as long as a start of the server may. run executes a command and waits for it.
func preflight(ctx context.Context, cfg *config.Config, dir string, run func(*exec.Cmd) error) error {
	more := []string{config.EnvReleaseName + "=" + filepath.Base(dir), config.EnvReleasePath + "=" + dir, "PWD=" + dir}
	env := environment(cfg, more)
	for _, argv := range cfg.Release.Preflight {
		if err := passes(ctx, argv, dir, env, cfg.Server.ReadyTimeout, run); err != nil {
			return &supervisor.Refusal{Message: fmt.Sprintf("preflight `%s`: %v", strings.Join(argv, " "), err)}
		}
	}
	return nil
}

// grace is how long a check that takes too long has to end by itself.
const grace = 2 * time.Second

// passes runs one command, which may not take longer than limit. The error ends with the last line that it said.
func passes(ctx context.Context, argv []string, dir string, env []string, limit time.Duration, run func(*exec.Cmd) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	program := argv[0]
	if strings.Contains(program, "/") && !filepath.IsAbs(program) {
		program = filepath.Join(dir, program)
	}
	cmd := exec.CommandContext(ctx, program, argv[1:]...)
	cmd.Dir, cmd.Env = dir, env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = grace
	var said lastWords
	cmd.Stdout, cmd.Stderr = &said, &said
	err := run(cmd)
	if cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // whatever it has left behind
	}
	if err == nil || errors.Is(err, exec.ErrWaitDelay) && cmd.ProcessState.Success() {
		return nil
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = fmt.Errorf("not done within %s", limit)
	}
	lines := strings.Split(strings.TrimSpace(string(said)), "\n")
	if last := lines[len(lines)-1]; last != "" {
		return fmt.Errorf("%w: %s", err, last)
	}
	return err
}

// lastWords is the end of what a command says.
type lastWords []byte

func (w *lastWords) Write(p []byte) (int, error) {
	const kept = 4 << 10
	*w = append(*w, p...)
	*w = (*w)[max(0, len(*w)-kept):]
	return len(p), nil
}
