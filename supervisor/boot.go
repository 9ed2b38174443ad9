package supervisor

import (
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
)

// processes is the driver on real processes.
type processes struct {
	opt    *Options
	kernel kernel
	log    *zap.Logger
	note   func(string) // something worth a line
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
func (d *processes) boot(ctx context.Context, number int) (generation, error) {
	if d.opt.Mode == Attach {
		return d.attach(number)
	}
	if a := d.opt.Adopt; a != nil {
		d.opt.Adopt = nil // a second start is a start
		if a.Master.Alive() {
			return d.adopt(a)
		}
		d.endLeftovers(ctx, a)
	}
	return d.launch(ctx, number)
}

// attach finds the master that somebody else started.
func (d *processes) attach(number int) (generation, error) {
	j := d.judge(signals.Expectation{Programs: d.programs()})
	if j.Verdict != signals.Master {
		return nil, &bootError{what: fmt.Sprintf("no master in %s: %s", d.opt.Server.PIDFile, j.Reason)}
	}
	t := d.newTree(number, j.Master, 0, &output{})
	t.found = true
	if err := d.takeOver(t); err != nil {
		return nil, err
	}
	return t, nil
}

func (d *processes) adopt(a *Adoption) (generation, error) {
	t := d.newTree(a.Generation, a.Master, 0, &output{})
	t.ours, t.found, t.token = true, true, a.Token
	if info, err := a.Master.Info(); err == nil && info.PGID == a.Group {
		t.group = a.Group
	}
	for _, p := range a.Members {
		t.members[p] = true
	}
	if err := d.takeOver(t); err != nil {
		return nil, err
	}
	d.save(t)
	return t, nil
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

func (d *processes) judge(want signals.Expectation) signals.Judgement {
	if d.opt.Server.PIDFile == "" {
		return signals.Judgement{Verdict: signals.NoFile, Reason: "no pid file is configured"}
	}
	return signals.Judge(d.opt.Server.PIDFile, want)
}

// clearPIDFile removes a pid file that names nobody, and refuses when it names a master: no two masters.
func (d *processes) clearPIDFile() error {
	file := d.opt.Server.PIDFile
	j := d.judge(signals.Expectation{Programs: d.programs()})
	switch j.Verdict {
	case signals.NoFile:
		return nil
	case signals.Master:
		return &bootError{what: fmt.Sprintf(
			"a master already runs (pid %d, from %s), and hotreload did not start it: stop it, or watch it with `hotreload watch --attach`",
			j.Master.PID, file)}
	}
	if st, err := os.Lstat(file); err == nil && !st.Mode().IsRegular() && st.Mode()&fs.ModeSymlink == 0 {
		return &bootError{what: fmt.Sprintf("pid file %s: %s; move it away", file, j.Reason)}
	}
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove stale pid file: %w", err)
	}
	d.note(fmt.Sprintf("removed %s: %s", file, j.Reason))
	return nil
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
func (d *processes) launch(ctx context.Context, number int) (generation, error) {
	if err := d.clearPIDFile(); err != nil {
		return nil, err
	}
	token := "HOTRELOAD_SERVER=" + rand.Text()
	cmd, out, err := d.start(token)
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
		exit := <-exited
		out.drained(linger)
		return nil, d.bootFailed(out, "the server ended at once: "+exit.String(), exit, false)
	}
	t := d.newTree(number, root, root.PID, out)
	t.ours, t.token = true, token
	b := &booting{d: d, s: &d.opt.Server, t: t, root: root, exited: exited, begin: time.Now()}
	if err := b.wait(ctx); err != nil {
		// Whatever is there by now gets a moment to end by itself, so that it removes its pid file and its sockets.
		short, cancel := context.WithTimeout(context.Background(), 2*linger)
		defer cancel()
		if endErr := d.end(short, t); endErr != nil {
			d.note(endErr.Error())
		}
		return nil, err
	}
	d.save(t)
	return t, nil
}

// start executes the command in a process group of its own, with token in its environment.
func (d *processes) start(token string) (*exec.Cmd, *output, error) {
	s := &d.opt.Server
	dir, err := filepath.EvalSymlinks(s.Dir)
	if err != nil {
		return nil, nil, fmt.Errorf("working directory of the server: %w", err)
	}
	out := &output{}
	st, err := connect(d.opt.Output, d.opt.Reaper, out)
	if err != nil {
		return nil, nil, err
	}
	defer st.closeTheirs()
	cmd := exec.Command(s.Command[0], s.Command[1:]...)
	env := s.Env
	if env == nil {
		env = os.Environ()
	}
	cmd.Dir, cmd.Env = dir, append(slices.Clone(env), token)
	cmd.Stdout, cmd.Stderr = st.theirs[0], st.theirs[1]
	if d.opt.Output.Stdin != nil {
		cmd.Stdin = d.opt.Output.Stdin
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := d.opt.Reaper.Start(cmd); err != nil {
		return nil, nil, fmt.Errorf("start the server: %w", err)
	}
	return cmd, out, nil
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

// booting is one start on its way to ready.
type booting struct {
	d        *processes
	s        *Server
	t        *tree
	root     signals.Process
	exited   chan Exit // the end of the command that was started
	begin    time.Time
	o        *observer
	named    bool      // the pid file names the master
	detached time.Time // when the command ended; zero: it runs
	calm     time.Time // since when everything but a listening socket is there
	why      string    // what is still missing
}

// unnamed is how long a server may serve without writing its pid file before hotreload goes on without it.
const unnamed = 3 * time.Second

// silent is how long a server may have everything but a listening socket before it is taken for one that needs none.
const silent = time.Second

func (b *booting) wait(ctx context.Context) error {
	errLate := errors.New("not ready in time")
	ctx, cancel := context.WithTimeoutCause(ctx, b.s.ReadyTimeout, errLate)
	defer cancel()
	b.o = newObserver(b.d.kernel, b.s.Layout, b.t.master)
	for {
		look := time.Now()
		ready, err := b.look(ctx)
		if err != nil {
			return err
		}
		if ready {
			return nil
		}
		select {
		case exit := <-b.exited:
			if err := b.commandEnded(exit); err != nil {
				return err
			}
		case <-ctx.Done():
			if context.Cause(ctx) == errLate {
				what := fmt.Sprintf("the server was not ready within %s: %s", b.s.ReadyTimeout, b.why)
				return b.d.bootFailed(b.t.out, what, Exit{}, true)
			}
			return ctx.Err()
		case <-time.After(pace(look.Sub(b.begin), time.Since(look))):
		}
	}
}

// commandEnded tells a server that daemonized from one that failed: the first leaves a master behind, which its pid file
// names or soon will.
func (b *booting) commandEnded(exit Exit) error {
	b.detached = time.Now()
	if b.named && b.t.master != b.root && b.t.master.Alive() {
		b.t.watch()
		return nil
	}
	if exit.Code() == 0 && b.s.PIDFile != "" {
		b.named = false
		return nil
	}
	return b.failed(exit)
}

func (b *booting) failed(exit Exit) error {
	b.t.ended(exit)
	b.t.out.drained(linger) // its last words are the cause
	what := "the server ended before it was ready: " + exit.String()
	if cause := fatalLine(b.t.out.last()); cause != "" {
		what += ": " + cause
	}
	return b.d.bootFailed(b.t.out, what, exit, false)
}

// look decides whether the server is ready, and notes what is missing.
func (b *booting) look(ctx context.Context) (bool, error) {
	b.findMaster()
	v, err := b.o.look()
	if errors.Is(err, signals.ErrGone) {
		b.why = "the master is gone"
		if !b.detached.IsZero() && (b.named || time.Since(b.detached) > linger) {
			return false, b.failed(Exit{Known: true})
		}
		return false, nil // the end of the command follows, or a pid file
	}
	if err != nil {
		return false, err
	}
	b.t.remember(v)
	if loop := b.o.loops(v, b.t.out.last()); loop != nil {
		return false, b.d.bootFailed(b.t.out, loop.Error(), Exit{Known: true, Status: 1}, false)
	}
	if b.why = b.missing(v); b.why != "" {
		b.calm = time.Time{}
		return false, nil
	}
	if b.calm.IsZero() {
		b.calm = v.at
	}
	if b.s.PIDFile != "" && !b.named && v.at.Sub(b.calm) < unnamed {
		b.why = fmt.Sprintf("it has not written %s", b.s.PIDFile)
		return false, nil
	}
	return b.answers(ctx, v)
}

// answers asks the probe, or without one the sockets that the server listens on.
func (b *booting) answers(ctx context.Context, v view) (bool, error) {
	listeners := b.d.listenersOf(b.t)
	b.t.setListeners(listeners)
	probe := b.s.Probe
	if probe == nil && len(listeners) == 0 {
		b.why = "it does not listen on any port"
		return v.at.Sub(b.calm) >= silent, nil
	}
	if probe == nil {
		probe = ProbeListeners(listeners)
	}
	if err := probe(ctx); err != nil {
		if ctx.Err() == nil { // else it is the end of the wait that cut the probe short
			b.why = err.Error()
		}
		return false, nil
	}
	b.accept()
	return true, nil
}

// accept ends the boot: from here on the master is watched by its identity.
func (b *booting) accept() {
	if b.s.PIDFile != "" && !b.named {
		b.d.note(fmt.Sprintf("the server serves, but never wrote %s: is pid_file right?", b.s.PIDFile))
	}
	switch {
	case b.t.master == b.root:
		go func() { b.t.ended(<-b.exited) }()
	case b.detached.IsZero():
		b.t.watch()
	}
}

// findMaster finds out which process of the tree is the master: the one that the pid file names, or else the first PHP
// below wrappers such as a shell.
func (b *booting) findMaster() {
	if b.named {
		return
	}
	if !b.detached.IsZero() {
		if j := b.d.judge(signals.Expectation{Programs: b.d.programs()}); j.Verdict == signals.Master {
			b.become(j.Master)
			b.named = true
			b.t.watch()
		}
		return
	}
	infos, err := signals.Tree(b.root)
	if err != nil {
		return
	}
	ids := make([]signals.Process, len(infos))
	for i, info := range infos {
		ids[i] = info.Process
	}
	if b.s.PIDFile != "" && len(ids) > 0 {
		j := b.d.judge(signals.Expectation{Tree: ids, Programs: b.d.programs()})
		if j.Verdict == signals.Master {
			b.become(j.Master)
			b.named = true
			return
		}
	}
	b.become(belowWrappers(infos, b.root))
}

// belowWrappers follows only children down from root, past programs that only start others.
func belowWrappers(infos []signals.Info, root signals.Process) signals.Process {
	children := map[int][]signals.Info{}
	for _, i := range infos {
		children[i.PPID] = append(children[i.PPID], i)
	}
	at := root
	for {
		next := children[at.PID]
		if len(next) != 1 || !isWrapper(infos, at) {
			return at
		}
		at = next[0].Process
	}
}

var wrappers = []string{"sh", "bash", "dash", "ash", "busybox", "env", "sudo", "su", "gosu", "nice", "nohup", "stdbuf", "tini", "dumb-init", "make", "composer"}

func isWrapper(infos []signals.Info, p signals.Process) bool {
	i := slices.IndexFunc(infos, func(i signals.Info) bool { return i.Process == p })
	return i >= 0 && slices.Contains(wrappers, infos[i].Comm)
}

func (b *booting) become(master signals.Process) {
	if master == b.t.master {
		return
	}
	b.t.setMaster(master)
	b.o = newObserver(b.d.kernel, b.s.Layout, master)
}

// missing says what v lacks of a server that can be reloaded and serves; "" when nothing.
func (b *booting) missing(v view) string {
	master := v.procs[0]
	if b.s.Layout == LayoutSingle {
		return ""
	}
	if sig := b.s.Signals.Reload; sig != 0 && !master.handles(sig) && !master.ignores(sig) && b.s.Layout != LayoutForked {
		if v.at.Sub(b.begin) < silent || !master.served {
			return fmt.Sprintf("the master has no handler for %s yet", signals.SignalName(sig))
		}
	}
	if b.o.young > 0 && v.at.Sub(b.o.died) < unmoved {
		return "workers die"
	}
	if len(v.serving(false)) == 0 && (bossy(master.proc, b.s.Layout) || b.s.Layout == LayoutForked && v.at.Sub(b.begin) < unmoved) {
		return "no worker has been started yet"
	}
	var starting []string
	for _, s := range v.procs[1:] {
		if s.role != UserProcess && !s.served && !(s.role == Helper && v.at.Sub(s.first) > silent) && s.role != Manager {
			starting = append(starting, s.Process.String())
		}
	}
	if len(starting) > 0 {
		return fmt.Sprintf("workers have not finished their start (%s)", strings.Join(starting, ", "))
	}
	return ""
}

// bossy reports whether a master is one that has others do the work, so that it cannot be ready without a worker.
func bossy(master proc, layout Layout) bool {
	switch layout {
	case LayoutSwoole:
		return isManager(master) || master.masks.Blocked.Has(syscall.SIGCHLD)
	case LayoutWorkerman:
		return true
	default:
		return false
	}
}
