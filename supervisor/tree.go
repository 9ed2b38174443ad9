package supervisor

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/hotreload/hotreload/signals"
	"github.com/hotreload/hotreload/watcher"
)

// Exit is how a process ended.
type Exit struct {
	Why    string         // what ended instead of the process itself, "" when it did
	Known  bool           // false for a process that was not our child
	Status int            // exit status
	Signal syscall.Signal // 0: it exited
}

// Code is the exit code a shell would give: the status, or 128 plus the signal.
func (e Exit) Code() int {
	if e.Signal != 0 {
		return 128 + int(e.Signal)
	}
	return e.Status
}

func (e Exit) String() string {
	switch {
	case e.Why != "":
		return e.Why
	case !e.Known:
		return "gone"
	case e.Signal != 0:
		return "ended by " + signals.SignalName(e.Signal)
	default:
		return fmt.Sprintf("exit code %d", e.Status)
	}
}

// giveUpCode is hotreload's exit code when it gives up on a server that ended: never success.
func giveUpCode(e Exit) int {
	if code := e.Code(); code != 0 {
		return code
	}
	return 1
}

// tree is a generation on this machine: a master with its process tree.
type tree struct {
	number   int
	oldest   uint64 // the start of the first process, in the unit of signals.Process
	kernel   kernel
	layout   Layout
	master   signals.Process
	token    string // in the environment of all that the command starts; "" when unknown
	group    int    // process group of the tree; 0: not of its own
	ours     bool   // started by us or by an earlier hotreload: may be stopped
	found    bool   // it ran before this hotreload did
	sockets  Sockets
	crippled string          // why no worker of it may be replaced; "": they may
	home     origin          // what it was started with
	loaded   *watcher.Opened // what the master loaded before it forked; nil: not known
	blind    *string         // why new workers would get old code, once that was asked
	started  time.Time
	out      *output
	done     chan struct{} // closed when the master has ended
	exit     Exit          // set before done is closed
	once     sync.Once     // of the end

	mu      sync.Mutex // guards what status queries read while an operation works on the tree
	release *Release   // that it serves; nil: not in release mode
	members map[signals.Process]bool
	last    view
	listen  []signals.Listener
	stays   map[signals.Process]bool // processes that reloads have shown never to be replaced
}

func (d *processes) newTree(number int, master signals.Process, group int, out *output, home origin) *tree {
	started, err := master.StartedAt()
	if err != nil {
		started = time.Now()
	}
	return &tree{
		home: home, release: home.release, oldest: master.Start, number: number, kernel: d.kernel, layout: d.opt.Server.Layout, master: master, group: group, started: started, out: out, done: make(chan struct{}),
		members: map[signals.Process]bool{master: true}, stays: map[signals.Process]bool{}, sockets: noSockets{"it was not started by this hotreload"},
	}
}

func (t *tree) Number() int           { return t.number }
func (t *tree) Done() <-chan struct{} { return t.done }
func (t *tree) Exit() Exit            { return t.exit }
func (t *tree) StartedAt() time.Time  { return t.started }
func (t *tree) LastLines() []string   { return t.out.last() }

// Oldest is when the oldest process that serves was started: what has changed since may not be live.
func (t *tree) Oldest() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	since, first := t.started, true
	for _, s := range t.last.procs {
		if started, err := s.StartedAt(); err == nil && s.role.serves() && (first || started.Before(since)) {
			since, first = started, false
		}
	}
	return since
}

// Preloaded are the files that the master loaded before it forked, if that is known.
func (t *tree) Preloaded() (watcher.Opened, bool) {
	if t.loaded == nil {
		return nil, false
	}
	return *t.loaded, true
}

// Handover is how its sockets survive a restart.
func (t *tree) Handover() *HandoverStatus {
	method, why := t.sockets.Method()
	if why == noHandover {
		return nil
	}
	return &HandoverStatus{Method: method, Why: why, Listen: t.sockets.Listening()}
}

func (h *HandoverStatus) listen() []string {
	if h == nil {
		return nil
	}
	return h.Listen
}

// Release is the one that it serves, nil outside of release mode.
func (t *tree) Release() *Release {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.release
}

// setRelease notes that its workers have loaded another release than it was started from.
func (t *tree) setRelease(r *Release) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.release = r
}

// Crippled says why workers of it must not be replaced, "" when they may.
func (t *tree) Crippled() string { return t.crippled }

// Found reports whether the server ran before this hotreload did, so that changes may have been missed.
func (t *tree) Found() bool { return t.found }

// watch notes the end of a master that is not our child: somebody else started it, or a shell or a daemonizing parent
// stands between. It is called once.
func (t *tree) watch() {
	master := t.master
	go func() {
		// Nothing but the end of the process ends this wait: the tree lives as long as its master.
		for master.Wait(context.Background()) != nil && master.Alive() {
		}
		t.ended(Exit{})
	}()
}

