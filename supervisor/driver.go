package supervisor

import (
	"context"
	"errors"
	"time"

	"github.com/hotreload/hotreload/watcher"
)

// driver carries out what the loop decides. The loop calls it from one operation goroutine at a time, and
// never touches a generation while an operation runs.
type driver interface {
	// boot starts a server, or finds the one to attach to, and returns when it is ready. On error nothing
	// of it is left running. The release is nil outside of release mode, here and below.
	boot(ctx context.Context, number int, from *Release) (generation, error)
	// startable says why a start cannot work, as far as that can be known before what runs is ended.
	startable(from *Release) error
	// reload replaces workers and returns when all that served before are gone and replaced.
	// A *cannotReload error says that the next larger action is needed.
	reload(ctx context.Context, g generation, action Action) (evidence, error)
	// reloadInto replaces workers by such as load another release.
	reloadInto(ctx context.Context, g generation, target *Release) (evidence, error)
	// watchOver watches a server for a while after its workers were replaced, and returns nil when all is well or ctx is
	// done. It may run beside the loop, but not beside an operation.
	watchOver(ctx context.Context, g generation) *crashLoop
	// canHandOver says why a restart of g is a stop and a start, "" when the new generation can be ready first.
	canHandOver(g generation) string
	// handOver starts a generation beside old, and ends old when all new connections go to the new one. On error old goes on as it was.
	// switched is called when the new one serves.
	handOver(ctx context.Context, old generation, number int, from *Release, switched func(generation)) (generation, Drained, error)
	// well returns nil when the release that g serves answers as it should.
	well(ctx context.Context, g generation) error
	// bury ends what a dead master left behind.
	bury(g generation) error
	// end stops the server and returns when its whole tree is gone: gracefully until ctx is done or the
	// stop timeout has passed, then by force. The error says what was not well about the end.
	end(ctx context.Context, g generation) error
}

// generation is a running server, as the loop sees it.
type generation interface {
	Number() int
	Done() <-chan struct{} // closed when the master has ended
	Exit() Exit            // meaningful after Done
	StartedAt() time.Time
	Describe() (*MasterStatus, []WorkerStatus)
	Oldest() time.Time // when the oldest process that serves was started
	Found() bool       // it ran before this hotreload did
	LastLines() []string
	Handover() *HandoverStatus
	Release() *Release // that it serves; nil: not in release mode
	Crippled() string  // why its workers must not be replaced, so that it has to be restarted at once; "": it is well
	// Preloaded are the files that the master loaded before it forked; false: that is not known.
	Preloaded() (watcher.Opened, bool)
}

// evidence is what a reload or a start is believed on.
type evidence struct{ old, new []int }

// cannotReload says why an action cannot make a change live on this server, so that a larger one must.
type cannotReload struct{ why string }

func (e *cannotReload) Error() string { return e.why }

// crashLoop says that workers die as soon as they start.
type crashLoop struct {
	deaths int
	cause  string // the server's own words, "" when it said nothing
}

func (e *crashLoop) Error() string {
	if e.cause == "" {
		return "workers die as soon as they start"
	}
	return "workers die as soon as they start: " + e.cause
}

var errNotVerified = errors.New("not verified in time")
