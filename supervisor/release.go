package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hotreload/hotreload/watcher"
)

// Release is a directory that a server is started from, as it was found when that was decided.
type Release struct {
	Name    string   `json:"name"`
	Path    string   `json:"path"`     // absolute, without symlinks
	ID      string   `json:"id"`       // tells it from another directory that had this path before
	Dir     string   `json:"dir"`      // working directory of the server
	Command []string `json:"command"`  // that starts it from this release
	PIDFile string   `json:"pid_file"` // "": the server writes none
}

// is reports whether two are the same directory. nil is no release.
func (r *Release) is(other *Release) bool {
	return r != nil && other != nil && r.Path == other.Path && r.ID == other.ID
}

// holds reports whether a path lies in the release.
func (r *Release) holds(path string) bool {
	return r != nil && isBelow(path, r.Path)
}

func isDir(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.IsDir()
}

func isBelow(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}

// Releases is release mode: the server runs from a release, and another one is served only when the link that names the current one
// has been switched.
type Releases struct {
	Current string // the link, absolute
	Dir     string // of the releases, absolute; a process that runs in one of them runs that one
	// Action is what a switch needs: Restart, or Reload where the workers load their code through the link.
	Action Action
	// PerRequest says that each request decides which release it loads (php-fpm), so that no process tells.
	PerRequest bool

	// Wait is how long the link may lead nowhere when nothing runs and there is nothing else to start.
	Wait time.Duration

	// Resolve finds the release that the link leads to now.
	Resolve func() (Release, error)
	// Fit returns a *Refusal when a release must not be started. Nothing was touched then.
	Fit func(ctx context.Context, r Release, on Occasion) error
	// Health returns nil when the server that it reaches is well, after as many tries as it takes. nil: nobody asks.
	Health Probe
	// Open begins to note which files in these directories are opened.
	Open func(ctx context.Context, dirs []string) (Recording, error)
	// Served is told of a release that serves from now on. nil: nobody wants to know.
	Served func(Release)
	// Fallback is the release that was served before this hotreload started; false: that is not known, or it is gone.
	Fallback func() (Release, bool)
}

// Occasion is why a release is to be started.
type Occasion int

// The occasions.
const (
	Switched Occasion = iota // the link was switched, and nobody waits
	Asked                    // somebody asked for it, and waits
	Started                  // nothing else could be started meanwhile, so that what is missing may be waited for
)

// origin is what one generation is started with.
type origin struct {
	release *Release // nil: not in release mode
	dir     string
	command []string
	pidFile string
}

// from is how the server is started from a release; nil: as it is configured.
func (s *Server) from(r *Release) origin {
	if r == nil {
		return origin{dir: s.Dir, command: s.Command, pidFile: s.PIDFile}
	}
	return origin{release: r, dir: r.Dir, command: r.Command, pidFile: r.PIDFile}
}

// gap is how long the link may be missing: `rm` and `ln` leave a moment without it.
const gap = time.Second

// resolve finds what the link leads to, if that is known within patience.
func (w *worker) resolve(ctx context.Context, patience time.Duration) (*Release, error) {
	for begin := time.Now(); ; {
		r, err := w.opt.Releases.Resolve()
		if err == nil {
			return &r, nil
		}
		if time.Since(begin) >= patience {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(paceMax):
		}
	}
}

// runRelease does an operation in release mode on a server that runs.
func (w *worker) runRelease(ctx context.Context, gen generation) opResult {
	served := gen.Release()
	target, err := w.resolve(ctx, gap)
	switch {
	case err != nil:
		return w.outcome(opResult{gen: gen}, w.op.plan.Action, Refused, evidence{}, fmt.Sprintf("%v; release %s serves on", err, served.name()))
	case !target.is(served):
		return w.switchTo(ctx, gen, target)
	}
	w.target = target
	if w.op.plan.Action == None {
		w.op.plan.Reasons = union([]string{"release " + target.Name + " is served already"}, w.op.plan.Reasons)
		return w.outcome(opResult{gen: gen}, None, Verified, evidence{}, "")
	}
	return w.runOn(ctx, gen)
}

// switchTo makes another release live.
func (w *worker) switchTo(ctx context.Context, gen generation, target *Release) opResult {
	served := gen.Release()
	w.target = target
	w.emit(ctx, Event{Kind: eventAims, aim: target})
	on := Switched
	if w.op.requested || w.op.plan.Action != None {
		on = Asked
	}
	action := max(w.opt.Releases.Action, w.op.plan.Action)
	w.op.plan.Action = action
	w.op.plan.Reasons = union([]string{fmt.Sprintf("release %s is current, %s was served", target.Name, served.name())}, w.op.plan.Reasons)
	if refusal := w.fit(ctx, target, on); refusal != nil {
		r := w.outcome(opResult{gen: gen}, action, Refused, evidence{}, fmt.Sprintf("release %s: %s; release %s serves on", target.Name, refusal, served.name()))
		r.refused = target
		return r
	}
	if on == Switched {
		w.emit(ctx, Event{Kind: EventChanged, Plan: w.op.plan})
	}
	r := w.act(ctx, gen, action)
	if r.outcome.Result != Verified && ctx.Err() == nil && (r.gen == nil || !target.is(r.gen.Release())) {
		r.refused = target
	}
	return r
}

