package main

import (
	"context"
	"sync"
	"time"

	"github.com/hotreload/hotreload/php"
)

// ahead checks files before anybody asks, in the second half of the quiet period that a batch waits for anyway. PHP takes about
// as long to start as that lasts.
//
// An answer counts only for the file that was checked: the same inode, size and times when the gate asks as when PHP was
// started. Times are as coarse as the kernel's tick, so a file that changed less than a tick before is not checked ahead: it
// could change again without looking different.
type ahead struct {
	check func(ctx context.Context, files []string) (php.Result, error)

	mu      sync.Mutex
	answers map[string]*answer // by path
}

// answer is what became of one check, once done is closed.
type answer struct {
	of     fileID
	done   chan struct{}
	result php.Result
	err    error
}

// tick is the longest that the kernel's clock for files may stand still: a tick of the slowest clock it is built with (CONFIG_HZ=100).
const tick = 10 * time.Millisecond

// manyAnswers bounds what is remembered: files that were checked and then never asked for.
const manyAnswers = 64

// start begins to check files, and returns at once. ctx ends the checks.
func (a *ahead) start(ctx context.Context, files []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.answers) > manyAnswers {
		clear(a.answers)
	}
	for _, file := range files {
		id, ok := identify(file)
		if !ok || time.Since(id.changed) < tick {
			continue
		}
		ans := &answer{of: id, done: make(chan struct{})}
		a.answers[file] = ans
		go func() {
			defer close(ans.done)
			ans.result, ans.err = a.check(ctx, []string{file})
		}()
	}
}

// take returns what is known of these files, and the ones of which nothing is. It waits for checks that are under way.
func (a *ahead) take(ctx context.Context, files []string) (known php.Result, unknown []string) {
	for _, file := range files {
		ans := a.of(file)
		if ans == nil {
			unknown = append(unknown, file)
			continue
		}
		select {
		case <-ans.done:
		case <-ctx.Done():
			return known, nil
		}
		if id, ok := identify(file); !ok || id != ans.of || ans.err != nil {
			unknown = append(unknown, file)
			continue
		}
		known.Problems = append(known.Problems, ans.result.Problems...)
		known.Unreadable = append(known.Unreadable, ans.result.Unreadable...)
		known.Checked += ans.result.Checked
	}
	return known, unknown
}

// of takes the answer for a file out of what is remembered; nil when there is none for the file as it is.
func (a *ahead) of(file string) *answer {
	a.mu.Lock()
	defer a.mu.Unlock()
	ans := a.answers[file]
	delete(a.answers, file)
	if ans == nil {
		return nil
	}
	if id, ok := identify(file); !ok || id != ans.of {
		return nil
	}
	return ans
}
