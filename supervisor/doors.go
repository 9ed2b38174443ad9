package supervisor

import "context"

// Supervisor owns one server. Run does the work; the other methods are messages to it and may be called
// from any goroutine.
type Supervisor struct {
	opt    Options
	driver driver

	asks    chan ask
	stops   chan chan error
	queries chan chan Status
	remarks chan string
	ended   chan struct{} // closed when Run returns
}

type ask struct {
	Request
	meant *Release      // that Request.Release named when it was asked for; nil: none, or the link leads elsewhere
	reply chan<- answer // buffered: the loop never waits for a caller
}

// plan is what was asked for.
func (a ask) plan() Plan {
	if a.Reason == "" || a.Action == None {
		return Plan{Action: a.Action} // what is done then has a reason of its own
	}
	return Plan{Action: a.Action, Reasons: []string{a.Reason}}
}

type answer struct {
	outcome Outcome
	err     error
}

// Do asks for an operation and returns the outcome of the first one that started after the call, or ctx's
// error if that comes first (the operation goes on), or ErrStopping.
func (s *Supervisor) Do(ctx context.Context, r Request) (Outcome, error) {
	if s.opt.Flush != nil {
		// What was saved before the question belongs to the answer.
		s.opt.Flush(ctx)
	}
	reply := make(chan answer, 1)
	select {
	case s.asks <- ask{r, s.meant(r), reply}:
	case <-s.ended:
		return Outcome{}, ErrStopping
	case <-ctx.Done():
		return Outcome{}, ctx.Err()
	}
	select {
	case a := <-reply:
		return a.outcome, a.err
	case <-ctx.Done():
		return Outcome{}, ctx.Err()
	}
}

// meant finds out which directory a request names, apart from others that have the same path before or after.
func (s *Supervisor) meant(r Request) *Release {
	if r.Release == "" || s.opt.Releases == nil {
		return nil
	}
	current, err := s.opt.Releases.Resolve()
	if err != nil || current.Path != r.Release {
		return nil
	}
	return &current
}

// Stop asks Run to stop the server gracefully and to return; a second call stops it at once. It returns when the server
// has ended, with what was not well about the end.
func (s *Supervisor) Stop(ctx context.Context) error {
	reply := make(chan error, 1)
	select {
	case s.stops <- reply:
	case <-s.ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-reply:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Status returns what the supervisor knows now.
func (s *Supervisor) Status(ctx context.Context) (Status, error) {
	reply := make(chan Status, 1)
	select {
	case s.queries <- reply:
		return <-reply, nil
	case <-s.ended:
		return Status{}, ErrStopping
	case <-ctx.Done():
		return Status{}, ctx.Err()
	}
}
