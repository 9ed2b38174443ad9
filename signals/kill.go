package signals

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"
)

// KillTree ends all processes that members returns, with SIGKILL, and waits
// until they are gone. It is meant for trees that fork faster than they can be
// killed one by one (a manager whose workers throw at once: 500 forks per second).
//
// A process that is stopped does not fork. So everything is stopped first,
// parents before children, until a round finds nobody new; the parent links are
// whole at that moment and nothing has escaped. Then all are killed, and members is asked
// until nobody is left twice in a row.
//
// members is called many times and returns who is to end now, parents first, such as
// the [Tree] of a master together with orphans of it; [ErrGone] from it means
// nobody. This process and its ancestors are never touched, whatever members says. When
// ctx ends first, the error names the survivors; they are left stopped or dying, never
// running.
func KillTree(ctx context.Context, members func() ([]Info, error)) error {
	spared, err := Ancestors()
	if err != nil {
		return fmt.Errorf("kill tree: %w", err)
	}
	k := treeKiller{members: members, spared: map[Process]bool{Self(): true}, seen: make(map[Process]bool)}
	for _, p := range spared {
		k.spared[p] = true
	}
	if err := k.run(ctx); err != nil {
		return fmt.Errorf("kill tree: %w", err)
	}
	return nil
}

// treeKiller ends what members ever named; a process stays a member when its
// parent is gone and the tree does not lead to it any more.
type treeKiller struct {
	members func() ([]Info, error)
	spared  map[Process]bool

	known []Process // in order of discovery: parents first
	seen  map[Process]bool
}

func (k *treeKiller) run(ctx context.Context) error {
	if err := k.stopAll(ctx); err != nil {
		return err
	}
	for empty := 0; empty < 2; {
		if _, err := k.discover(); err != nil {
			return err
		}
		k.known = slices.DeleteFunc(k.known, func(p Process) bool { return !p.Alive() })
		if len(k.known) == 0 {
			empty++
			continue
		}
		empty = 0
		if sent, err := sendAll(k.known, syscall.SIGKILL); err != nil && sent == 0 {
			return survivors(k.known, err)
		}
		if err := pause(ctx); err != nil {
			return survivors(k.known, err)
		}
	}
	return nil
}

// stopAll stops the members until two rounds in a row find nobody new. One
// round is not enough: SIGSTOP reaches the threads of a process one after another.
// When ctx ends first, run kills what is known. What cannot be stopped cannot be
// killed either, and is reported then.
func (k *treeKiller) stopAll(ctx context.Context) error {
	for settled := 0; settled < 2 && ctx.Err() == nil; settled++ {
		found, err := k.discover()
		if err != nil {
			return err
		}
		if len(found) > 0 {
			settled = -1
		}
		sendAll(found, syscall.SIGSTOP)
	}
	return nil
}

// discover asks members, and returns those it had not named before.
func (k *treeKiller) discover() ([]Process, error) {
	infos, err := k.members()
	if err != nil && !errors.Is(err, ErrGone) {
		return nil, err
	}
	var found []Process
	for _, info := range infos {
		if !k.spared[info.Process] && !k.seen[info.Process] {
			k.seen[info.Process] = true
			found = append(found, info.Process)
		}
	}
	k.known = append(k.known, found...)
	return found, nil
}

// sendAll tries everybody, and returns how many were reached (to be gone is to
// be reached) and the first error.
func sendAll(to []Process, sig syscall.Signal) (sent int, first error) {
	for _, p := range to {
		err := p.Signal(sig)
		if err == nil || errors.Is(err, ErrGone) {
			sent++
		} else if first == nil {
			first = err
		}
	}
	return sent, first
}

func pause(ctx context.Context) error {
	timer := time.NewTimer(2 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

func survivors(left []Process, err error) error {
	pids := make([]string, len(left))
	for i, p := range left {
		pids[i] = p.String()
	}
	return fmt.Errorf("still there: %s: %w", strings.Join(pids, ", "), err)
}
