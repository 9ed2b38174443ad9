package supervisor

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hotreload/hotreload/signals"
)

// fakeTree is a process tree that a test arranges.
type fakeTree struct {
	procs map[int]fakeNode
	now   time.Time
}

type fakeNode struct {
	ppid  int
	wchan string
	masks signals.Masks
}

var (
	managerMasks = signals.Masks{Caught: signals.NewSet(swooleManager...)}
	workerMasks  = signals.Masks{Caught: signals.NewSet(zendCaught...), Blocked: signals.NewSet(swooleWorker...)}
)

func newFakeTree() *fakeTree {
	return &fakeTree{procs: map[int]fakeNode{1: {masks: managerMasks}}, now: time.Unix(1e9, 0)}
}

func (f *fakeTree) worker(pid int, wchan string) { f.procs[pid] = fakeNode{1, wchan, workerMasks} }
func (f *fakeTree) end(pid int)                  { delete(f.procs, pid) }

func (f *fakeTree) kernel() kernel {
	return kernel{
		tree: func(root signals.Process) ([]signals.Info, error) {
			var infos []signals.Info
			for pid, n := range f.procs {
				infos = append(infos, signals.Info{Process: signals.Process{PID: pid}, PPID: n.ppid})
			}
			slices.SortFunc(infos, func(a, b signals.Info) int { return a.PID - b.PID })
			return infos, nil
		},
		masks: func(p signals.Process) (signals.Masks, error) { return f.procs[p.PID].masks, nil },
		wchan: func(p signals.Process) (string, error) { return f.procs[p.PID].wchan, nil },
		title: func(signals.Process) ([]string, error) { return nil, nil },
		start: func(signals.Process) (time.Time, error) { return f.now, nil },
		exe:   func(signals.Process) (string, error) { return "", nil },
		now:   func() time.Time { return f.now },
	}
}

func (f *fakeTree) observer() *observer {
	return newObserver(f.kernel(), LayoutSwoole, signals.Process{PID: 1})
}

// lookAfter lets d pass between two looks.
func lookAfter(t *testing.T, f *fakeTree, o *observer, d time.Duration) view {
	t.Helper()
	mustLook(t, o)
	f.now = f.now.Add(d)
	return mustLook(t, o)
}

