package release

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// deployFails deploys and returns what it says.
func deployFails(t *testing.T, s *Store, d Deployment, from string) *DeployError {
	t.Helper()
	_, err := s.deploy(ctx, d, from)
	var failed *DeployError
	if !errors.As(err, &failed) {
		t.Fatalf("error %v, want a DeployError", err)
	}
	return failed
}

// A step that fails stops the deploy, and leaves what is live alone.
func TestDeployStepFails(t *testing.T) {
	dir, s := newSite(t)
	d := usual(dir).with("migrate", "for i in $(seq 20); do echo line $i; done; echo no such table >&2; exit 3")
	d.OnFailure = []string{`echo "$HOTRELOAD_FAILED_STEP of $HOTRELOAD_RELEASE_NAME in $PWD" >"$(dirname "$HOTRELOAD_CURRENT")/told"`, "exit 1", "echo last"}
	var h heard
	d.Report = h.hear
	failed := deployFails(t, s, d, "")
	name := failed.Release
	if failed.Step != "migrate" || failed.Live != "2" || failed.Changed || failed.Back || failed.Interrupted {
		t.Errorf("%+v", failed)
	}
	wantError(t, failed, "step migrate: exit status 3")
	if failed.Log != s.LogDir(name)+"/migrate.log" || len(failed.Last) != shownLines || failed.Last[shownLines-1] != "no such table" {
		t.Errorf("log %s, last lines %q", failed.Log, failed.Last)
	}
	wantSummary(t, s, name+"(failed,incomplete) 3 2(current) 1(previous)")
	if got := mustFind(t, s, name); exists(got.Path+"/REVISION") || !got.Failed {
		t.Errorf("the failed release: %+v", got)
	}
	if got, want := read(t, dir+"/told"), fmt.Sprintf("migrate of %s in %s/releases/%s\n", name, dir, name); got != want {
		t.Errorf("on_failure: %q, want %q", got, want)
	}
	if got := h.text(ProgressFailure); strings.Count(got, "\n") != 2 || !strings.Contains(h.text(ProgressNote), "on_failure: exit 1: exit status 1") {
		t.Errorf("on_failure: %s; notes %s", got, h.text(ProgressNote))
	}
	if log := read(t, s.LogDir(name)+"/"+onFailureLog); !strings.HasSuffix(log, "$ echo last\nlast\n") {
		t.Errorf("the log of on_failure: %s", log)
	}
	rec := lastRecord(t, s)
	if got, want := states(rec), "build:done release:done vendors:done migrate:failed activate: health: restart-queue: prune:"; got != want || rec.State != DeployFailed {
		t.Errorf("states %s (%s), want %s", got, rec.State, want)
	}

	// Mended, it goes on where it stopped, and says what else is not what it was.
	d = usual(dir).with("vendors", "exit 1")
	h = heard{}
	d.Report = h.hear
	rec, err := s.deploy(ctx, d, "migrate")
	if err != nil || rec.Release != name {
		t.Fatalf("resume: %v of %s", err, rec.Release)
	}
	if notes := h.text(ProgressNote); !strings.Contains(notes, "step vendors has been changed since it was done: it was `mkdir vendor") || !strings.Contains(notes, "and is `exit 1`") {
		t.Errorf("notes: %s", notes)
	}
	if got := h.text(ProgressBegun); got != "migrate\nactivate\nhealth\nrestart-queue\nprune" {
		t.Errorf("resumed: %s", got)
	}
	wantSummary(t, s, name+"(current) 2(previous)")
}

