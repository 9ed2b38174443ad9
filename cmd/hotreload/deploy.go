package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/hotreload/hotreload/config"
	"github.com/hotreload/hotreload/release"
)

func deployCommand() *cli.Command {
	return &cli.Command{
		Name:  "deploy",
		Usage: "make a new release and have it served, step by step; resumable",
		UsageText: "hotreload deploy [--from DIR] [flags]\n" +
			"hotreload deploy --start-from STEP [--release NAME] [flags]\n" +
			"hotreload deploy --plan [flags]\n\n" +
			"Runs [[deploy.steps]] of hotreload.toml, by default release, shared, activate, health, prune. A step that fails ends the deploy; what is live is left alone, " +
			"and --start-from goes on when the cause is mended. SIGINT and SIGTERM end the step that runs, a second one kills it; a switch that is under way is " +
			"seen to its end.\n" +
			"Exit code 5: the release was refused, the one before serves; 4: not verified in time, switched back; 2: it cannot be resumed from there.",
		Flags: changeFlags(
			&cli.StringFlag{Name: "from", Usage: "copy `DIR` into the new release, instead of what step release says", TakesFile: true},
			&cli.StringFlag{Name: "start-from", Usage: "go on with the last deploy, from `STEP` on; the steps before must have been done"},
			&cli.StringFlag{Name: "release", Usage: "with --start-from: go on with the deploy of release `NAME`"},
			&cli.BoolFlag{Name: "plan", Usage: "print the steps and what each would do, and do nothing"},
		),
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			o, err := loadRelease(c)
			if err != nil {
				return err
			}
			d := &deploying{operation: o, startFrom: c.String("start-from"), release: c.String("release"), anyLock: c.Bool("ignore-lock")}
			if err := d.load(c); err != nil {
				return err
			}
			if c.Bool("plan") {
				return d.plan(c)
			}
			return d.run(c)
		},
	}
}

// deploying is one `hotreload deploy`.
type deploying struct {
	*operation
	startFrom, release string
	from               string // of the command line, absolute; "": none
	anyLock            bool
	steps              []release.Step
	onFailure          []string
}

// load reads the steps, and checks that the command line fits them.
func (d *deploying) load(c *cli.Context) error {
	configured := config.DefaultSteps()
	if d.cfg.Deploy != nil {
		configured, d.onFailure = d.cfg.Deploy.Steps, d.cfg.Deploy.OnFailure
	}
	var names []string
	for _, s := range configured {
		names = append(names, s.Name)
		d.steps = append(d.steps, release.Step{Name: s.Name, Run: s.Run, From: s.From, Timeout: s.Timeout, Retries: s.Retries})
	}
	first := slices.Index(names, d.startFrom)
	switch {
	case c.IsSet("release") && !c.IsSet("start-from"):
		return usageError("hotreload deploy: --release says with which deploy --start-from goes on; a new release gets its name from the time")
	case c.IsSet("start-from") && first < 0:
		return usageError("hotreload deploy: there is no step %q%s", d.startFrom, didYouMean(d.startFrom, names, "; there are "+strings.Join(names, ", ")))
	}
	at := slices.Index(names, release.StepRelease)
	if first > at {
		if c.IsSet("from") {
			return usageError("hotreload deploy: --from has nothing to do: step %s comes before %s", release.StepRelease, d.startFrom)
		}
		return nil
	}
	return d.loadFrom(c, &d.steps[at])
}

// loadFrom finds out what the step release is to copy.
func (d *deploying) loadFrom(c *cli.Context, s *release.Step) error {
	switch {
	case c.IsSet("from") && s.Run != "":
		return usageError("hotreload deploy: --from has nothing to do: step %s runs a command of yours", s.Name)
	case c.IsSet("from"):
		dir, err := filepath.Abs(c.String("from"))
		if err != nil {
			return fmt.Errorf("--from: %w", err)
		}
		if rel, err := filepath.Rel(dir, d.cfg.Release.Releases); err == nil && filepath.IsLocal(rel) {
			return usageError("hotreload deploy: --from: the releases (%s) lie in %s: they would be copied into themselves", d.cfg.Release.Releases, dir)
		}
		d.from, s.From = dir, dir
	case s.From == "" && s.Run == "":
		return coded(exitUsage, hinted(errors.New("hotreload deploy: nothing says what to release"),
			"--from DIR, or `from = DIR` or `run = COMMAND` in a step named %q under [[deploy.steps]] in %s", s.Name, config.FileName))
	}
	return nil
}

