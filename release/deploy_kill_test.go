package release

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// maxDeploySteps is more than a deploy has.
const maxDeploySteps = 150

// Whatever is killed at whatever step: current leads to a complete release, a deploy can be resumed from where it stood, and the next
// one starts anew as if nothing had been.
func TestDeployKilledAtEveryStep(t *testing.T) {
	for _, resume := range []bool{true, false} {
		t.Run(fmt.Sprintf("resume %v", resume), func(t *testing.T) {
			t.Parallel()
			for step := range maxDeploySteps {
				dir, s := newSite(t)
				out, err := command(t, "deployer", dir, "", strconv.Itoa(step)).CombinedOutput()
				if err == nil {
					if step < 30 {
						t.Fatalf("a deploy has only %d steps", step)
					}
					return
				}
				if string(out) != "" {
					t.Fatalf("step %d: %v: %s", step, err, out)
				}
				when := fmt.Sprint("killed at step ", step)
				wantSound(t, s, when)
				if resume {
					resumeKilled(t, s, dir, when)
				} else {
					deployAfterKill(t, s, dir, when)
				}
				if t.Failed() {
					return
				}
			}
			t.Fatalf("more than %d steps", maxDeploySteps)
		})
	}
}

// resumeKilled goes on with a deploy that was killed.
func resumeKilled(t *testing.T, s *Store, dir, when string) {
	t.Helper()
	var j deployJournal
	if err := s.Load(deployName, &j); err != nil {
		t.Errorf("%s: %v", when, err)
	}
	from := ""
	if len(j.Deploys) == 1 {
		i := slices.IndexFunc(j.Deploys[0].Steps, func(s StepRecord) bool { return s.State != DeployDone })
		if i < 0 {
			i = len(j.Deploys[0].Steps) - 1
		}
		from = j.Deploys[0].Steps[i].Name
	}
	if len(j.Deploys) == 1 && j.Deploys[0].State == DeployDone {
		return
	}
	rec, err := s.deploy(ctx, brief(dir), from)
	when += " and resumed from " + from
	if err != nil {
		t.Errorf("%s: %v", when, err)
		return
	}
	wantDeployed(t, s, rec, when)
}

// deployAfterKill deploys anew: what was killed is not taken for a release that works, unless it was live.
func deployAfterKill(t *testing.T, s *Store, dir, when string) {
	t.Helper()
	when += " and deployed anew"
	var killed string
	for name := range strings.FieldsSeq(names(t, s.opt.Dir)) {
		if len(name) == len(dated) {
			killed = name
		}
	}
	d := brief(dir)
	d.Keep = 10
	d.Report = func(p Progress) {
		if p.Kind != ProgressBegun || p.Step != StepRelease || killed == "" {
			return
		}
		// After the recovery, and before anything of the new one.
		if r := mustFind(t, s, killed); liveName(t, s) != killed && !r.Failed && r.Complete && lastRecordOf(t, s, killed).State != DeployDone {
			t.Errorf("%s: %s passes for a release that works: %+v", when, killed, r)
		}
	}
	rec, err := s.deploy(ctx, d, "")
	if err != nil {
		t.Errorf("%s: %v", when, err)
		return
	}
	if rec.Release == killed {
		t.Errorf("%s: the new release has the name of the killed one", when)
	}
	wantDeployed(t, s, rec, when)
}

func lastRecordOf(t *testing.T, s *Store, release string) DeployRecord {
	t.Helper()
	var j deployJournal
	if err := s.Load(deployName, &j); err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(j.Deploys, func(d DeployRecord) bool { return d.Release == release })
	if i < 0 {
		return DeployRecord{}
	}
	return j.Deploys[i]
}

