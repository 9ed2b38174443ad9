package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hotreload/hotreload/config"
	"github.com/hotreload/hotreload/supervisor"
)

func checkRealpath(_ context.Context, p *patient) []finding {
	f, err := p.php()
	cfg := p.cfg()
	if err != nil || !p.runs() && !p.attaches() || cfg.Server.Kind == config.KindPHPFPM {
		return nil
	}
	if cfg.Release != nil && actionOf(cfg) == supervisor.Restart {
		return nil // a switch starts a new master
	}
	cached, _ := settingsNamed(f.php.Stale(f.settings), "realpath_cache_size")
	size := ""
	if len(cached) > 0 {
		size = asSet(cached)
	}
	return judgeRealpath(releaseLink(cfg.Server.Dir), size, mainINI(f.settings.Files))
}

// judgeRealpath: a worker inherits from its master where that believes that links lead. link is the one by which the server
// is started, size the setting that keeps such beliefs; either may be "".
func judgeRealpath(link, size, file string) []finding {
	if link == "" || size == "" {
		return nil
	}
	return []finding{warning("%s is a link, and workers inherit from the master where it led (%s): when it is switched, a reload may load the old release", link, size).
		remedy("hotreload restart after a switch, or realpath_cache_size=0 in %s", file)}
}

// linkIn is the last part of the path that is a link; "" when there is none.
func linkIn(path string) string {
	for dir := path; ; dir = filepath.Dir(dir) {
		if st, err := os.Lstat(dir); err == nil && st.Mode()&os.ModeSymlink != 0 {
			return dir
		}
		if dir == filepath.Dir(dir) {
			return ""
		}
	}
}

// releaseLink is the link in the path that is switched from one release to the next; "" when there is none. A home
// directory may be a link, too.
func releaseLink(path string) string {
	for link := linkIn(path); link != ""; link = linkIn(filepath.Dir(link)) {
		to, err := os.Readlink(link)
		if err == nil && (slices.Contains([]string{"current", "live", "latest", "release"}, filepath.Base(link)) || strings.Contains("/"+to, "/releases/")) {
			return link
		}
	}
	return ""
}
