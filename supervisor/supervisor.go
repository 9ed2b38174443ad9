// Package supervisor owns a PHP server that lives in memory: it starts it, decides what a change needs,
// replaces workers or the whole server, and reports success only with evidence.
//
// One goroutine, Run, owns all state. Batches of changes, requests and the end of a master reach it as
// values; what it decides is carried out by one operation at a time, whose Outcome is a value again. What a
// refused or failed operation left undone stays owed and joins the next plan. Changes that arrive during an
// operation become exactly one more.
//
// The package knows processes and signals, not PHP: gates (is this code fit to be loaded?) and preparations
// are functions that the caller passes in.
package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/hotreload/hotreload/signals"
	"github.com/hotreload/hotreload/watcher"
)

// Mode is what hotreload is used for.
type Mode string

// The modes.
const (
	Watch  Mode = "watch"  // development: changes are acted on, a server that cannot boot waits for the next change
	Run    Mode = "run"    // production: requests are acted on, a server that ends is started again with backoff
	Attach Mode = "attach" // somebody else's server: reloaded, never started or stopped
)

// Signals are what a kind of server understands. Zero means that it has no such signal.
type Signals struct {
	Reload      syscall.Signal // workers are replaced gracefully
	ReloadTasks syscall.Signal // task workers alone
	EndWorker   syscall.Signal // ends one worker at once, which its master then replaces
	Stop        syscall.Signal // graceful
	StopHard    syscall.Signal // before SIGKILL
}

// Server is what the supervisor must know of the server it owns.
type Server struct {
	Kind    string
	Command []string // empty in Attach
	Dir     string   // working directory, resolved at every start
	Env     []string // the whole environment of the server; nil: ours
	PIDFile string   // absolute; "" when the server writes none
	Signals Signals
	Layout  Layout // how its processes are arranged
	// RestartOnly says why a worker reload never makes code live on this server, "" where it does. Every reload is a
	// restart then.
	RestartOnly string
	Probe       Probe // answers when the server is ready; nil: the ports that it binds
	ProbeSteers bool  // Probe asks over connections of its own, which can be led to one of two generations

	ReadyTimeout  time.Duration // from the start to ready
	ReloadTimeout time.Duration // from the signal to verified
	DrainTimeout  time.Duration // how long an old worker may linger before EndWorker; 0: it is never hurried
	StopTimeout   time.Duration // from Stop to SIGKILL
	DrainDelay    time.Duration // Run: how long it is not ready before a stop, so that load balancers notice
}

// Backoff is the pause before a server that ended by itself is started again: Min at first, doubled up to Max.
type Backoff struct{ Min, Max time.Duration }

// Options configure a Supervisor.
type Options struct {
	Mode    Mode
	Server  Server
	Version string

	// Base is the directory that file names are shown relative to.
	Base string
	// Rule says what a changed file needs. Required in Watch and Attach.
	Rule Rule
	// Record begins to note which files the server opens, right before it is started. nil: nothing is known of that.
	Record func(ctx context.Context) (Recording, error)
	// Gate refuses code that must not be loaded, with a *Refusal; any other error is reported and does not
	// refuse. It gets the files of the plan that still exist. nil: no gate.
	Gate func(ctx context.Context, files []string) error
	// Stands names files that are generated from a source file and loaded in its place, absolute. nil: there are none.
	Stands func(path string) []string
	// Prepare makes what is generated from the code fit for what is about to be done, before anything is signalled or ended. A
	// *Refusal refuses; any other error is reported and does not. nil: nothing is generated.
	Prepare func(ctx context.Context, next Upcoming) (Preparation, error)
	// Blind says why new workers of a master that ran before this hotreload did would get old code, "" when they do not. nil:
	// they never would.
	Blind func(ctx context.Context, master signals.Process) string

	// Flush has Batches yield at once what has changed so far, and returns when that was received. nil: nothing is watched.
	Flush func(ctx context.Context)

	Batches      <-chan watcher.Batch       // nil: nothing is watched
	WatchStatus  func() *WatchStatus        // nil: Status.Watch is nil
	ChangedSince func(t time.Time) []string // files changed while nobody watched; nil: none
	Releases     *Releases                  // nil: not in release mode
	Handover     Handover                   // nil: every restart is a stop and a start
	Headroom     func(need int64) string    // why two servers of that size, in bytes, cannot run at a time; nil: they always can
	Adopt        *Adoption                  // a server that runs already; nil: start one
	Reaper       *signals.Reaper            // starts and waits for all children
	Output       Output                     // where the server's output goes
	Save         func(Adoption) error       // keeps what a later hotreload needs to adopt this server
	Notify       func(Event)                // told what happens, in order, from the Run goroutine; must not block
	Log          *zap.Logger                // nil: silent
	Restart      Backoff                    // zero: 200ms to 30s
	MaxFailures  int                        // Run: failed starts in a row before Run gives up; 0: never
}

// Adoption is what one hotreload writes down so that the next can take over the server if it is killed.
type Adoption struct {
	Master     signals.Process   `json:"master"`
	Generation int               `json:"generation"`
	Group      int               `json:"group"` // the process group of the tree
	Token      string            `json:"token"` // what the tree has in its environment
	BootID     string            `json:"boot_id"`
	Members    []signals.Process `json:"members"` // every process of the tree when this was written
	Mode       Mode              `json:"mode"`
	Ready      bool              `json:"ready"`     // false: it was starting
	Hotreload  int               `json:"hotreload"` // pid of the hotreload that wrote it
	Listen     []string          `json:"listen"`    // addresses that are handed over at a restart
	Release    *Release          `json:"release"`   // that it was started from, or serves since a reload; null: not in release mode
	PIDFile    string            `json:"pid_file"`  // "": it writes none
	Old        *Adoption         `json:"old"`       // the server that this one was about to replace; null: none
	Preloaded  *watcher.Opened   `json:"preloaded"` // files that the master loaded before it forked; null: not known
}

