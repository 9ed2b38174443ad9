package supervisor_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hotreload/hotreload/signals"
	"github.com/hotreload/hotreload/supervisor"
)

// deadline bounds every wait for something observable. Passing it is a failure.
const deadline = 30 * time.Second

// eventually waits until done is true.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(deadline); !done(); {
		if time.Now().After(end) {
			t.Fatalf("it did not become true that %s", what)
		}
		time.Sleep(5 * time.Millisecond) // between two looks at the same fact
	}
}

// place is where one server lives.
type place struct {
	t    *testing.T
	dir  string
	port int
	pid  string // the pid file
	app  string // what the workers of a behaviour read
	out  string // the file that the output goes to
	to   *os.File
}

func newPlace(t *testing.T) *place {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("what is left of a server is looked for in /proc")
	}
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	p := &place{
		t: t, dir: dir, port: freePort(t),
		pid: filepath.Join(dir, "server.pid"), app: filepath.Join(dir, "text"), out: filepath.Join(dir, "output"),
	}
	if p.to, err = os.OpenFile(p.out, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644); err != nil {
		t.Fatal(err)
	}
	p.save("v1")
	t.Cleanup(func() {
		p.to.Close()
		if t.Failed() {
			t.Logf("output:\n%s", tail(p.output()))
		}
		p.clean()
	})
	return p
}

// clean ends what a failed test, or a defect, has left behind.
func (p *place) clean() {
	for _, line := range p.rest() {
		pid, _ := strconv.Atoi(strings.Fields(line)[0])
		p.t.Errorf("left behind: %s", line)
		if process, err := signals.Lookup(pid); err == nil {
			_ = process.Signal(syscall.SIGKILL)
		}
	}
}

// rest returns what lives of the server and its relay. A relay ends by itself when it has seen the end of the output, which is
// after the end of Run: it is waited for.
func (p *place) rest() []string {
	for end := time.Now().Add(deadline); ; time.Sleep(5 * time.Millisecond) {
		rest := left(p.dir, p.out)
		server := slices.DeleteFunc(slices.Clone(rest), isRelay)
		if len(rest) == 0 || len(server) > 0 || time.Now().After(end) {
			return rest
		}
	}
}

func (p *place) save(text string) {
	p.t.Helper()
	if err := os.WriteFile(p.app+"~", []byte(text), 0o644); err != nil {
		p.t.Fatal(err)
	}
	if err := os.Rename(p.app+"~", p.app); err != nil {
		p.t.Fatal(err)
	}
}

