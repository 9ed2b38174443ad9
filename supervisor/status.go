package supervisor

import "time"

// State is what the supervised server is doing, in one word.
type State string

// The states, as `status` shows them.
const (
	Starting   State = "starting"
	Ready      State = "ready"
	Reloading  State = "reloading"
	Restarting State = "restarting"
	Degraded   State = "degraded" // it serves, but not what is on disk
	Crashed    State = "crashed"  // it does not serve; hotreload waits for a change, a request or the next try
	Stopped    State = "stopped"
)

// Result is how an operation ended.
type Result string

// The results of an operation.
const (
	Verified Result = "verified" // every serving worker runs code from after the change
	Refused  Result = "refused"  // the new code did not pass the gate; the previous code still serves
	Failed   Result = "failed"
	TimedOut Result = "timeout" // not verified in time
)

// Outcome is what one operation did, with the evidence.
type Outcome struct {
	Seq        int       `json:"seq"` // operations are numbered from 1
	Action     Action    `json:"action"`
	Result     Result    `json:"result"`
	Reasons    []string  `json:"reasons"`
	Files      []string  `json:"files"`
	OldWorkers []int     `json:"old_workers"`
	NewWorkers []int     `json:"new_workers"`
	StartedAt  time.Time `json:"started_at"`
	DurationMS float64   `json:"duration_ms"`
	// ConnectionsCut were closed in the middle of a request or of a stream, ConnectionsIdle between two requests.
	ConnectionsCut  int    `json:"connections_cut"`
	ConnectionsIdle int    `json:"connections_idle"`
	Error           string `json:"error"` // what failed, what still runs, what to do; "" when verified

	// Escalated says why a reload became a restart, or task workers a reload; "" when it did not. It is
	// among the reasons too.
	Escalated string `json:"-"`
	// Output is the server's last lines, where they help to understand a failure.
	Output []string `json:"-"`
}

// Duration is how long the operation took, from its start to its verified end.
func (o Outcome) Duration() time.Duration {
	return time.Duration(o.DurationMS * float64(time.Millisecond))
}

// Status is a snapshot of everything the supervisor knows. Absent parts are null in JSON, never missing.
type Status struct {
	Version    string          `json:"version"`
	State      State           `json:"state"`
	Reason     string          `json:"reason"`
	Ready      bool            `json:"ready"` // a server answers requests, and is not about to be stopped
	Mode       Mode            `json:"mode"`
	Kind       string          `json:"kind"`
	Generation int             `json:"generation"`
	Master     *MasterStatus   `json:"master"`
	Workers    []WorkerStatus  `json:"workers"`
	Release    *ReleaseStatus  `json:"release"`
	Watch      *WatchStatus    `json:"watch"`
	Handover   *HandoverStatus `json:"handover"`
	Last       *Outcome        `json:"last"`
	Owed       string          `json:"owed"` // changes that are not known to be live, "" when there are none
	Counters   Counters        `json:"counters"`
}

// MasterStatus describes the master process.
type MasterStatus struct {
	PID       int       `json:"pid"`
	StartedAt time.Time `json:"started_at"`
	UptimeS   float64   `json:"uptime_s"`
}

// WorkerStatus describes one process below the master.
type WorkerStatus struct {
	PID       int       `json:"pid"`
	Role      Role      `json:"role"`
	StartedAt time.Time `json:"started_at"`
	RSSBytes  int64     `json:"rss_bytes"`
}

// ReleaseStatus describes the release that is served.
type ReleaseStatus struct {
	Current string `json:"current"`
	Path    string `json:"path"`
	Name    string `json:"name"`
}

// WatchStatus describes the watcher. Preloaded is the number of watched files that the master loaded before it forked; null where
// that is not known.
type WatchStatus struct {
	Backend    string `json:"backend"`
	Files      int    `json:"files"`
	Dirs       int    `json:"dirs"`
	PolledDirs int    `json:"polled_dirs"`
	Preloaded  *int   `json:"preloaded"`
}

// HandoverStatus describes how listening sockets survive a restart.
type HandoverStatus struct {
	Method string   `json:"method"`
	Listen []string `json:"listen"`
	Why    string   `json:"why"`
}

// Counters count verified operations, refusals, failures, and unexpected ends of a master.
type Counters struct {
	Reloads  int `json:"reloads"`
	Restarts int `json:"restarts"`
	Refused  int `json:"refused"`
	Failed   int `json:"failed"`
	Crashes  int `json:"crashes"`
}
