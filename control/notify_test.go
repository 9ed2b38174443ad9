package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/sys/unix"

	"github.com/hotreload/hotreload/supervisor"
)

// asked answers status queries, or hangs.
type asked struct {
	mu     sync.Mutex
	status supervisor.Status
	hangs  bool
}

func (a *asked) set(change func(*asked)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change(a)
}

func (a *asked) Status(ctx context.Context) (supervisor.Status, error) {
	a.mu.Lock()
	status, hangs := a.status, a.hangs
	a.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return supervisor.Status{}, ctx.Err()
	}
	return status, nil
}

func (a *asked) Do(context.Context, supervisor.Request) (supervisor.Outcome, error) {
	return supervisor.Outcome{}, errors.New("nobody asks for that")
}

func (a *asked) Stop(context.Context) error { return errors.New("nobody asks for that") }

func done(result supervisor.Result) supervisor.Event {
	return supervisor.Event{Kind: supervisor.EventDone, Outcome: &supervisor.Outcome{Result: result}}
}

func event(kind supervisor.EventKind) supervisor.Event { return supervisor.Event{Kind: kind} }

func TestWhatEventsMeanToTheManager(t *testing.T) {
	const ready, reloading, stops, nothing = "READY=1", "RELOADING=1", "STOPPING=1", ""
	type step struct {
		event supervisor.Event
		want  string
	}
	for name, steps := range map[string][]step{
		"start, reloads, stop": {
			{event(supervisor.EventStarting), nothing}, {event(supervisor.EventReady), ready},
			{event(supervisor.EventChanged), reloading}, {event(supervisor.EventEscalated), nothing}, {done(supervisor.Verified), ready},
			{event(supervisor.EventChanged), reloading}, {done(supervisor.Refused), ready},
			{event(supervisor.EventChanged), reloading}, {event(supervisor.EventSwitched), nothing}, {done(supervisor.Verified), ready},
			{event(supervisor.EventStopping), stops}, {event(supervisor.EventStopping), nothing}, {event(supervisor.EventStopped), nothing},
		},
		"adopted": {{event(supervisor.EventAdopted), ready}},
		"a first start that fails, and a later one that does not": {
			{event(supervisor.EventCrashed), nothing}, {event(supervisor.EventRetry), nothing},
			{event(supervisor.EventChanged), nothing}, {done(supervisor.Failed), nothing}, {event(supervisor.EventRetry), nothing},
			{event(supervisor.EventChanged), nothing}, {done(supervisor.Verified), ready},
			{event(supervisor.EventChanged), reloading},
		},
		// Without READY=1 systemd would take the service to be reloading for ever.
		"an operation after which nothing serves": {
			{event(supervisor.EventReady), ready}, {event(supervisor.EventChanged), reloading}, {done(supervisor.Failed), ready},
		},
		"a crash": {
			{event(supervisor.EventReady), ready}, {event(supervisor.EventCrashed), nothing},
			{event(supervisor.EventChanged), reloading}, {done(supervisor.Verified), ready},
		},
		"stopped while it starts": {
			{event(supervisor.EventStopping), stops}, {event(supervisor.EventReady), nothing}, {event(supervisor.EventChanged), nothing},
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := &Notifier{}
			for i, s := range steps {
				have, rest, _ := strings.Cut(n.render(s.event), "\n")
				if have != s.want {
					t.Errorf("step %d, %s: %q, want %q", i, s.event.Kind, have, s.want)
				}
				if at := regexp.MustCompile(`^MONOTONIC_USEC=[1-9][0-9]*\n?$`); (s.want == reloading) != at.MatchString(rest) {
					t.Errorf("step %d, %s: it goes on with %q", i, s.event.Kind, rest)
				}
			}
		})
	}
}

// A wrapper is not the main process; hotreload below it is.
func TestTheMainProcess(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "/nowhere")
	for pid, want := range map[string]string{
		"":                         "READY=1",
		strconv.Itoa(os.Getpid()):  "READY=1",
		strconv.Itoa(os.Getppid()): fmt.Sprintf("READY=1\nMAINPID=%d", os.Getpid()),
	} {
		t.Setenv("SYSTEMD_EXEC_PID", pid)
		if have := NewNotifier(zap.NewNop()).render(event(supervisor.EventReady)); have != want {
			t.Errorf("SYSTEMD_EXEC_PID=%s: %q, want %q", pid, have, want)
		}
	}
}

// notifying runs a Notifier in a bubble, and collects what it sends.
type notifying struct {
	*Notifier
	sup  *asked
	mu   sync.Mutex
	sent []string
	end  context.CancelFunc
}

