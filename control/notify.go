package control

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"go.uber.org/zap"

	"github.com/hotreload/hotreload/supervisor"
)

// NotifyVariables are what a service manager tells hotreload in its environment, and nobody below it: whoever has them could
// speak for the service (sd_notify(3), sd_watchdog_enabled(3)).
func NotifyVariables() []string { return []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} }

// Notifier tells the service manager that started hotreload how the server is, as sd_notify(3) does. A nil Notifier tells nobody.
//
// READY=1 is the first time that the server is ready, and the end of every later operation, however it went: what came of it is
// in STATUS. The main process is hotreload itself, all the time.
type Notifier struct {
	send     func(message string) error
	log      *zap.Logger
	watchdog time.Duration // the pings must not be further apart; 0: none are wanted
	main     string        // "MAINPID=N", where the manager started another process than this; "": it knows

	wake   chan struct{} // something is waiting
	silent bool          // it was said that the manager cannot be told; only Run touches it

	mu      sync.Mutex
	waiting []string // messages, the oldest first
	phase   phase
}

// phase is where a service is in its life, as the manager sees it.
type phase int

const (
	starting  phase = iota // it has not been ready yet
	failing                // ... and a start has failed
	serving                // it was ready
	operating              // ... and an operation runs
	stopping
)

// NewNotifier returns nil where no service manager wants to be told: NOTIFY_SOCKET is not set.
func NewNotifier(log *zap.Logger) *Notifier {
	if os.Getenv("NOTIFY_SOCKET") == "" {
		return nil
	}
	n := &Notifier{log: log, wake: make(chan struct{}, 1), send: sendNotification}
	var err error
	if n.watchdog, err = daemon.SdWatchdogEnabled(false); err != nil {
		log.Warn("the service manager wants to watch over hotreload, and cannot", zap.Error(err))
	}
	// What systemd itself has started (systemd.exec(5)); a script of the unit may stand between. Nothing is said where that is not known: in a
	// container the manager knows this process by another number.
	if pid := os.Getenv("SYSTEMD_EXEC_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		n.main = fmt.Sprintf("MAINPID=%d", os.Getpid())
	}
	return n
}

func sendNotification(message string) error {
	sent, err := daemon.SdNotify(false, message)
	if err == nil && !sent {
		err = errors.New("NOTIFY_SOCKET is not set any more")
	}
	return err
}

// Watches reports whether the manager ends hotreload when its supervisor hangs, by SIGABRT (systemd.service(5), WatchdogSec).
func (n *Notifier) Watches() bool { return n != nil && n.watchdog > 0 }

// Event takes note of what happens. It does not wait.
func (n *Notifier) Event(e supervisor.Event) {
	if n == nil {
		return
	}
	n.mu.Lock()
	if message := n.render(e); message != "" {
		n.waiting = append(n.waiting, message)
	}
	n.mu.Unlock()
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// render is what an event means to the manager; "" when nothing. It notes the phase that follows.
func (n *Notifier) render(e supervisor.Event) string {
	was := n.phase
	switch e.Kind {
	case supervisor.EventReady, supervisor.EventAdopted:
		n.phase = serving
	case supervisor.EventCrashed:
		if was == starting {
			n.phase = failing
		}
		return ""
	case supervisor.EventChanged:
		if was != serving {
			return "" // it is a start, and not the first
		}
		n.phase = operating
		// systemd compares it with when it asked, so it is when the operation began, and not when it hears of it.
		return daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec()
	case supervisor.EventDone:
		if was != operating && e.Outcome.Result != supervisor.Verified {
			return ""
		}
		n.phase = serving
	case supervisor.EventStopping:
		n.phase = stopping
		if was == stopping {
			return ""
		}
		return daemon.SdNotifyStopping
	default:
		return ""
	}
	if was == stopping {
		n.phase = stopping
		return ""
	}
	return strings.TrimSpace(daemon.SdNotifyReady + "\n" + n.main)
}

// How often the manager is asked for more time, and for how much: as often as it takes for one lost message not to matter.
const (
	extendEvery = 5 * time.Second
	extendBy    = 3 * extendEvery
)

// lastWords is how long the last messages may take.
const lastWords = time.Second

// Run sends what there is to send until ctx is done. It asks sup how it is now and then, and as long as that answers, tells the manager
// that hotreload is well, and that what takes long goes on.
func (n *Notifier) Run(ctx context.Context, sup Supervisor) {
	if n == nil {
		return
	}
	every := extendEvery
	if n.watchdog > 0 {
		every = min(every, n.watchdog/2)
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	var told string // the last STATUS
	for ctx.Err() == nil {
		ticked := false
		select {
		case <-ctx.Done():
			continue
		case <-n.wake:
		case <-tick.C:
			ticked = true
		}
		n.deliver(ctx)
		asking, cancel := context.WithTimeout(ctx, every)
		st, err := sup.Status(asking)
		cancel()
		if err != nil {
			continue // the supervisor hangs, or has ended
		}
		message := []string{}
		if status := "STATUS=" + describe(st); status != told {
			message, told = append(message, status), status
		}
		if ticked {
			message = append(message, n.alive()...)
		}
		n.tell(ctx, strings.Join(message, "\n"))
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer cancel()
	n.deliver(last)
}

// alive is what an answer of the supervisor means to the manager. A first start is given the time that it takes; once it has failed, the manager's
// own limit counts (TimeoutStartSec), else it would wait for ever for a server that never starts.
func (n *Notifier) alive() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var message []string
	if n.watchdog > 0 {
		message = append(message, daemon.SdNotifyWatchdog)
	}
	if n.phase == starting || n.phase == operating || n.phase == stopping {
		message = append(message, fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", extendBy.Microseconds()))
	}
	return message
}

// deliver sends the messages that wait.
func (n *Notifier) deliver(ctx context.Context) {
	for {
		n.mu.Lock()
		if len(n.waiting) == 0 {
			n.mu.Unlock()
			return
		}
		message := n.waiting[0]
		n.waiting = n.waiting[1:]
		n.mu.Unlock()
		if !n.tell(ctx, message) {
			return
		}
	}
}

// tell sends one message. It reports false when ctx is done before the manager has taken it: one that hangs must not hold us up.
func (n *Notifier) tell(ctx context.Context, message string) bool {
	if message == "" {
		return true
	}
	sent := make(chan error, 1)
	go func() { sent <- n.send(message) }()
	select {
	case err := <-sent:
		if err != nil && !n.silent {
			n.silent = true
			n.log.Warn("the service manager cannot be told how the server is", zap.Error(err))
		}
		return true
	case <-ctx.Done():
		return false
	}
}

// describe is a status in one line.
func describe(st supervisor.Status) string {
	text := string(st.State)
	switch {
	case st.Reason != "":
		text += ": " + st.Reason
	case st.Ready && st.Master != nil:
		text += fmt.Sprintf(": %s, master %d, generation %d", st.Kind, st.Master.PID, st.Generation)
	}
	if st.Owed != "" && st.Reason == "" {
		text += "; still to be loaded: " + st.Owed
	}
	// A line break would begin another assignment, and systemd takes no text that is not UTF-8.
	return strings.ToValidUTF8(strings.Join(strings.Fields(text), " "), "?")
}
