package supervisor_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/hotreload/hotreload/signals"
	"github.com/hotreload/hotreload/supervisor"
)

// releasePlace is a server with releases, of which each says its own name, and writes its pid file into itself.
type releasePlace struct {
	*place
	current string
}

func newReleasePlace(t *testing.T, names ...string) *releasePlace {
	t.Helper()
	p := &releasePlace{place: newPlace(t)}
	p.current = filepath.Join(p.dir, "current")
	for _, name := range names {
		if err := os.MkdirAll(p.release(name), 0o755); err != nil {
			t.Fatal(err)
		}
		p.write(name, name)
	}
	p.lead(names[0])
	return p
}

func (p *releasePlace) release(name string) string { return filepath.Join(p.dir, "releases", name) }

// write decides what the workers of a release say.
func (p *releasePlace) write(name, text string) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.release(name), "app"), []byte(text), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// lead switches the link.
func (p *releasePlace) lead(name string) {
	p.t.Helper()
	if err := os.Symlink(p.release(name), p.current+"~"); err != nil {
		p.t.Fatal(err)
	}
	if err := os.Rename(p.current+"~", p.current); err != nil {
		p.t.Fatal(err)
	}
}

func (p *releasePlace) at(path string) supervisor.Release {
	self, err := os.Executable()
	if err != nil {
		panic(err) // the test binary is being executed
	}
	var id uint64
	if st, err := os.Stat(path); err == nil {
		id = st.Sys().(*syscall.Stat_t).Ino
	}
	return supervisor.Release{Name: filepath.Base(path), Path: path, ID: strconv.FormatUint(id, 10), Dir: path, Command: []string{self}, PIDFile: filepath.Join(path, "server.pid")}
}

func (p *releasePlace) options(b behaviour) supervisor.Options {
	opt := p.place.options(b)
	// What is relative is so to the release that the server runs in.
	opt.Server.Env = append(opt.Server.Env, strings.NewReplacer(p.app, "app", p.pid, "server.pid").Replace(opt.Server.Env[len(opt.Server.Env)-2]))
	opt.Mode, opt.Rule = supervisor.Run, nil
	opt.Releases = &supervisor.Releases{
		Current: p.current, Dir: filepath.Join(p.dir, "releases"), Action: supervisor.Restart,
		Resolve: func() (supervisor.Release, error) {
			path, err := filepath.EvalSymlinks(p.current)
			return p.at(path), err
		},
	}
	return opt
}

// do asks for the current release to be served.
func (r *running) serve(want supervisor.Result) supervisor.Outcome {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	out, err := r.Do(ctx, supervisor.Request{})
	if err != nil || out.Result != want {
		r.t.Fatalf("outcome %+v (%v), want %s", out, err, want)
	}
	return out
}

// runs checks that every process of the server runs in a release, and that its pid file is there.
func (p *releasePlace) runs(st supervisor.Status, name string) {
	p.t.Helper()
	if st.Release == nil || st.Release.Name != name || st.Release.Path != p.release(name) || st.Release.Current != p.current {
		p.t.Fatalf("release %+v, want %s", st.Release, name)
	}
	pid, err := signals.ReadPIDFile(filepath.Join(p.release(name), "server.pid"))
	if err != nil || pid != st.Master.PID {
		p.t.Errorf("pid file of %s: %d (%v), master %d", name, pid, err, st.Master.PID)
	}
	for _, worker := range workersOf(st, supervisor.Worker) {
		process, err := signals.Lookup(worker)
		if err != nil {
			p.t.Fatal(err)
		}
		if cwd, err := process.Cwd(); err != nil || cwd != p.release(name) {
			p.t.Errorf("worker %d runs in %s (%v), want release %s", worker, cwd, err, name)
		}
	}
}

func TestReleaseSwitch(t *testing.T) {
	t.Parallel()
	p := newReleasePlace(t, "7", "8")
	r := p.start(p.options(behaviour{}))
	p.runs(r.status(), "7")
	p.lead("8")
	out := r.serve(supervisor.Verified)
	if out.Action != supervisor.Restart {
		t.Errorf("action %s", out.Action)
	}
	p.runs(r.status(), "8")
	p.serves("8", out.NewWorkers)
	if _, err := os.Stat(filepath.Join(p.release("7"), "server.pid")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("pid file of the old release: %v", err)
	}
	r.end()
}

func TestReleaseThatDoesNotBoot(t *testing.T) {
	t.Parallel()
	p := newReleasePlace(t, "7", "8")
	p.write("8", throws)
	r := p.start(p.options(behaviour{}))
	p.lead("8")
	out := r.serve(supervisor.Refused)
	if !strings.Contains(out.Error, "release 8: ") || !strings.Contains(out.Error, "release 7 was started again") {
		t.Errorf("error %q", out.Error)
	}
	st := r.status()
	if st.State != supervisor.Degraded {
		t.Errorf("state %s", st.State)
	}
	p.runs(st, "7")
	p.serves("7", workersOf(st, supervisor.Worker))
	p.lead("7")
	r.serve(supervisor.Verified)
	if st := r.status(); st.State != supervisor.Ready {
		t.Errorf("state %s (%s) after the switch back", st.State, st.Reason)
	}
	r.end()
}

// A command may name a path in one release: then the link may be switched as often as it will.
func TestReleaseThatRunsAnother(t *testing.T) {
	t.Parallel()
	p := newReleasePlace(t, "7", "8")
	opt := p.options(behaviour{})
	resolve := opt.Releases.Resolve
	opt.Releases.Resolve = func() (supervisor.Release, error) {
		r, err := resolve()
		r.Dir = p.release("7")
		return r, err
	}
	r := p.start(opt)
	p.lead("8")
	out := r.serve(supervisor.Refused)
	if !strings.Contains(out.Error, "runs in "+p.release("7")+", not in release 8") {
		t.Errorf("error %q", out.Error)
	}
	if st := r.status(); st.State != supervisor.Degraded || st.Release.Name != "7" {
		t.Errorf("state %s, release %+v", st.State, st.Release)
	}
	r.end()
}

