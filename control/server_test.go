package control

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hotreload/hotreload/supervisor"
)

// fakeSupervisor answers as it is told to.
type fakeSupervisor struct {
	asked    chan supervisor.Request
	stopped  chan struct{} // receives one value per call of Stop
	outcomes chan supervisor.Outcome
	err      error // of Do and Stop, once an outcome would be due
	status   supervisor.Status
}

func newFake() *fakeSupervisor {
	return &fakeSupervisor{
		asked: make(chan supervisor.Request, 16), stopped: make(chan struct{}, 16), outcomes: make(chan supervisor.Outcome, 16),
	}
}

func (f *fakeSupervisor) Do(ctx context.Context, r supervisor.Request) (supervisor.Outcome, error) {
	f.asked <- r
	if f.err != nil {
		return supervisor.Outcome{}, f.err
	}
	select {
	case out := <-f.outcomes:
		return out, nil
	case <-ctx.Done():
		return supervisor.Outcome{}, ctx.Err()
	}
}

func (f *fakeSupervisor) Stop(context.Context) error {
	f.stopped <- struct{}{}
	return f.err
}

func (f *fakeSupervisor) Status(context.Context) (supervisor.Status, error) { return f.status, f.err }

// door is a Serve that runs until the test ends.
type door struct {
	*Client
	place Place
	close func() // ends Serve and waits for its end
}

func serve(t *testing.T, sup Supervisor) door {
	t.Helper()
	l, err := acquire(testPlace(t))
	if err != nil {
		t.Fatal(err)
	}
	listener, err := l.Listen()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, listener, sup, nil) }()
	ended := false
	stop := func() {
		if ended {
			return
		}
		ended = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
		if err := l.Release(); err != nil {
			t.Errorf("release: %v", err)
		}
	}
	t.Cleanup(stop)
	return door{NewClient(l.Place()), l.Place(), stop}
}

func TestStatus(t *testing.T) {
	f := newFake()
	f.status = supervisor.Status{Version: "1", State: supervisor.Ready, Workers: []supervisor.WorkerStatus{{PID: 5, Role: supervisor.Worker}}}
	st, err := serve(t, f).Status(t.Context())
	if err != nil || st.State != supervisor.Ready || len(st.Workers) != 1 || st.Workers[0].PID != 5 || st.Master != nil {
		t.Errorf("have %+v, %v", st, err)
	}
}

func TestOperationsAreAnsweredWithTheirOutcome(t *testing.T) {
	f := newFake()
	c := serve(t, f)
	for name, test := range map[string]struct {
		call func(context.Context, OperationRequest) (OperationReply, error)
		in   OperationRequest
		want supervisor.Action
	}{
		"reload":       {c.Reload, OperationRequest{Wait: true, Reason: "a hook"}, supervisor.Reload},
		"reload tasks": {c.Reload, OperationRequest{Wait: true, Tasks: true}, supervisor.ReloadTasks},
		"restart":      {c.Restart, OperationRequest{Wait: true}, supervisor.Restart},
	} {
		f.outcomes <- supervisor.Outcome{Seq: 7, Action: test.want, Result: supervisor.Refused, Error: "no"}
		out, err := test.call(t.Context(), test.in)
		if err != nil || out.Outcome == nil || out.Outcome.Seq != 7 || out.Outcome.Result != supervisor.Refused || !out.Accepted {
			t.Errorf("%s: have %+v, %v", name, out, err)
		}
		asked := <-f.asked
		if asked.Action != test.want || asked.Reason == "" || (test.in.Reason != "" && asked.Reason != test.in.Reason) {
			t.Errorf("%s: asked for %+v", name, asked)
		}
	}
}

func TestACallerThatDoesNotWaitIsAnsweredAtOnce(t *testing.T) {
	f := newFake() // no outcome is ready: whoever waits, waits for ever
	c := serve(t, f)
	out, err := c.Reload(t.Context(), OperationRequest{})
	if err != nil || !out.Accepted || out.Outcome != nil {
		t.Errorf("have %+v, %v; want accepted", out, err)
	}
	if asked := <-f.asked; asked.Action != supervisor.Reload {
		t.Errorf("asked for %+v", asked)
	}
	if out, err = c.Stop(t.Context(), OperationRequest{}); err != nil || !out.Accepted {
		t.Errorf("stop: have %+v, %v; want accepted", out, err)
	}
	<-f.stopped
}

