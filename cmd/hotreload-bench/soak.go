package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/procfs"

	"github.com/hotreload/hotreload/control"
	"github.com/hotreload/hotreload/supervisor"
)

// soakPace is from the beginning of one action to that of the next, unless the first one takes longer.
const soakPace = time.Second

// measureSoak: does `hotreload run` grow?
func measureSoak(ctx context.Context, b *bench) error {
	a, name, err := b.someApp(ctx)
	if err != nil {
		return err
	}
	d, err := b.newDeployed(name, a, "runtime/server.pid", "v1", "v2")
	if err != nil {
		return err
	}
	var began time.Time
	var points []soakPoint
	s, err := b.soak(ctx, d, func(s *soaking) (bool, error) {
		if points == nil {
			began = time.Now()
		}
		if next := began.Add(b.scale.soak * time.Duration(len(points)) / 10); !time.Now().Before(next) {
			p, err := s.point(ctx)
			if err != nil {
				return false, err
			}
			points = append(points, p)
		}
		wait(ctx, time.Until(s.began.Add(soakPace)))
		return len(points) <= 10, ctx.Err()
	})
	if err != nil {
		return err
	}
	t := &table{
		title:  fmt.Sprintf("Soak: `hotreload run` on %s, an action every second for %v", d.name, b.scale.soak),
		header: []string{"after", "actions", "resident", "most ever", "file descriptors", "threads"},
	}
	for _, p := range points {
		t.row(p.at.Sub(began).Round(time.Second).String(), fmt.Sprint(p.actions), megabytes(p.resident), megabytes(p.most), fmt.Sprint(p.descriptors), fmt.Sprint(p.threads))
	}
	t.remark("Of ten actions eight are reloads, one is a restart and one a release switch, both by handover where possible: %s. Goroutines: %d after "+
		"%d actions, %d at the end.", s.tally(), s.first, soakRound, s.last)
	for _, text := range s.wrong {
		t.remark("%s", text)
	}
	t.print(b.out)
	return nil
}

// soakRound is how many actions contain all that there are.
const soakRound = 10

// soaking is a hotreload that is kept busy.
type soaking struct {
	*following
	said     *all
	releases []string
	actions  int
	began    time.Time // of the last action
	results  map[string]int
	wrong    []string // what did not go as it should
	first    int      // goroutines of a hotreload that has done one round
	last     int      // and of the one that was kept busy, at its end
}

// soakPoint is what a process takes at a moment when it does nothing.
type soakPoint struct {
	at                   time.Time
	actions              int
	resident, most       uint64 // bytes
	descriptors, threads int
}

// soak keeps a hotreload busy as long as more says so, which is asked after the first round, and then after each action. The number of
// goroutines is read off what the Go runtime writes when it gets a SIGTRAP: of one hotreload after one round, and of the one that was
// kept busy, which takes the server over from the first, as a third one does, which ends it.
func (b *bench) soak(ctx context.Context, d *deployed, more func(*soaking) (bool, error)) (*soaking, error) {
	s := &soaking{results: map[string]int{}, releases: []string{"v1", "v2"}}
	for i := range 2 {
		if err := s.start(ctx, b, d); err != nil {
			return nil, err
		}
		err := s.round(ctx)
		if i == 0 {
			s.first, err = s.dump(ctx, err)
		} else {
			for goOn := true; goOn && err == nil; {
				if goOn, err = more(s); goOn && err == nil {
					err = s.act(ctx)
				}
			}
			if err == nil {
				err = s.round(ctx) // so that both have done the same last
			}
			s.last, err = s.dump(ctx, err)
		}
		if err != nil {
			return nil, errors.Join(err, s.finish(context.WithoutCancel(ctx), b, d))
		}
	}
	return s, s.finish(ctx, b, d)
}

// start starts a hotreload, which takes over the server that runs, if one does.
func (s *soaking) start(ctx context.Context, b *bench, d *deployed) (err error) {
	config, err := d.writeReleaseConfig(nil)
	if err != nil {
		return err
	}
	cmd := exec.Command(b.hotreload, "-c", config, "run")
	cmd.Dir = d.base
	cmd.Env = append(os.Environ(), "GOTRACEBACK=all")
	s.said = &all{}
	cmd.Stderr = s.said
	s.following = &following{deployed: d, client: control.NewClient(control.Place{Socket: d.socket()})}
	if s.process, err = launch(cmd); err != nil {
		return err
	}
	_, err = s.until(ctx, func(st supervisor.Status) bool { return st.State == supervisor.Ready })
	if err != nil {
		s.process.stop()
		return fmt.Errorf("%w\n%s", err, s.said)
	}
	return nil
}

// finish ends the server that a dumped hotreload has left.
func (s *soaking) finish(ctx context.Context, b *bench, d *deployed) error {
	if err := s.start(ctx, b, d); err != nil {
		return err
	}
	s.process.stop()
	return nil
}