// run deploys, and says what came of it.
func (d *deploying) run(c *cli.Context) error {
	soft, hard, stop := twice(c.Context)
	defer stop()
	began := time.Now()
	out := &deployed{Steps: []deployedStep{}, Last: []string{}}
	words := newDeployVoice(c)
	unheard := context.AfterFunc(soft, words.asked)
	err := d.perform(soft, hard, c, words, out)
	unheard()
	words.silence()
	out.DurationMS = milliseconds(time.Since(began))
	if err != nil {
		err = d.explain(err, out)
	}
	if !d.json && err == nil {
		_, err = fmt.Fprintf(c.App.Writer, "release %s is %s after %s: %s\n", out.Release, out.is, took(time.Since(began)), out.did)
	}
	if !d.json {
		words.list(err)
		words.recall(err)
	}
	return d.told(c, out, err)
}

func (d *deploying) perform(soft, hard context.Context, c *cli.Context, words *deployVoice, out *deployed) (err error) {
	ch, err := d.begin(soft, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ch.turn.Close()) }()
	out.Recovered = ch.note
	if d.has(release.StepActivate) {
		// That nobody could make the server follow is better known before anything is done.
		if err := ch.live.find(); err != nil {
			return err
		}
	}
	job := d.deployment(ch, words, hard)
	var rec release.DeployRecord
	if d.startFrom == "" {
		rec, err = ch.turn.Deploy(soft, job)
	} else {
		rec, err = ch.turn.Resume(soft, job, d.startFrom, d.release)
	}
	out.fill(rec, ch)
	var notLive *release.ActivateError
	if errors.As(err, &notLive) {
		out.serves = ch.live.serves(context.WithoutCancel(soft))
	}
	return err
}

func (d *deploying) has(step string) bool {
	return slices.ContainsFunc(d.steps, func(s release.Step) bool { return s.Name == step })
}

// deployment is the deploy in terms of the package release.
func (d *deploying) deployment(ch *changing, words *deployVoice, hard context.Context) release.Deployment {
	job := release.Deployment{
		Steps: d.steps, OnFailure: d.onFailure, Dir: d.cfg.Dir, Env: os.Environ(), Keep: d.cfg.Release.Keep, AnyLock: d.anyLock,
		EndStray: endStray, Report: words.hear, Now: hard,
	}
	job.Preflight = func(ctx context.Context, path string) error {
		r, err := ch.store.Find(path)
		if err == nil {
			err = ch.fit(ctx, r)
		}
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Canceled
		}
		return coded(exitRefused, err)
	}
	job.Apply = func(ctx context.Context) error {
		ch.live = newLive(d.operation, ch.store) // who serves may have changed since the deploy began
		return ch.live.apply(ctx)
	}
	if health := healthOf(d.cfg); health != nil {
		job.Health = func(ctx context.Context) (string, error) {
			err := health(ctx)
			switch {
			case err != nil && ctx.Err() != nil:
				return "", context.Canceled
			case errors.Is(err, syscall.ECONNREFUSED) && ch.live.nobody():
				return "nobody serves it yet", nil // the first deploy comes before the first start
			}
			return "", err
		}
	}
	return job
}

