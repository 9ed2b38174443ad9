package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// check is one thing to look at. A new one is a file of its own, and an entry in checks.
type check struct {
	name string
	// bare: it looks at the machine alone, and so makes sense when there is no configuration.
	bare bool
	// run gathers the facts and judges them. It may take long: whoever calls it does not wait for ever. No finding means
	// that the check does not concern this server.
	run func(context.Context, *patient) []finding
}

// checks are all, in the order of their lines: what later ones build on comes first.
func checks() []check {
	return []check{
		{name: "configuration", bare: true, run: checkConfiguration},
		{name: "kind", run: checkKind},
		{name: "command", run: checkCommand},
		{name: "php", run: checkPHP},
		{name: "extensions", run: checkExtensions},
		{name: "xdebug", run: checkXdebug},
		{name: "opcache", run: checkOPcache},
		{name: "ini files", run: checkINIFiles},
		{name: "realpath", run: checkRealpath},
		{name: "releases", run: checkReleases},
		{name: "proxies", run: checkProxies},
		{name: "user", run: checkUser},
		{name: "pid file", run: checkPIDFile},
		{name: "master", run: checkMaster},
		{name: "processes", run: checkModel},
		{name: "port", run: checkPort},
		{name: "handover", run: checkHandover},
		{name: "hotreload", run: checkDoor},
		{name: "rivals", run: checkRivals},
		{name: "files", run: checkFiles},
		{name: "file system", run: checkFileSystems},
		{name: "inotify", run: checkInotify},
		{name: "clock", run: checkClock},
		{name: "environment", run: checkEnvironment},
		{name: "kernel", bare: true, run: checkKernel},
		{name: "limits", bare: true, run: checkLimits},
		{name: "disk", run: checkDisks},
	}
}

// checkWidth is the width of the longest name.
const checkWidth = len("configuration")

const (
	// factPatience bounds the time for one fact: php may hang, a mount may be dead.
	factPatience = 5 * time.Second
	// treePatience is the same for looking at all files.
	treePatience = 12 * time.Second
	// checkPatience bounds the time for one check, which may need several.
	checkPatience = 15 * time.Second
)

// examineAll runs all checks at the same time and tells what they find in their order. One that hangs, as on a mount whose
// server is gone, costs its own line only.
func examineAll(ctx context.Context, p *patient, all []check, tell func(finding)) {
	answers := make([]chan []finding, len(all))
	for i, c := range all {
		answers[i] = make(chan []finding, 1)
		go func() { answers[i] <- c.examine(ctx, p, checkPatience) }()
	}
	for i, c := range all {
		for _, f := range <-answers[i] {
			f.Check = c.name
			tell(f)
		}
	}
}

// examine runs the check for no longer than patience.
func (c check) examine(ctx context.Context, p *patient, patience time.Duration) []finding {
	found, err := within(ctx, patience, func(ctx context.Context) ([]finding, error) {
		if _, err := p.config(); err != nil && !c.bare {
			return nil, nil // said by the first
		}
		return c.run(ctx, p), nil
	})
	if err != nil {
		return []finding{warning("could not be checked: %v", err).remedy("mount | grep -E 'nfs|cifs|9p|fuse'   # is one of these not answering?")}
	}
	return found
}

// errLate says that something has not answered in time.
var errLate = errors.New("no answer")

// within returns the answer of f, or an error when that has not come after d. f is left alone then: what hangs in the kernel
// cannot be stopped, and ends with the process.
func within[T any](ctx context.Context, d time.Duration, f func(context.Context) (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	ctx, cancel := context.WithTimeout(ctx, d)
	answers := make(chan answer, 1)
	go func() {
		defer cancel()
		value, err := f(ctx)
		answers <- answer{value, err}
	}()
	// Whoever heeds the context has a moment to say so.
	late := time.NewTimer(d + 200*time.Millisecond)
	defer late.Stop()
	select {
	case a := <-answers:
		return a.value, a.err
	case <-late.C:
		var none T
		return none, fmt.Errorf("%w within %s", errLate, took(d))
	}
}