// wantDeployed checks that a release is live and whole, and that nothing half done is left.
func wantDeployed(t *testing.T, s *Store, rec DeployRecord, when string) {
	t.Helper()
	wantSound(t, s, when)
	if got := liveName(t, s); got != rec.Release {
		t.Errorf("%s: live is %s, want %s", when, got, rec.Release)
	}
	dir := filepath.Dir(s.opt.Current)
	if got := read(t, dir+"/served"); got != rec.Release {
		t.Errorf("%s: served is %s, want %s", when, got, rec.Release)
	}
	if got := names(t, rec.Path); got != "REVISION migrated src" {
		t.Errorf("%s: the release holds %s", when, got)
	}
	if got := lastRecord(t, s); got.State != DeployDone || got.Token != "" {
		t.Errorf("%s: journal %+v", when, got)
	}
	for where, entries := range map[string]string{"": names(t, dir), "the home": names(t, s.Home()), "the releases": names(t, s.opt.Dir)} {
		for name := range strings.FieldsSeq(entries) {
			if strings.HasPrefix(name, ".") && name != homeName {
				t.Errorf("%s: %s is left in %s", when, name, where)
			}
		}
	}
}

// A disk that is full from whatever step on: the deploy fails, live stays what it was or is what the error says, and with room again
// the next deploy succeeds.
func TestDeployFullAtEveryStep(t *testing.T) {
	t.Parallel()
	for step := range maxDeploySteps {
		dir, s := newSite(t)
		n := 0
		s.at = func(string) error {
			if n++; n > step {
				return syscall.ENOSPC
			}
			return nil
		}
		_, err := s.deploy(ctx, brief(dir), "")
		reached := n > step
		s.at = nil
		when := fmt.Sprintf("full from step %d on: %v", step, err)
		wantSound(t, s, when)
		var failed *DeployError
		if errors.As(err, &failed) {
			if failed.Live != liveName(t, s) {
				t.Errorf("%s; it says that %q is live, and that is %q", when, failed.Live, liveName(t, s))
			}
			if !failed.Changed && failed.Step != StepActivate && failed.Live != "2" {
				t.Errorf("%s; it says that nothing was changed, and %q is live", when, failed.Live)
			}
		}
		if !reached {
			if err != nil {
				t.Errorf("%s, although it never was", when)
			}
			return
		}
		rec, err := s.deploy(ctx, brief(dir), "")
		if err != nil {
			t.Errorf("%s; then again: %v", when, err)
			return
		}
		wantDeployed(t, s, rec, when+"; then again")
		if t.Failed() {
			return
		}
	}
	t.Fatalf("more than %d steps", maxDeploySteps)
}

// A real file system that is full while the release is copied: nothing that looks complete is left, and live is untouched.
func TestDeployFullDisk(t *testing.T) {
	mount := t.TempDir()
	tmpfs(t, mount, "size=2m")
	from := t.TempDir()
	write(t, from+"/REVISION", "from the build")
	write(t, from+"/a", strings.Repeat("x", 200<<10))
	write(t, mount+"/releases/1/REVISION", "1")
	symlink(t, "releases/1", mount+"/current")
	s := open(mount)
	for name, d := range map[string]Deployment{
		"copy":    {Steps: []Step{{Name: StepRelease, From: from}, {Name: StepActivate}}},
		"command": {Env: os.Environ(), Steps: []Step{{Name: StepRelease, Run: "cat " + from + "/a >a"}, {Name: StepActivate}}},
	} {
		t.Run(name, func(t *testing.T) {
			d.Dir = mount
			fill(t, mount, 100<<10)
			failed := deployFails(t, s, d, "")
			if failed.Step != StepRelease || failed.Live != "1" || failed.Changed {
				t.Errorf("%+v", failed)
			}
			r, err := s.Find(failed.Release)
			if err == nil && r.Complete || name == "copy" && err == nil {
				t.Errorf("what is left of the release: %+v", r)
			}
			if !errors.Is(failed, syscall.ENOSPC) && !strings.Contains(fmt.Sprint(failed.Last), "No space left") {
				t.Errorf("it failed of something else: %v: %s", failed, failed.Last)
			}
			wantSound(t, s, "full")
			if err := os.Remove(mount + "/fill"); err != nil {
				t.Fatal(err)
			}
			if name == "command" {
				d.Steps[0].Run = "true"
			}
			if rec, err := s.deploy(ctx, d, ""); err != nil || liveName(t, s) != rec.Release {
				t.Errorf("with room again: %v", err)
			}
			if err := s.do(nil, func(t *Turn, serve Apply) error { return t.Activate(ctx, "1", serve) }); err != nil {
				t.Fatal(err)
			}
			if name == "copy" && read(t, mount+"/current/REVISION") != "1" {
				t.Error("not back")
			}
		})
	}
}

