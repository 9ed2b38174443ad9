package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/hotreload/hotreload/config"
	"github.com/hotreload/hotreload/watcher"
)

// fsFacts are about the file systems that hold watched files.
type fsFacts struct {
	poll     string // watch.poll
	interval time.Duration
	places   []fsPlace
}

// fsPlace is a watched path, or a mount below one.
type fsPlace struct {
	path   string
	name   string // "ext4"; "" when it is not known
	remote bool   // changes that are made elsewhere send no events
}

func checkFileSystems(_ context.Context, p *patient) []finding {
	if !p.watches() && !p.attaches() {
		return nil
	}
	cfg := p.cfg()
	f := fsFacts{poll: cfg.Watch.Poll, interval: cfg.Watch.PollInterval}
	mounts := mountTable()
	for _, path := range cfg.Watch.Paths {
		if readErr := isThere(path); readErr != nil {
			continue // said by another check
		}
		for _, at := range append([]string{path}, mountsBelow(mounts, path)...) {
			place := fsPlace{path: at}
			place.name, place.remote = watcher.FileSystem(at)
			if place.name == "" {
				place.name = mountOf(mounts, at).kind
			}
			f.places = append(f.places, place)
		}
	}
	return judgeFileSystems(f)
}

func judgeFileSystems(f fsFacts) []finding {
	var found []finding
	var local []string
	for _, p := range f.places {
		switch {
		case !p.remote:
			if name := p.name; name != "" && !slices.Contains(local, name) {
				local = append(local, name)
			}
		case f.poll == "never":
			found = append(found, failure("%s is on %s, where changes made elsewhere send no events, and watch.poll is never: they are not noticed", p.path, p.name).
				remedy(`poll = "auto" under [watch] in %s`, config.FileName))
		default:
			found = append(found, warning("%s is on %s, where changes made elsewhere send no events: it is polled every %s", p.path, p.name, f.interval).
				remedy("keep the code on a file system of this machine, or of the container's virtual machine; or poll_interval under [watch] in %s", config.FileName))
		}
	}
	if len(local) > 0 {
		text := strings.Join(local, ", ") + ": changes send events"
		if f.poll == "always" {
			text = strings.Join(local, ", ") + "; polled every " + f.interval.String() + ", as watch.poll says, although changes send events"
		}
		found = append([]finding{fine("%s", text)}, found...)
	}
	return found
}

// mount is a line of the table of mounts.
type mount struct {
	point   string
	kind    string // "ext4"
	options map[string]string
}

// mountOf is the mount that a path without links lies on.
func mountOf(mounts []mount, path string) mount {
	best := mount{}
	for _, m := range mounts {
		if isBelow(path, m.point) && len(m.point) >= len(best.point) {
			best = m // of two at the same point the later one hides the other
		}
	}
	return best
}

// mountsBelow are the mounted directories below path.
func mountsBelow(mounts []mount, path string) []string {
	var points []string
	for _, m := range mounts {
		if m.point != path && isBelow(m.point, path) && !slices.Contains(points, m.point) && !virtual[m.kind] {
			points = append(points, m.point)
		}
	}
	return points
}

// virtual file systems hold no code.
var virtual = map[string]bool{
	"proc": true, "sysfs": true, "devtmpfs": true, "devpts": true, "cgroup": true, "cgroup2": true, "mqueue": true, "debugfs": true,
	"tracefs": true, "securityfs": true, "bpf": true, "pstore": true, "configfs": true, "fusectl": true, "hugetlbfs": true,
	"binfmt_misc": true, "nsfs": true, "autofs": true, "rpc_pipefs": true,
}
