package config

import (
	"path/filepath"
	"strings"
	"time"
)

// Release is the [release] section: which releases there are, and how a switch
// of the current one is made safe. Paths are absolute; symlinks in them are left
// alone.
type Release struct {
	Current     string        // the symlink whose target is served
	Releases    string        // directory of the releases
	Keep        int           // releases that a prune leaves, >= 1
	Shared      []string      // what each release shares: clean paths relative to it
	SharedDir   string        // where that lies
	ReadyMarker string        // file of a complete release, relative to it; empty: every directory is complete
	Lock        []string      // files of other deploy tools that say that a deploy is under way
	Wait        time.Duration // for the marker and the lock, >= 0
	Preflight   [][]string    // programs and arguments, run in a release before it is served
	Health      Health
	Action      string // auto, reload, restart
}

// Health is what must answer once a release serves.
type Health struct {
	URL      string        // http(s); empty: nothing is asked
	Tries    int           // >= 1
	Interval time.Duration // between tries, > 0
}

// Deploy is the [deploy] section.
type Deploy struct {
	OnFailure []string // commands for /bin/sh -c
	Steps     []Step   // never empty
}

// Step is one step of a deploy.
type Step struct {
	Name    string        // unique; letters, digits, "_" and "-"
	Run     string        // command for /bin/sh -c; empty: the step is built in
	From    string        // step "release": absolute directory to copy; may be empty
	Timeout time.Duration // of one try; 0: none
	Retries int           // further tries after a failure
	Origin  string        // "hotreload.toml:12" or "default"
}

// Names of the steps that are built in.
const (
	StepRelease  = "release"
	StepShared   = "shared"
	StepActivate = "activate"
	StepHealth   = "health"
	StepPrune    = "prune"
)

// DefaultSteps are the steps of a deploy where the file has none.
func DefaultSteps() []Step {
	var steps []Step
	for _, name := range builtinSteps() {
		steps = append(steps, Step{Name: name, Origin: "default"})
	}
	return steps
}

func releaseOptions() []option {
	return []option{
		opt("release.current", pathType(), func(c *Config) *string { return &c.release.Current }, Option{
			Default: `""`, Note: "needed in `[release]`", Example: `"/srv/app/current"`,
			Help: "The symlink to the release that is served. `[release]` turns on release mode: the server follows this link, and `server.dir` is it by default."}),
		opt("release.releases", pathType(), func(c *Config) *string { return &c.release.Releases }, Option{
			Default: `""`, Note: "`releases` beside `current`", Example: `"/srv/app/releases"`,
			Help: "Directory of the releases."}),
		opt("release.keep", positiveType(), func(c *Config) *int { return &c.release.Keep }, Option{
			Default: `5`, Example: `10`,
			Help: "How many releases a prune leaves. Those in use are never removed."}),
		opt("release.shared", sharedType(), func(c *Config) *[]string { return &c.release.Shared }, Option{
			Default: `[]`, Example: `[".env", "storage"]`,
			Help: "Files and directories that all releases share: each release gets links to those in `shared_dir`."}),
		opt("release.shared_dir", pathType(), func(c *Config) *string { return &c.release.SharedDir }, Option{
			Default: `""`, Note: "`shared` beside `current`", Example: `"/srv/app/shared"`,
			Help: "Where shared files and directories lie."}),
		opt("release.ready_marker", insideType(), func(c *Config) *string { return &c.release.ReadyMarker }, Option{
			Default: `""`, Note: "every directory is complete", Example: `"REVISION"`,
			Help: "A file in a release without which it is not complete, and not served. `hotreload deploy` writes it last."}),
		opt("release.lock", lockType(), func(c *Config) *[]string { return &c.release.Lock }, Option{
			Default: `[".dep/deploy.lock", "deploy.lock"]`, Example: `["/run/lock/deploy"]`,
			Help: "Files of other deploy tools that say that a deploy is under way; relative to the directory of `current`. A switch is followed when none is there."}),
		opt("release.wait", durationType(true), func(c *Config) *time.Duration { return &c.release.Wait }, Option{
			Default: `"60s"`, Example: `"5m"`,
			Help: "How long a switch may wait for the marker and the lock."}),
		opt("release.preflight", preflightType(), func(c *Config) *[][]string { return &c.release.Preflight }, Option{
			Default: `[]`, Example: `[["php", "-l", "bin/hyperf.php"]]`,
			Help: "Programs that must succeed in the new release before anything is touched. No shell is involved."}),
		opt("release.health.url", healthURLType(), func(c *Config) *string { return &c.release.Health.URL }, Option{
			Default: `""`, Note: "nothing is asked", Example: `"http://127.0.0.1:9501/health"`,
			Help: "URL that must answer with a status from 200 to 399 after a switch; else what was served before is served again."}),
		opt("release.health.tries", positiveType(), func(c *Config) *int { return &c.release.Health.Tries }, Option{
			Default: `10`, Example: `30`,
			Help: "How often it is asked before it counts as failed."}),
		opt("release.health.interval", durationType(false), func(c *Config) *time.Duration { return &c.release.Health.Interval }, Option{
			Default: `"500ms"`, Example: `"2s"`,
			Help: "Pause between two tries."}),
		opt("release.action", enumType("auto", "reload", "restart"), func(c *Config) *string { return &c.release.Action }, Option{
			Default: `"auto"`, Example: `"restart"`,
			Help: "What a switch leads to. `auto`: a new master, and a worker reload only where the server is known to load its code through the symlink."}),
	}
}