// Recording notes which files are opened while a server starts.
type Recording interface {
	// Cut ends it: the workers are there. It does nothing when the recording has ended by itself.
	Cut()
	// Close ends it, and returns what was opened before its end, or why that is not known.
	Close() (watcher.Opened, error)
	// Exact reports, after Close, whether it had ended by itself, before any worker could open a file.
	Exact() bool
}

// Upcoming is what is about to be done.
type Upcoming struct {
	Action  Action   // ReloadTasks, Reload or Restart
	Files   []string // the changed files that the plan knows of, absolute
	Known   bool     // these are all that have changed since the workers were started
	Serving bool     // a server runs, which goes on if this is refused
}

// Preparation is what Options.Prepare has found out.
type Preparation struct {
	// Restart says why a worker reload cannot make the change live, "" where it can.
	Restart string
	// Started is called when a server that was started after this serves. nil: nobody wants to know.
	Started func()
}

// Runs reports whether there is a server to adopt.
func (a *Adoption) Runs() bool {
	return a != nil && (a.Master.Alive() || a.Old.Runs())
}

// Masters are those of the servers that it tells of.
func (a *Adoption) Masters() []signals.Process {
	if a == nil {
		return nil
	}
	return append([]signals.Process{a.Master}, a.Old.Masters()...)
}

// Refusal is the error of a gate: the new code is not fit to replace the old.
type Refusal struct {
	File    string // relative where it can be
	Line    int    // 0 when unknown
	Message string // one line, in PHP's words
	More    int    // further files with problems
}

func (r *Refusal) Error() string {
	where := r.File
	if r.Line > 0 {
		where = fmt.Sprintf("%s:%d", r.File, r.Line)
	}
	msg := r.Message
	if where != "" {
		msg = where + ": " + msg
	}
	if r.More > 0 {
		msg += fmt.Sprintf(" (and %d more)", r.More)
	}
	return msg
}

// Request asks for an operation.
type Request struct {
	Action Action // ReloadTasks, Reload or Restart; in release mode None: serve the current release, if it is not served already
	// Release is for None the directory that is meant, absolute and without symlinks. An operation that is about to make it live
	// is answer enough, also if that began earlier. "": whatever is current.
	Release string
	Reason  string // who asks: "hotreload reload", "SIGUSR1", "key r"; "": it needs no saying
}

// Errors a caller acts on.
var (
	// ErrStopping answers a request that came when hotreload was already stopping.
	ErrStopping = errors.New("hotreload is stopping")
	// ErrForced ends Run when the second stop request cut a graceful stop short.
	ErrForced = errors.New("stopped at once, on request")
)

// ExitError is how Run ends when the server ended and hotreload gives up on it.
type ExitError struct {
	Code   int // the server's exit code, 128+n for signal n
	Reason string
}

func (e *ExitError) Error() string { return e.Reason }

// EventKind names an Event.
type EventKind string

// The events, in the order of a server's life.
const (
	EventStarting   EventKind = "starting"   // Detail: the command; by the program, once
	EventAdopted    EventKind = "adopted"    // a running server was taken over; in release mode Detail names the release
	EventReady      EventKind = "ready"      // after a start that no operation asked for; Detail too
	EventChanged    EventKind = "changed"    // an operation begins: Plan
	EventEscalated  EventKind = "escalated"  // Detail says why the operation does more than planned
	EventSwitched   EventKind = "switched"   // the new server of a restart serves beside the old one, which gets no new connection
	EventDone       EventKind = "done"       // an operation ended: Outcome
	EventCrashed    EventKind = "crashed"    // the master ended by itself: Detail, Output
	EventRetry      EventKind = "retry"      // the next start is in Wait
	EventWaiting    EventKind = "waiting"    // nothing more is tried until a change or a request
	EventIgnored    EventKind = "ignored"    // a file that the server itself writes is ignored from now on: Detail
	EventNote       EventKind = "note"       // something worth a line: Detail
	EventStopping   EventKind = "stopping"   // Detail: by whom; by the program, where it is the one that was asked
	EventStopped    EventKind = "stopped"    // the server has ended
	EventGateBroken EventKind = "gatebroken" // the gate itself failed and was passed over: Detail
)

// What an operation tells the loop alone.
const (
	eventEnds   EventKind = "ends"   // the server is about to be ended, with none to take over
	eventStarts EventKind = "starts" // the old server is gone and the new one about to start
)

// eventAims tells the loop which release is about to be made live.
const eventAims EventKind = "aims"

// Event is something a person who watches the terminal wants a line about.
type Event struct {
	Kind    EventKind
	At      time.Time
	Detail  string
	Took    time.Duration
	Plan    Plan
	Outcome *Outcome
	Output  []string // the server's last lines, where they help
	Wait    time.Duration
	PID     int

	aim *Release // of eventAims
}

// BootID identifies this boot of the machine (container restarts share it, reboots do not); "" where unknown.
func BootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return string(b[:min(len(b), 36)])
}
