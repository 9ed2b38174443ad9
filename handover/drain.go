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
	inode    uint64
	in, out  uint32 // packets with data, from the client and to it
	said     uint64 // bytes to the client, each counted once
	unread   uint32 // bytes that the server has not read
	unsent   uint32 // bytes that wait to be sent
	unacked  uint32 // packets that the client has not acknowledged
	// sent, received and acked (something by the client) are how long ago that happened last.
	sent, received, acked time.Duration
}

// quietTime is when a connection of which it cannot be told who spoke last is taken for idle, unless it has more to answer than answers.
const quietTime = 5 * time.Second

// idle reports whether the client keeps it open between two requests: everything was read and sent, and the server spoke last.
//
// The kernel's clock ticks every few milliseconds, and a server may answer within one tick; a client may ask again within one. Then
// acknowledgements tell: that of an answer is still to come, or came after the request, unless the next request brought it along.
func (c connection) idle() bool {
	switch {
	case !c.accepted || c.halfOpen || c.closing || c.unread != 0 || c.unsent != 0:
		return false
	case c.in == 0:
		return c.received >= settleTime
	}
	return c.answered()
}

// answered reports whether the server spoke last.
func (c connection) answered() bool {
	switch {
	case c.out == 0:
		return false
	case c.sent != c.received:
		return c.sent < c.received
	}
	return c.unacked != 0 || c.acked < c.received || c.in == 1 || c.received >= quietTime && c.out >= c.in
}

// answeredTime is how long after an answer hardly any client asks again: it is two ticks of the kernel's clock (HZ=250).
const answeredTime = 8 * time.Millisecond

// rests reports whether an idle connection can be closed with little risk that a request crosses that: it has just been answered, or nothing
// was asked for long. A client that asks again some time after each answer would lose a request where that falls into the same moment.
func (c connection) rests() bool {
	return c.sent <= answeredTime || c.sent >= settleTime
}

// watched is a connection, and what was seen of it since the switch.
type watched struct {
	connection
	asked bool // the client has spoken, or waited for an answer
	alone bool // the server has spoken, and nobody had asked
}

func watch(c connection) watched {
	return watched{connection: c, asked: c.in > 0 && (c.unread != 0 || !c.answered())}
}

// look is what is known after one more look, at which the connection was like that.
func (w watched) look(now connection) watched {
	next := watch(now)
	next.asked = next.asked || w.asked || now.in != w.in
	next.alone = w.alone || now.in == w.in && now.said > w.said
	return next
}

// streamTime is how long after the client's last word the server must have spoken for a connection to be taken for one on which it speaks
// alone (server-sent events, a WebSocket that pushes) and not for one that waits for the next request: most answers come sooner.
const streamTime = time.Second

// streams reports whether the server may go on to speak by itself. Between two events that looks as an idle connection does. Whoever asks
// is no listener: then it is a connection like any other, however long its answers take.
func (w watched) streams() bool {
	return w.idle() && !w.asked && w.out > 0 && w.received-w.sent > streamTime
}

// drained decides whether a generation can be stopped since it has taken no new connection for that long. left are the connections that
// it had then and still has.
func drained(left map[connectionID]watched, since, limit time.Duration) (done bool, d Drain) {
	inUse := false
	for _, w := range left {
		inUse = inUse || !w.idle() || w.streams()
		if !w.idle() || w.streams() && w.alone {
			d.Cut++
		} else {
			d.Idle++
		}
	}
	d.Took = since
	return since >= limit || since >= settleTime && !inUse, d
}

// connectionID tells connections apart. The cookie is the kernel's number of one socket, which a half open connection hands on when it is
// established; ports alone come back within seconds.
type connectionID struct {
	cookie     uint64
	remotePort uint16
}