// explain adds to an error what serves, and what to do, and gives it its exit code.
func (d *deploying) explain(err error, out *deployed) error {
	out.Error = err.Error()
	out.Result = switchResult(err)
	var refused *release.ResumeError
	if errors.As(err, &refused) {
		return coded(exitUsage, err)
	}
	var failed *release.DeployError
	if !errors.As(err, &failed) {
		return err
	}
	code := exitCode(failed.Err)
	switch {
	case failed.Interrupted:
		out.Result, code = "interrupted", exitFailed
	case failed.Step == release.StepHealth && failed.Back:
		code = exitRefused
	case failed.Step != release.StepActivate:
		code = exitFailed
	}
	if code == exitRefused {
		out.Result = "refused"
	}
	out.FailedStep, out.Log, out.Live = failed.Step, failed.Log, failed.Live
	out.Last = append(out.Last, failed.Last...)
	from := failed.Step
	if failed.Back {
		from = release.StepActivate
	}
	out.Resume = d.resume(from)
	text := &saying{err, fmt.Sprintf("deploy of release %s: step %s: %s", failed.Release, failed.Step, causeOf(failed.Err, failed.Release, failed.Step))}
	if failed.Interrupted {
		text.text = err.Error()
	}
	if !strings.Contains(text.text, "serves on") { // the running hotreload has said it
		text.text += "; " + standing(failed, out.serves)
	}
	out.Error = text.Error()
	hint := "when that is mended: " + out.Resume
	if failed.Interrupted {
		hint = "go on with: " + out.Resume
	}
	if failed.Log != "" {
		hint = "its output: " + failed.Log + "\n  " + hint
	}
	return coded(code, hinted(text, "%s", hint))
}

// saying is an error in other words.
type saying struct {
	err  error
	text string
}

func (e *saying) Error() string { return e.text }
func (e *saying) Unwrap() error { return e.err }

// causeOf is why a step of the deploy of a release has failed, without their names, which are said before it.
func causeOf(err error, name, step string) string {
	text := err.Error()
	var notLive *release.ActivateError
	if errors.As(err, &notLive) {
		text = notLive.Err.Error()
		if notLive.Undo != nil {
			text += fmt.Sprintf("; on the way back: %v", notLive.Undo)
		}
	}
	return strings.TrimPrefix(strings.TrimPrefix(text, "release "+name+": "), step+": ")
}

// standing says what is live after a deploy that did not come to its end.
func standing(e *release.DeployError, serves string) string {
	switch {
	case serves != "":
		return serves
	case e.Live == "":
		return "no release is live"
	case e.Changed:
		return fmt.Sprintf("release %s is live", e.Live)
	case e.Back:
		return fmt.Sprintf("release %s is live again", e.Live)
	}
	return fmt.Sprintf("release %s is live as before", e.Live)
}

// resume is the command that goes on from a step.
func (d *deploying) resume(step string) string {
	words := []string{"hotreload"}
	if wd, err := os.Getwd(); err == nil && d.cfg.File != "" && filepath.Join(wd, config.FileName) != d.cfg.File {
		words = append(words, "-c", shellWord(d.cfg.File))
	}
	words = append(words, "deploy", "--start-from", step)
	names := make([]string, len(d.steps))
	for i, s := range d.steps {
		names[i] = s.Name
	}
	if d.from != "" && slices.Index(names, step) <= slices.Index(names, release.StepRelease) {
		words = append(words, "--from", shellWord(d.from))
	}
	return strings.Join(words, " ")
}

// twice are two contexts: the first signal ends the first one, a second signal the second.
func twice(parent context.Context) (soft, hard context.Context, stop func()) {
	hard, kill := context.WithCancel(parent)
	soft, end := context.WithCancel(hard)
	caught := make(chan os.Signal, 2)
	signal.Notify(caught, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	// A reader of our output that goes away must not take a deploy along. It is caught and not ignored: commands would inherit that.
	deaf := make(chan os.Signal, 1)
	signal.Notify(deaf, syscall.SIGPIPE)
	go func() {
		for range caught {
			if soft.Err() != nil {
				kill()
			}
			end()
		}
	}()
	return soft, hard, func() {
		signal.Stop(caught)
		signal.Stop(deaf)
		close(caught)
		kill()
	}
}
