package release

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The test binary is the guard of commands as well, and a hotreload that deploys.
func init() {
	// With the race detector each process would sleep for a second when it ends.
	if err := os.Setenv("GORACE", "atexit_sleep_ms=0 "+os.Getenv("GORACE")); err != nil {
		panic(err)
	}
	GuardMain()
	retryFirst, retryLongest = 5*time.Millisecond, 20*time.Millisecond
	// deployer DIR FROM STEP deploys, resumes from step FROM ("": a new deploy), and kills itself at the step of that number.
	roles["deployer"] = func(args []string) {
		s := open(args[0])
		step, err := strconv.Atoi(args[2])
		check(err)
		s.at = func(string) error {
			if step--; step == -1 {
				check(syscall.Kill(os.Getpid(), syscall.SIGKILL))
			}
			return nil
		}
		_, err = s.deploy(ctx, brief(args[0]), args[1])
		check(err)
		os.Exit(0)
	}
}

// deploy does what the command does: a turn, the recovery, and then a new deploy, or an old one from a step on.
func (s *Store) deploy(ctx context.Context, d Deployment, from string) (rec DeployRecord, err error) {
	d.Apply = s.server(nil)
	err = s.do(nil, func(t *Turn, serve Apply) error {
		if from == "" {
			rec, err = t.Deploy(ctx, d)
		} else {
			rec, err = t.Resume(ctx, d, from, "")
		}
		return err
	})
	return rec, err
}

// usual is a deploy with every kind of step, whose steps can be told from what they leave behind.
func usual(dir string) Deployment {
	return Deployment{
		Dir: dir, Env: []string{"PATH=" + os.Getenv("PATH"), "GORACE=" + os.Getenv("GORACE")}, Keep: 2, Grace: 100 * time.Millisecond,
		Steps: []Step{
			{Name: "build", Run: "mkdir -p build/src && echo '<?php' >build/src/index.php"},
			{Name: StepRelease, From: dir + "/build"},
			{Name: "vendors", Run: `mkdir vendor && echo "$HOTRELOAD_RELEASE_NAME" >vendor/name`},
			{Name: "migrate", Run: "echo migrated >migrated"},
			{Name: StepActivate},
			{Name: StepHealth},
			{Name: "restart-queue", Run: `echo "$(readlink "$HOTRELOAD_CURRENT")" >>"$(dirname "$HOTRELOAD_CURRENT")/queue"`},
			{Name: StepPrune},
		},
	}
}

// brief is usual with only as many commands as it takes: a process each, for every step at which something is killed.
func brief(dir string) Deployment {
	d := usual(dir)
	d.Steps = slices.DeleteFunc(d.Steps, func(s Step) bool { return s.Name == "build" || s.Name == "vendors" })
	if err := os.MkdirAll(dir+"/build/src", 0o755); err != nil {
		panic(err)
	}
	if err := os.WriteFile(dir+"/build/src/index.php", []byte("<?php\n"), 0o644); err != nil {
		panic(err)
	}
	return d
}

// with replaces the command of a step.
func (d Deployment) with(name, run string) Deployment {
	d.Steps = slices.Clone(d.Steps)
	d.Steps[indexOf(d.Steps, name)].Run = run
	return d
}

// heard collects the progress of a deploy.
type heard struct{ all []Progress }

func (h *heard) hear(p Progress) { h.all = append(h.all, p) }

// text is one kind of progress, each in a line.
func (h *heard) text(kind ProgressKind) string {
	var lines []string
	for _, p := range h.all {
		if p.Kind == kind {
			lines = append(lines, strings.TrimSpace(p.Step+" "+p.Text))
		}
	}
	return strings.Join(lines, "\n")
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
	}
	return string(text)
}

// states are the states of the steps of a deploy, in one line.
func states(rec DeployRecord) string {
	var all []string
	for _, s := range rec.Steps {
		all = append(all, s.Name+":"+s.State)
	}
	return strings.Join(all, " ")
}

// lastRecord is what the journal knows of the last deploy.
func lastRecord(t *testing.T, s *Store) DeployRecord {
	t.Helper()
	var j deployJournal
	if err := s.Load(deployName, &j); err != nil {
		t.Fatal(err)
	}
	if len(j.Deploys) == 0 {
		t.Fatal("the journal knows of no deploy")
	}
	return j.Deploys[len(j.Deploys)-1]
}

// eventually waits for something that must become true.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still not: %s", what)
		}
	}
}

// gone reports whether the process that has written its number into a file has ended.
func gone(path string) bool {
	text, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(stat), ") Z ")
}

func liveName(t *testing.T, s *Store) string {
	t.Helper()
	path, err := s.Current()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Base(path)
}