// round does each action as often as it should be done.
func (s *soaking) round(ctx context.Context) error {
	for range soakRound {
		if err := s.act(ctx); err != nil {
			return err
		}
	}
	return nil
}

// act does the next action, and looks whether a request is answered as it should be then.
func (s *soaking) act(ctx context.Context) error {
	s.began = time.Now()
	s.actions++
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var out *supervisor.Outcome
	var err error
	what := "reload"
	switch s.actions % soakRound {
	case 4:
		what = "restart"
		out, err = outcomeOf(s.client.Restart(ctx, control.OperationRequest{Wait: true}))
	case 9:
		what = "release switch"
		out, err = s.switchRelease(ctx)
	default:
		out, err = outcomeOf(s.client.Reload(ctx, control.OperationRequest{Wait: true}))
	}
	if err != nil {
		return fmt.Errorf("%s (action %d): %w\n%s", what, s.actions, err, s.said.end())
	}
	s.results[fmt.Sprintf("%s %s", what, out.Result)]++
	if out.Result != supervisor.Verified {
		s.wrong = append(s.wrong, fmt.Sprintf("Action %d, a %s: %s: %s.", s.actions, what, out.Result, out.Error))
	}
	a, err := ask(ctx, "http://"+s.address+"/")
	if err != nil || a.version != s.releases[0] {
		s.wrong = append(s.wrong, fmt.Sprintf("After action %d, a %s: %q from %d, %v; want %s.", s.actions, what, a.version, a.pid, err, s.releases[0]))
	}
	return ctx.Err()
}

func outcomeOf(reply control.OperationReply, err error) (*supervisor.Outcome, error) {
	if err == nil && reply.Outcome == nil {
		err = errors.New("no outcome")
	}
	return reply.Outcome, err
}

func (s *soaking) switchRelease(ctx context.Context) (*supervisor.Outcome, error) {
	before, err := s.client.Status(ctx)
	if err != nil {
		return nil, err
	}
	from, to := s.releases[0], s.releases[1]
	slices.Reverse(s.releases)
	if err := switchings[0].make(s.deployed, from, to); err != nil {
		return nil, err
	}
	st, err := s.until(ctx, func(st supervisor.Status) bool {
		return st.Last != nil && (before.Last == nil || st.Last.Seq > before.Last.Seq) && st.State != supervisor.Restarting
	})
	return st.Last, err
}

// point looks several times, and takes the least: what is being done at this moment does not count.
func (s *soaking) point(ctx context.Context) (soakPoint, error) {
	p := soakPoint{at: time.Now(), actions: s.actions}
	proc, err := procfs.NewProc(s.process.pid())
	if err != nil {
		return p, err
	}
	for range 20 {
		descriptors, err := proc.FileDescriptorsLen()
		if err != nil {
			return p, err
		}
		stat, err := proc.Stat()
		if err != nil {
			return p, err
		}
		if p.descriptors == 0 || descriptors < p.descriptors {
			p.descriptors = descriptors
		}
		p.threads = stat.NumThreads
		wait(ctx, 25*time.Millisecond)
	}
	p.resident, p.most, err = s.process.memory()
	return p, err
}

var goroutineLine = regexp.MustCompile(`(?m)^goroutine [0-9]+ `)

// dump ends hotreload so that it writes down its goroutines, and counts them. err is passed through; hotreload is ended then too.
func (s *soaking) dump(ctx context.Context, err error) (int, error) {
	if err == nil {
		_, err = s.point(ctx) // it comes to rest
	}
	if signalErr := s.process.identity.Signal(syscall.SIGTRAP); signalErr != nil {
		return 0, errors.Join(err, signalErr)
	}
	select {
	case <-s.process.done:
	case <-time.After(grace):
		_ = s.process.identity.Signal(syscall.SIGKILL)
		<-s.process.done
		return 0, errors.Join(err, errors.New("SIGTRAP does not end hotreload"))
	}
	n := len(goroutineLine.FindAllString(s.said.String(), -1))
	if n == 0 && err == nil {
		err = fmt.Errorf("SIGTRAP ended hotreload, and it wrote no goroutines:\n%s", s.said.end())
	}
	return n, err
}

// tally says how often what ended how.
func (s *soaking) tally() string {
	var parts []string
	for _, what := range slices.Sorted(maps.Keys(s.results)) {
		parts = append(parts, fmt.Sprintf("%d × %s", s.results[what], what))
	}
	return strings.Join(parts, ", ")
}

// all keeps everything that a process says.
type all struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (a *all) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.text.Write(p)
}

func (a *all) String() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.text.String()
}

// end is the end of it, for reports.
func (a *all) end() string {
	text := a.String()
	return text[max(0, len(text)-tailSize):]
}
