package control

import (
	"net/http"

	"github.com/hotreload/hotreload/supervisor"
)

// The protocol is HTTP with JSON bodies over the unix socket. An operation that was carried out is answered with its
// outcome and 200, however it ended: that it failed is what was asked for, too. 202 is the answer to a caller that does not wait.
// Everything else is an [apiError].
const (
	pathStatus  = "/v1/status"
	pathReload  = "/v1/reload"
	pathRestart = "/v1/restart"
	pathStop    = "/v1/stop"
)

// routes are the whole surface of the daemon.
func (s *server) routes() []route {
	return []route{
		{http.MethodGet, pathStatus, s.status},
		{http.MethodPost, pathReload, s.reload},
		{http.MethodPost, pathRestart, s.restart},
		{http.MethodPost, pathStop, s.stop},
	}
}

// OperationRequest asks for a reload, a restart or a stop.
type OperationRequest struct {
	Tasks bool `json:"tasks,omitempty"` // reload: task workers only
	// Release is for a reload in release mode: all that is wanted is that this release is live, the directory that current leads to.
	Release string `json:"release,omitempty"`
	Wait    bool   `json:"wait"` // for the outcome
	// Reason says who asks: "hotreload reload". It becomes a reason of the outcome.
	Reason string `json:"reason,omitempty"`
}

// OperationReply answers an OperationRequest.
type OperationReply struct {
	Accepted bool                `json:"accepted"`
	Outcome  *supervisor.Outcome `json:"outcome"` // nil: the caller did not wait, or it was a stop
	Error    string              `json:"error"`   // of a stop: what was not well about the end
}

// apiError is the body of every answer that is no success.
type apiError struct {
	Error string `json:"error"`
}