func deployOptions() []option {
	return []option{
		opt("deploy.on_failure", onFailureType(), func(c *Config) *[]string { return &c.deploy.OnFailure }, Option{
			Default: `[]`, Example: `["./notify.sh \"$HOTRELOAD_FAILED_STEP\""]`,
			Help: "Shell commands that are run after a step has failed."}),
		opt(stepsKey, stepsType(), func(c *Config) *[]Step { return &c.deploy.Steps }, Option{
			Default: `[]`, Note: "release, shared, activate, health, prune",
			Example: `[{ name = "release", from = "build" }, { name = "migrate", run = "php artisan migrate --force", timeout = "10m", retries = 1 }, { name = "activate" }]`,
			Help:    "The steps of `hotreload deploy`, in order. Built in by name: `release` (with `from`, a directory to copy, or `run`, your command that fills the new one), `shared`, `activate`, `health`, `prune`; all others `run` a shell command in the new release. Written as `[[deploy.steps]]`."}),
	}
}

// hasSection reports whether any source has something of a section.
func (l *loader) hasSection(name string) bool {
	if l.doc != nil {
		if _, ok := l.doc.root[name]; ok {
			return true
		}
	}
	for key := range l.values {
		if strings.HasPrefix(key, name+".") {
			return true
		}
	}
	return false
}

// releaseMode says that there are releases, and what depends on that before the
// kind of the server is looked for: where the server is.
func (l *loader) releaseMode() {
	c := l.cfg
	if l.hasSection("release") {
		c.Release = &c.release
	}
	if l.hasSection("deploy") {
		c.Deploy = &c.deploy
	}
	if _, configured := l.values["server.dir"]; !configured && c.release.Current != "" {
		c.Server.Dir = c.release.Current
		c.origins["server.dir"] = "release.current"
	}
}

// finishRelease fills in what lies beside current unless somebody says where.
func (l *loader) finishRelease() {
	c := l.cfg
	if len(c.deploy.Steps) == 0 {
		c.deploy.Steps = DefaultSteps()
	}
	if c.release.Current == "" {
		return
	}
	beside := filepath.Dir(c.release.Current)
	for key, field := range map[string]*string{"releases": &c.release.Releases, "shared_dir": &c.release.SharedDir} {
		if *field != "" {
			continue
		}
		*field = filepath.Join(beside, strings.TrimSuffix(key, "_dir"))
		if key = "release." + key; c.origins[key] == "default" {
			c.origins[key] = "beside release.current"
		}
	}
	locks := make([]string, len(c.release.Lock))
	for i, lock := range c.release.Lock {
		locks[i] = absolute(beside, lock)
	}
	c.release.Lock = locks
}

// checkRelease checks how the keys of [release] and [deploy] fit together.
func (l *loader) checkRelease() {
	c := l.cfg
	if c.Release == nil {
		if c.Deploy != nil {
			l.failSection("deploy", faultf("needs [release]: which link names the release that is served?"))
		}
		return
	}
	r := c.Release
	switch {
	case r.Current == "":
		l.failSection("release", faultf("needs release.current: which link names the release that is served?"))
		return
	case within(r.Releases, r.Current):
		l.failKey("release.current", faultf("%s lies in release.releases (%s): it would be taken for a release", l.shown(r.Current), l.shown(r.Releases)))
	case within(r.Current, r.Releases):
		l.failKey(l.given("release.releases", "release.current"), faultf("%s lies in release.current", l.shown(r.Releases)))
	case within(r.Releases, r.SharedDir):
		l.failKey(l.given("release.shared_dir", "release.releases"), faultf("%s lies in release.releases: it would be taken for a release", l.shown(r.SharedDir)))
	case within(r.Current, r.SharedDir):
		l.failKey(l.given("release.shared_dir", "release.current"), faultf("%s lies in a release: it would be removed with it", l.shown(r.SharedDir)))
	}
	for _, shared := range r.Shared {
		if r.ReadyMarker != "" && within("/"+shared, "/"+r.ReadyMarker) {
			l.failKey("release.ready_marker", faultf("%s is shared by all releases (%s): each would count as complete", r.ReadyMarker, shared))
		}
	}
	l.checkSteps()
}

// checkSteps checks what steps need of [release].
func (l *loader) checkSteps() {
	r := l.cfg.Release
	for i, s := range l.cfg.deploy.Steps {
		if s.Origin == "default" || l.doc == nil {
			continue
		}
		at := keyPath(stepsKey).elem(i)
		switch {
		case s.Name == StepHealth && r.Health.URL == "":
			l.fail(l.doc.valueAt(at.join("name"), stepsKey+".name"), faultf("%q needs release.health.url: what is to be asked?", s.Name))
		case s.From != "" && within(s.From, r.Releases):
			l.fail(l.doc.valueAt(at.join("from"), stepsKey+".from"), faultf("%s contains release.releases (%s): it would be copied into itself", l.shown(s.From), l.shown(r.Releases)))
		}
	}
}

// shown is how messages name a path.
func (l *loader) shown(path string) string { return shown(path, l.workDir) }

// failSection reports a problem at the place where a section begins.
func (l *loader) failSection(name string, f *fault) {
	at := place{key: "[" + name + "]"}
	if l.doc != nil {
		if _, ok := l.doc.root[name]; ok {
			at = l.doc.keyAt(keyPath(name), at.key)
		}
	}
	l.fail(at, f)
}