func TestDeployResumeRefused(t *testing.T) {
	dir, s := newSite(t)
	none := usual(dir)
	none.Keep = 10
	refuse := func(d Deployment, step, release string, want ...string) *ResumeError {
		t.Helper()
		err := s.do(nil, func(t *Turn, serve Apply) error { _, err := t.Resume(ctx, d, step, release); return err })
		var refused *ResumeError
		if !errors.As(err, &refused) {
			t.Fatalf("error %v, want a ResumeError", err)
		}
		wantError(t, err, want...)
		return refused
	}
	refuse(none, "migrate", "", "there was none")
	failed := deployFails(t, s, usual(dir).with("migrate", "exit 1"), "")
	e := refuse(none, "activate", "", "of release "+failed.Release, `step "migrate" comes before "activate" and has failed`)
	if len(e.Steps) != len(none.Steps) || e.Steps[2].State != DeployDone || e.Steps[3].State != DeployFailed || e.Steps[3].Error != "exit status 1" {
		t.Errorf("steps %+v", e.Steps)
	}
	refuse(none, "prune", "", `step "migrate" comes before "prune" and has failed`)
	refuse(none, "migrat", "", `there is no step "migrat"`)
	refuse(none, "migrate", "1", "of release 1: no such deploy is known")

	// A step that is new must be run first.
	more := none
	more.Steps = append(more.Steps[:3:3], append([]Step{{Name: "assets", Run: "true"}}, more.Steps[3:]...)...)
	e = refuse(more, "migrate", "", `step "assets" comes before "migrate" and is new`)
	if len(e.Steps) != len(more.Steps) || e.Steps[3].State != "" {
		t.Errorf("steps %+v", e.Steps)
	}
	if _, err := s.deploy(ctx, more, "assets"); err != nil {
		t.Errorf("from the new step on: %v", err)
	}

	// An older one is not resumed by mistake once a later one has ended well.
	refuse(none, "migrate", "", "has ended well")
	failed = deployFails(t, s, usual(dir).with("vendors", "exit 1"), "")
	if _, err := s.deploy(ctx, none, ""); err != nil {
		t.Fatal(err)
	}
	refuse(none, "vendors", "", "has ended well")
	// Unless somebody says that it is meant.
	err := s.do(nil, func(t *Turn, serve Apply) error {
		d := none.with("vendors", "exit 4")
		d.Apply = serve
		rec, err := t.Resume(ctx, d, "vendors", failed.Release)
		if rec.Release != failed.Release {
			err = errors.Join(err, fmt.Errorf("it is release %s", rec.Release))
		}
		return err
	})
	wantError(t, err, "deploy of release "+failed.Release+": step vendors: exit status 4")
	if err := os.RemoveAll(dir + "/releases/" + failed.Release); err != nil {
		t.Fatal(err)
	}
	err = s.do(nil, func(t *Turn, _ Apply) error { _, err := t.Resume(ctx, none, "vendors", failed.Release); return err })
	wantError(t, err, "resume the deploy of release "+failed.Release+": its directory is gone")
}

// Resumed from the step that makes the directory, a deploy makes another one: what is half there is no start for anything.
func TestDeployResumeFromRelease(t *testing.T) {
	dir, s := newSite(t)
	d := usual(dir)
	d.Keep = 10
	d.Steps[1] = Step{Name: StepRelease, Run: "touch half; exit 1"}
	failed := deployFails(t, s, d, "")
	d = d.with(StepRelease, "test ! -e half")
	rec, err := s.deploy(ctx, d, StepRelease)
	if err != nil || rec.Release == failed.Release || rec.Steps[0].Ended == nil || liveName(t, s) != rec.Release {
		t.Errorf("%v: %+v", err, rec)
	}
	if got := mustFind(t, s, failed.Release); got.Complete || !got.Failed {
		t.Errorf("the first try: %+v", got)
	}
}

func TestDeployHealthFails(t *testing.T) {
	dir, s := newSite(t)
	d := usual(dir)
	d.Health = func(context.Context) (string, error) {
		return "", errors.New("health: http://127.0.0.1/health answers 500")
	}
	failed := deployFails(t, s, d, "")
	if failed.Step != StepHealth || !failed.Back || failed.Changed || failed.Live != "2" || liveName(t, s) != "2" {
		t.Errorf("%+v", failed)
	}
	if got := read(t, dir+"/served"); got != "2" {
		t.Errorf("served is %s", got)
	}
	r := mustFind(t, s, failed.Release)
	if !r.Failed || !r.Complete || r.Why != "health: http://127.0.0.1/health answers 500" {
		t.Errorf("the release: %+v", r)
	}
	if got := states(lastRecord(t, s)); !strings.Contains(got, "activate:undone health:failed restart-queue: ") {
		t.Errorf("states %s", got)
	}
	_, err := s.deploy(ctx, d, StepHealth)
	wantError(t, err, `step "activate" comes before "health" and has been undone`)
	d.Health = nil
	if _, err := s.deploy(ctx, d, StepActivate); err != nil || liveName(t, s) != failed.Release {
		t.Errorf("resume: %v", err)
	}
}

