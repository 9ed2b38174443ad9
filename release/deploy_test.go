package release

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestDeploy(t *testing.T) {
	dir, s := newSite(t)
	d := usual(dir)
	d.Steps = append(d.Steps[:2:2], append([]Step{{Name: StepShared}}, d.Steps[2:]...)...)
	write(t, dir+"/shared/data/file", "data")
	write(t, dir+"/shared/.env", "secret")
	d = d.with("vendors", `mkdir vendor; pwd; env | grep ^HOTRELOAD; echo to stderr >&2; printf '10%%\r100%%\nno end'`)
	var h heard
	d.Report = h.hear
	var checked []string
	d.Preflight = func(_ context.Context, path string) error { checked = append(checked, path); return nil }
	asked := 0
	d.Health = func(context.Context) (string, error) { asked++; return "", nil }

	rec, err := s.deploy(ctx, d, "")
	if err != nil {
		t.Fatal(err)
	}
	name := rec.Release
	if !regexp.MustCompile(`^\d{14}$`).MatchString(name) || rec.State != DeployDone || asked != 1 {
		t.Errorf("record %+v, health asked %d times", rec, asked)
	}
	// Neither of the kept ones is the one that was live before, which a rollback goes back to: 2.
	wantSummary(t, s, name+"(current) 2(previous)")
	if got := read(t, dir+"/served"); got != name {
		t.Errorf("served is %s", got)
	}
	if got, want := read(t, dir+"/queue"), "releases/"+name+"\n"; got != want {
		t.Errorf("the step after the switch saw %q, want %q", got, want)
	}
	path := dir + "/releases/" + name
	if got, want := names(t, path), ".env REVISION data migrated src vendor"; got != want {
		t.Errorf("the release holds %s, want %s", got, want)
	}
	if got := read(t, path+"/REVISION"); got != name+"\n" {
		t.Errorf("the marker says %q", got)
	}
	want := strings.NewReplacer("<name>", name, "<dir>", dir).Replace(`vendors <dir>/releases/<name>
vendors HOTRELOAD_CURRENT=<dir>/current
vendors HOTRELOAD_RELEASE_NAME=<name>
vendors HOTRELOAD_RELEASE_PATH=<dir>/releases/<name>
vendors HOTRELOAD_SHARED_DIR=<dir>/shared
vendors to stderr
vendors 100%
vendors no end`)
	got := regexp.MustCompile(`(?m)^vendors HOTRELOAD_TOKEN=.*\n`).ReplaceAllString(h.text(ProgressOutput), "")
	if sorted(got) != sorted(want) {
		t.Errorf("output:\n%s\nwant\n%s", got, want)
	}
	if log := read(t, s.LogDir(name)+"/vendors.log"); !strings.Contains(log, "\n$ mkdir vendor; pwd;") || !strings.HasSuffix(log, "10%\r100%\nno end") {
		t.Errorf("the log of vendors: %q", log)
	}
	if len(checked) != 1 || checked[0] != path {
		t.Errorf("preflight of %s", checked)
	}
	if got := names(t, s.LogDir(name)); got != "build.log migrate.log restart-queue.log vendors.log" {
		t.Errorf("logs: %s", got)
	}
	if got := h.text(ProgressBegun); got != "build\nrelease\nshared\nvendors\nmigrate\nactivate\nhealth\nrestart-queue\nprune" {
		t.Errorf("begun: %s", got)
	}
	if got := h.text(ProgressDone); !strings.Contains(got, "release "+path+", 1 file, 6 B") || !strings.Contains(got, "prune removed 1, 3") {
		t.Errorf("done: %s", got)
	}
	if got := lastRecord(t, s); states(got) != states(rec) || got.Before != dir+"/releases/2" || got.Token != "" {
		t.Errorf("journal: %+v", got)
	}
}

