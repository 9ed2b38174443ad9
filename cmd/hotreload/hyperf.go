package main

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/hotreload/hotreload/config"
	"github.com/hotreload/hotreload/control"
	"github.com/hotreload/hotreload/php"
	"github.com/hotreload/hotreload/supervisor"
	"github.com/hotreload/hotreload/watcher"
)

// hyperf keeps the proxies of a Hyperf application as new as its code, and knows what annotations its master has collected.
type hyperf struct {
	app      php.Hyperf
	code     *code
	develops bool // `watch`: it may make all proxies anew at each start, whatever SCAN_CACHEABLE says
	frozen   bool // a start makes no proxies: SCAN_CACHEABLE
	warn     func(string)

	noting sync.WaitGroup // a baseline is being noted
}

// newHyperf is nil for other kinds, and where there is no PHP.
func newHyperf(cfg *config.Config, c *code, place control.Place, develops bool, warn func(string)) *hyperf {
	if cfg.Server.Kind != config.KindHyperf || !c.found {
		return nil
	}
	state, err := place.PrivateDir()
	if err != nil {
		warn("what Hyperf's master has collected cannot be noted, so that each change of a PHP file restarts it: " + err.Error())
		return nil
	}
	h := &hyperf{code: c, develops: develops, warn: warn}
	h.app = php.Hyperf{PHP: c.php, Dir: cfg.Server.Dir, State: filepath.Join(state, "hyperf"), PIDFile: cfg.Server.PIDFile}
	h.frozen = !develops && php.ScanCacheable(cfg.Server.Dir, c.php.Env) != ""
	return h
}

// prepare is supervisor.Options.Prepare.
func (h *hyperf) prepare(ctx context.Context, next supervisor.Upcoming) (supervisor.Preparation, error) {
	h.noting.Wait()
	if err := php.ExpireViews(h.app.Dir, only(".blade.php", next.Files)); err != nil {
		h.warn(err.Error())
	}
	if next.Action == supervisor.Restart {
		return h.prepareStart(ctx, next)
	}
	files := next.Files
	if !next.Known {
		files = nil
	} else if files = only(".php", files); len(files) == 0 {
		return supervisor.Preparation{}, nil // nothing that has a proxy
	}
	scan, err := h.app.ScanForReload(ctx, files)
	if err != nil && ctx.Err() == nil {
		return supervisor.Preparation{Restart: err.Error()}, nil
	}
	return supervisor.Preparation{Restart: scan.Restart}, h.refusal(scan, err)
}

// prepareStart makes everything anew for the next start. Where a server runs, that is tried before it is ended.
func (h *hyperf) prepareStart(ctx context.Context, next supervisor.Upcoming) (supervisor.Preparation, error) {
	prep := supervisor.Preparation{Started: h.started}
	if h.frozen || !h.develops && !next.Serving {
		return prep, nil
	}
	if !next.Serving {
		_, err := php.ExpireProxies(h.app.Dir)
		return prep, err
	}
	scan, err := h.app.ScanForRestart(ctx, only(".php", next.Files))
	if errors.Is(err, php.ErrUnsupported) {
		_, err = php.ExpireProxies(h.app.Dir)
	}
	return prep, h.refusal(scan, err)
}

func (h *hyperf) refusal(scan php.Scan, err error) error {
	if err != nil || scan.Problem == nil {
		return err
	}
	p := scan.Problem
	return &supervisor.Refusal{File: h.code.relative(p.File), Line: p.Line, Message: p.Message}
}

// started notes what the new master has collected. Nobody waits for that but the next reload.
func (h *hyperf) started() {
	h.noting.Go(func() {
		if err := h.app.KeepBaseline(context.Background()); err != nil {
			h.warn("the next change restarts the server: " + err.Error())
		}
	})
}

// stands is supervisor.Options.Stands.
func (h *hyperf) stands(path string) []string {
	if proxy := h.app.ProxyOf(path); proxy != "" {
		return []string{proxy}
	}
	return nil
}

// also adds to what is recorded while it starts. With OPcache the master opens no file that the process which it forks for its scan
// has compiled before, so then what the scan opens counts: it is every class.
func (h *hyperf) also(opt *watcher.RecordOptions) {
	opt.Also = []string{h.app.ProxyDir()}
	if h.code.settings.OPcache {
		h.code.note("OPcache hides which classes Hyperf's master loads, so that a change of any of them restarts it; opcache.enable_cli=0 avoids that")
		return
	}
	opt.Except = h.app.ScanFile()
}

func only(suffix string, files []string) []string {
	return slices.DeleteFunc(slices.Clone(files), func(file string) bool { return !strings.HasSuffix(file, suffix) })
}