// The caller's patience ends; what it asked for goes on, and the door stays open.
func TestACallerThatGoesAway(t *testing.T) {
	f := newFake()
	c := serve(t, f)
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() {
		_, err := c.Restart(ctx, OperationRequest{Wait: true})
		gone <- err
	}()
	<-f.asked // asked for, and never taken back: the interface has no way to
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
	if _, err := c.Status(t.Context()); err != nil {
		t.Errorf("the door after a caller went away: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	f := newFake()
	c := serve(t, f)
	f.err = supervisor.ErrStopping
	if _, err := c.Reload(t.Context(), OperationRequest{Wait: true}); !errors.Is(err, supervisor.ErrStopping) {
		t.Errorf("stopping: %v, want ErrStopping", err)
	}
	f.err = errors.New("somebody else's server")
	if _, err := c.Restart(t.Context(), OperationRequest{Wait: true}); err == nil || err.Error() != f.err.Error() {
		t.Errorf("refused: %v, want %v", err, f.err)
	}
	if out, err := c.Stop(t.Context(), OperationRequest{}); err != nil || out.Error != "" {
		t.Errorf("stop without waiting: %+v, %v", out, err)
	}
}

func TestStopTellsWhatWasNotWell(t *testing.T) {
	f := newFake()
	f.err = errors.New("it had to be killed")
	c := serve(t, f)
	var out OperationReply
	err := c.call(t.Context(), http.MethodPost, pathStop, OperationRequest{Wait: true}, &out)
	if err != nil || out.Error != "it had to be killed" {
		t.Errorf("have %+v, %v", out, err)
	}
}

func TestWhatTheDoorDoesNotKnow(t *testing.T) {
	c := serve(t, newFake())
	for name, test := range map[string]struct {
		method, path string
		body         any
	}{
		"does not know /v1/dance": {http.MethodPost, "/v1/dance", nil},
		"takes POST, not GET":     {http.MethodGet, pathReload, nil},
		"unknown field":           {http.MethodPost, pathReload, map[string]any{"wiat": true}},
		"read request":            {http.MethodPost, pathRestart, []int{1}},
	} {
		err := c.call(t.Context(), test.method, test.path, test.body, new(OperationReply))
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s %s: error %v, want one that says %q", test.method, test.path, err, name)
		}
	}
}

func TestNobodyThere(t *testing.T) {
	place := testPlace(t)
	c := NewClient(place)
	if _, err := c.Status(t.Context()); !errors.Is(err, ErrNotRunning) {
		t.Errorf("no socket: %v, want ErrNotRunning", err)
	}
	stale(t, place.Socket)
	if _, err := c.Status(t.Context()); !errors.Is(err, ErrNotRunning) {
		t.Errorf("a socket that nobody listens on: %v, want ErrNotRunning", err)
	}
}

// stale leaves a socket file behind as a killed program does.
func stale(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestListenReplacesWhatIsLeftBehindAndNothingElse(t *testing.T) {
	place := testPlace(t)
	l, err := acquire(place)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Release()

	stale(t, place.Socket)
	stale(t, place.Socket+newSuffix)
	first, err := l.Listen()
	if err != nil {
		t.Fatalf("over a stale socket: %v", err)
	}
	st, err := os.Stat(place.Socket)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("socket: %v, mode %v; want 0600", err, st.Mode())
	}
	if _, err := l.Listen(); err == nil {
		t.Error("a socket that somebody listens on was replaced")
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(place.Socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("socket file after closing: %v, want it gone", err)
	}
	if err := os.WriteFile(place.Socket, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Listen(); err == nil {
		t.Error("a file was replaced by a socket")
	}
}

// A supervisor that has ended lets go of every caller; one that has not must not keep Serve from ending.
func TestServeEndsWhateverCallersWaitFor(t *testing.T) {
	f := newFake()
	d := serve(t, f)
	result := make(chan error, 1)
	go func() {
		_, err := d.Reload(context.Background(), OperationRequest{Wait: true})
		result <- err
	}()
	<-f.asked
	idle, err := net.Dial("unix", d.place.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	d.close()
	if err := <-result; err == nil {
		t.Error("the caller got an answer that nobody gave")
	}
	if err := idle.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := idle.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("an idle connection after the end: %v, want it closed", err)
	}
	if _, err := d.Status(t.Context()); !errors.Is(err, ErrNotRunning) {
		t.Errorf("after the end: %v, want ErrNotRunning", err)
	}
}
