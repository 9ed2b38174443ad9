package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hotreload/hotreload/config"
	"github.com/hotreload/hotreload/release"
)

func TestJudgeReleases(t *testing.T) {
	now := time.Now()
	live := release.Release{Name: "8", Current: true, Complete: true}
	before := release.Release{Name: "7", Previous: true, Complete: true}
	with := func(f releaseFacts) releaseFacts {
		f.Current, f.Releases, f.SharedDir = "/srv/current", "/srv/releases", "/srv/shared"
		if f.releases == nil {
			f.releases = []release.Release{live, before}
		}
		return f
	}
	locked := func(age time.Duration) *release.LockedError {
		return &release.LockedError{Path: "/srv/deploy.lock", Since: now.Add(-age)}
	}
	const well = "ok: release 8 is current; a rollback leads to 7; 2 releases in /srv/releases"
	for name, test := range map[string]struct {
		facts releaseFacts
		want  []string
	}{
		"well":       {releaseFacts{}, []string{well}},
		"the first":  {releaseFacts{releases: []release.Release{live}}, []string{"ok: release 8 is current; nothing to roll back to"}},
		"none yet":   {releaseFacts{link: fs.ErrNotExist}, []string{"fail: /srv/current leads to no release -> hotreload deploy"}},
		"no link":    {releaseFacts{link: &release.NotALinkError{Path: "/srv/current", Dir: true}}, []string{"fail: is a directory and not a symlink -> release activate"}},
		"no access":  {releaseFacts{link: fs.ErrPermission}, []string{"fail: /srv/current: permission"}},
		"no list":    {releaseFacts{listErr: fs.ErrPermission}, []string{"fail: /srv/releases: permission"}},
		"failed":     {releaseFacts{releases: []release.Release{{Name: "8", Current: true, Complete: true, Failed: true, Why: "boom"}}}, []string{"warn: although it failed (boom) -> rollback"}},
		"incomplete": {releaseFacts{releases: []release.Release{{Name: "8", Current: true, Why: "no REVISION"}, before}}, []string{"fail: not complete: 8: no REVISION -> rollback"}},
		"no marker anywhere": {releaseFacts{Release: config.Release{ReadyMarker: "READY"}, releases: []release.Release{{Name: "8", Why: "x"}}, link: fs.ErrNotExist},
			[]string{"fail: leads to no release -> deploy", "fail: ready_marker = \"READY\", and no release has -> ready_marker"}},
		"not writable":  {releaseFacts{writeErr: map[string]error{"/srv": fs.ErrPermission}}, []string{well, "warn: /srv: permission denied: this user can activate -> ls -ld /srv"}},
		"not shared":    {releaseFacts{unshared: []unshared{{path: "/srv/releases/8/storage"}}}, []string{well, "warn: storage is not there -> shared"}},
		"its own":       {releaseFacts{unshared: []unshared{{path: "/srv/releases/8/storage", own: true}}}, []string{well, "warn: is the release's own -> shared"}},
		"dangling":      {releaseFacts{unshared: []unshared{{path: "/srv/releases/8/storage", none: true}}}, []string{well, "fail: leads nowhere -> ls -l"}},
		"half done":     {releaseFacts{pending: "activate release 9"}, []string{well, "warn: killed: activate release 9 -> hotreload release prune"}},
		"damaged":       {releaseFacts{pendingErr: &release.DamagedError{Path: "j", Err: errors.New("x")}}, []string{well, "warn: j is of no use -> moves it aside"}},
		"a deploy":      {releaseFacts{locked: locked(time.Minute)}, []string{well, "ok: another deploy is under way: there is /srv/deploy.lock"}},
		"a dead deploy": {releaseFacts{locked: locked(2 * time.Hour)}, []string{well, "fail: no switch is followed -> rm /srv/deploy.lock"}},
		"half removed":  {releaseFacts{trash: []string{"/srv/releases/.trash-3"}}, []string{well, "warn: 1 release not removed completely -> prune"}},
	} {
		t.Run(name, func(t *testing.T) { wantFindings(t, judgeReleases(with(test.facts), now), test.want...) })
	}
}

func TestGatherReleases(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"releases/8/own", "releases/.trash-7", "shared/linked", "shared/own", "shared/missing"} {
		must(t, os.MkdirAll(filepath.Join(dir, name), 0o755))
	}
	for text, link := range map[string]string{"releases/8": "current", "../../shared/linked": "releases/8/linked", "../../shared/nowhere": "releases/8/nowhere"} {
		must(t, os.Symlink(text, filepath.Join(dir, link)))
	}
	r := config.Release{
		Current: dir + "/current", Releases: dir + "/releases", SharedDir: dir + "/shared",
		Shared: []string{"linked", "own", "missing", "nowhere"},
	}
	store, err := storeOf(&config.Config{Release: &r}, nil)
	must(t, err)
	f := gatherReleases(r, store)
	if len(f.releases) != 1 || f.link != nil || f.listErr != nil || len(f.writeErr) > 0 || len(f.trash) != 1 || f.pending != "" || f.locked != nil {
		t.Errorf("%+v", f)
	}
	want := []unshared{{path: "own", own: true}, {path: "missing"}, {path: "nowhere", none: true}}
	if len(f.unshared) != len(want) {
		t.Fatalf("not shared: %+v", f.unshared)
	}
	for i, u := range f.unshared {
		if u.path = filepath.Base(u.path); u != want[i] {
			t.Errorf("%+v, want %+v", u, want[i])
		}
	}
	if _, err := os.Lstat(store.Home()); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a doctor leaves nothing behind")
	}
}