func (r *Release) name() string {
	if r == nil {
		return "(unknown)"
	}
	return r.Name
}

// fit asks whether a release may be started.
func (w *worker) fit(ctx context.Context, target *Release, on Occasion) *Refusal {
	if w.opt.Releases.Fit == nil {
		return nil
	}
	err := w.opt.Releases.Fit(ctx, *target, on)
	var refusal *Refusal
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refusal):
		return refusal
	default:
		return &Refusal{Message: err.Error()}
	}
}

// startRelease starts the server when none runs: from the current release, or where that is not fit, does not get ready or is not well, from
// the one that was served last. Where there is no other, what gets ready serves.
func (w *worker) startRelease(ctx context.Context, prep Preparation) opResult {
	last := w.served
	if last == nil && w.opt.Releases.Fallback != nil {
		if r, ok := w.opt.Releases.Fallback(); ok {
			last = &r
		}
	}
	if last != nil && !isDir(last.Dir) {
		last = nil
	}
	on, patience := Asked, gap
	if last == nil {
		on, patience = Started, max(gap, w.opt.Releases.Wait)
	}
	target, err := w.resolve(ctx, patience)
	if err == nil && target.is(w.refused) && last != nil && !target.is(last) && !w.op.requested {
		err = fmt.Errorf("release %s was refused", target.Name)
	} else if err == nil {
		if refusal := w.fit(ctx, target, on); refusal != nil {
			err = fmt.Errorf("release %s: %w", target.Name, refusal)
		}
	}
	if err == nil {
		w.target = target
		var g generation
		if g, err = w.start(ctx, prep); err == nil {
			if last == nil || last.is(target) {
				return opResult{gen: g}
			}
			if err = w.driver.well(ctx, g); err == nil {
				return opResult{gen: g}
			}
			if ended := w.driver.end(ctx, g); ended != nil {
				w.emit(ctx, Event{Kind: EventNote, Detail: ended.Error()})
			}
		}
		if last != nil && !last.is(target) {
			err = fmt.Errorf("release %s: %w", target.Name, err)
		}
	}
	if last == nil || last.is(target) || ctx.Err() != nil {
		return opResult{err: err}
	}
	why := fmt.Sprintf("%v; release %s, which was served last, is started instead", err, last.Name)
	w.emit(ctx, Event{Kind: EventNote, Detail: why})
	w.target = last
	w.number++
	g, again := w.start(ctx, Preparation{})
	if again != nil {
		return opResult{err: fmt.Errorf("%w; and release %s: %w", err, last.Name, again)}
	}
	return opResult{gen: g, refused: target, short: fmt.Sprintf("%v; release %s serves", err, last.Name)}
}

// back starts the release again that was ended for one that does not get ready.
func (w *worker) back(ctx context.Context, served *Release, r opResult) opResult {
	if w.opt.Releases == nil || served == nil || served.is(w.target) || ctx.Err() != nil {
		return r
	}
	failed := w.target
	w.target = served
	w.number++
	g, err := w.start(ctx, Preparation{})
	if err != nil {
		r.outcome.Error += fmt.Sprintf("; and release %s, which was ended for it, could not be started again: %v", served.Name, err)
		return r
	}
	lines := r.outcome.Output
	r = w.outcome(opResult{gen: g}, Restart, Refused, evidence{new: workerPIDs(g)},
		fmt.Sprintf("release %s: %s; release %s was started again and serves", failed.Name, r.outcome.Error, served.Name))
	r.outcome.Output = lines
	return r
}

// astray says which release a process of t runs in that is not the one it was started from, "" when none does.
func (d *processes) astray(t *tree, others ...string) string {
	if t.home.release == nil {
		return ""
	}
	for _, p := range t.processes() {
		cwd, err := p.Cwd()
		if err != nil || t.home.release.holds(cwd) {
			continue
		}
		for _, dir := range append(others, d.opt.Releases.Dir) {
			if dir != "" && isBelow(cwd, dir) {
				return fmt.Sprintf("process %d runs in %s, not in release %s: does the command name a path in another release?", p.PID, cwd, t.home.release.Name)
			}
		}
	}
	return ""
}

// misled says which path in another release the command names, "" when it names none.
func (d *processes) misled(home origin) string {
	if home.release == nil || d.opt.Releases.Action != Restart {
		return ""
	}
	for _, arg := range home.command {
		path := arg
		if option, value, found := strings.Cut(arg, "="); found && strings.HasPrefix(option, "-") {
			path = value
		}
		if !filepath.IsAbs(path) {
			continue
		}
		if real, err := filepath.EvalSymlinks(path); err == nil && isBelow(real, d.opt.Releases.Dir) && !home.release.holds(real) {
			return fmt.Sprintf("the command names %s, which is not in release %s: name it relative to the release, or through %s", path, home.release.Name, d.opt.Releases.Current)
		}
	}
	return ""
}

