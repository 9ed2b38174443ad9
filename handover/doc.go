// Package handover owns the listening sockets of a server's generations, so that a new generation can be ready beside the old one
// before a single connection is sent to it, without the server knowing.
//
// The server is started through a shim: this program executed again, which installs a seccomp filter with a user notification
// on bind(2) and then becomes the server. At each bind the server's own socket is duplicated (pidfd_getfd), marked SO_REUSEPORT, and
// given a classic BPF program that keeps new connections where they are; then the bind goes on as if nothing had been. Sockets of
// several generations on one address so form a group of the kernel's, and one instruction decides which of them gets the next
// connection. What was accepted, queued or half open stays with the socket that it came to.
//
// A unix socket is found by its path instead. There each generation's socket has a name of its own beside the path, bound while the server
// believes to have bound the path; the path is a hard link to one of them, and rename(2) is the switch. A server that ends removes the
// path whoever listens behind it, so while two generations live unlink(2) is stopped at too, or undone.
//
// The package knows no server and no process tree: it is told which processes belong to a generation. Only Linux can do all
// this, from 5.9 on; elsewhere New says why not.
package handover

import (
	"errors"
	"time"
)

// ErrImpossible says that sockets cannot be handed over here. What it is wrapped with says why.
var ErrImpossible = errors.New("sockets cannot be handed over")

// Drain is how the end of a generation's connections went.
type Drain struct {
	Took time.Duration
	// Idle is how many connections were closed while they were kept open by their clients, between two requests. A WebSocket on which the
	// server only answers the client's pings looks the same.
	Idle int
	// Cut is how many were in use when the limit was reached: with a request in flight, or the server was seen to speak by itself, as in
	// server-sent events or a WebSocket.
	Cut int
}