func sorted(text string) string {
	lines := strings.Split(text, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// A second deploy is later than the first, in name too, and removes the logs of what it removes.
func TestDeployTwice(t *testing.T) {
	dir, s := newSite(t)
	var last string
	for range 3 {
		rec, err := s.deploy(ctx, usual(dir), "")
		if err != nil {
			t.Fatal(err)
		}
		if rec.Release <= last {
			t.Errorf("release %s after %s", rec.Release, last)
		}
		last = rec.Release
	}
	if got, want := names(t, s.Home()+"/log"), names(t, s.opt.Dir); got != want {
		t.Errorf("logs of %s; releases %s", got, want)
	}
	var j deployJournal
	if err := s.Load(deployName, &j); err != nil {
		t.Fatal(err)
	}
	if n := len(j.Deploys); n > 3 {
		t.Errorf("the journal knows of %d deploys, of which one has no release any more", n)
	}
}

// The very first deploy of a site on which there is nothing yet.
func TestDeployFirst(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/build/index.php", "<?php")
	write(t, dir+"/shared/.env", "secret")
	write(t, dir+"/shared/data/x", "x")
	s := open(dir)
	d := Deployment{Dir: dir, Keep: 2, Steps: []Step{{Name: StepRelease, From: dir + "/build"}, {Name: StepShared}, {Name: StepActivate}, {Name: StepHealth}, {Name: StepPrune}}}
	d.Health = func(context.Context) (string, error) { return "", errBad }
	_, err := s.deploy(ctx, d, "")
	var failed *DeployError
	if !errors.As(err, &failed) || failed.Step != StepHealth || failed.Back || !failed.Changed || failed.Live != failed.Release {
		t.Fatalf("error %+v", err)
	}
	wantError(t, err, "and there is no release to go back to")
	d.Health = nil
	if _, err := s.deploy(ctx, d, StepHealth); err != nil {
		t.Errorf("resume: %v", err)
	}
	if rec, err := s.deploy(ctx, d, ""); err != nil || liveName(t, s) != rec.Release {
		t.Errorf("the next one: %v", err)
	}
}

func TestDeployOwnCommandAsRelease(t *testing.T) {
	dir, s := newSite(t)
	d := Deployment{Dir: dir, Env: os.Environ(), Keep: 5, Steps: []Step{
		{Name: StepRelease, Run: `test "$PWD" = "$HOTRELOAD_RELEASE_PATH" && echo "<?php" >index.php && echo abc >REVISION`},
	}}
	rec, err := s.deploy(ctx, d, "")
	if err != nil {
		t.Fatal(err)
	}
	// Without a step activate the release is there, complete, and not live.
	wantSummary(t, s, rec.Release+" 3 2(current) 1(previous)")
	if got := mustFind(t, s, rec.Release).Revision; got != "abc" {
		t.Errorf("the marker that the command wrote says %q", got)
	}
}

// What the marker says: the commit that is checked out where the release comes from.
func TestDeployRevision(t *testing.T) {
	dir, s := newSite(t)
	write(t, dir+"/build/index.php", "<?php")
	write(t, dir+"/build/.git/HEAD", "ref: refs/heads/main\n")
	write(t, dir+"/build/.git/refs/heads/main", "4b825dc642cb6eb9a060e54bf8d69288fbee4904\n")
	d := Deployment{Dir: dir, Steps: []Step{{Name: StepRelease, From: dir + "/build"}}}
	rec, err := s.deploy(ctx, d, "")
	if err != nil {
		t.Fatal(err)
	}
	if got := mustFind(t, s, rec.Release).Revision; got != "4b825dc642cb6eb9a060e54bf8d69288fbee4904" {
		t.Errorf("revision %q", got)
	}
}

func TestDeployRefusesLocks(t *testing.T) {
	dir, s := newSite(t)
	s.opt.Locks = []string{dir + "/deploy.lock"}
	d := usual(dir).with("migrate", "echo ci >../../deploy.lock") // begins while we deploy
	_, err := s.deploy(ctx, d, "")
	wantError(t, err, "step activate", "another deploy is under way", "deploy.lock", "(ci)")
	if liveName(t, s) != "2" {
		t.Errorf("live is %s", liveName(t, s))
	}
	d.AnyLock = true
	if rec, err := s.deploy(ctx, d, StepActivate); err != nil || liveName(t, s) != rec.Release {
		t.Errorf("although it is to be ignored: %v", err)
	}
}

// One that was begun is refused to others, who are told by whom.
func TestDeployBusy(t *testing.T) {
	dir, s := newSite(t)
	d := usual(dir).with("build", "touch begun; until test -e ../go; do sleep 0.01; done; mkdir build")
	d.Dir = dir + "/work"
	if err := os.Mkdir(d.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	d.Steps[1].From = d.Dir + "/build"
	done := make(chan error, 1)
	go func() { _, err := s.deploy(ctx, d, ""); done <- err }()
	eventually(t, "the first deploy has begun", func() bool { return exists(d.Dir + "/begun") })
	_, err := open(dir).deploy(ctx, d, "")
	var busy *BusyError
	if !errors.As(err, &busy) || busy.PID != os.Getpid() || busy.What != "hotreload test" || time.Since(busy.Since) > time.Hour {
		t.Errorf("the second: %+v", err)
	}
	write(t, dir+"/go", "")
	if err := <-done; err != nil {
		t.Errorf("the first: %v", err)
	}
}

func TestStepOutput(t *testing.T) {
	var lines []string
	path := filepath.Join(t.TempDir(), "log", "x.log")
	o := &stepOutput{path: path, report: func(line string) { lines = append(lines, line) }}
	long := strings.Repeat("x", longestLine+1)
	for _, part := range []string{"a", "b\nc\r\n", "\n", "1%\r2%", "\r3%\n", long, "end"} {
		if n, err := o.Write([]byte(part)); n != len(part) || err != nil {
			t.Errorf("write: %d, %v", n, err)
		}
	}
	if err := o.close(); err != nil {
		t.Error(err)
	}
	if got := strings.Join(lines, "|"); got != "ab|c||3%|"+long+"|end" {
		t.Errorf("lines %q", got)
	}
	if got := read(t, path); got != "ab\nc\r\n\n1%\r2%\r3%\n"+long+"end" {
		t.Errorf("log %q", got)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the log may be read by others: %v, %v", st, err)
	}
	for range 20 {
		lines = nil
		o.flush()
	}
	if n := len(o.last()); n != shownLines {
		t.Errorf("%d lines are remembered", n)
	}

	// A log that cannot be written is said once, and holds nothing up.
	o = &stepOutput{path: "/proc/no/x.log", report: func(string) {}}
	if _, err := o.Write([]byte("x\n")); err != nil || o.file() != "" {
		t.Errorf("write without a log: %v, %s", err, o.file())
	}
	if err := o.close(); err == nil {
		t.Error("nobody says that there is no log")
	}
}