func mustLook(t *testing.T, o *observer) view {
	t.Helper()
	v, err := o.look()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestAWorkerServesWhenItWaitsForWork(t *testing.T) {
	tests := []struct {
		wchan string
		age   time.Duration
		want  bool
	}{
		{"do_epoll_wait", 0, false},
		{"do_epoll_wait", dwell, true},
		{"ep_poll", dwell, true},
		{"poll_schedule_timeout.constprop.0", dwell, true},
		{"__skb_wait_for_more_packets", dwell, true},
		{"hrtimer_nanosleep", 0, false}, // sleeps in onWorkerStart
		{"hrtimer_nanosleep", 900 * time.Millisecond, false},
		{"hrtimer_nanosleep", believed, false},   // Workerman after a failed start
		{"hrtimer_nanosleep", lastResort, false}, // one long sleep is a slow start
		{"0", believed, false},                   // it computes: its start, as far as anybody can tell
		{"0", lastResort, true},
		{"wait_woken", believed, false},      // a database that does not answer
		{"0", 900 * time.Millisecond, false}, // runs
		{"", 0, false},                       // the kernel does not say
		{"", believed / 4, true},
	}
	for _, tt := range tests {
		t.Run(tt.wchan+" "+tt.age.String(), func(t *testing.T) {
			f := newFakeTree()
			f.worker(2, tt.wchan)
			o := f.observer()
			mustLook(t, o)
			f.now = f.now.Add(tt.age)
			v := mustLook(t, o)
			if got := v.procs[1].served; got != tt.want {
				t.Errorf("served = %v, want %v", got, tt.want)
			}
		})
	}
}

// A master may wait for something while it boots, and install its handlers only then.
func TestTheMasterIsLookedAtAnew(t *testing.T) {
	f := newFakeTree()
	f.procs[1] = fakeNode{wchan: "do_epoll_wait", masks: signals.Masks{Caught: signals.NewSet(zendCaught...)}}
	o := f.observer()
	if v := mustLook(t, o); v.procs[0].handles(syscall.SIGUSR1) {
		t.Error("a PHP that has just started handles SIGUSR1")
	}
	f.procs[1] = fakeNode{wchan: "do_wait", masks: managerMasks}
	if v := mustLook(t, o); !v.procs[0].handles(syscall.SIGUSR1) {
		t.Error("the handlers that came later were not seen")
	}
}

func TestAWorkerThatSleepsAfterItWaitedHasNotServed(t *testing.T) {
	f := newFakeTree()
	f.worker(2, "poll_schedule_timeout.constprop.0")
	o := f.observer()
	mustLook(t, o)
	f.now = f.now.Add(dwell)
	mustLook(t, o)
	f.worker(2, "hrtimer_nanosleep")
	if mustLook(t, o).procs[1].served {
		t.Error("it counts as serving")
	}
}

// What a process that ends waits for is nothing, as where the kernel hides it.
func TestAWorkerThatEndsAfterAFailedStartHasNotServed(t *testing.T) {
	f := newFakeTree()
	f.worker(2, "hrtimer_nanosleep")
	o := f.observer()
	lookAfter(t, f, o, believed)
	f.worker(2, "")
	if mustLook(t, o).procs[1].served {
		t.Error("it counts as serving")
	}
}

func TestABusyWorkerIsBelievedOnceItWasSeenWaitingForWork(t *testing.T) {
	f := newFakeTree()
	f.worker(2, "do_epoll_wait")
	o := f.observer()
	mustLook(t, o)
	f.worker(2, "0")
	if lookAfter(t, f, o, believed-1).procs[1].served {
		t.Error("too early")
	}
	if !lookAfter(t, f, o, 1).procs[1].served {
		t.Error("not believed")
	}
}

func TestAWorkerThatIsWokenAgainAndAgainIsNotIdle(t *testing.T) {
	f := newFakeTree()
	o := f.observer()
	mustLook(t, o)
	for i := range 10 {
		masks := workerMasks
		masks.Switches = uint64(i)
		f.procs[2] = fakeNode{1, "do_epoll_wait", masks}
		if v := mustLook(t, o); v.procs[1].served {
			t.Fatalf("it counts as serving at look %d", i)
		}
		f.now = f.now.Add(dwell)
	}
}

// Workerman's workers sleep for a second when their start has failed, and then end.
func TestTheMomentAfterASleepProvesNothing(t *testing.T) {
	f := newFakeTree()
	f.worker(2, "hrtimer_nanosleep")
	o := f.observer()
	mustLook(t, o)
	f.now = f.now.Add(believed)
	mustLook(t, o)
	f.worker(2, "0")
	f.now = f.now.Add(10 * time.Millisecond)
	if mustLook(t, o).procs[1].served {
		t.Error("a worker that has just slept counts as serving")
	}
}

func TestCrashLoop(t *testing.T) {
	broken := []string{
		"[2026-11-22 04:55:48 *29488.2]\tERROR\tphp_swoole_server_rshutdown() (ERRNO 503): Fatal error: Uncaught Exception: broken start in /app/h.php:1",
		"Stack trace:",
	}
	t.Run("one early death and PHP says why", func(t *testing.T) {
		f := newFakeTree()
		o := f.observer()
		mustLook(t, o)
		f.worker(2, "0")
		mustLook(t, o)
		f.end(2)
		if loop := o.loops(mustLook(t, o), broken); loop != nil {
			t.Fatal("one death is not yet a loop: others may be well")
		}
		f.now = f.now.Add(infancy)
		loop := o.loops(mustLook(t, o), broken)
		if loop == nil {
			t.Fatal("not noticed")
		}
		if want := "Fatal error: Uncaught Exception: broken start in /app/h.php:1"; loop.cause != want {
			t.Errorf("cause = %q, want %q", loop.cause, want)
		}
	})
	t.Run("a worker that served may end", func(t *testing.T) {
		f := newFakeTree()
		o := f.observer()
		mustLook(t, o)
		for pid := 2; pid < 100; pid++ {
			f.worker(pid, "do_epoll_wait")
			lookAfter(t, f, o, dwell)
			f.end(pid)
		}
		if loop := o.loops(mustLook(t, o), broken); loop != nil {
			t.Errorf("max_request respawns taken for a crash loop: %v", loop)
		}
	})
	t.Run("old workers may end", func(t *testing.T) {
		f := newFakeTree()
		f.worker(2, "0")
		o := f.observer()
		mustLook(t, o)
		f.end(2)
		if loop := o.loops(mustLook(t, o), broken); loop != nil {
			t.Errorf("the end of an old worker taken for a crash loop: %v", loop)
		}
	})
	dieYoung := func(t *testing.T, f *fakeTree, o *observer, n int) {
		for i := range n {
			f.worker(10+i, "0")
			mustLook(t, o)
			f.end(10 + i)
			f.now = f.now.Add(longEnough / manyDeaths * 2)
			mustLook(t, o)
		}
	}
	t.Run("many early deaths without a word", func(t *testing.T) {
		f := newFakeTree()
		o := f.observer()
		mustLook(t, o)
		dieYoung(t, f, o, manyDeaths-1)
		if loop := o.loops(mustLook(t, o), nil); loop != nil {
			t.Fatalf("called a crash loop after %d deaths", manyDeaths-1)
		}
		dieYoung(t, f, o, 1)
		if o.loops(mustLook(t, o), nil) == nil {
			t.Errorf("not noticed after %d deaths", manyDeaths)
		}
	})
	t.Run("not without a word when some have served", func(t *testing.T) {
		f := newFakeTree()
		o := f.observer()
		mustLook(t, o)
		f.worker(2, "do_epoll_wait")
		mustLook(t, o)
		f.end(2)
		dieYoung(t, f, o, 10*manyDeaths)
		if loop := o.loops(mustLook(t, o), nil); loop != nil {
			t.Errorf("respawns of busy workers taken for a crash loop: %v", loop)
		}
	})
	t.Run("a task worker that lives is no excuse", func(t *testing.T) {
		f := newFakeTree()
		o := f.observer()
		mustLook(t, o)
		f.procs[2] = fakeNode{1, "poll_schedule_timeout", signals.Masks{Caught: signals.NewSet(swooleTask...)}}
		f.worker(3, "0")
		mustLook(t, o)
		f.end(3)
		mustLook(t, o)
		f.now = f.now.Add(infancy)
		if o.loops(mustLook(t, o), broken) == nil {
			t.Error("event workers that cannot start were not noticed")
		}
	})
	t.Run("not while a new worker serves", func(t *testing.T) {
		f := newFakeTree()
		o := f.observer()
		mustLook(t, o)
		f.worker(2, "do_epoll_wait")
		f.worker(3, "0")
		lookAfter(t, f, o, dwell)
		f.end(3)
		mustLook(t, o)
		f.now = f.now.Add(infancy)
		if loop := o.loops(mustLook(t, o), broken); loop != nil {
			t.Errorf("a crash loop although worker 2 serves: %v", loop)
		}
	})
}

func TestFatalLine(t *testing.T) {
	tests := []struct {
		lines []string
		want  string
	}{
		{nil, ""},
		{[]string{"PHP Warning:  Undefined variable $x in /a.php on line 3"}, ""},
		{[]string{"PHP Parse error:  syntax error, unexpected token \"}\" in /a.php on line 3", "more"},
			`Parse error: syntax error, unexpected token "}" in /a.php on line 3`},
		{[]string{"PHP Fatal error:  Uncaught TypeError: x in /a.php:3", "Stack trace:", "#0 {main}", "  thrown in /a.php on line 3"},
			"Fatal error: Uncaught TypeError: x in /a.php:3"},
		{[]string{"RuntimeException: boom in /x/handler.php:17"}, "RuntimeException: boom in /x/handler.php:17"},
		{[]string{"Workerman[start.php] worker[example:7627] exit with status 64000"}, "worker[example:7627] exit with status 64000"},
		{[]string{"worker[example:7627] exit with status 0", "no Error: here", "GET /Error: x"}, ""},
		{[]string{"Fatal error: first in /a.php on line 1", "Fatal error: second in /b.php on line 2"}, "Fatal error: second in /b.php on line 2"},
	}
	for _, tt := range tests {
		if got := fatalLine(tt.lines); got != tt.want {
			t.Errorf("fatalLine(%q) = %q, want %q", tt.lines, got, tt.want)
		}
	}
}

func TestBootWaitsForWhatIsMissing(t *testing.T) {
	base := func() *Server {
		return &Server{Kind: "swoole", Layout: LayoutSwoole, Signals: Signals{Reload: syscall.SIGUSR1}}
	}
	tests := []struct {
		name    string
		arrange func(*fakeTree)
		ready   bool
	}{
		{"php has just started", func(f *fakeTree) { f.procs[1] = fakeNode{masks: signals.Masks{Caught: signals.NewSet(zendCaught...)}} }, false},
		{"no worker yet", func(f *fakeTree) {}, false},
		{"a worker loads its code", func(f *fakeTree) { f.worker(2, "0") }, false},
		{"one of two serves", func(f *fakeTree) { f.worker(2, "do_epoll_wait"); f.worker(3, "0") }, false},
		{"both serve", func(f *fakeTree) { f.worker(2, "do_epoll_wait"); f.worker(3, "ep_poll") }, true},
		{"a single process that catches SIGCHLD", func(f *fakeTree) {
			m := workerMasks
			m.Caught |= signals.NewSet(syscall.SIGCHLD)
			f.procs[1] = fakeNode{wchan: "do_epoll_wait", masks: m}
		}, true},
		{"PROCESS before its manager", func(f *fakeTree) {
			f.procs[1] = fakeNode{masks: signals.Masks{Caught: signals.NewSet(zendCaught...), Blocked: signals.NewSet(swooleMaster...)}}
		}, false},
		{"a single process", func(f *fakeTree) { f.procs[1] = fakeNode{wchan: "do_epoll_wait", masks: workerMasks} }, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFakeTree()
			tt.arrange(f)
			o := f.observer()
			b := &booting{s: base(), begin: f.now, o: o}
			mustLook(t, o)
			f.now = f.now.Add(dwell)
			if missing := b.missing(mustLook(t, o), nil); (missing == "") != tt.ready {
				t.Errorf("missing = %q, want ready = %v", missing, tt.ready)
			}
		})
	}
}

