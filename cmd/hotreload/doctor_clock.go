package main

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/hotreload/hotreload/config"
)

// clockFacts compare the clock with the times of files.
type clockFacts struct {
	skews []skew
	dir   string // of the configuration
	tree  treeFacts
	now   time.Time
}

// skew is how far the clock of a file system is ahead of ours.
type skew struct {
	path  string
	ahead time.Duration
}

func checkClock(_ context.Context, p *patient) []finding {
	cfg := p.cfg()
	f := clockFacts{dir: cfg.Dir, now: time.Now()}
	for _, path := range cfg.Watch.Paths {
		before := time.Now()
		if at, ok := fileClock(unwatched(path, cfg)); ok {
			// A kernel stamps files with the time of its last tick.
			f.skews = append(f.skews, skew{path, at.Sub(before)})
		}
	}
	if p.watches() || p.attaches() {
		f.tree, _ = p.tree()
	}
	return judgeClock(f)
}

// unwatched is a directory on the file system of path that nobody watches: a file without a name sends events, too. "" when
// there is none.
func unwatched(path string, cfg *config.Config) string {
	candidates := []string{filepath.Join(cfg.Server.Dir, "runtime"), filepath.Join(cfg.Server.Dir, "vendor"), filepath.Join(cfg.Dir, ".git")}
	if cfg.Server.PIDFile != "" {
		candidates = append(candidates, filepath.Dir(cfg.Server.PIDFile))
	}
	root, err := os.Stat(path)
	if err != nil {
		return ""
	}
	for _, dir := range candidates {
		st, err := os.Stat(dir)
		if err == nil && st.IsDir() && dir != cfg.Dir && dir != cfg.Server.Dir && dir != path && deviceOf(st) == deviceOf(root) {
			return dir
		}
	}
	return ""
}

// tolerance is what two clocks may differ by before somebody is misled: Hyperf and webman compare whole seconds.
const tolerance = time.Second

func judgeClock(f clockFacts) []finding {
	var found []finding
	for _, s := range f.skews {
		if s.ahead.Abs() > tolerance {
			found = append(found, warning("files written in %s get a time %s from our clock: what compares times (Hyperf, make) is misled", s.path, away(s.ahead)).
				remedy("set the clock of the machine that keeps the files, or ours: sudo hwclock --hctosys"))
		}
	}
	if t := f.tree; t.future > 0 {
		found = append(found, warning("%s with a time in the future, such as %s (%s ahead): a clock was wrong, or is; what compares times (webman's monitor, make, rsync) is misled",
			count(t.future, "file"), relativeTo(f.dir, t.futureName), t.futureNewest.Sub(f.now).Round(time.Second)).
			remedy("find %s -name '*.php' -newermt now -exec touch {} +", shellWord(f.dir)))
	}
	if len(found) > 0 || len(f.skews) == 0 {
		return found
	}
	return []finding{fine("new files get the time that it is")}
}

func away(d time.Duration) string {
	if d < 0 {
		return (-d).Round(time.Second).String() + " behind"
	}
	return d.Round(time.Second).String() + " ahead"
}