// sawNothing says that a server was not seen to load anything of its release, "" when it was, or nobody looked.
func (t *tree) sawNothing() string {
	if t.home.release == nil || t.loaded == nil || len(*t.loaded) > 0 || t.layout != LayoutSwoole && t.layout != LayoutWorkerman {
		return ""
	}
	return fmt.Sprintf("the master was not seen to open any file of release %s: does it load its code from there?", t.home.release.Name)
}

// reloadInto has the workers of t load the release that the link leads to now, and makes sure that they did.
func (d *processes) reloadInto(ctx context.Context, g generation, target *Release) (evidence, error) {
	t := g.(*tree)
	served := t.Release()
	var rec Recording = noRecording{}
	if open := d.opt.Releases.Open; open != nil && !d.opt.Releases.PerRequest {
		opened, err := open(ctx, dirsOf(target, served))
		if err != nil {
			d.unknown(err)
		} else {
			rec = opened
		}
	}
	defer rec.Close()
	ev, err := d.reload(ctx, t, Reload)
	if err != nil {
		return ev, err
	}
	if !d.opt.Releases.PerRequest {
		rec.Cut()
		opened, err := rec.Close()
		if why := d.stayed(t, target, served, opened, err == nil); why != "" {
			return ev, &cannotReload{why}
		}
	}
	t.setRelease(target)
	d.save(t, true)
	return ev, d.well(ctx, t)
}

func dirsOf(releases ...*Release) []string {
	var dirs []string
	for _, r := range releases {
		if r != nil {
			dirs = append(dirs, r.Path)
		}
	}
	return dirs
}

// foundRelease is the release that a master serves which somebody else started, nil where that cannot be told.
func (d *processes) foundRelease(t *tree) *Release {
	switch {
	case d.opt.Releases == nil:
	case d.opt.Releases.PerRequest:
		if r, err := d.opt.Releases.Resolve(); err == nil {
			return &r
		}
	default:
		cwd, err := t.master.Cwd()
		if err != nil {
			return nil
		}
		if current, err := d.opt.Releases.Resolve(); err == nil && current.holds(cwd) {
			return &current
		}
		if isBelow(cwd, d.opt.Releases.Dir) && cwd != d.opt.Releases.Dir {
			rel, _ := filepath.Rel(d.opt.Releases.Dir, cwd)
			name, _, _ := strings.Cut(rel, "/")
			return &Release{Name: name, Path: filepath.Join(d.opt.Releases.Dir, name)}
		}
	}
	return nil
}

// unwell says that what serves does not answer as it should.
type unwell struct{ err error }

func (e *unwell) Error() string { return e.err.Error() }

// well asks for the health of what serves.
func (d *processes) well(ctx context.Context, g generation) error {
	if d.opt.Releases == nil || d.opt.Releases.Health == nil {
		return nil
	}
	if err := d.opt.Releases.Health(ctx); err != nil && ctx.Err() == nil {
		return &unwell{err}
	}
	return nil
}

// stayed says why the workers are not known to have loaded target, "" when they have. known is whether it was seen what they opened.
func (d *processes) stayed(t *tree, target, served *Release, opened watcher.Opened, known bool) string {
	loaded := 0
	if known {
		for _, path := range opened {
			switch {
			case target.holds(path):
				loaded++
			case served.holds(path):
				return fmt.Sprintf("the new workers loaded %s of release %s", filepath.Base(path), served.Name)
			}
		}
	}
	for _, s := range t.workers() {
		switch cwd, err := s.Cwd(); {
		case err != nil:
		case served.holds(cwd) && loaded == 0:
			return fmt.Sprintf("the new workers still run in release %s", served.Name)
		case target.holds(cwd):
			loaded++
		}
	}
	if loaded == 0 {
		return "nothing shows that the new workers loaded release " + target.Name
	}
	return ""
}

// healthy asks a generation that may serve beside another one whether it is well. steered is false when that could not be asked of
// it alone.
func (d *processes) healthy(ctx context.Context, t *tree) (steered bool, err error) {
	if d.opt.Releases == nil || d.opt.Releases.Health == nil {
		return true, nil
	}
	passed := &atomic.Bool{}
	err = d.opt.Releases.Health(withSteeredDialer(ctx, t.sockets, passed))
	return !passed.Load(), err
}

// releasePath is the directory of the release that t serves, "" where there is none.
func (t *tree) releasePath() string {
	if t == nil || t.Release() == nil {
		return ""
	}
	return t.Release().Path
}

// samePlace reports whether two paths name the same file, whether or not it exists.
func samePlace(a, b string) bool {
	if a == b || a == "" || b == "" {
		return a == b
	}
	dirA, errA := filepath.EvalSymlinks(filepath.Dir(a))
	dirB, errB := filepath.EvalSymlinks(filepath.Dir(b))
	return errA == nil && errB == nil && dirA == dirB && filepath.Base(a) == filepath.Base(b)
}
