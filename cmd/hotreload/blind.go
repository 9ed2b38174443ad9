package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/hotreload/hotreload/config"
	"github.com/hotreload/hotreload/php"
	"github.com/hotreload/hotreload/signals"
)

// blind says why workers of a master that was found running get old code, as far as its PHP tells; "" when they do not. It is
// supervisor.Options.Blind.
func (c *code) blind(ctx context.Context, master signals.Process) string {
	if k := c.cfg.Server.Kind; k == config.KindPHPFPM || k == config.KindNone || k == config.KindCustom {
		return "" // their masters start PHP anew, or are none
	}
	p, err := c.phpOf(master)
	if err != nil {
		return ""
	}
	settings, err := p.Settings(ctx)
	if err != nil {
		return ""
	}
	return keepsOld(p, settings)
}

// phpOf is the php that a process runs, with the settings that it was started with. A process that has given itself a title has
// overwritten its arguments, and often its environment: ours are the best guess then.
func (c *code) phpOf(process signals.Process) (php.PHP, error) {
	exe, err := process.Exe()
	if err != nil {
		return php.PHP{}, err
	}
	p := c.php
	p.Path = exe
	if env, err := process.Environ(); err == nil && slices.ContainsFunc(env, func(e string) bool { return strings.HasPrefix(e, "PATH=") }) {
		p.Env = env
	}
	if args, err := process.Cmdline(); err == nil {
		if found, err := php.FromCommand(args, c.cfg.Server.Dir, p.Env); err == nil && len(args) > 1 {
			p.Args = found.Args
		}
	}
	if dir, err := process.Cwd(); err == nil {
		p.Dir = dir
	}
	return p, nil
}

// keepsOld says with which settings the OPcache of a server that runs for long never looks at a file again; "" when it does.
func keepsOld(p php.PHP, s php.Settings) string {
	for _, stale := range p.Stale(s) {
		if strings.HasPrefix(stale.Name, "opcache.") && stale.Name != "opcache.file_update_protection" {
			return fmt.Sprintf("its OPcache does not see changed files (opcache.enable_cli=1, %s=%s)", stale.Name, stale.Was)
		}
	}
	return ""
}
