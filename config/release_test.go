package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestReleaseDefaults(t *testing.T) {
	dir := project(t, map[string]string{FileName: "[release]\ncurrent = \"www/live\"\n"})
	c := mustLoad(t, Source{WorkDir: dir})
	at := func(p string) string { return filepath.Join(dir, "www", p) }
	want := &Release{
		Current: at("live"), Releases: at("releases"), SharedDir: at("shared"), Keep: 5, Shared: []string{}, Preflight: [][]string{},
		Lock: []string{at(".dep/deploy.lock"), at("deploy.lock")}, Wait: time.Minute,
		Health: Health{Tries: 10, Interval: 500 * time.Millisecond}, Action: "auto",
	}
	if !reflect.DeepEqual(c.Release, want) {
		t.Errorf("got  %+v\nwant %+v", c.Release, want)
	}
	if c.Deploy != nil {
		t.Errorf("a deploy out of nothing: %+v", c.Deploy)
	}
	if c.Server.Dir != at("live") || c.Origin("server.dir") != "release.current" {
		t.Errorf("server.dir is %s from %s", c.Server.Dir, c.Origin("server.dir"))
	}
	for _, key := range []string{"release.releases", "release.shared_dir"} {
		if got := c.Origin(key); got != "beside release.current" {
			t.Errorf("%s is from %s", key, got)
		}
	}
}

func TestDeployDefaults(t *testing.T) {
	for name, text := range map[string]string{
		"empty section": "[release]\ncurrent = \"current\"\n[deploy]\n",
		"no steps":      "[release]\ncurrent = \"current\"\n[deploy]\non_failure = [\"x\"]\nsteps = []\n",
	} {
		c := mustLoad(t, Source{WorkDir: project(t, map[string]string{FileName: text})})
		if c.Deploy == nil || !reflect.DeepEqual(c.Deploy.Steps, DefaultSteps()) {
			t.Errorf("%s: %+v", name, c.Deploy)
		}
	}
}

// TestServerDirOfReleases: a server is started through the link, wherever its command was given, unless somebody says where.
func TestServerDirOfReleases(t *testing.T) {
	const release = "[release]\ncurrent = \"current\"\n"
	for _, tc := range []struct {
		name, text string
		src        Source
		want       string
	}{
		{"default", release, Source{}, "current"},
		{"command line", release, Source{Command: []string{"php", "server.php"}}, "current"},
		{"file", release + "[server]\ndir = \"current/public\"\n", Source{}, "current/public"},
		{"environment", release, Source{Environ: []string{"HOTRELOAD_SERVER_DIR=other"}}, "other"},
		{"link of the environment", "", Source{Environ: []string{"HOTRELOAD_RELEASE_CURRENT=live"}}, "live"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.src.WorkDir = project(t, map[string]string{FileName: tc.text})
			if c, want := mustLoad(t, tc.src), filepath.Join(tc.src.WorkDir, tc.want); c.Server.Dir != want {
				t.Errorf("got %s, want %s", c.Server.Dir, want)
			}
		})
	}
}

// TestKindOfRelease looks through the link; without a release the command alone has to tell.
func TestKindOfRelease(t *testing.T) {
	const script = "<?php $s = new Swoole\\Http\\Server('127.0.0.1', 9501); $s->set(['pid_file' => __DIR__ . '/run.pid']);"
	for _, tc := range []struct {
		name      string
		command   []string
		released  bool
		kind, why string
		pid       string
	}{
		{name: "script in the release", command: []string{"php", "server.php"}, released: true,
			kind: KindSwoole, why: `server.php uses Swoole\Http\Server`, pid: "current/run.pid"},
		{name: "usual command", released: true, kind: KindSwoole, why: `server.php uses Swoole\Http\Server`, pid: "current/run.pid"},
		{name: "no release yet", command: []string{"php", "bin/hyperf.php", "start"},
			kind: KindHyperf, why: "command bin/hyperf.php start", pid: "current/runtime/hyperf.pid"},
		{name: "no release yet, nothing known", command: []string{"php", "server.php"},
			kind: KindNone, why: "server.php starts no server that is known; release.current leads to no release yet"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := project(t, map[string]string{FileName: "[release]\ncurrent = \"current\"\n", "releases/1/server.php": script})
			if tc.released {
				if err := os.Symlink("releases/1", filepath.Join(dir, "current")); err != nil {
					t.Fatal(err)
				}
			}
			c := mustLoad(t, Source{WorkDir: dir, Command: tc.command})
			if c.Server.Kind != tc.kind || c.KindWhy != tc.why {
				t.Errorf("kind %s (%s)", c.Server.Kind, c.KindWhy)
			}
			if got := strings.TrimPrefix(c.Server.PIDFile, dir+"/"); got != tc.pid {
				t.Errorf("pid file %s", got)
			}
		})
	}
}
