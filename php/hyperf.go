package php

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/google/renameio/v2"
)

const (
	// scanCache holds what Hyperf collected from the annotations (Hyperf\Di\Annotation\Scanner).
	scanCache = "runtime/container/scan.cache"
	// proxyDir holds the classes that Hyperf generated (Hyperf\Di\Aop\ProxyManager, Hyperf\Di\LazyLoader).
	proxyDir = "runtime/container/proxy"
	// viewCache holds the views that Hyperf has compiled (the view.config.cache_path that hyperf/view suggests).
	viewCache = "runtime/view"
	// hyperfConfig decides whether a scan is made at all (Hyperf\Di\Annotation\ScanConfig).
	hyperfConfig = "config/config.php"
)

// ExpireProxies makes the next start of the Hyperf application in dir generate all its proxies and collect all its
// annotations again; it returns the files that it made old. Call it before each start in development.
//
// It is needed because Hyperf compares times in whole seconds, and only of two files: a proxy that is as new as its source
// is kept, so that a second save in the same second, or a file with an older time (cp -p, rsync -a), is
// served stale for ever; an annotation is collected again only when its file is at least as new as scan.cache; and a proxy
// depends on aspects, too, whose files nobody compares. Which proxy belongs to which file is known to Hyperf alone. All of them
// is the one rule that is always right; it costs some 0.1 s per start.
//
// The proxies are not removed but given the time 1970-01-01: that is older than any source. An emptied scan.cache of that age
// counts as none, even with SCAN_CACHEABLE=true. A server that still runs, during a handover or because the
// new code does not boot, goes on loading classes from them. Lazy proxies have a hash of their code in their names and
// are never stale.
func ExpireProxies(dir string) (expired []string, err error) {
	if err := emptyScan(dir); err != nil {
		return nil, fmt.Errorf("expire proxies: %w", err)
	}
	entries, err := os.ReadDir(filepath.Join(dir, proxyDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("expire proxies: %w", err)
	}
	files := []string{filepath.Join(dir, scanCache)}
	for _, entry := range entries {
		if strings.HasSuffix(entry.Name(), ".proxy.php") {
			files = append(files, filepath.Join(dir, proxyDir, entry.Name()))
		}
	}
	var errs []error
	for _, file := range files {
		err := os.Chtimes(file, time.Time{}, time.Unix(0, 0))
		switch {
		case err == nil:
			expired = append(expired, file)
		case !errors.Is(err, fs.ErrNotExist): // else it was never there, or is cleared meanwhile
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return expired, fmt.Errorf("expire proxies: %w", err)
	}
	return expired, nil
}

// ExpireViews makes the Hyperf application in dir compile its views anew, for which these files are, as far as it has compiled any
// since the oldest of them was changed. Hyperf compares times here, too (Hyperf\ViewEngine\Compiler\Compiler::isExpired): a view
// that was replaced by an older file would be shown as it was for ever.
func ExpireViews(dir string, files []string) error {
	var oldest time.Time
	for _, file := range files {
		if st, err := os.Stat(file); err == nil && (oldest.IsZero() || st.ModTime().Before(oldest)) {
			oldest = st.ModTime()
		}
	}
	cache := filepath.Join(dir, viewCache)
	entries, err := os.ReadDir(cache)
	if oldest.IsZero() || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, entry := range entries {
		st, statErr := entry.Info()
		if statErr != nil || !st.Mode().IsRegular() || !st.ModTime().After(oldest) {
			continue
		}
		err = errors.Join(err, os.Chtimes(filepath.Join(cache, entry.Name()), time.Time{}, time.Unix(0, 0)))
	}
	if err != nil {
		return fmt.Errorf("expire views: %w", err)
	}
	return nil
}

// nothingCollected is a scan.cache without any annotation: serialize([$data, $proxies, $aspectClasses]).
const nothingCollected = "a:3:{i:0;a:0:{}i:1;a:0:{}i:2;a:0:{}}"

// emptyScan has the next scan begin with nothing. Hyperf adds what aspects say to what it has collected before, and so would collect
// it twice. The file must be there: every scan begins with opening it, by which whoever watches can tell the scan from the start
// around it.
func emptyScan(dir string) error {
	file := filepath.Join(dir, scanCache)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return renameio.WriteFile(file, []byte(nothingCollected), 0o644)
}

// CacheableOff is the environment entry that makes Hyperf scan at each start, unless config/config.php says otherwise in
// words of its own. The environment wins over .env.
const CacheableOff = "SCAN_CACHEABLE=(false)"

var (
	cacheableLine   = regexp.MustCompile(`(?mi)^\s*SCAN_CACHEABLE\s*=\s*["']?\(?true\)?["']?\s*(?:#.*)?$`)
	cacheableConfig = regexp.MustCompile(`(?i)['"]scan_cacheable['"]\s*=>\s*true\b`)
)

// ScanCacheable tells where the Hyperf application in dir, started with env, is told to keep its proxies as they are:
// "environment", ".env" or "config/config.php"; "" when it is not. With it, only ExpireProxies makes a new scan.
func ScanCacheable(dir string, env []string) string {
	config, _ := os.ReadFile(filepath.Join(dir, hyperfConfig))
	if cacheableConfig.Match(config) {
		return hyperfConfig
	}
	if v, ok := lookup(env, "SCAN_CACHEABLE"); ok {
		if strings.EqualFold(strings.Trim(v, "()"), "true") {
			return "environment"
		}
		return ""
	}
	dotenv, _ := os.ReadFile(filepath.Join(dir, ".env"))
	if cacheableLine.Match(dotenv) {
		return ".env"
	}
	return ""
}
