package supervisor

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/hotreload/hotreload/signals"
	"github.com/hotreload/hotreload/watcher"
)

// processes is the driver on real processes.
type processes struct {
	opt       *Options
	kernel    kernel
	log       *zap.Logger
	note      func(string) // something worth a line
	replacing *tree        // what a generation that is being started is to replace; nil: nothing
	inexact   bool         // it was said that recordings are not exact
	offSaid   bool         // it was said that nothing can be handed over
	advised   bool         // what a person should know of this kind of server was said
}

// bootError says why a server did not get ready.
type bootError struct {
	what    string
	exit    Exit
	timeout bool
	lines   []string
}

func (e *bootError) Error() string { return e.what }

// boot starts the server, adopts the one that runs, or finds the one to attach to.
func (d *processes) boot(ctx context.Context, number int, from *Release) (generation, error) {
	if d.opt.Mode == Attach {
		return d.attach(number)
	}
	if a := d.opt.Adopt; a != nil {
		d.opt.Adopt = nil // a second start is a start
		a, other := d.choose(a)
		if a.Master.Alive() {
			return d.adopt(ctx, a, other)
		}
		if other != nil {
			d.endLeftovers(ctx, other)
		}
		d.endLeftovers(ctx, a)
	}
	g, err := d.launch(ctx, number, d.opt.Server.from(from))
	if err != nil {
		return nil, err
	}
	if err := g.(*tree).sockets.Take(); err != nil {
		d.note(err.Error()) // nobody else is there to take the connections
	}
	return g, nil
}

// attach finds the master that somebody else started.
func (d *processes) attach(number int) (generation, error) {
	home := d.opt.Server.from(nil)
	j := d.judge(home.pidFile, signals.Expectation{Programs: d.programs()})
	if j.Verdict != signals.Master {
		return nil, &bootError{what: fmt.Sprintf("no master in %s: %s", home.pidFile, j.Reason)}
	}
	t := d.newTree(number, j.Master, 0, &output{}, home)
	t.found, t.release = true, d.foundRelease(t)
	if err := d.takeOver(t); err != nil {
		return nil, err
	}
	return t, nil
}

// adopt takes over a server, and ends the one that was to replace it, if there is one.
func (d *processes) adopt(ctx context.Context, a, other *Adoption) (generation, error) {
	t := d.treeOf(a)
	if other != nil {
		d.discard(other, t)
	}
	d.restorePIDFile(a)
	if err := d.takeOver(t); err != nil {
		return nil, err
	}
	if !a.Ready {
		// It was starting when hotreload was killed.
		b := &booting{d: d, s: &d.opt.Server, t: t, root: a.Master, begin: time.Now(), detached: time.Now()}
		if err := b.wait(ctx); err != nil {
			d.giveUp(t)
			return nil, err
		}
	}
	if a.Old.Runs() {
		d.replace(ctx, a.Old, t)
	}
	d.save(t, true)
	return t, nil
}

// treeOf is the generation that an earlier hotreload wrote down.
func (d *processes) treeOf(a *Adoption) *tree {
	t := d.newTree(a.Generation, a.Master, 0, &output{}, d.homeOf(a))
	t.ours, t.found, t.token, t.loaded = true, true, a.Token, a.Preloaded
	if t.release == nil {
		t.release = d.foundRelease(t)
	}
	if info, err := a.Master.Info(); err == nil && info.PGID == a.Group {
		t.group = a.Group
	}
	for _, p := range a.Members {
		t.members[p] = true
	}
	if d.opt.Handover == nil {
		return t
	}
	if sockets, whole := d.opt.Handover.Resume(a.Generation, a.Listen); sockets != nil {
		t.sockets = sockets
		if !whole {
			t.crippled = "its sockets were lost with the hotreload that was killed, and a new worker could not bind any"
		}
	}
	return t
}

// homeOf is what an earlier hotreload started a server with, as far as that was written down.
func (d *processes) homeOf(a *Adoption) origin {
	release := a.Release
	if d.opt.Releases == nil {
		release = nil
	}
	home := d.opt.Server.from(release)
	home.pidFile = cmp.Or(a.PIDFile, home.pidFile)
	return home
}

// takeOver watches a master that is not our child, and looks at its tree once.
func (d *processes) takeOver(t *tree) error {
	t.watch()
	o := newObserver(d.kernel, d.opt.Server.Layout, t.master)
	v, err := o.look()
	if err != nil {
		return fmt.Errorf("look at master %d: %w", t.master.PID, err)
	}
	t.remember(v)
	t.watchManager(v)
	t.setListeners(d.listenersOf(t))
	return nil
}

// endLeftovers ends what a dead master left behind after hotreload itself was killed.
func (d *processes) endLeftovers(ctx context.Context, a *Adoption) {
	if a.BootID != BootID() {
		return // the machine was started anew: these pids mean nothing
	}
	left := func() ([]signals.Info, error) {
		var infos []signals.Info
		for _, p := range a.Members {
			if i, err := p.Info(); err == nil {
				infos = append(infos, i)
			}
		}
		return infos, nil
	}
	infos, _ := left()
	if len(infos) == 0 {
		return
	}
	d.note(fmt.Sprintf("ending %d processes that the dead master %d left behind", len(infos), a.Master.PID))
	if err := signals.KillTree(ctx, left); err != nil {
		d.note(err.Error())
	}
}