func (p *place) output() string {
	text, err := os.ReadFile(p.out)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// freePort returns a port that nobody listens on and that the kernel gives to no client: above 20000 and below the
// ephemeral ports.
func freePort(t *testing.T) int {
	t.Helper()
	for range 100 {
		port := 20000 + rand.IntN(12000)
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}

// ask returns what a worker of a behaviour says: the text it was started with, and its pid.
func (p *place) ask() (text string, pid int, err error) {
	c, err := net.DialTimeout("tcp", "127.0.0.1:"+strconv.Itoa(p.port), deadline)
	if err != nil {
		return "", 0, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(deadline)); err != nil {
		return "", 0, err
	}
	answer, err := io.ReadAll(c)
	if err != nil {
		return "", 0, err
	}
	if _, err := fmt.Sscan(string(answer), &text, &pid); err != nil {
		return "", 0, fmt.Errorf("answer %q: %w", answer, err)
	}
	return text, pid, nil
}

// serves checks that every answer is text, until each of the workers has given one.
func (p *place) serves(text string, workers []int) {
	p.t.Helper()
	heard := map[int]bool{}
	eventually(p.t, fmt.Sprintf("all of %v answer", workers), func() bool {
		got, pid, err := p.ask()
		if err != nil {
			p.t.Fatalf("ask for %s: %v", text, err)
		}
		if got != text || !slices.Contains(workers, pid) {
			p.t.Fatalf("%d says %s, want %s from one of %v", pid, got, text, workers)
		}
		heard[pid] = true
		return len(heard) == len(workers)
	})
}

func (p *place) silent() bool {
	c, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(p.port))
	if err == nil {
		c.Close()
	}
	return err != nil
}

// options are for a server with this behaviour.
func (p *place) options(b behaviour) supervisor.Options {
	if b.Workers == 0 {
		b.Workers = 2
	}
	if b.Reload == 0 {
		b.Reload = syscall.SIGHUP
	}
	b.Port, b.App, b.PIDFile = p.port, p.app, p.pid
	self, err := os.Executable()
	if err != nil {
		panic(err) // the test binary is being executed
	}
	return supervisor.Options{
		Mode: supervisor.Watch, Version: "test", Base: p.dir, Reaper: reaper,
		Rule:    func(string) supervisor.Need { return supervisor.Need{Action: supervisor.Reload} },
		Output:  supervisor.Output{Stdout: p.to, Stderr: p.to},
		Restart: supervisor.Backoff{Min: 10 * time.Millisecond},
		Server: supervisor.Server{
			Kind: "custom", Command: []string{self}, Dir: p.dir, PIDFile: p.pid, Layout: supervisor.LayoutForked,
			Env:     append(os.Environ(), b.env(), promptExit),
			Signals: supervisor.Signals{Reload: b.Reload, Stop: syscall.SIGTERM},
		},
	}
}

// running is a Supervisor whose Run runs.
type running struct {
	*supervisor.Supervisor
	*place
	cancel context.CancelFunc
	force  chan struct{}
	ended  chan struct{}
	err    error // of Run, once ended

	mu     sync.Mutex
	events []supervisor.Event
}

// run runs a Supervisor until the end of the test at the latest.
func (p *place) run(opt supervisor.Options) *running {
	p.t.Helper()
	r := &running{place: p, force: make(chan struct{}), ended: make(chan struct{})}
	opt.Notify = func(e supervisor.Event) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.events = append(r.events, e)
	}
	s, err := supervisor.New(opt)
	if err != nil {
		p.t.Fatal(err)
	}
	r.Supervisor = s
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	go func() {
		r.err = s.Run(ctx, r.force)
		close(r.ended)
	}()
	p.t.Cleanup(func() {
		cancel()
		select {
		case <-r.ended:
		case <-time.After(deadline):
			p.t.Error("Run does not end")
		}
		if p.t.Failed() {
			p.t.Logf("events:%s", r.story())
		}
	})
	return r
}

// start runs a Supervisor and waits until its server is ready.
func (p *place) start(opt supervisor.Options) *running {
	p.t.Helper()
	r := p.run(opt)
	r.until(supervisor.Ready)
	return r
}

func (r *running) story() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var b strings.Builder
	for _, e := range r.events {
		fmt.Fprintf(&b, "\n%s %s %s", e.At.Format("05.000"), e.Kind, e.Detail)
		if e.Kind == supervisor.EventChanged || e.Plan.Action != supervisor.None {
			fmt.Fprintf(&b, " %s: %s", e.Plan.Action, e.Plan.Why())
		}
		if e.Outcome != nil {
			text, _ := json.Marshal(e.Outcome)
			fmt.Fprintf(&b, " %s", text)
		}
	}
	return b.String()
}

// count returns how often an event was told.
func (r *running) count(kind supervisor.EventKind) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, e := range r.events {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

// told waits for an event of this kind whose detail contains text.
func (r *running) told(kind supervisor.EventKind, text string) supervisor.Event {
	r.t.Helper()
	var found supervisor.Event
	eventually(r.t, fmt.Sprintf("there is an event %s %q", kind, text), func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		i := slices.IndexFunc(r.events, func(e supervisor.Event) bool {
			return e.Kind == kind && strings.Contains(e.Detail, text)
		})
		if i >= 0 {
			found = r.events[i]
		}
		return i >= 0
	})
	return found
}

func (r *running) status() supervisor.Status {
	r.t.Helper()
	st, err := r.Status(context.Background())
	if err != nil {
		r.t.Fatalf("status: %v", err)
	}
	return st
}

