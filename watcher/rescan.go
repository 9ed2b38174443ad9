package watcher

import (
	"context"
	"time"
)

// owe plans a rescan.
func (t *tree) owe() {
	now := time.Now()
	t.again = now
	if t.rest.After(now) {
		t.again = t.rest
		time.AfterFunc(t.rest.Sub(now), t.intake.signal)
	}
}

// startOver gives up all watches and compares everything. After lost events nothing is known of what was moved
// where, and so of what the kernel calls the watches.
func (t *tree) startOver(ctx context.Context) {
	began := time.Now()
	t.rescan = true
	t.log.Info("events were lost, comparing all files")
	if t.notifier != nil {
		t.close()
		t.intake.take()
		t.spent.Store(0)
		t.openNotifier()
	}
	clear(t.byID)
	clear(t.recheck)
	clear(t.dirs)
	old := make([]*dir, 0, len(t.nodes))
	for _, d := range t.nodes {
		if d.live {
			old = append(old, d)
			t.count(d, -1)
		}
		d.live, d.refused, d.id, d.next, d.hooks, d.links = false, false, inode{}, nil, nil, nil
	}
	for _, r := range t.roots {
		r.hops = nil
		t.recheck[r] = true
	}
	t.settleLinks(ctx)
	for _, d := range old {
		if !d.live {
			t.ghosts[d] = struct{}{}
			t.markAll(d)
		}
	}
	t.again = time.Time{}
	t.rest = began.Add(4 * time.Since(began))
}