// manager is the process between a Swoole master and its workers, as of the last look; false: there is none.
func (t *tree) manager() (signals.Process, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.IndexFunc(t.last.procs, func(s sighting) bool { return s.role == Manager })
	if i < 0 || t.layout != LayoutSwoole {
		return signals.Process{}, false
	}
	return t.last.procs[i].Process, true
}

// workers are the event workers, as of the last look.
func (t *tree) workers() []sighting {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(t.last.procs), func(s sighting) bool { return s.role != Worker })
}

// watchManager takes the end of the manager for the end of the server: nobody forks workers any more.
func (t *tree) watchManager(v view) {
	i := slices.IndexFunc(v.procs, func(s sighting) bool { return s.role == Manager })
	if i < 0 {
		return
	}
	manager := v.procs[i].Process
	go func() {
		for manager.Wait(context.Background()) != nil && manager.Alive() {
		}
		// In an orderly end the master follows.
		select {
		case <-t.done:
		case <-time.After(linger / 4):
			t.ended(Exit{Why: fmt.Sprintf("its manager (process %d) ended", manager.PID)})
		}
	}()
}

// ended notes how the master ended.
func (t *tree) ended(e Exit) {
	t.once.Do(func() {
		t.exit = e
		close(t.done)
	})
}

// mayHaveEscaped reports whether a process that holds a socket of the tree may have come from it: an orphan that started
// after it did. Others have the socket from whoever passed it to us.
func (t *tree) mayHaveEscaped(i signals.Info) bool {
	return i.Start >= t.oldest && (i.PPID == 1 || i.PPID == os.Getpid())
}

// remember keeps the identity of every process seen, so that none is forgotten when its parent dies.
func (t *tree) remember(v view) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range v.procs {
		t.members[s.Process] = true
	}
	for p := range t.members {
		if !v.has(p) && !p.Alive() {
			delete(t.members, p)
		}
	}
	t.last = v
}

// processes are the members that are known.
func (t *tree) processes() []signals.Process {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Collect(maps.Keys(t.members))
}

func (t *tree) setListeners(l []signals.Listener) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.listen = l
}

// listeners are the sockets that t listens on, as far as that is known; none where there is no t.
func (t *tree) listeners() []signals.Listener {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.listen
}

// setMaster notes that another process of the tree than the first is the master.
func (t *tree) setMaster(p signals.Process) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.master = p
	t.members[p] = true
}

// everybody returns the processes that belong to the tree and live, parents first: below the master, seen before, or in
// its process group.
func (t *tree) everybody() ([]signals.Info, error) {
	table, err := signals.Snapshot()
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	seen := map[signals.Process]bool{}
	var all []signals.Info
	add := func(infos []signals.Info) {
		for _, i := range infos {
			if !seen[i.Process] {
				seen[i.Process] = true
				all = append(all, i)
				t.members[i.Process] = true
			}
		}
	}
	add(table.Tree(t.master))
	for _, i := range table.Select(func(i signals.Info) bool { return t.belongs(i) }) {
		add(table.Tree(i.Process))
	}
	return all, nil
}

func (t *tree) belongs(i signals.Info) bool {
	return t.members[i.Process] || (t.group > 1 && i.PGID == t.group) || t.escaped(i)
}

// escaped reports whether i is an orphan that left the tree (a session of its own, its parent dead) before anybody saw it
// there: what the command was started with is still in its environment.
func (t *tree) escaped(i signals.Info) bool {
	if t.token == "" || (i.PPID != 1 && i.PPID != os.Getpid()) {
		return false
	}
	env, err := i.Environ()
	return err == nil && slices.Contains(env, t.token)
}

// neverReplaced notes that reloads pass p by.
func (t *tree) neverReplaced(p signals.Process) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stays[p] = true
}

func (t *tree) isNeverReplaced(p signals.Process) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.stays[p]
}

// resolution is that of the start of a process (/proc/PID/stat counts in ticks of 10 ms); what is more precise is noise.
const resolution = 10 * time.Millisecond

// Describe looks at the tree, and returns what status shows of it.
func (t *tree) Describe() (*MasterStatus, []WorkerStatus) {
	if v, err := newObserver(t.kernel, t.layout, t.master).look(); err == nil {
		t.remember(v)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	m := &MasterStatus{PID: t.master.PID, StartedAt: t.started.Round(resolution), UptimeS: time.Since(t.started).Seconds()}
	workers := []WorkerStatus{}
	for i, s := range t.last.procs {
		if i == 0 || s.role == Helper {
			continue
		}
		started, _ := s.StartedAt()
		role := s.role
		if t.stays[s.Process] {
			role = UserProcess
		}
		workers = append(workers, WorkerStatus{PID: s.PID, Role: role, StartedAt: started.Round(resolution), RSSBytes: s.RSS})
	}
	return m, workers
}
