package supervisor

import (
	"context"
	"slices"
	"time"
)

// A worker whose start waits for something, a slow database, looks as if it waited for work, and may fail long after that. So a
// server is watched for a while after it was called ready.

// How long that is, how often it is looked at, and how old a worker must be to show that workers live.
const (
	careTime  = 6 * time.Second
	careEvery = 50 * time.Millisecond
	careAge   = 2 * time.Second
)

// watchOver looks after a server whose workers have just been replaced. It returns when ctx is done or everything has been well
// for a while (nil), or when no worker lives and PHP says why.
func (d *processes) watchOver(ctx context.Context, g generation) *crashLoop {
	t := g.(*tree)
	o := newObserver(d.kernel, d.opt.Server.Layout, t.master)
	mark := t.out.mark()
	tick := time.NewTicker(careEvery)
	defer tick.Stop()
	for begin := d.kernel.now(); ; {
		v, err := o.look()
		if err != nil {
			return nil // the end of the master is noticed elsewhere
		}
		if loop := o.withers(v, t.out.since(mark)); loop != nil {
			return loop
		}
		if v.at.Sub(begin) >= careTime {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-t.done:
			return nil
		case <-tick.C:
		}
	}
}

// withers judges whether no worker of v lives on: some have ended, none that is there is old, and PHP has reported errors.
func (o *observer) withers(v view, lines []string) *crashLoop {
	if v.at.Sub(o.began) < careAge+careAge/2 || o.gone < 3 {
		return nil
	}
	old := slices.ContainsFunc(v.procs, func(s sighting) bool {
		return s.role == Worker && v.at.Sub(s.first) >= careAge
	})
	if cause := fatalLine(lines); !old && cause != "" {
		return &crashLoop{deaths: o.gone, cause: cause}
	}
	return nil
}
