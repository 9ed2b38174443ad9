package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hotreload/hotreload/config"
	"github.com/hotreload/hotreload/php"
)

// proxyFacts are about the classes that Hyperf generates.
type proxyFacts struct {
	watch, run bool   // what was asked about
	release    bool   // the server is started from one release among others
	byName     bool   // `run` alone was asked about
	cacheable  string // where SCAN_CACHEABLE=true stands; "" when it does not
	container  string // runtime/container, as it is written
	leads      string // where it leads when that is outside of the application; "" when it is inside
	link       string // ... by this link
	writeErr   error  // it cannot be written to
	future     string // a generated file whose time is ahead of the clock; "" when none is
}

func checkProxies(_ context.Context, p *patient) []finding {
	cfg := p.cfg()
	if cfg.Server.Kind != config.KindHyperf || !p.watches() && !p.runs() {
		return nil
	}
	f := proxyFacts{
		watch: p.watches(), run: p.runs(), byName: p.mode == config.ModeRun,
		cacheable: php.ScanCacheable(cfg.Server.Dir, p.env()),
		container: filepath.Join(cfg.Server.Dir, "runtime/container"),
		release:   releaseLink(cfg.Server.Dir) != "" || strings.Contains(cfg.Server.Dir+"/", "/releases/"),
	}
	if f.leads = leadsOut(cfg.Server.Dir, f.container); f.leads != "" {
		f.link = linkIn(f.container)
	}
	f.writeErr = writableAbove(f.container)
	f.future = newerThan(time.Now().Add(time.Second), f.container)
	return judgeProxies(f)
}

// newerThan is a generated file that is newer than now; "" when none is.
func newerThan(now time.Time, container string) string {
	proxies, _ := os.ReadDir(filepath.Join(container, "proxy"))
	files := []string{filepath.Join(container, "scan.cache")}
	for _, entry := range proxies {
		files = append(files, filepath.Join(container, "proxy", entry.Name()))
	}
	for _, file := range files {
		if st, err := os.Stat(file); err == nil && st.ModTime().After(now) {
			return file
		}
	}
	return ""
}

// leadsOut is where path, below dir, really is when a link leads out of dir on the way; "" when none does.
func leadsOut(dir, path string) string {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return ""
	}
	for at := path; at != dir && at != filepath.Dir(at); at = filepath.Dir(at) {
		to, err := filepath.EvalSymlinks(at)
		if err != nil {
			continue // not there yet
		}
		if to != real && !strings.HasPrefix(to, real+string(os.PathSeparator)) {
			return to
		}
		return ""
	}
	return ""
}

// judgeProxies: a server loads its classes from the proxies whenever it needs one first, so a release that writes them
// changes the code of another one that shares them; and with SCAN_CACHEABLE nobody writes them again.
func judgeProxies(f proxyFacts) []finding {
	if f.leads != "" && f.run {
		text := "runtime/container leads to " + f.leads + ": releases that share it load each other's proxies"
		if f.cacheable != "" {
			text += ", and with SCAN_CACHEABLE=true (" + f.cacheable + ") the oldest are kept"
		}
		g := gradeWarn
		if f.release || f.byName {
			g = gradeFail
		}
		return []finding{graded(g, "%s", text).remedy("rm %s && mkdir -p %s   # share runtime/logs alone", shellWord(f.link), shellWord(f.container))}
	}
	if f.writeErr != nil && f.cacheable == "" {
		return []finding{failure("%s: %v: Hyperf cannot write its proxies there", f.container, f.writeErr).
			remedy(`sudo chown -R "$(id -un)" %s`, shellWord(filepath.Dir(f.container)))}
	}
	switch {
	case f.future != "" && f.run:
		return []finding{warning("%s has a time in the future: Hyperf takes it for newer than every change, and keeps it through restarts; `watch` alone does not", f.future).
			remedy("rm -r %s   # with the server stopped", shellWord(f.container))}
	case f.cacheable == "":
		return []finding{fine("generated at each start, as SCAN_CACHEABLE is not set")}
	case f.cacheable == "config/config.php" && f.watch:
		return []finding{fine("scan_cacheable is true in config/config.php: `watch` makes the proxies old before each start, so that they are generated all the same")}
	case f.watch && !f.run:
		return []finding{fine("SCAN_CACHEABLE=true (%s), which `watch` overrides", f.cacheable)}
	case f.watch:
		return []finding{fine("SCAN_CACHEABLE=true (%s): `watch` overrides it; under `run` they stay as they were built, which is right for an image or a release", f.cacheable)}
	}
	return []finding{fine("SCAN_CACHEABLE=true (%s): they stay as they were built, which is right for an image or a release", f.cacheable)}
}
