package supervisor

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hotreload/hotreload/signals"
)

// kernel is everything the observer asks the operating system. Tests replace it.
type kernel struct {
	tree  func(root signals.Process) ([]signals.Info, error)
	masks func(p signals.Process) (signals.Masks, error)
	wchan func(p signals.Process) (string, error)
	title func(p signals.Process) ([]string, error)
	exe   func(p signals.Process) (string, error)
	start func(p signals.Process) (time.Time, error)
	now   func() time.Time
}

func realKernel() kernel {
	return kernel{
		tree:  signals.Tree,
		masks: signals.Process.Masks,
		wchan: signals.Process.Waiting,
		title: signals.Process.Cmdline,
		exe:   signals.Process.Exe,
		start: signals.Process.StartedAt,
		now:   time.Now,
	}
}

// sighting is what has been seen of one process since the observer began.
type sighting struct {
	proc
	role      Role
	first     time.Time // when it was seen first
	slept     time.Time // when it was seen sleeping last
	idle      time.Time // since when it has been waiting for work without being woken; zero: it is not
	woken     int       // looks between which it was woken
	glimpsed  bool      // it was seen waiting for work at least once
	served    bool      // it has started well: it has been waiting for work for a while, or lived long enough to be believed
	listening int       // sockets it listened on when a reload began; Workerman only
}

// view is one look at a tree.
type view struct {
	at    time.Time
	procs []sighting // parents first; procs[0] is the master
}

func (v view) has(p signals.Process) bool {
	return slices.ContainsFunc(v.procs, func(s sighting) bool { return s.Process == p })
}

// serving are the processes of v that run the code a reload replaces: task workers alone, or all.
func (v view) serving(tasksOnly bool) []sighting {
	var out []sighting
	for _, s := range v.procs {
		if s.role == TaskWorker || (s.role == Worker && !tasksOnly) {
			out = append(out, s)
		}
	}
	return out
}

// dwells returns how long it takes until all processes of v that are to serve will have waited for work long enough, if nothing wakes them:
// then the next look is worth while. False: one of them does something else, or all have.
func (v view) dwells() (time.Duration, bool) {
	var all time.Duration
	waits := false
	for _, s := range v.procs {
		switch {
		case s.served || !s.role.serves():
		case s.idle.IsZero():
			return 0, false
		default:
			waits = true
			all = max(all, dwell-v.at.Sub(s.idle))
		}
	}
	return all, waits
}

// believed is how long a process that was seen waiting for work, but is always busy, must live to be taken for one that has
// started well; lastResort is the same for one that never was.
const (
	believed   = time.Second
	lastResort = 10 * time.Second
)

// grownUp is after how long a forked process has installed its own signal handlers for sure: they take 3 ms.
const grownUp = 100 * time.Millisecond

// observer looks at one tree again and again, remembers what it saw, and counts processes that die before they served.
type observer struct {
	kernel  kernel
	layout  Layout
	master  signals.Process
	known   map[signals.Process]*sighting
	before  map[signals.Process]bool // what was there at the first look: its end is no sign of anything
	visible bool                     // the kernel shows what processes wait for
	moves   int                      // processes that came or went
	gone    int                      // serving processes that ended
	young   map[Role]int             // deaths of processes that came after the first look and never served
	born    map[Role]int             // processes that came after it and were seen waiting for work
	began   time.Time                // the first look
	first   time.Time                // the first of these deaths
	died    time.Time                // the last of them
	infant  time.Time                // when a process that came after the first look last died early, whether it served or not
}

func newObserver(k kernel, layout Layout, master signals.Process) *observer {
	return &observer{
		kernel: k, layout: layout, master: master, known: map[signals.Process]*sighting{},
		young: map[Role]int{}, born: map[Role]int{},
	}
}

// look takes one view of the tree. It returns signals.ErrGone when the master has ended.
func (o *observer) look() (view, error) {
	infos, err := o.kernel.tree(o.master)
	if err != nil {
		return view{}, err
	}
	now := o.kernel.now()
	if o.began.IsZero() {
		o.began = now
	}
	tree := make([]proc, 0, len(infos))
	for _, info := range infos {
		if p, ok := o.examine(info); ok {
			tree = append(tree, p)
		}
	}
	if len(tree) == 0 || tree[0].Process != o.master {
		return view{}, signals.ErrGone
	}
	roles := classify(o.layout, tree)
	v := view{at: now}
	for i, p := range tree {
		v.procs = append(v.procs, *o.remember(p, roles[i], now))
	}
	o.bury(v)
	if o.before == nil {
		o.before = make(map[signals.Process]bool, len(v.procs))
		for _, s := range v.procs {
			o.before[s.Process] = true
		}
	}
	return v, nil
}

