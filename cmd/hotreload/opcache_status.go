package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/hotreload/hotreload/php"
)

// poolCache is what a pool told of its cache, or why it did not.
type poolCache struct {
	pool  php.FPM
	cache php.OPcache
	err   error
	// sharedWith is an earlier pool with the same cache; nil: there is none.
	sharedWith *php.FPM
}

// askAll asks all pools at once, and finds out which of them have one master, and so one cache.
func (o *opcacheCall) askAll(ctx context.Context) []poolCache {
	told := make([]poolCache, len(o.pools))
	var all sync.WaitGroup
	for i, f := range o.pools {
		all.Go(func() {
			cache, err := f.OPcacheStatus(ctx)
			told[i] = poolCache{pool: f, cache: cache, err: err}
		})
	}
	all.Wait()
	for i := range told {
		for j := range told[:i] {
			if told[j].sharedWith == nil && sameCache(told[i], told[j]) {
				told[i].sharedWith = &told[j].pool
			}
		}
	}
	return told
}

// sameCache errs on the side of no: two masters, even on two machines, could agree in less than all of that.
func sameCache(a, b poolCache) bool {
	x, y := a.cache, b.cache
	return a.failure() == nil && b.failure() == nil && x.Off == nil && y.Off == nil &&
		x.Master != 0 && x.Master == y.Master && x.Host == y.Host && x.StartedAt.Equal(y.StartedAt) && x.MaxKeys == y.MaxKeys
}

func opcacheStatus(c *cli.Context) error {
	o, err := newOpcacheCall(c)
	if err != nil {
		return err
	}
	ctx, stop := interruptible(c)
	defer stop()
	told := o.askAll(ctx)
	if err := o.show(told, time.Now()); err != nil {
		return err
	}
	var errs []error
	for _, t := range told {
		errs = append(errs, remedied(t.failure()))
	}
	return o.fail(errs)
}

// failure is why the pool has told nothing of a cache. A cache that is off is no failure: that was the question.
func (t poolCache) failure() error {
	if t.err == nil && errors.Is(t.cache.Off, php.ErrOPcacheForbidden) {
		return fmt.Errorf("%s: %w", t.pool.Address, t.cache.Off)
	}
	return t.err
}

func (o *opcacheCall) show(told []poolCache, now time.Time) error {
	if o.json {
		list := make([]cacheJSON, 0, len(told))
		for _, t := range told {
			list = append(list, t.json())
		}
		return json.NewEncoder(o.out).Encode(list)
	}
	w := tabwriter.NewWriter(o.out, 0, 0, 2, ' ', 0)
	blocks := 0
	for _, t := range told {
		if t.failure() != nil {
			continue
		}
		if blocks++; blocks > 1 {
			fmt.Fprintln(w)
		}
		t.write(w, now)
	}
	return w.Flush()
}

// write is a cache for people.
func (t poolCache) write(w io.Writer, now time.Time) {
	row := func(cells ...string) { fmt.Fprintln(w, strings.Join(cells, "\t")) }
	row("pool", t.pool.Address.String())
	if t.sharedWith != nil {
		row("OPcache", "that of "+t.sharedWith.Address.String())
		return
	}
	row("PHP", t.cache.PHP+cacheThreads(t.cache)+cacheMaster(t.cache))
	if t.cache.Off != nil {
		row("OPcache", strings.TrimPrefix(t.cache.Off.Error(), "OPcache is "))
		return
	}
	c := t.cache
	row("OPcache", cacheCondition(c)+", up "+took(max(0, now.Sub(c.StartedAt))))
	row("memory", fmt.Sprintf("%s used, %s free, %s wasted (%.1f %%)",
		megabytes(c.Memory.Used), megabytes(c.Memory.Free), megabytes(c.Memory.Wasted), c.Memory.WastedPercent))
	if c.Strings != nil {
		row("strings", fmt.Sprintf("%s used, %s free, %s", megabytes(c.Strings.Used), megabytes(c.Strings.Free), count(int(c.Strings.Count), "string")))
	}
	row("scripts", fmt.Sprintf("%s, %d of %d keys", count(int(c.Scripts), "script"), c.Keys, c.MaxKeys))
	row("hits", fmt.Sprintf("%.1f %%, %d hits, %d misses", c.HitRate, c.Hits, c.Misses))
	row("restarts", fmt.Sprintf("%d for memory, %d for keys, %d asked for%s", c.OOMRestarts, c.HashRestarts, c.ManualRestarts, cacheRestart(c, now)))
	row("changes", cacheFreshness(c))
	row("JIT", cacheJIT(c))
	for _, hint := range cacheHints(c) {
		row("note", hint)
	}
}

func cacheThreads(c php.OPcache) string {
	if c.ThreadSafe {
		return ", thread safe"
	}
	return ""
}

func cacheMaster(c php.OPcache) string {
	if c.Master == 0 {
		return ""
	}
	return fmt.Sprintf(", master %d", c.Master)
}

// cacheCondition is how the cache is, in a word or two.
func cacheCondition(c php.OPcache) string {
	switch {
	case c.RestartInProgress:
		return "restarting"
	case c.RestartPending:
		return "waiting for its restart"
	case c.Full:
		return "full"
	}
	return "on"
}

func cacheRestart(c php.OPcache, now time.Time) string {
	if c.LastRestart.IsZero() {
		return ""
	}
	return fmt.Sprintf("; last %s (%s ago)", c.LastRestart.Format(time.DateTime), took(max(0, now.Sub(c.LastRestart))))
}

// cacheFreshness is when this cache sees a changed file.
func cacheFreshness(c php.OPcache) string {
	switch {
	case !c.ValidateTimestamps:
		return "never seen (opcache.validate_timestamps=0)"
	case c.RevalidateFreq == 0:
		return "seen at the next request (opcache.revalidate_freq=0)"
	}
	return fmt.Sprintf("seen after at most %.0f s (opcache.revalidate_freq)", c.RevalidateFreq.Seconds())
}

func cacheJIT(c php.OPcache) string {
	if c.JIT == nil || !c.JIT.On {
		return "off"
	}
	return fmt.Sprintf("on, %s of %s free", megabytes(c.JIT.BufferFree), megabytes(c.JIT.BufferSize))
}
