package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hotreload/hotreload/config"
	"github.com/hotreload/hotreload/release"
)

// releaseFacts are what lies on the disk in release mode.
type releaseFacts struct {
	config.Release
	link       error // of following current
	releases   []release.Release
	listErr    error
	writeErr   map[string]error // by directory: why we cannot make or rename something in it
	unshared   []unshared
	pending    string // what a hotreload that was killed has left half done
	pendingErr error
	locked     *release.LockedError
	trash      []string // releases that were not removed completely
}

// unshared is something that the live release does not share as it should.
type unshared struct {
	path string // in the release
	own  bool   // the release has one of its own
	none bool   // what it would lead to does not exist
}

func checkReleases(_ context.Context, p *patient) []finding {
	cfg := p.cfg()
	if cfg.Release == nil {
		return nil
	}
	store, err := storeOf(cfg, nil)
	if err != nil {
		return []finding{failure("%v", err)}
	}
	return judgeReleases(gatherReleases(*cfg.Release, store), time.Now())
}

func gatherReleases(r config.Release, store *release.Store) releaseFacts {
	f := releaseFacts{Release: r, locked: store.Locked(), writeErr: make(map[string]error)}
	var path string
	path, f.link = store.Current()
	f.releases, f.listErr = store.List()
	f.pending, f.pendingErr = store.Pending()
	for _, dir := range []string{filepath.Dir(r.Current), r.Releases} {
		if err := writableAbove(dir); err != nil {
			f.writeErr[dir] = err
		}
	}
	if f.link == nil {
		f.unshared = gatherShared(r, path)
	}
	f.trash, _ = fs.Glob(os.DirFS(r.Releases), ".trash-*")
	return f
}

// gatherShared looks at what the release in path shares.
func gatherShared(r config.Release, path string) []unshared {
	var found []unshared
	for _, name := range r.Shared {
		own, shared := filepath.Join(path, name), filepath.Join(r.SharedDir, name)
		real, err := filepath.EvalSymlinks(own)
		if want, wantErr := filepath.EvalSymlinks(shared); err == nil && wantErr == nil && real == want {
			continue
		}
		_, lstatErr := os.Lstat(own)
		found = append(found, unshared{
			path: own, own: err == nil,
			none: lstatErr == nil && errors.Is(err, fs.ErrNotExist),
		})
	}
	return found
}

// oldLock is how old the lock of a deploy may be before it is likely to be of one that was killed.
const oldLock = time.Hour

func judgeReleases(f releaseFacts, now time.Time) []finding {
	var found []finding
	say := func(x finding) { found = append(found, x) }
	say(judgeCurrent(f))
	for _, dir := range []string{filepath.Dir(f.Current), f.Releases} {
		if err := f.writeErr[dir]; err != nil {
			say(warning("%s: %s: this user can activate, prune and deploy nothing", dir, plainReason(err)).
				remedy("deploy as the user it belongs to: ls -ld %s", shellWord(dir)))
		}
	}
	if f.ReadyMarker != "" && len(f.releases) > 0 && !anyComplete(f.releases) {
		say(failure("ready_marker = %q, and no release has such a file: none will ever be served", f.ReadyMarker).
			remedy("have the deploy write it last, or leave release.ready_marker out of %s", config.FileName))
	}
	for _, u := range f.unshared {
		say(judgeShared(f, u))
	}
	switch {
	case f.pendingErr != nil:
		say(warning("%v", f.pendingErr).remedy("hotreload release prune   # moves it aside"))
	case f.pending != "":
		say(warning("under way, or left half done by a hotreload that was killed: %s", f.pending).remedy("hotreload release prune   # finishes or undoes it first"))
	}
	if l := f.locked; l != nil {
		if age := now.Sub(l.Since); l.Since.IsZero() || age < oldLock {
			say(fine("%v", l))
		} else {
			say(failure("%v: as long as it is there no switch is followed", l).remedy("is that deploy dead? rm %s", shellWord(l.Path)))
		}
	}
	if len(f.trash) > 0 {
		say(warning("%s not removed completely: %s", count(len(f.trash), "release"), f.trash[0]).remedy("hotreload release prune"))
	}
	return found
}

func anyComplete(releases []release.Release) bool {
	for _, r := range releases {
		if r.Complete {
			return true
		}
	}
	return false
}

// judgeCurrent says what is live, and what a rollback would make live.
func judgeCurrent(f releaseFacts) finding {
	var notLink *release.NotALinkError
	switch {
	case errors.As(f.link, &notLink):
		return failure("%s", notLink.Error()).remedy("then: hotreload release activate NAME")
	case errors.Is(f.link, fs.ErrNotExist):
		return failure("%s leads to no release", f.Current).remedy("hotreload deploy, or: hotreload release activate DIR")
	case f.link != nil:
		return failure("%s: %s", f.Current, plainReason(f.link))
	case f.listErr != nil:
		return failure("%s: %s", f.Releases, plainReason(f.listErr))
	}
	back := "nothing to roll back to"
	text := ""
	for _, r := range f.releases {
		switch {
		case r.Current && !r.Complete:
			return failure("the live release is not complete: %s: %s", r.Name, r.Why).remedy("hotreload release rollback")
		case r.Current:
			text = "release " + r.Name + " is current"
			if r.Failed {
				text += fmt.Sprintf(", although it failed (%s)", r.Why)
			}
		case r.Previous:
			back = "a rollback leads to " + r.Name
		}
	}
	x := fine("%s; %s; %s in %s", text, back, count(len(f.releases), "release"), f.Releases)
	if strings.Contains(text, "although") {
		x.Grade = gradeWarn
		x = x.remedy("hotreload release rollback")
	}
	return x
}

func judgeShared(f releaseFacts, u unshared) finding {
	switch {
	case u.none:
		return failure("%s is a link that leads nowhere", u.path).remedy("ls -l %s", shellWord(u.path))
	case u.own:
		return warning("%s is the release's own, and not what is shared: what the server writes there is lost with the release", u.path).
			remedy("deploy with the step \"shared\", or leave it out of release.shared in %s", config.FileName)
	}
	return warning("%s is not there: the release does not share it", u.path).
		remedy("deploy with the step \"shared\", or leave it out of release.shared in %s", config.FileName)
}
