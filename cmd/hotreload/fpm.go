package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/hotreload/hotreload/config"
	"github.com/hotreload/hotreload/supervisor"
)

// fpmTest refuses to touch a php-fpm whose configuration would not let it start. To reload, its master executes itself anew
// (fpm_pctl_exec in sapi/fpm/fpm/fpm_process_ctl.c): it ends when it cannot read its configuration by then, and nobody serves.
type fpmTest struct {
	cfg *config.Config
	run func(*exec.Cmd) error
}

// newFPMTest is nil for other kinds, and where the command is a wrapper that may not know the option.
func newFPMTest(cfg *config.Config, run func(*exec.Cmd) error) *fpmTest {
	if cfg.Server.Kind != config.KindPHPFPM || len(cfg.Server.Command) == 0 {
		return nil
	}
	is := func(pattern string) bool {
		matched, err := filepath.Match(pattern, filepath.Base(cfg.Server.Command[0]))
		return err == nil && matched
	}
	if !slices.ContainsFunc(fpmPrograms, is) {
		return nil
	}
	return &fpmTest{cfg: cfg, run: run}
}

// prepare is supervisor.Options.Prepare.
func (f *fpmTest) prepare(ctx context.Context, next supervisor.Upcoming) (supervisor.Preparation, error) {
	if !next.Serving {
		return supervisor.Preparation{}, nil // its start says the same
	}
	ctx, cancel := context.WithTimeout(ctx, f.cfg.Server.ReadyTimeout)
	defer cancel()
	argv := append(slices.Clone(f.cfg.Server.Command), "--test")
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = resolved(f.cfg.Server.Dir), environment(f.cfg, nil)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = grace
	var said lastWords
	cmd.Stdout, cmd.Stderr = &said, &said
	err := f.run(cmd)
	var exit *exec.ExitError
	if err == nil || ctx.Err() == nil && !errors.As(err, &exit) {
		return supervisor.Preparation{}, err
	}
	if ctx.Err() != nil {
		return supervisor.Preparation{}, fmt.Errorf("test the configuration of php-fpm: %w", ctx.Err())
	}
	return supervisor.Preparation{}, &supervisor.Refusal{Message: fmt.Sprintf("`%s` fails: %s", strings.Join(argv, " "), fpmComplaint(string(said), err))}
}

// fpmComplaint is the first error that php-fpm reports; what follows it says that there was one.
func fpmComplaint(said string, err error) string {
	for line := range strings.Lines(said) {
		if _, complaint, found := strings.Cut(line, "ERROR: "); found {
			return strings.TrimSpace(complaint)
		}
	}
	return err.Error()
}
