package watcher

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// holder knows who else may be at work in the tree.
type holder struct {
	env      *env
	files    []string
	locks    map[string]*lockFile // hold files seen
	composer map[string]time.Time // by vendor directory: since when its autoloader is inconsistent
}

// lockFile is one hold file, as long as it is there.
type lockFile struct {
	id       inode
	ctime    int64
	since    time.Time
	lastSeen time.Time
}

func newHolder(e *env, files []string) *holder {
	return &holder{env: e, files: files, locks: map[string]*lockFile{}, composer: map[string]time.Time{}}
}

// locked says whether a batch has to wait for a hold file. A lock that a crashed program has left behind is not waited for
// again and again.
func (h *holder) locked(now time.Time) bool {
	for _, path := range h.files {
		var st unix.Stat_t
		if unix.Lstat(path, &st) != nil {
			delete(h.locks, path)
			continue
		}
		l := &lockFile{id: inodeOf(&st), ctime: st.Ctim.Nano(), since: now, lastSeen: now}
		switch old := h.locks[path]; {
		case old != nil && old.id == l.id && old.ctime == l.ctime:
			l.since = old.since
		case old != nil && now.Sub(old.lastSeen) < 10*h.env.holdCheck:
			l.since = old.since // it is written to, or one operation follows the other
		case old == nil && time.Unix(0, l.ctime).Before(now):
			l.since = time.Unix(0, l.ctime) // it may have been there long before anything changed
		}
		h.locks[path] = l
		if now.Sub(l.since) < h.env.holdLimit {
			return true
		}
	}
	return false
}

// composerQuiet is how long nothing must have changed below vendor/composer: composer writes its dozen files one after the
// other, computing the class map in between.
const composerQuiet = 200 * time.Millisecond

// installing says until when a batch has to wait for composer, given the last change below vendor/composer.
func (h *holder) installing(dir string, last, now time.Time) time.Time {
	if until := last.Add(composerQuiet); now.Before(until) {
		return until
	}
	vendor := filepath.Dir(dir)
	if consistentAutoloader(vendor) {
		delete(h.composer, vendor)
		return time.Time{}
	}
	if h.composer[vendor].IsZero() {
		h.composer[vendor] = now
	}
	if now.Sub(h.composer[vendor]) < h.env.holdLimit {
		return now.Add(h.env.holdCheck)
	}
	return time.Time{}
}

// autoloaderName is the class whose name ties the three files of one dump together: composer gives it a new suffix when the
// lock file changes. See AutoloadGenerator::dump of composer.
var autoloaderName = regexp.MustCompile(`Composer(?:Autoloader|Static)Init(\w+)`)

// consistentAutoloader says whether the files of composer's autoloader belong together.
func consistentAutoloader(vendor string) bool {
	var suffix []byte
	for _, name := range []string{"autoload.php", "composer/autoload_real.php", "composer/autoload_static.php"} {
		text, err := os.ReadFile(filepath.Join(vendor, name))
		if err != nil {
			return false
		}
		found := autoloaderName.FindSubmatch(text)
		if found == nil || suffix != nil && !bytes.Equal(suffix, found[1]) {
			return false
		}
		suffix = found[1]
	}
	return true
}

// composing notes a change below vendor/composer.
func (t *tree) composing(d *dir, at time.Time) {
	if d.name == "composer" && strings.HasSuffix(d.path, "/vendor/composer") && at.After(t.composer[d]) {
		t.composer[d] = at
	}
}

// hold returns until when somebody else is at work, as far as can be told now; zero means nobody is.
func (t *tree) hold(now time.Time) time.Time {
	if t.holder.locked(now) {
		t.held++
		return now.Add(t.env.holdCheck)
	}
	for d, last := range t.composer {
		if until := t.holder.installing(d.path, last, now); !until.IsZero() {
			t.held++
			return until
		}
	}
	return time.Time{}
}