func TestDeployActivateFails(t *testing.T) {
	dir, s := newSite(t)
	for name, tc := range map[string]struct {
		apply     Apply
		preflight error
		failed    bool // the release is marked
	}{
		"preflight": {preflight: errBad, failed: true},
		"server": {apply: func(context.Context) error {
			if name, _ := s.Current(); strings.HasSuffix(name, "/2") {
				return nil
			}
			return errBad
		}, failed: true},
		"nobody there": {apply: func(context.Context) error { return &BlamelessError{errBad} }},
	} {
		t.Run(name, func(t *testing.T) {
			d := usual(dir)
			d.Preflight = func(context.Context, string) error { return tc.preflight }
			err := s.do(nil, func(t *Turn, serve Apply) error {
				d.Apply = tc.apply
				_, err := t.Deploy(ctx, d)
				return err
			})
			var failed *DeployError
			if !errors.As(err, &failed) || failed.Step != StepActivate || failed.Live != "2" || failed.Changed || !errors.Is(err, errBad) {
				t.Fatalf("%+v", err)
			}
			if r := mustFind(t, s, failed.Release); r.Failed != tc.failed || !r.Complete {
				t.Errorf("the release: %+v", r)
			}
			if _, err := s.deploy(ctx, usual(dir), StepActivate); err != nil {
				t.Errorf("resume: %v", err)
			}
			if err := s.do(nil, func(t *Turn, serve Apply) error { return t.Activate(ctx, "2", serve) }); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestDeployRetries(t *testing.T) {
	dir, s := newSite(t)
	d := usual(dir).with("migrate", "echo try >>tries; test $(wc -l <tries) -eq 3")
	d.Steps[3].Retries = 2
	var h heard
	d.Report = h.hear
	if _, err := s.deploy(ctx, d, ""); err != nil {
		t.Fatal(err)
	}
	if got := h.text(ProgressRetry); got != "migrate\nmigrate" {
		t.Errorf("retries: %q", got)
	}
	d.Steps[3].Retries = 1
	if failed := deployFails(t, s, d, ""); failed.Step != "migrate" {
		t.Errorf("%+v", failed)
	}
}

// Who is asked to end, ends the command, does not take the release for a bad one, and can go on later.
func TestDeployInterrupted(t *testing.T) {
	dir, s := newSite(t)
	stop, cancel := context.WithCancel(ctx)
	d := usual(dir).with("migrate", "echo begun; exec sleep 600")
	d.OnFailure = []string{"touch " + dir + "/told"}
	d.Report = func(p Progress) {
		if p.Kind == ProgressOutput && p.Text == "begun" {
			cancel()
		}
	}
	_, err := s.deploy(stop, d, "")
	var failed *DeployError
	if !errors.As(err, &failed) || !failed.Interrupted || failed.Step != "migrate" || failed.Live != "2" {
		t.Fatalf("%+v", err)
	}
	if !exists(dir + "/told") {
		t.Error("on_failure was not run")
	}
	if r := mustFind(t, s, failed.Release); r.Failed || r.Complete {
		t.Errorf("the release: %+v", r)
	}
	if _, err := s.deploy(ctx, usual(dir), "migrate"); err != nil || liveName(t, s) != failed.Release {
		t.Errorf("resume: %v", err)
	}

	// Between two steps.
	stop, cancel = context.WithCancel(ctx)
	d = usual(dir)
	d.Report = func(p Progress) {
		if p.Kind == ProgressDone && p.Step == StepActivate {
			cancel()
		}
	}
	_, err = s.deploy(stop, d, "")
	if !errors.As(err, &failed) || !failed.Interrupted || failed.Step != StepHealth || !failed.Changed || failed.Live != failed.Release {
		t.Errorf("%+v", err)
	}

	// During a pause between two tries.
	stop, cancel = context.WithCancel(ctx)
	d = usual(dir).with("migrate", "exit 1")
	d.Steps[3].Retries = 1000000
	d.Report = func(p Progress) {
		if p.Kind == ProgressRetry {
			cancel()
		}
	}
	_, err = s.deploy(stop, d, "")
	if !errors.As(err, &failed) || !failed.Interrupted || failed.Step != "migrate" {
		t.Errorf("%+v", err)
	}
}

// A journal that cannot be read is moved aside, and holds no deploy up.
func TestDeployDamagedJournal(t *testing.T) {
	dir, s := newSite(t)
	for _, text := range []string{"", "{", `{"deploys":[{"release":7}]}`, "\x00\x00"} {
		write(t, s.Home()+"/"+deployName, text)
		var h heard
		d := usual(dir)
		d.Report = h.hear
		if _, err := s.deploy(ctx, d, ""); err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if notes := h.text(ProgressNote); !strings.Contains(notes, "of no use") || !strings.Contains(notes, ".damaged-") {
			t.Errorf("%q: notes %s", text, notes)
		}
	}
}

// Commands that are no longer wanted end, with all that they have started.
func TestCommandEnds(t *testing.T) {
	stubborn := `trap '' TERM; echo $$ >pid; echo begun; while :; do sleep 0.05; done`
	for name, tc := range map[string]struct {
		line    string
		timeout time.Duration
		stop    bool // when it has begun
		now     bool
		want    string
		least   time.Duration
	}{
		"timeout":           {line: "echo begun; (echo $BASHPID; sh -c 'echo $$ >pid; sleep 600') | cat", timeout: 300 * time.Millisecond, want: "not done within 300ms, and ended"},
		"timeout, stubborn": {line: stubborn, timeout: 300 * time.Millisecond, want: "not done within 300ms, and ended", least: 500 * time.Millisecond},
		"stopped":           {line: "sh -c 'echo $$ >pid; echo begun; sleep 600'", stop: true, want: "context canceled"},
		"stopped, stubborn": {line: stubborn, stop: true, want: "context canceled", least: 200 * time.Millisecond},
		"stopped, orderly":  {line: `trap 'echo tidied up >tidy; exit 0' TERM; echo $$ >pid; echo begun; while :; do sleep 0.05; done`, stop: true, want: "context canceled"},
		"at once":           {line: stubborn, stop: true, now: true, want: "context canceled"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			stop, cancelStop := context.WithCancel(ctx)
			now, cancelNow := context.WithCancel(ctx)
			defer cancelNow()
			defer cancelStop()
			grace := 200 * time.Millisecond
			if tc.now {
				grace = time.Hour
			}
			out := &stepOutput{path: dir + "/log", report: func(line string) {
				if line == "begun" && tc.stop {
					cancelStop()
				}
				if line == "begun" && tc.now {
					cancelNow()
				}
			}}
			began := time.Now()
			_, err := shellCommand{line: tc.line, dir: dir, env: os.Environ(), timeout: tc.timeout, grace: grace}.run(stop, now, out)
			if err == nil || err.Error() != tc.want {
				t.Errorf("error %v, want %s", err, tc.want)
			}
			if took := time.Since(began); took < tc.least {
				t.Errorf("ended after %s, before its grace", took)
			}
			eventually(t, "the command has ended", func() bool { return gone(dir + "/pid") })
			if strings.HasSuffix(name, "orderly") && read(t, dir+"/tidy") != "tidied up\n" {
				t.Error("it could not tidy up")
			}
		})
	}
}

func TestCommandStatus(t *testing.T) {
	for line, want := range map[string]string{
		"true": "", "exit 3": "exit status 3", "kill -KILL $$": "exit status 137 (SIGKILL)", "sh -c 'kill -TERM $$'": "exit status 143 (SIGTERM)",
		"no-such-program": "exit status 127", "exit 200": "exit status 200",
		// The group's leader is the guard.
		"kill -KILL 0": "ended by SIGKILL",
	} {
		left, err := shellCommand{line: line, dir: t.TempDir(), env: os.Environ(), grace: time.Second}.run(ctx, ctx, &stepOutput{path: t.TempDir() + "/log", report: func(string) {}})
		if got := fmt.Sprint(err); got != want && (err != nil || want != "") || left {
			t.Errorf("%s: %v, %v; want %s", line, err, left, want)
		}
	}
	if _, err := (shellCommand{line: "true", dir: "/no/such/dir"}).run(ctx, ctx, nil); err == nil || !strings.Contains(err.Error(), "/no/such/dir") {
		t.Errorf("no directory: %v", err)
	}
}

// What a command leaves running is its own affair, but nobody waits for it.
func TestCommandInBackground(t *testing.T) {
	dir := t.TempDir()
	out := &stepOutput{path: dir + "/log", report: func(string) {}}
	run := func(line string) (bool, error) {
		return shellCommand{line: line, dir: dir, env: os.Environ(), grace: time.Second}.run(ctx, ctx, out)
	}
	if left, err := run("(echo $$; until test -e end; do sleep 0.02; done; touch ended) >/dev/null 2>&1 & echo begun"); left || err != nil {
		t.Errorf("with its own output: %v, %v", left, err)
	}
	if left, err := run("(until test -e end; do sleep 0.02; done; touch ended2) & echo begun"); !left || err != nil {
		t.Errorf("with ours: %v, %v", left, err)
	}
	write(t, dir+"/end", "")
	eventually(t, "both go on", func() bool { return exists(dir+"/ended") && exists(dir+"/ended2") })
}
