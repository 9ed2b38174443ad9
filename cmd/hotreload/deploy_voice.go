package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/fatih/color"
	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"github.com/hotreload/hotreload/release"
)

// deployVoice tells how a deploy goes, on stderr: one line for each step that has ended, and above it its output, if there is any.
//
//	✓ 1/5 release in 210 ms · /srv/app/releases/20261126101500, 312 files, 4.1 MB
//	… 2/5 migrate
//	  │ Migrating: create_users_table
//	✓ 2/5 migrate in 1.2 s
type deployVoice struct {
	*voice

	mu      sync.Mutex
	head    string      // "2/5 migrate"
	pending *time.Timer // says that the step has begun, if it takes long enough for anybody to wonder
	told    bool        // that it has begun was said
	fresh   bool        // the last lines of output are the last that was printed
}

func newDeployVoice(c *cli.Context) *deployVoice {
	terminal := term.IsTerminal(int(os.Stderr.Fd()))
	color.NoColor = !terminal || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb"
	v := &voice{out: c.App.ErrWriter, glyph: signsASCII}
	if isUTF8(os.Getenv) {
		v.glyph = signs
	}
	return &deployVoice{voice: v}
}

// hear is release.Deployment.Report.
func (v *deployVoice) hear(p release.Progress) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch p.Kind {
	case release.ProgressNote:
		v.look("%s", p.Text)
	case release.ProgressBegun:
		v.head, v.told = fmt.Sprintf("%d/%d %s", p.Number, p.Total, p.Step), false
		v.pending = time.AfterFunc(slowOperation, v.announce)
	case release.ProgressOutput:
		v.begun()
		v.quote([]string{p.Text})
	case release.ProgressRetry:
		v.begun()
		v.look("%s failed, and is tried again in %s%s", p.Step, took(p.Took), v.because(p.Err.Error()))
	case release.ProgressDone:
		v.pending.Stop()
		v.ok("%s in %s%s", v.head, took(p.Took), v.because(p.Text))
	case release.ProgressFailed:
		v.stop()
		v.bad("%s after %s%s", v.head, took(p.Took), v.because(v.why(p)))
	case release.ProgressFailure:
		v.going("on_failure%s", v.because(p.Text))
		v.told = true
	}
	v.fresh = p.Kind == release.ProgressOutput && p.Step != "" || p.Kind == release.ProgressFailed && v.fresh
}

// why is why a step has failed.
func (v *deployVoice) why(p release.Progress) string {
	if errors.Is(p.Err, context.Canceled) {
		return "interrupted"
	}
	return causeOf(p.Err, p.Release, p.Step)
}

// announce says that the step has begun, unless that is clear already.
func (v *deployVoice) announce() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.begun()
}

// asked says that a signal has been heard.
func (v *deployVoice) asked() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.going("ending %s%s", v.head, v.because("once more, and it is killed; a switch is seen to its end first"))
}

func (v *deployVoice) begun() {
	v.stop()
	if !v.told {
		v.told = true
		v.going("%s", v.head)
	}
}

func (v *deployVoice) stop() {
	if v.pending != nil {
		v.pending.Stop()
	}
}

// silence waits for nothing any more.
func (v *deployVoice) silence() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.stop()
	v.told = true
}

// recall shows the last lines of a step that has failed, unless they are the last that was printed.
func (v *deployVoice) recall(err error) {
	var failed *release.DeployError
	if errors.As(err, &failed) && !v.fresh && len(failed.Last) > 0 {
		v.look("the end of the output of %s", failed.Step)
		v.quote(failed.Last)
	}
}

// list shows which steps were done, where a deploy cannot be resumed.
func (v *deployVoice) list(err error) {
	var refused *release.ResumeError
	if !errors.As(err, &refused) || len(refused.Steps) == 0 {
		return
	}
	width := 0
	for _, s := range refused.Steps {
		width = max(width, len(s.Name))
	}
	for _, s := range refused.Steps {
		line := fmt.Sprintf("  %-*s  %s", width, s.Name, stepState(s))
		fmt.Fprintln(v.out, strings.TrimRight(line, " "))
	}
}

// stepState is what became of a step.
func stepState(s release.StepRecord) string {
	switch {
	case s.State == "":
		return "not run"
	case s.Error != "":
		return s.State + ": " + s.Error
	}
	return s.State
}