func (d *processes) judge(file string, want signals.Expectation) signals.Judgement {
	if file == "" {
		return signals.Judgement{Verdict: signals.NoFile, Reason: "no pid file is configured"}
	}
	return signals.Judge(file, want)
}

// clearPIDFile removes a pid file that names nobody, and refuses when it names a master: no two masters. One of the master that is being
// replaced is a copy, which came with the files of a release that runs: its own was set aside.
func (d *processes) clearPIDFile(file string) error {
	j := d.judge(file, signals.Expectation{Programs: d.programs()})
	switch j.Verdict {
	case signals.NoFile:
		return nil
	case signals.Master:
		if d.replacing != nil && j.Master == d.replacing.master {
			j.Reason = fmt.Sprintf("it is a copy of that of master %d, which is being replaced", j.PID)
			break
		}
		return &bootError{what: fmt.Sprintf(
			"a master already runs (pid %d, from %s), and hotreload did not start it: stop it, or watch it with `hotreload watch --attach`",
			j.Master.PID, file)}
	}
	if err := pidFileUsable(file); err != nil {
		return &bootError{what: err.Error()}
	}
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove stale pid file: %w", err)
	}
	d.note(fmt.Sprintf("removed %s: %s", file, j.Reason))
	return nil
}

// advise says once what a person should know of a server in SWOOLE_BASE mode, where the workers are children of the master.
func (d *processes) advise(v view) {
	manager := slices.ContainsFunc(v.procs, func(s sighting) bool { return s.role == Manager })
	if d.advised || d.opt.Server.Layout != LayoutSwoole || manager || len(v.serving(false)) == 0 || d.opt.Mode == Run && d.opt.Handover != nil {
		return
	}
	d.advised = true
	remedy := "SWOOLE_PROCESS as the third argument of the server's constructor"
	if d.opt.Server.Kind == "hyperf" {
		remedy = "'mode' => SWOOLE_PROCESS in config/autoload/server.php"
	}
	d.note("this server runs in SWOOLE_BASE mode, where a worker reload closes all keep-alive connections and under load fails a request now and then; " + remedy + " avoids that")
}

// pidFileUsable reports what stands where the server wants to write its pid.
func pidFileUsable(file string) error {
	if file == "" {
		return nil
	}
	st, err := os.Lstat(file)
	if err != nil || st.Mode().IsRegular() || st.Mode()&fs.ModeSymlink != 0 {
		return nil
	}
	return fmt.Errorf("pid file %s is no file (%s); move it away", file, st.Mode().Type())
}

// startable looks for what would keep a start from working, before anything that works is ended for it.
func (d *processes) startable(from *Release) error {
	home := d.opt.Server.from(from)
	if why := d.misled(home); why != "" {
		return errors.New(why)
	}
	dir, err := filepath.EvalSymlinks(home.dir)
	if err != nil {
		return fmt.Errorf("working directory of the server: %w", err)
	}
	program := home.command[0]
	if strings.Contains(program, "/") && !filepath.IsAbs(program) {
		program = filepath.Join(dir, program)
	}
	if _, err := exec.LookPath(program); err != nil {
		return fmt.Errorf("the server's command: %w", err)
	}
	return pidFileUsable(home.pidFile)
}

// programs are the names of executables that a master may have.
func (d *processes) programs() []string {
	names := []string{"php*", "swoole-cli*", "frankenphp*"}
	if d.opt.Server.Layout == LayoutSingle || d.opt.Server.Layout == LayoutForked {
		names = append(names, "*")
	}
	return names
}

// launch starts the command and waits until the server is ready.
func (d *processes) launch(ctx context.Context, number int, home origin) (generation, error) {
	if why := d.misled(home); why != "" {
		return nil, &bootError{what: why}
	}
	if err := d.clearPIDFile(home.pidFile); err != nil {
		return nil, err
	}
	token := "HOTRELOAD_SERVER=" + rand.Text()
	rec := d.record(ctx, home)
	defer rec.Close() // also when it did not get ready
	cmd, out, sockets, err := d.start(number, token, home)
	if err != nil {
		return nil, err
	}
	root, err := signals.Lookup(cmd.Process.Pid)
	exited := make(chan Exit, 1)
	go func() {
		d.opt.Reaper.Wait(cmd)
		exited <- exitOf(cmd.ProcessState)
	}()
	if err != nil { // it ended before it could be looked at
		sockets.Proceed()
		exit := <-exited
		sockets.Retire()
		out.drained(linger)
		return nil, d.bootFailed(out, "the server ended at once: "+exit.String(), exit, false)
	}
	t := d.newTree(number, root, root.PID, out, home)
	t.ours, t.token, t.sockets = true, token, sockets
	d.save(t, false) // before there is a server that a later hotreload must know of
	sockets.Proceed()
	b := &booting{d: d, s: &d.opt.Server, t: t, root: root, exited: exited, begin: time.Now(), rec: rec}
	if err := b.wait(ctx); err != nil {
		d.giveUp(t)
		return nil, err
	}
	if why := d.astray(t, d.replacing.releasePath()); why != "" {
		d.giveUp(t)
		return nil, &bootError{what: why}
	}
	t.loaded = d.loaded(rec)
	if why := t.sawNothing(); why != "" {
		d.note(why)
	}
	if method, why := sockets.Method(); method == "off" && why != noHandover && !d.offSaid {
		d.offSaid = true
		d.note("a restart will be a stop and a start: " + why)
	}
	d.save(t, d.replacing == nil) // else it has to prove itself first
	return t, nil
}