// until waits for a state.
func (r *running) until(state supervisor.State) supervisor.Status {
	r.t.Helper()
	var st supervisor.Status
	eventually(r.t, fmt.Sprintf("the state is %s", state), func() bool {
		select {
		case <-r.ended:
			r.t.Fatalf("Run ended before the state was %s: %v", state, r.err)
		default:
		}
		st = r.status()
		return st.State == state
	})
	return st
}

// do asks for an operation that must end as want.
func (r *running) do(action supervisor.Action, want supervisor.Result) supervisor.Outcome {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*deadline)
	defer cancel()
	out, err := r.Do(ctx, supervisor.Request{Action: action, Reason: "the test"})
	if err != nil {
		r.t.Fatalf("%s: %v", action, err)
	}
	if out.Result != want {
		r.t.Fatalf("%s: %s (%s), want %s", action, out.Result, out.Error, want)
	}
	return out
}

// end stops hotreload, and checks that nothing is left of the server.
func (r *running) end() error {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*deadline)
	defer cancel()
	err := r.Stop(ctx)
	if ctx.Err() != nil {
		r.t.Fatal("Stop does not return")
	}
	r.waitEnd()
	r.nothingLeft()
	return err
}

// waitEnd returns the error of Run.
func (r *running) waitEnd() error {
	r.t.Helper()
	select {
	case <-r.ended:
	case <-time.After(2 * deadline):
		r.t.Fatal("Run does not end")
	}
	return r.err
}

// nothingLeft checks that no process of the server's lives, and that the pid file is gone.
func (r *running) nothingLeft() {
	r.t.Helper()
	if rest := r.rest(); len(rest) > 0 {
		r.t.Errorf("left behind:\n%s", strings.Join(rest, "\n"))
	}
	if text, err := os.ReadFile(r.pid); err == nil {
		r.t.Errorf("the pid file is left behind, with %q", text)
	}
	if !r.silent() {
		r.t.Error("something still listens on the server's port")
	}
}

func isRelay(process string) bool { return strings.Contains(process, "output relay") }

func masterOf(t *testing.T, st supervisor.Status) signals.Process {
	t.Helper()
	if st.Master == nil {
		t.Fatalf("there is no master: %+v", st)
	}
	p, err := signals.Lookup(st.Master.PID)
	if err != nil {
		t.Fatalf("master %d: %v", st.Master.PID, err)
	}
	return p
}

// workersOf are the processes with one of the roles; without roles those that serve.
func workersOf(st supervisor.Status, roles ...supervisor.Role) []int {
	if len(roles) == 0 {
		roles = []supervisor.Role{supervisor.Worker, supervisor.TaskWorker}
	}
	var pids []int
	for _, w := range st.Workers {
		if slices.Contains(roles, w.Role) {
			pids = append(pids, w.PID)
		}
	}
	return pids
}

func common(a, b []int) []int {
	var both []int
	for _, pid := range a {
		if slices.Contains(b, pid) {
			both = append(both, pid)
		}
	}
	return both
}

// bystander starts a process that no hotreload may touch.
func bystander(t *testing.T) signals.Process {
	t.Helper()
	p, _ := spawn(t, exec.Command("sleep", "1000"))
	t.Cleanup(func() {
		if !p.Alive() {
			t.Errorf("the bystander %d was ended", p.PID)
		}
	})
	return p
}

// spawn starts a command that is ended with the test. The channel is closed when it has ended.
func spawn(t *testing.T, cmd *exec.Cmd) (signals.Process, <-chan struct{}) {
	t.Helper()
	if err := reaper.Start(cmd); err != nil {
		t.Fatal(err)
	}
	p, err := signals.Lookup(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = reaper.Wait(cmd) // its state says how it ended
	}()
	t.Cleanup(func() {
		_ = p.Signal(syscall.SIGKILL)
		<-ended
	})
	return p, ended
}

func kill(t *testing.T, p signals.Process) {
	t.Helper()
	if err := p.Signal(syscall.SIGKILL); err != nil {
		t.Fatalf("kill %d: %v", p.PID, err)
	}
}

func tail(text string) string {
	const most = 4000
	if len(text) > most {
		text = "..." + text[len(text)-most:]
	}
	return string(bytes.ToValidUTF8([]byte(text), []byte("?")))
}