// The command may name a file in one release, too.
func TestReleaseOfAnotherFile(t *testing.T) {
	t.Parallel()
	p := newReleasePlace(t, "7", "8")
	opt := p.options(behaviour{})
	resolve := opt.Releases.Resolve
	opt.Releases.Resolve = func() (supervisor.Release, error) {
		r, err := resolve()
		r.Command = append(r.Command, "--code="+filepath.Join(p.release("7"), "app"))
		return r, err
	}
	r := p.start(opt)
	p.lead("8")
	out := r.serve(supervisor.Refused)
	if !strings.Contains(out.Error, "the command names "+p.release("7")+"/app, which is not in release 8") {
		t.Errorf("error %q", out.Error)
	}
	p.runs(r.status(), "7")
	r.end()
}

// Workers of a master that stays run where it does, so that a reload cannot lead them into another release.
func TestReleaseByReloadEscalates(t *testing.T) {
	t.Parallel()
	p := newReleasePlace(t, "7", "8")
	opt := p.options(behaviour{})
	opt.Releases.Action = supervisor.Reload
	r := p.start(opt)
	p.lead("8")
	out := r.serve(supervisor.Verified)
	if out.Action != supervisor.Restart || !strings.Contains(out.Escalated, "still run in release 7") {
		t.Errorf("action %s, escalated %q", out.Action, out.Escalated)
	}
	p.runs(r.status(), "8")
	p.serves("8", out.NewWorkers)
	r.end()
}

func TestReleaseThatIsNotWell(t *testing.T) {
	t.Parallel()
	p := newReleasePlace(t, "7", "8")
	opt := p.options(behaviour{})
	opt.Releases.Health = func(context.Context) error {
		if text, _, err := p.ask(); err != nil || text == "8" {
			return errors.New("health: it answers 8")
		}
		return nil
	}
	r := p.start(opt)
	p.lead("8")
	out := r.serve(supervisor.Refused)
	if !strings.Contains(out.Error, "it answers 8") {
		t.Errorf("error %q", out.Error)
	}
	p.runs(r.status(), "7")
	r.end()
}

// TestReleaseAfterACrash: what was refused is not tried again by itself, and what was served is.
func TestReleaseAfterACrash(t *testing.T) {
	t.Parallel()
	p := newReleasePlace(t, "7", "8")
	p.write("8", throws)
	r := p.start(p.options(behaviour{}))
	p.lead("8")
	r.serve(supervisor.Refused)
	master, err := signals.Lookup(r.status().Master.PID)
	if err != nil {
		t.Fatal(err)
	}
	if err := master.Signal(9); err != nil {
		t.Fatal(err)
	}
	var st supervisor.Status
	eventually(t, "another master serves", func() bool {
		st = r.status()
		return st.Master != nil && st.Master.PID != master.PID && st.State == supervisor.Degraded
	})
	p.runs(st, "7")
	if !strings.Contains(st.Reason, "release 8 was refused") {
		t.Errorf("reason %q", st.Reason)
	}
	r.end()
}

// TestReleaseAdopted: a hotreload that takes a server over knows from which release that was started.
func TestReleaseAdopted(t *testing.T) {
	t.Parallel()
	p := newReleasePlace(t, "7", "8")
	opt := p.options(behaviour{})
	seven := p.at(p.release("7"))
	opt.Server.Dir, opt.Server.PIDFile = seven.Dir, seven.PIDFile
	a := p.abandon(opt)
	a.Release = &seven

	p.lead("8")
	opt = p.options(behaviour{})
	opt.Adopt = &a
	var saved supervisor.Adoption
	opt.Save = func(a supervisor.Adoption) error { saved = a; return nil }
	r := p.start(opt)
	p.runs(r.status(), "7")
	out := r.serve(supervisor.Verified)
	p.runs(r.status(), "8")
	p.serves("8", out.NewWorkers)
	r.end()
	if saved.Release == nil || saved.Release.Name != "8" || saved.PIDFile != filepath.Join(p.release("8"), "server.pid") {
		t.Errorf("written down: release %+v, pid file %s", saved.Release, saved.PIDFile)
	}
}

// TestReleaseAttached: a master that somebody else started runs a release, and where that is current there is nothing to switch.
func TestReleaseAttached(t *testing.T) {
	t.Parallel()
	p := newReleasePlace(t, "7", "8")
	opt := p.options(behaviour{})
	seven := p.at(p.release("7"))
	opt.Server.Dir, opt.Server.PIDFile = seven.Dir, seven.PIDFile
	a := p.abandon(opt)

	opt = p.options(behaviour{})
	opt.Mode, opt.Server.Command, opt.Server.PIDFile = supervisor.Attach, nil, seven.PIDFile
	r := p.start(opt)
	if out := r.do(supervisor.Reload, supervisor.Verified); out.Action != supervisor.Reload || r.status().Release.Name != "7" {
		t.Errorf("outcome %+v, release %+v", out, r.status().Release)
	}
	p.lead("8")
	if out := r.serve(supervisor.Refused); !strings.Contains(out.Error, "restart it there") {
		t.Errorf("error %q", out.Error)
	}
	r.cancel()
	<-r.ended
	if err := a.Master.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the server has ended", func() bool { return len(p.rest()) == 0 })
}
