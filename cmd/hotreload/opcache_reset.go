package main

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/hotreload/hotreload/php"
)

// underLoad is said before the first reset.
const underLoad = "hotreload: opcache_reset() has crashed php-fpm under load (php-src issue 14471); `hotreload reload` starts it with an empty cache instead"

// resetOutcome is what came of a reset at one pool.
type resetOutcome struct {
	poolCache        // as it was before anything was emptied
	php.OPcacheReset // zero when the reset of an earlier pool was this one's, too
	err              error
}

// resetter empties the caches of pools, each cache once.
type resetter struct {
	timeout time.Duration
	warn    func() // once, before the first reset
	done    []resetOutcome
}

func opcacheReset(c *cli.Context) error {
	if c.Duration("timeout") <= 0 {
		return usageError("%s: --timeout must be longer than 0s", c.Command.HelpName)
	}
	o, err := newOpcacheCall(c)
	if err != nil {
		return err
	}
	ctx, stop := interruptible(c)
	defer stop()
	r := resetter{timeout: c.Duration("timeout"), warn: sync.OnceFunc(func() { fmt.Fprintln(o.errors, underLoad) })}
	for i := range o.pools {
		o.pools[i].Patience = min(r.timeout, php.FPMPatience)
	}
	for _, before := range o.askAll(ctx) {
		r.done = append(r.done, r.reset(ctx, before))
	}
	if err := o.tell(r.done); err != nil {
		return err
	}
	var errs []error
	for _, out := range r.done {
		errs = append(errs, remedied(out.err))
	}
	return o.fail(errs)
}

// reset empties the cache of one pool, unless that is done.
func (r *resetter) reset(ctx context.Context, before poolCache) resetOutcome {
	out := resetOutcome{poolCache: before, err: before.failure()}
	if out.err != nil {
		return out
	}
	if out.err = r.sharedFailure(before); out.err != nil || r.emptied(ctx, before) {
		return out
	}
	if before.cache.Off == nil && !before.cache.ThreadSafe {
		r.warn()
	}
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	out.OPcacheReset, out.err = before.pool.ResetOPcache(ctx)
	return out
}

// sharedFailure is why the cache, which is that of an earlier pool, could not be emptied through that one.
func (r *resetter) sharedFailure(before poolCache) error {
	for _, earlier := range r.done {
		if before.sharedWith != nil && earlier.pool.Address == before.sharedWith.Address && earlier.err != nil {
			return fmt.Errorf("%s: shares its OPcache with %w", before.pool.Address, earlier.err)
		}
	}
	return nil
}

// emptied asks whether the reset of an earlier pool has emptied this one's cache, too. That is the proof that they share it.
func (r *resetter) emptied(ctx context.Context, before poolCache) bool {
	if len(r.done) == 0 || before.cache.Off != nil {
		return false
	}
	now, err := before.pool.OPcacheStatus(ctx)
	return err == nil && now.RestartedSince(before.cache)
}

// tell prints what was done. What was not is an error, and said by whoever returns it.
func (o *opcacheCall) tell(outcomes []resetOutcome) error {
	if o.json {
		list := make([]resetJSON, 0, len(outcomes))
		for _, out := range outcomes {
			list = append(list, out.json())
		}
		return json.NewEncoder(o.out).Encode(list)
	}
	for _, out := range outcomes {
		if out.err != nil {
			continue
		}
		if _, err := fmt.Fprintln(o.out, out.line()); err != nil {
			return err
		}
		if out.Took == 0 {
			continue
		}
		for _, hint := range beyondReset(out.cache) {
			fmt.Fprintln(o.errors, "hotreload: "+hint)
		}
	}
	return nil
}

// line is what was done, in a line.
func (out resetOutcome) line() string {
	switch {
	case out.Took > 0:
		return fmt.Sprintf("emptied the OPcache of %s in %s; it held %s", out.pool.Address, took(out.Took), count(int(out.Before.Scripts), "script"))
	case out.sharedWith != nil:
		return fmt.Sprintf("%s shares the OPcache of %s", out.pool.Address, out.sharedWith.Address)
	}
	return fmt.Sprintf("the OPcache of %s was emptied with that of an earlier pool, or by somebody else", out.pool.Address)
}

func (out resetOutcome) json() resetJSON {
	j := resetJSON{
		Address: out.pool.Address.String(), Result: "verified",
		DroppedScripts: out.Before.Scripts, DurationMs: float64(out.Took.Microseconds()) / 1000, Hints: []string{},
	}
	if out.sharedWith != nil {
		name := out.sharedWith.Address.String()
		j.SharedWith = &name
	}
	if err := remedied(out.err); err != nil {
		j.Error, j.Result = err.Error(), resultOf(exitCode(err))
		j.Hints = append(j.Hints, remedyIn(err)...)
	}
	if out.Before.PHP != "" && out.Before.Off == nil {
		j.RestartsBefore, j.RestartsAfter = &out.Before.ManualRestarts, &out.After.ManualRestarts
	}
	if out.err == nil {
		j.Hints = append(j.Hints, beyondReset(out.cache)...)
	}
	return j
}

// resultOf is an exit code in the word that `reload --json` has for it.
func resultOf(code int) string {
	switch code {
	case exitOK:
		return "verified"
	case exitRefused:
		return "refused"
	case exitNotVerified:
		return "timeout"
	}
	return "failed"
}