// examine reads what a look needs to know of a process. A worker that has settled is not examined again: a look must
// stay cheap with hundreds of them.
func (o *observer) examine(info signals.Info) (proc, bool) {
	if s := o.known[info.Process]; s != nil && s.served && s.role.serves() && o.kernel.now().Sub(s.first) >= infancy {
		p := s.proc
		p.Info = info
		return p, true
	}
	p := proc{Info: info}
	var err error
	if p.masks, err = o.kernel.masks(info.Process); err != nil {
		return p, !errors.Is(err, signals.ErrGone)
	}
	if o.layout == LayoutSwoole && isManager(p) {
		started, err := o.kernel.start(info.Process)
		p.grown = err == nil && o.kernel.now().Sub(started) >= grownUp
	}
	if o.layout == LayoutForked {
		// A name that cannot be read speaks for nothing.
		p.exe, _ = o.kernel.exe(info.Process)
	}
	if o.layout == LayoutWorkerman {
		if args, err := o.kernel.title(info.Process); err == nil {
			p.title = strings.Join(args, " ")
		}
	}
	return p, true
}

func (o *observer) remember(p proc, role Role, now time.Time) *sighting {
	s := o.known[p.Process]
	if s == nil {
		s = &sighting{first: now}
		o.known[p.Process] = s
		o.moves++
	}
	woken := s.masks.Switches != p.masks.Switches
	s.proc, s.role = p, role
	if role != Helper && (!s.served || now.Sub(s.first) < infancy) {
		wchan, err := o.kernel.wchan(p.Process)
		had := s.glimpsed
		// Nothing is what a process that runs or ends waits for, too: only where no process shows anything is it hidden.
		o.visible = o.visible || err == nil && wchan != ""
		s.settle(p.idlesIn(wchan), wchan, !o.visible, woken, now)
		if s.glimpsed && !had && o.before != nil && !o.before[p.Process] {
			o.born[role]++
		}
	}
	return s
}

// settle judges by what a process waits for, and for how long it has been seen so, whether it has started well.
func (s *sighting) settle(idle bool, wchan string, hidden, woken bool, now time.Time) {
	age := now.Sub(s.first)
	if woken {
		s.woken++
	}
	if !idle || woken {
		s.idle = time.Time{}
	}
	switch {
	case idle:
		s.glimpsed = true
		if s.idle.IsZero() {
			s.idle = now
		}
		s.served = s.served || now.Sub(s.idle) >= dwell
	case hidden:
		s.served = age >= believed/4
	case strings.HasPrefix(wchan, "hrtimer_nanosleep"), strings.HasPrefix(wchan, "do_nanosleep"):
		// Also one that waited for something first: it was not for work. Only who sleeps again and again, for long, may be one
		// that looks for work in between.
		s.slept = now
		s.served = age >= lastResort && s.woken >= 3
	case s.served:
	case !s.glimpsed:
		s.served = age >= lastResort // it computes, or waits for a database: its start, as far as anybody can tell
	case !s.slept.IsZero():
		s.served = now.Sub(s.slept) >= believed
	default:
		s.served = age >= believed
	}
}

// bury forgets what has ended, and counts what ended young.
func (o *observer) bury(v view) {
	for p, s := range o.known {
		if v.has(p) {
			continue
		}
		if o.before != nil && !o.before[p] && v.at.Sub(s.first) < infancy {
			o.infant = v.at
		}
		if o.before != nil && !o.before[p] && !s.served {
			o.young[servingRole(s.role)]++
			o.died = v.at
			if o.first.IsZero() {
				o.first = v.at
			}
		}
		delete(o.known, p)
		o.moves++
		if s.role.serves() {
			o.gone++
		}
	}
}

// servingRole takes a process that died before it was known for what it was for a worker.
func servingRole(r Role) Role {
	if r == TaskWorker {
		return r
	}
	return Worker
}

// What it takes to call a crash loop when the server does not say why its workers die: max_request=1 under load ends workers
// within milliseconds, too.
const (
	manyDeaths = 10
	longEnough = 700 * time.Millisecond
)

