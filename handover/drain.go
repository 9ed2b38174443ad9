package handover

import "time"

// settleTime is how long after a switch a generation is never taken for drained: a client whose handshake was under way then may still
// send its first packet. It is longer than one retransmission of it takes (TCP_TIMEOUT_INIT, 1 s, is for what was lost before).
const settleTime = time.Second

// connection is one TCP connection of this machine, seen from the server's side.
type connection struct {
	halfOpen bool // the handshake is not finished: SYN_RECV
	closing  bool // the client has closed its side: CLOSE_WAIT
	accepted bool // a process holds it
	silent   bool // the client has sent nothing yet
	inode    uint64
	unread   uint32 // bytes that the server has not read
	unsent   uint32 // bytes that the client has not acknowledged
	// sent and received are how long ago that happened last.
	sent, received time.Duration
}

// idle reports whether the client keeps it open between two requests: everything was read and acknowledged, and the server spoke last.
func (c connection) idle() bool {
	if !c.accepted || c.halfOpen || c.closing || c.unread != 0 || c.unsent != 0 {
		return false
	}
	return c.sent < c.received || c.silent && c.received >= settleTime
}

// drained decides whether a generation can be stopped since it has taken no new connection for that long. left are the connections that
// it had then and still has.
func drained(left map[connectionID]connection, since, limit time.Duration) (done bool, d Drain) {
	for _, c := range left {
		if c.idle() {
			d.Idle++
		} else {
			d.Cut++
		}
	}
	d.Took = since
	return since >= limit || since >= settleTime && d.Cut == 0, d
}

// connectionID tells connections apart. The cookie is the kernel's number of one socket, which a half open connection hands on when it is
// established; ports alone come back within seconds.
type connectionID struct {
	cookie     uint64
	remotePort uint16
}
