package supervisor

import (
	"errors"
	"os"
	"time"

	"go.uber.org/zap"
)

// New checks the options and returns a Supervisor. It starts nothing: Run does.
func New(opt Options) (*Supervisor, error) {
	switch {
	case opt.Mode == Attach && opt.Server.PIDFile == "":
		return nil, errors.New("a server that somebody else started is found by its pid file, and none is configured")
	case opt.Mode != Attach && len(opt.Server.Command) == 0:
		return nil, errors.New("there is no command to start the server with")
	case opt.Reaper == nil:
		return nil, errors.New("a reaper is required")
	case opt.Batches != nil && opt.Rule == nil:
		return nil, errors.New("a rule is required to act on changes")
	}
	opt.Server = withDefaults(opt.Server)
	if opt.Restart.Min <= 0 {
		opt.Restart.Min = 200 * time.Millisecond
	}
	opt.Restart.Max = max(opt.Restart.Max, opt.Restart.Min)
	if opt.Log == nil {
		opt.Log = zap.NewNop()
	}
	s := newSupervisor(opt, nil)
	s.driver = &processes{opt: &s.opt, kernel: realKernel(), log: opt.Log, note: s.remark}
	return s, nil
}

func newSupervisor(opt Options, d driver) *Supervisor {
	return &Supervisor{
		opt: opt, driver: d,
		asks: make(chan ask), stops: make(chan chan error), queries: make(chan chan Status),
		remarks: make(chan string), ended: make(chan struct{}),
	}
}

func withDefaults(s Server) Server {
	for _, d := range []*time.Duration{&s.ReadyTimeout, &s.ReloadTimeout, &s.StopTimeout} {
		if *d <= 0 {
			*d = 30 * time.Second
		}
	}
	return s
}

// remark passes a note of the driver on to whoever reads the events.
func (s *Supervisor) remark(text string) {
	select {
	case s.remarks <- text:
	case <-s.ended:
	}
}

// save writes down what a later hotreload needs to take over this server. Not being able to is worth a line, not a
// failure: the server serves.
func (d *processes) save(t *tree, ready bool) {
	if d.opt.Save == nil || !t.ours {
		return
	}
	a := d.adoptionOf(t, ready)
	if d.replacing != nil && d.replacing != t {
		old := d.adoptionOf(d.replacing, true)
		a.Old = &old
	}
	if err := d.opt.Save(a); err != nil {
		d.note("a later hotreload could not adopt this server: " + err.Error())
	}
}

func (d *processes) adoptionOf(t *tree, ready bool) Adoption {
	return Adoption{
		Master: t.master, Generation: t.number, Group: t.group, Token: t.token, BootID: BootID(),
		Members: t.processes(), Mode: d.opt.Mode, Ready: ready, Hotreload: os.Getpid(), Preloaded: t.loaded,
		Listen: t.Handover().listen(), Release: t.Release(), PIDFile: t.home.pidFile,
	}
}