// A server that hangs at its start waits for something, as one that serves does; what it is to replace listens, and answers for it.
func TestAServerThatListensOnNothingReplacesNone(t *testing.T) {
	some := []signals.Listener{{Network: "tcp4", Addr: "127.0.0.1:9501"}}
	for name, tt := range map[string]struct {
		now, before []signals.Listener
		why         string
	}{
		"it listens":                   {some, some, ""},
		"neither listens":              {nil, nil, ""},
		"the first that listens":       {some, nil, ""},
		"it listens on nothing":        {nil, some, "127.0.0.1:9501"},
		"it listens on something else": {[]signals.Listener{{Network: "unix", Addr: "/run/x"}}, some, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if why := mute(tt.now, tt.before); (why == "") != (tt.why == "") || !strings.Contains(why, tt.why) {
				t.Errorf("mute = %q, want %q", why, tt.why)
			}
		})
	}
	var none *tree
	if none.listeners() != nil {
		t.Error("what replaces nothing replaces nothing that listens")
	}
}

func TestANewWorkerMustLastToCount(t *testing.T) {
	f := newFakeTree()
	o := f.observer()
	mustLook(t, o)
	count := func(lines ...string) int {
		v := mustLook(t, o)
		return o.established(v, v.serving(false), lines)
	}
	f.worker(2, "do_epoll_wait")
	if n := count(); n != 0 {
		t.Errorf("%d counts at its first sight", n)
	}
	f.now = f.now.Add(dwell)
	if n := count("PHP Fatal error:  Uncaught E: x in /a.php:1"); n != 0 {
		t.Errorf("%d count although somebody has just died of an error", n)
	}
	if n := count(); n != 1 {
		t.Errorf("%d count, want the one that has lasted", n)
	}
	f.now = f.now.Add(longEnough)
	if n := count("PHP Fatal error:  Uncaught E: x in /a.php:1"); n != 1 {
		t.Errorf("%d count when nobody has died for long, want 1", n)
	}
	f.worker(3, "do_epoll_wait") // looks idle, and dies
	mustLook(t, o)
	f.end(3)
	if n := count(); n < 1 {
		t.Error("a silent death counts against the living")
	}
	if n := count("PHP Fatal error:  Uncaught E: x in /a.php:1"); n != 0 {
		t.Errorf("%d count while others die of an error", n)
	}
	f.now = f.now.Add(unrest)
	if n := count("PHP Fatal error:  Uncaught E: x in /a.php:1"); n != 1 {
		t.Errorf("%d count when no other has died for a while, want 1", n)
	}
}

// The next look comes when all will have waited long enough, and no earlier than that is known.
func TestDwells(t *testing.T) {
	f := newFakeTree()
	o := f.observer()
	if _, waits := mustLook(t, o).dwells(); waits {
		t.Error("nobody waits")
	}
	f.worker(2, "do_epoll_wait")
	if left, waits := mustLook(t, o).dwells(); !waits || left != dwell {
		t.Errorf("one has just begun to wait: %v, %v", left, waits)
	}
	f.worker(3, "0")
	if _, waits := lookAfter(t, f, o, 5*time.Millisecond).dwells(); waits {
		t.Error("another one has not begun to wait")
	}
	f.worker(3, "do_epoll_wait")
	if left, waits := lookAfter(t, f, o, 2*time.Millisecond).dwells(); !waits || left != dwell-2*time.Millisecond {
		t.Errorf("the other one has waited for 2 ms: %v, %v", left, waits)
	}
	left, _ := mustLook(t, o).dwells()
	if v := lookAfter(t, f, o, left); !v.procs[1].served || !v.procs[2].served {
		t.Error("they have waited long enough by then")
	} else if _, waits := v.dwells(); waits {
		t.Error("nobody is waited for any more")
	}
}