// fill fills the file system of a directory, but for so many bytes.
func fill(t *testing.T, dir string, room int) {
	t.Helper()
	write(t, dir+"/room", strings.Repeat("x", room))
	f, err := os.Create(dir + "/fill")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4<<10))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	if err := os.Remove(dir + "/room"); err != nil {
		t.Fatal(err)
	}
}

// killedIn starts a deploy whose step migrate is line, and kills the hotreload when the line has begun.
func killedIn(t *testing.T, dir, line string) {
	t.Helper()
	cmd := command(t, "killed", dir, line)
	out, err := cmd.CombinedOutput()
	if err == nil || string(out) != "" {
		t.Fatalf("not killed: %v: %s", err, out)
	}
}

func init() {
	// killed DIR LINE deploys with LINE as the step migrate, and kills itself when that has printed "begun".
	roles["killed"] = func(args []string) {
		d := usual(args[0]).with("migrate", args[1])
		d.Report = func(p Progress) {
			if p.Kind == ProgressOutput && p.Text == "begun" {
				check(syscall.Kill(os.Getpid(), syscall.SIGKILL))
			}
		}
		_, err := open(args[0]).deploy(ctx, d, "")
		check(err)
		os.Exit(0)
	}
}

// The commands of a hotreload that is killed end by themselves, at once, with all that they have started.
func TestCommandsEndWithHotreload(t *testing.T) {
	for name, line := range map[string]string{
		"simple":     "echo $$ >pid; echo begun; exec sleep 600",
		"in a shell": "sh -c 'echo $$ >pid; echo begun; sleep 600; true' && true",
		"silent":     "sh -c 'echo $$ >pid; sleep 0.1; echo begun; exec >/dev/null 2>&1; sleep 600; true' && true",
		"stubborn":   `trap '' TERM HUP INT PIPE; echo $$ >pid; echo begun; while :; do sleep 0.05; done`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, s := newSite(t)
			killedIn(t, dir, line)
			pid := lastRecord(t, s).Path + "/pid"
			eventually(t, "the command has ended", func() bool { return gone(pid) })
			var h heard
			d := usual(dir)
			d.Report = h.hear
			rec, err := s.deploy(ctx, d, "migrate")
			if err != nil {
				t.Fatal(err)
			}
			if rec.Release != liveName(t, s) || !strings.Contains(h.text(ProgressNote), "was killed in step migrate") {
				t.Errorf("live is %s; notes %s", liveName(t, s), h.text(ProgressNote))
			}
		})
	}
}

// What has left the process group of a command goes on after a kill. The next deploy has it ended, by what it has in its environment.
func TestDeployEndsStray(t *testing.T) {
	dir, s := newSite(t)
	killedIn(t, dir, "setsid sh -c 'echo $$ >pid; echo begun; exec sleep 600 >/dev/null 2>&1'; true")
	rec := lastRecord(t, s)
	if !strings.HasPrefix(rec.Token, envToken+"=") {
		t.Fatalf("record %+v", rec)
	}
	var asked []string
	var h heard
	d := usual(dir)
	d.Report = h.hear
	d.EndStray = func(_ context.Context, variable string) ([]string, error) {
		asked = append(asked, variable)
		text, err := os.ReadFile(rec.Path + "/pid")
		check(err)
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		check(err)
		environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		check(err)
		if !strings.Contains(string(environ), variable+"\x00") {
			t.Errorf("its environment has no %s", variable)
		}
		return []string{"process 1 (sleep)"}, syscall.Kill(pid, syscall.SIGKILL)
	}
	if _, err := s.deploy(ctx, d, ""); err != nil {
		t.Fatal(err)
	}
	if len(asked) != 1 || asked[0] != rec.Token || !strings.Contains(h.text(ProgressNote), "was ended: process 1 (sleep)") {
		t.Errorf("asked for %q; notes %s", asked, h.text(ProgressNote))
	}
}
