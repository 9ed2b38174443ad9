package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/hotreload/hotreload/signals"
)

// inotifyFacts compare what `watch` needs with what the kernel gives to one user.
type inotifyFacts struct {
	maxWatches, maxInstances, maxEvents int // 0: not known

	watches, instances int  // in use by this user, as far as it can be seen from here
	exhausted          bool // the kernel gives no instance
	dirs               int  // to be watched
	watching           bool // a hotreload watches them already
	poll               string
}

func checkInotify(_ context.Context, p *patient) []finding {
	cfg := p.cfg()
	if !p.watches() && !p.attaches() || cfg.Watch.Poll == "always" {
		return nil
	}
	tree, err := p.tree()
	if err != nil {
		return nil
	}
	f := inotifyFacts{
		maxWatches: sysctl("fs.inotify.max_user_watches"), maxInstances: sysctl("fs.inotify.max_user_instances"),
		maxEvents: sysctl("fs.inotify.max_queued_events"), dirs: tree.stats.Dirs, poll: cfg.Watch.Poll,
	}
	if f.maxWatches == 0 {
		return nil // another system, or no /proc
	}
	if door, err := p.door(); err == nil {
		f.watching = door.status != nil && door.status.Watch != nil
	}
	if table, err := p.table(); err == nil {
		f.watches, f.instances = inotifyInUse(table, os.Geteuid())
	}
	f.exhausted = !f.watching && errors.Is(tryInotify(), syscall.EMFILE)
	return judgeInotify(f)
}

func judgeInotify(f inotifyFacts) []finding {
	short := gradeWarn // what is too much is polled
	instead := "the rest is polled"
	if f.poll == "never" {
		short, instead = gradeFail, "the rest is not watched"
	}
	need, one := f.dirs, 1
	if f.watching {
		need, one = 0, 0
	}
	var found []finding
	if f.watches+need > f.maxWatches {
		found = append(found, graded(short, "%s to watch, and %d of %d watches are in use by this user: %s", directories(f.dirs), f.watches, f.maxWatches, instead).
			remedy("%s", raise("fs.inotify.max_user_watches", max(524288, 2*f.maxWatches))))
	}
	if f.exhausted || f.instances+one > f.maxInstances {
		found = append(found, graded(short, "all %d inotify instances of this user are in use: %s", f.maxInstances, strings.Replace(instead, "the rest", "everything", 1)).
			remedy("%s", raise("fs.inotify.max_user_instances", max(1024, 2*f.maxInstances))))
	}
	if len(found) > 0 {
		return found
	}
	return []finding{fine("%s to watch; in use by this user: %d of %d watches, %d of %d instances; a queue of %d events",
		directories(f.dirs), f.watches, f.maxWatches, f.instances, f.maxInstances, f.maxEvents)}
}

// raise is the line that raises a limit now and at the next boot.
func raise(key string, value int) string {
	return "echo " + key + "=" + strconv.Itoa(value) + " | sudo tee -a /etc/sysctl.d/60-hotreload.conf && sudo sysctl -p /etc/sysctl.d/60-hotreload.conf"
}

// sysctl reads a number of the kernel; 0 when it has none of that name.
func sysctl(key string) int {
	text, _ := os.ReadFile("/proc/sys/" + strings.ReplaceAll(key, ".", "/"))
	n, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return n
}

// inotifyInUse counts what the processes of a user hold, as far as we may look at them.
func inotifyInUse(table signals.Table, uid int) (watches, instances int) {
	for _, i := range table.Select(func(i signals.Info) bool { return i.UID == uid }) {
		dir := "/proc/" + strconv.Itoa(i.PID)
		entries, err := os.ReadDir(dir + "/fd")
		if err != nil {
			continue
		}
		for _, e := range entries {
			if target, err := os.Readlink(filepath.Join(dir, "fd", e.Name())); err != nil || target != "anon_inode:inotify" {
				continue
			}
			instances++
			info, _ := os.ReadFile(filepath.Join(dir, "fdinfo", e.Name()))
			watches += bytes.Count(info, []byte("inotify wd:"))
		}
	}
	return watches, instances
}