func notify(t *testing.T, watchdog time.Duration) *notifying {
	x := &notifying{sup: &asked{status: supervisor.Status{State: supervisor.Starting}}}
	x.Notifier = &Notifier{log: zap.NewNop(), wake: make(chan struct{}, 1), watchdog: watchdog, send: func(message string) error {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.sent = append(x.sent, strings.Split(strings.TrimSpace(message), "\n")...)
		return nil
	}}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		x.Run(ctx, x.sup)
	}()
	x.end = func() { cancel(); <-done }
	return x
}

// takes lets time pass, and returns how often each message was sent in it.
func (x *notifying) takes(d time.Duration) map[string]int {
	time.Sleep(d)
	synctest.Wait()
	x.mu.Lock()
	defer x.mu.Unlock()
	count := map[string]int{}
	for _, m := range x.sent {
		name, value, _ := strings.Cut(m, "=")
		if name == "STATUS" {
			name = m
		} else if value == "" {
			name = "broken: " + m
		}
		count[name]++
	}
	x.sent = nil
	return count
}

func TestTheSupervisorIsWatchedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := notify(t, 4*time.Second)
		defer x.end()
		x.Event(event(supervisor.EventReady))
		x.sup.set(func(a *asked) { a.status.State = supervisor.Ready })
		// 20 s after the first tick.
		if n := x.takes(21 * time.Second); n["WATCHDOG"] != 10 || n["READY"] != 1 {
			t.Errorf("in 21 s: %v, want a ping each 2 s", n)
		}
		x.sup.set(func(a *asked) { a.hangs = true })
		if n := x.takes(time.Minute); n["WATCHDOG"] != 0 {
			t.Errorf("the supervisor hangs, and there were %v", n)
		}
		// Events are told all the same.
		x.Event(event(supervisor.EventStopping))
		if n := x.takes(4 * time.Second); n["STOPPING"] != 1 {
			t.Errorf("%v, want STOPPING", n)
		}
		x.sup.set(func(a *asked) { a.hangs = false })
		if n := x.takes(21 * time.Second); n["WATCHDOG"] < 9 {
			t.Errorf("it answers again, and there were %v", n)
		}
	})
}

func TestWhatTakesLongIsGivenTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := notify(t, 0)
		defer x.end()
		if n := x.takes(time.Minute + time.Second); n["EXTEND_TIMEOUT_USEC"] != 12 || n["WATCHDOG"] != 0 {
			t.Errorf("while it starts: %v, want time each 5 s, and no pings, which nobody wants", n)
		}
		x.Event(event(supervisor.EventReady))
		if n := x.takes(time.Minute); n["EXTEND_TIMEOUT_USEC"] != 0 || n["READY"] != 1 {
			t.Errorf("when it is ready: %v", n)
		}
		x.Event(event(supervisor.EventChanged))
		if n := x.takes(time.Minute); n["EXTEND_TIMEOUT_USEC"] != 12 || n["RELOADING"] != 1 {
			t.Errorf("while it reloads: %v", n)
		}
		x.sup.set(func(a *asked) { a.hangs = true })
		if n := x.takes(time.Minute); n["EXTEND_TIMEOUT_USEC"] != 0 {
			t.Errorf("while it hangs: %v", n)
		}
		x.sup.set(func(a *asked) { a.hangs = false })
		x.Event(event(supervisor.EventStopping))
		if n := x.takes(time.Minute + time.Second); n["EXTEND_TIMEOUT_USEC"] < 11 || n["STOPPING"] != 1 {
			t.Errorf("while it stops: %v", n)
		}
	})
}

// The manager would wait for ever for a server that never starts.
func TestAFirstStartThatFailedIsGivenNoMoreTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := notify(t, 0)
		defer x.end()
		x.Event(event(supervisor.EventCrashed))
		x.Event(event(supervisor.EventChanged))
		if n := x.takes(time.Minute); n["EXTEND_TIMEOUT_USEC"] != 0 {
			t.Error(n)
		}
	})
}

func TestStatusIsOneLineAndToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := notify(t, 0)
		defer x.end()
		x.sup.set(func(a *asked) {
			a.status = supervisor.Status{State: supervisor.Ready, Ready: true, Kind: "swoole", Generation: 2, Master: &supervisor.MasterStatus{PID: 42}}
		})
		x.Event(event(supervisor.EventReady))
		if n := x.takes(time.Minute); n["STATUS=ready: swoole, master 42, generation 2"] != 1 {
			t.Error(n)
		}
		x.sup.set(func(a *asked) {
			a.status.State, a.status.Reason = supervisor.Degraded, "a.php:3: unexpected \"\xff\"\nREADY=1;\tthe old code still serves"
		})
		x.Event(done(supervisor.Refused))
		if n := x.takes(time.Minute); n[`STATUS=degraded: a.php:3: unexpected "?" READY=1; the old code still serves`] != 1 || n["READY"] != 0 {
			t.Error(n)
		}
	})
}

