package supervisor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/hotreload/hotreload/signals"
)

// booting is one start on its way to ready.
type booting struct {
	d        *processes
	s        *Server
	t        *tree
	root     signals.Process
	exited   chan Exit // the end of the command that was started
	rec      Recording // of the files that are opened; nil: none
	begin    time.Time
	o        *observer
	named    bool      // the pid file names the master
	detached time.Time // when the command ended; zero: it runs
	calm     time.Time // since when everything but a listening socket is there
	last     view      // of the tree
	why      string    // what is still missing
	told     bool      // that it takes long
}

// unnamed is how long a server may serve without writing its pid file before hotreload goes on without it.
const unnamed = 3 * time.Second

// silent is how long a server may have everything but a listening socket before it is taken for one that needs none.
const silent = time.Second

func (b *booting) wait(ctx context.Context) error {
	errLate := errors.New("not ready in time")
	ctx, cancel := context.WithTimeoutCause(ctx, b.s.ReadyTimeout, errLate)
	defer cancel()
	b.o = b.observer(b.t.master)
	for {
		look := time.Now()
		ready, err := b.look(ctx)
		if err != nil {
			return err
		}
		if ready {
			return nil
		}
		if look.Sub(b.begin) > patience && !b.told {
			b.told = true
			b.d.note("still not ready: " + b.why)
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
		case <-time.After(nextLook(b.last, look.Sub(b.begin), time.Since(look))):
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
	if exit.Code() == 0 && b.t.home.pidFile != "" {
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
	b.last = v
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
	if b.rec != nil && slices.ContainsFunc(v.procs, func(s sighting) bool { return s.isForked(b.s.Layout) }) {
		b.rec.Cut()
	}
	if loop := b.o.loops(v, b.t.out.last()); loop != nil {
		return false, b.d.bootFailed(b.t.out, loop.Error(), Exit{Known: true, Status: 1}, false)
	}
	if why := b.missing(v, b.t.out.last()); why != "" {
		b.why, b.calm = why, time.Time{}
		return false, nil
	}
	if b.calm.IsZero() {
		b.calm = v.at
	}
	if b.t.home.pidFile != "" && !b.named && v.at.Sub(b.calm) < unnamed {
		b.why = fmt.Sprintf("it has not written %s", b.t.home.pidFile)
		return false, nil
	}
	return b.answers(ctx, v)
}

// isForked reports whether s is for sure one of the processes that run the server, and no command that a starting master has run.
func (s sighting) isForked(layout Layout) bool {
	if layout == LayoutWorkerman { // there every child is taken for a worker
		return strings.HasPrefix(s.title, "WorkerMan: worker process")
	}
	return s.role == Manager || s.role.serves()
}

// answers asks the probe, or without one the sockets that the server listens on. Another generation may serve on the same addresses: a
// probe that cannot be led past it would ask that one.
func (b *booting) answers(ctx context.Context, v view) (bool, error) {
	listeners := b.d.listenersOf(b.t)
	b.t.setListeners(listeners)
	if why := mute(listeners, b.d.replacing.listeners()); why != "" {
		b.why = why
		return false, nil
	}
	probe := b.s.Probe
	if !b.s.ProbeSteers && b.t.number > 1 {
		probe = nil
	}
	if probe == nil && len(listeners) == 0 {
		b.why = "it does not listen on any port"
		if v.at.Sub(b.calm) < silent {
			return false, nil
		}
		b.accept(v)
		return true, nil
	}
	if probe == nil {
		probe = ProbeListeners(listeners)
	}
	if err := probe(withDialer(ctx, b.t.sockets)); err != nil {
		if ctx.Err() == nil { // else it is the end of the wait that cut the probe short
			b.why = err.Error()
		}
		return false, nil
	}
	b.accept(v)
	return true, nil
}

// mute says why a server that listens on nothing is not ready however calm it is: the one that it is to replace does listen, and would
// answer every probe in its place.
func mute(now, before []signals.Listener) string {
	if len(now) > 0 || len(before) == 0 {
		return ""
	}
	return fmt.Sprintf("it does not listen on any port, and the server that it is to replace listens on %s", before[0].Addr)
}

// accept ends the boot: from here on the master is watched by its identity.
func (b *booting) accept(v view) {
	if b.t.home.pidFile != "" && !b.named {
		b.d.note(fmt.Sprintf("the server serves, but never wrote %s: is pid_file right?", b.t.home.pidFile))
	}
	b.t.sockets.Seal()
	b.t.watchManager(v)
	b.d.advise(v)
	switch {
	case b.exited == nil: // adopted, and watched already
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
		if j := b.d.judge(b.t.home.pidFile, signals.Expectation{Programs: b.d.programs()}); j.Verdict == signals.Master {
			b.named = true
			if j.Master != b.t.master {
				b.become(j.Master)
				b.t.watch()
			}
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
	if b.t.home.pidFile != "" && len(ids) > 0 {
		j := b.d.judge(b.t.home.pidFile, signals.Expectation{Tree: ids, Programs: b.d.programs()})
		if j.Verdict == signals.Master {
			b.become(j.Master)
			b.named = true
			return
		}
	}
	if b.s.Layout != LayoutSingle { // of any program nothing is known but itself
		b.become(belowWrappers(infos, b.root, b.s.Layout == LayoutForked))
	}
}

// belowWrappers follows only children down from root, past programs that only start others, to a PHP or, where any program
// will do, to the first that is no wrapper. (What a shell runs before the server is neither.)
func belowWrappers(infos []signals.Info, root signals.Process, any bool) signals.Process {
	children := map[int][]signals.Info{}
	for _, i := range infos {
		children[i.PPID] = append(children[i.PPID], i)
	}
	found, at := root, root
	for {
		next := children[at.PID]
		if len(next) != 1 || !isWrapper(infos, at) {
			return found
		}
		at = next[0].Process
		if any || slices.ContainsFunc(phpNames, func(name string) bool { return strings.HasPrefix(next[0].Comm, name) }) {
			found = at
		}
	}
}

var phpNames = []string{"php", "swoole-cli", "frankenphp"}

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
	b.o = b.observer(master)
}

// observer looks at a tree in which everything but the master is new.
func (b *booting) observer(master signals.Process) *observer {
	o := newObserver(b.d.kernel, b.s.Layout, master)
	o.before = map[signals.Process]bool{master: true}
	return o
}

// missing says what v lacks of a server that can be reloaded and serves, "" when nothing. The lines are what the server has
// printed.
func (b *booting) missing(v view, lines []string) string {
	master := v.procs[0]
	if b.s.Layout == LayoutSingle {
		return ""
	}
	if sig := b.s.Signals.Reload; sig != 0 && !master.handles(sig) && !master.ignores(sig) && b.s.Layout != LayoutForked {
		if v.at.Sub(b.begin) < silent || !master.served {
			return fmt.Sprintf("the master has no handler for %s yet", signals.SignalName(sig))
		}
	}
	if len(v.serving(false)) == 0 && b.s.Layout != LayoutSingle && slices.ContainsFunc(lines, uncaught.MatchString) && !stands(master, b.s.Layout) {
		return "no worker lives"
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
	if serving := v.serving(false); b.o.established(v, serving, lines) < len(serving) {
		return "workers have only just started"
	}
	return ""
}

// stands reports whether a master serves by itself, as an event worker does.
func stands(master sighting, layout Layout) bool {
	return layout == LayoutSwoole && !bossy(master.proc, layout)
}

// bossy reports whether a master is one that has others do the work, so that it cannot be ready without a worker.
func bossy(master proc, layout Layout) bool {
	switch layout {
	case LayoutSwoole:
		serves := master.masks.Blocked.Has(syscall.SIGPIPE) // as event workers do
		return master.masks.Blocked.Has(syscall.SIGCHLD) || isManager(master) && !serves
	case LayoutWorkerman:
		return true
	default:
		return false
	}
}