// loops judges whether workers of v cannot start: some died young, and no new one of their role has lived on. (Swoole's task
// worker survives an exception in onWorkerStart, so a living task worker says nothing of event workers.)
func (o *observer) loops(v view, lines []string) *crashLoop {
	if o.layout == LayoutSingle {
		return nil // of any program nothing is known: a shell script has children that end all the time
	}
	cause := fatalLine(lines)
	if v.at.Sub(o.began) >= longEnough && len(o.born) == 0 && fatals(lines) >= manyDeaths && !o.anyServes(v) {
		return &crashLoop{deaths: manyDeaths, cause: cause} // they die faster than anybody can look
	}
	for role, deaths := range o.young {
		silent := cause == "" && (deaths < manyDeaths || o.born[role] > 0 || o.died.Sub(o.first) < longEnough)
		early := cause != "" && deaths < manyDeaths && v.at.Sub(o.first) < infancy // the others may be well
		if deaths > 0 && !silent && !early && !o.lives(v, role) {
			return &crashLoop{deaths: deaths, cause: cause}
		}
	}
	return nil
}

// dwell is how long a process must have waited for work without being woken to be taken for one that has started well: one
// whose start fails may look for a moment as if it waited, too.
const dwell = 15 * time.Millisecond

// When new workers die in their infancy, it depends: while PHP reports fatal errors none counts; without a word they are
// taken for respawns (max_request=1 under load), and all that were seen waiting for work count, once there was time for a word.
const infancy = 300 * time.Millisecond

// unrest is for how long after a process died without having served none is believed: Workerman's next try is a second away.
const unrest = 2 * time.Second

// established returns how many of these new processes count. The lines are what the server printed since the observer began.
func (o *observer) established(v view, fresh []sighting, lines []string) int {
	dying := recent(v.at, o.infant, infancy)
	if (dying || recent(v.at, o.died, unrest)) && fatalLine(lines) != "" {
		return 0
	}
	// With a loaded machine all that is seen of a failing worker may be what it printed.
	if v.at.Sub(o.began) < longEnough && slices.ContainsFunc(lines, uncaught.MatchString) {
		return 0
	}
	n := 0
	for _, s := range fresh {
		if s.served {
			n++
		}
	}
	if dying && v.at.Sub(o.began) >= longEnough {
		return max(n, o.born[Worker]+o.born[TaskWorker])
	}
	return n
}

// anyServes reports whether v has a process that runs the code a reload replaces and has started well.
func (o *observer) anyServes(v view) bool {
	return slices.ContainsFunc(v.procs, func(s sighting) bool { return s.role.serves() && s.served })
}

func recent(now, then time.Time, within time.Duration) bool {
	return !then.IsZero() && now.Sub(then) < within
}

// lives reports whether v has a new process with this role that has served and outlived its infancy.
func (o *observer) lives(v view, role Role) bool {
	return slices.ContainsFunc(v.procs, func(s sighting) bool {
		return s.role == role && s.served && !o.before[s.Process] && v.at.Sub(s.first) >= infancy
	})
}

// fatal is how PHP and the frameworks report an error that ends a worker: PHP and Swoole as a fatal error, Workerman as the
// exception alone. What stands before it (a time, a pid, a log level) says nothing about the cause.
var fatal = regexp.MustCompile(`\b(?:PHP )?((?:Fatal error|Parse error|Compile error|Uncaught [\w\\]+)\b.*` +
	`|[\w\\]*(?:Exception|Error): .* in .+(?::| on line )\d+.*)`)

// uncaught is what only an error that ends a process looks like.
var uncaught = regexp.MustCompile(`\b(?:Fatal error|Parse error|Compile error)\b`)

// exited is how Workerman's master reports the end of a worker.
var exited = regexp.MustCompile(`(worker\[[^\]]*\] exit with status [1-9]\d*.*)`)

// fatalLine is the cause in the newest line that tells of a fatal error, "" when there is none.
func fatalLine(lines []string) string {
	for _, how := range []*regexp.Regexp{fatal, exited} {
		for _, line := range slices.Backward(lines) {
			if m := how.FindStringSubmatch(line); m != nil {
				return strings.Join(strings.Fields(m[1]), " ")
			}
		}
	}
	return ""
}

// fatals counts the lines that tell of an error that ends a process.
func fatals(lines []string) int {
	n := 0
	for _, line := range lines {
		if uncaught.MatchString(line) {
			n++
		}
	}
	return n
}