// A manager that takes nothing any more does not hold hotreload up.
func TestAManagerThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := notify(t, 0)
		hang := make(chan struct{})
		x.send = func(string) error { <-hang; return nil }
		begin := time.Now()
		for range 1000 {
			x.Event(event(supervisor.EventReady))
		}
		synctest.Wait()
		x.end()
		if took := time.Since(begin); took > lastWords {
			t.Errorf("it took %s", took)
		}
		close(hang)
	})
}

func TestNobodyToTell(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	n := NewNotifier(zap.NewNop())
	if n != nil || n.Watches() {
		t.Error("there is somebody")
	}
	n.Event(event(supervisor.EventReady))
	n.Run(t.Context(), nil)
}

// manager is a socket as systemd has one.
func manager(t *testing.T, name string) *net.UnixConn {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	t.Setenv("NOTIFY_SOCKET", name)
	return c
}

func TestNotifySockets(t *testing.T) {
	for name, address := range map[string]string{
		"file":     filepath.Join(testDirs(t).temp, "notify"),
		"abstract": fmt.Sprintf("@hotreload-test-%d", os.Getpid()),
	} {
		t.Run(name, func(t *testing.T) {
			if name == "abstract" && runtime.GOOS != "linux" {
				t.Skip("this system has no abstract sockets")
			}
			c := manager(t, address)
			n := NewNotifier(zap.NewNop())
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan struct{})
			go func() { n.Run(ctx, &asked{status: supervisor.Status{State: supervisor.Starting}}); close(ended) }()
			n.Event(event(supervisor.EventReady))
			n.Event(event(supervisor.EventChanged))
			var have []string
			for len(have) < 3 { // READY, RELOADING, MONOTONIC_USEC; STATUS comes when it may
				if err := c.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
					t.Fatal(err)
				}
				buf := make([]byte, 4096)
				size, err := c.Read(buf)
				if err != nil {
					t.Fatal(err, have)
				}
				for line := range strings.Lines(string(buf[:size])) {
					if !strings.HasPrefix(line, "STATUS=") {
						have = append(have, strings.TrimSpace(line))
					}
				}
			}
			if !slices.Equal(have[:2], []string{"READY=1", "RELOADING=1"}) {
				t.Errorf("told %q", have)
			}
			usec, err := strconv.ParseInt(strings.TrimPrefix(have[2], "MONOTONIC_USEC="), 10, 64)
			var now unix.Timespec
			if clock := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); clock != nil {
				t.Fatal(clock)
			}
			if ago := time.Duration(now.Nano()) - time.Duration(usec)*time.Microsecond; err != nil || ago < 0 || ago > time.Minute {
				t.Errorf("%s is %s ago (%v)", have[2], ago, err)
			}
			cancel()
			<-ended
		})
	}
}

func TestASocketThatIsGoneIsReportedOnce(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "missing"))
	core, logs := observer.New(zapcore.DebugLevel)
	n := NewNotifier(zap.New(core))
	for range 3 {
		n.Event(event(supervisor.EventReady))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	n.Run(ctx, &asked{})
	if logs.Len() != 1 {
		t.Errorf("reported %d times: %v", logs.Len(), logs.All())
	}
}

func TestWatchdogOfTheEnvironment(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "/nowhere")
	for _, test := range []struct {
		usec, pid string
		want      time.Duration
		warns     int
	}{
		{"", "", 0, 0},
		{"30000000", "", 30 * time.Second, 0},
		{"30000000", strconv.Itoa(os.Getpid()), 30 * time.Second, 0},
		{"30000000", strconv.Itoa(os.Getppid()), 0, 0}, // it is not us who is watched
		{"often", "", 0, 1},
	} {
		t.Setenv("WATCHDOG_USEC", test.usec)
		t.Setenv("WATCHDOG_PID", test.pid)
		core, logs := observer.New(zapcore.WarnLevel)
		n := NewNotifier(zap.New(core))
		if n.watchdog != test.want || n.Watches() != (test.want > 0) || logs.Len() != test.warns {
			t.Errorf("%+v: %s, %d warnings", test, n.watchdog, logs.Len())
		}
	}
}