// record begins to note what the server opens. Where that cannot be, the rules alone decide what a change needs.
func (d *processes) record(ctx context.Context, home origin) Recording {
	if d.opt.Record == nil || d.opt.Server.Layout == LayoutSingle {
		return noRecording{}
	}
	if home.release != nil {
		// What is recorded is what the link leads to, which may not be the release that is started again.
		if current, err := d.opt.Releases.Resolve(); err != nil || !current.is(home.release) {
			return noRecording{}
		}
	}
	rec, err := d.opt.Record(ctx)
	if err != nil {
		d.unknown(err)
		return noRecording{}
	}
	return rec
}

// loaded is what was noted until the workers were forked; nil when that is not known.
func (d *processes) loaded(rec Recording) *watcher.Opened {
	opened, err := rec.Close()
	if err != nil {
		d.unknown(err)
		return nil
	}
	if !rec.Exact() && !d.inexact {
		d.inexact = true
		d.note("no pid file tells when the workers are forked, so that files which they load at once are taken for loaded before, and restart the server; " +
			"let it write one ('pid_file' in $server->set()), and changes in them are reloaded")
	}
	return &opened
}

func (d *processes) unknown(err error) {
	if !errors.Is(err, errNoRecording) {
		d.note("which files the master loads before it forks is not known, so the rules alone decide: " + err.Error())
	}
}

// noRecording stands for one where nothing is noted.
type noRecording struct{}

var errNoRecording = errors.New("nothing was recorded")

func (noRecording) Cut()                           {}
func (noRecording) Exact() bool                    { return false }
func (noRecording) Close() (watcher.Opened, error) { return nil, errNoRecording }

// giveUp ends what did not get ready. Whatever is there by now gets a moment to end by itself, so that it removes its pid file
// and its sockets.
func (d *processes) giveUp(t *tree) {
	short, cancel := context.WithTimeout(context.Background(), 2*linger)
	defer cancel()
	if err := d.end(short, t); err != nil {
		d.note(err.Error())
	}
}

// start executes the command in a process group of its own, with token in its environment.
func (d *processes) start(number int, token string, home origin) (*exec.Cmd, *output, Sockets, error) {
	s := &d.opt.Server
	dir, err := filepath.EvalSymlinks(home.dir)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("working directory of the server: %w", err)
	}
	out := &output{}
	st, err := connect(d.opt.Output, d.opt.Reaper, out)
	if err != nil {
		return nil, nil, nil, err
	}
	defer st.closeTheirs()
	cmd := exec.Command(home.command[0], home.command[1:]...)
	env := s.Env
	if env == nil {
		env = os.Environ()
	}
	cmd.Dir, cmd.Env = dir, append(slices.Clone(env), token)
	cmd.Stdout, cmd.Stderr = st.theirs[0], st.theirs[1]
	if d.opt.Output.Stdin != nil {
		cmd.Stdin = d.opt.Output.Stdin
	}
	cmd.SysProcAttr = d.opt.Output.place()
	var sockets Sockets = noSockets{noHandover}
	if d.opt.Handover != nil {
		sockets = d.opt.Handover.Begin(number, cmd)
	}
	if stopped := d.opt.Output.Stopped; stopped != nil && d.opt.Output.Foreground != nil {
		d.opt.Reaper.OnStop(cmd, func(sig syscall.Signal) { stopped(cmd.Process.Pid, sig) })
	}
	err = d.opt.Reaper.Start(cmd)
	sockets.Started()
	if err != nil {
		sockets.Retire()
		return nil, nil, nil, fmt.Errorf("start the server: %w", err)
	}
	return cmd, out, sockets, nil
}

func exitOf(st *os.ProcessState) Exit {
	if st == nil {
		return Exit{}
	}
	ws, ok := st.Sys().(syscall.WaitStatus)
	if ok && ws.Signaled() {
		return Exit{Known: true, Signal: ws.Signal()}
	}
	return Exit{Known: true, Status: st.ExitCode()}
}

func (d *processes) bootFailed(out *output, what string, exit Exit, timeout bool) error {
	return &bootError{what: what, exit: exit, timeout: timeout, lines: out.last()}
}
