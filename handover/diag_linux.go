package handover

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// States of a TCP connection (include/net/tcp_states.h) in which it may need its server. The kernel keeps thousands that do not: TIME_WAIT.
const (
	tcpEstablished = 1
	tcpSynRecv     = 3
	tcpCloseWait   = 8
	tcpNewSynRecv  = 12 // a half open one, as it is stored since Linux 4.4

	tcpStates = 1<<tcpEstablished | 1<<tcpSynRecv | 1<<tcpCloseWait | 1<<tcpNewSynRecv
)

// connections returns those whose local port is one of these, and which may need their server.
func connections(ports map[uint16]bool) (map[connectionID]connection, error) {
	all := map[connectionID]connection{}
	for port := range ports {
		for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
			request := nl.NewNetlinkRequest(nl.SOCK_DIAG_BY_FAMILY, unix.NLM_F_DUMP)
			request.AddData(inetDiagRequest{family, port})
			err := request.ExecuteIter(unix.NETLINK_INET_DIAG, nl.SOCK_DIAG_BY_FAMILY, func(message []byte) bool {
				if id, c, ok := parseInetDiag(message); ok {
					all[id] = c
				}
				return true
			})
			if err != nil && !errors.Is(err, nl.ErrDumpInterrupted) { // interrupted: it is looked at again soon
				return nil, fmt.Errorf("look at connections: %w", err)
			}
		}
	}
	return all, nil
}

// inetDiagRequest is struct inet_diag_req_v2 of linux/inet_diag.h: sock_diag(7).
type inetDiagRequest struct {
	family uint8
	port   uint16
}

const (
	sizeofInetDiagRequest = 56
	sizeofInetDiagMessage = 72 // struct inet_diag_msg
	inetDiagInfo          = 2  // INET_DIAG_INFO: a struct tcp_info follows
)

// Len implements nl.NetlinkRequestData.
func (r inetDiagRequest) Len() int { return sizeofInetDiagRequest }

// Serialize implements nl.NetlinkRequestData.
func (r inetDiagRequest) Serialize() []byte {
	b := make([]byte, sizeofInetDiagRequest)
	b[0], b[1], b[2] = r.family, unix.IPPROTO_TCP, 1<<(inetDiagInfo-1)
	binary.NativeEndian.PutUint32(b[4:], tcpStates)
	binary.BigEndian.PutUint16(b[8:], r.port)
	for i := 48; i < 56; i++ {
		b[i] = 0xff // INET_DIAG_NOCOOKIE
	}
	return b
}

func parseInetDiag(b []byte) (connectionID, connection, bool) {
	if len(b) < sizeofInetDiagMessage {
		return connectionID{}, connection{}, false
	}
	id := connectionID{cookie: binary.NativeEndian.Uint64(b[44:]), remotePort: binary.BigEndian.Uint16(b[6:])}
	word := binary.NativeEndian.Uint32
	c := connection{unread: word(b[56:]), inode: uint64(word(b[68:]))}
	c.accepted = c.inode != 0
	switch b[1] {
	case tcpSynRecv, tcpNewSynRecv:
		c.halfOpen = true
	case tcpCloseWait:
		c.closing = true
	}
	c.addInfo(b[sizeofInetDiagMessage:])
	return id, c, true
}

// addInfo reads the attributes that follow. Older kernels have a shorter struct tcp_info.
func (c *connection) addInfo(attributes []byte) {
	all, err := nl.ParseRouteAttr(attributes)
	if err != nil {
		return
	}
	for _, a := range all {
		if a.Attr.Type != inetDiagInfo {
			continue
		}
		var info unix.TCPInfo
		copy(unsafe.Slice((*byte)(unsafe.Pointer(&info)), unsafe.Sizeof(info)), a.Value)
		c.add(&info)
	}
}

func (c *connection) add(info *unix.TCPInfo) {
	c.sent = time.Duration(info.Last_data_sent) * time.Millisecond
	c.received = time.Duration(info.Last_data_recv) * time.Millisecond
	c.acked = time.Duration(info.Last_ack_recv) * time.Millisecond
	c.unsent, c.unacked = info.Notsent_bytes, info.Unacked
	c.in, c.out = info.Data_segs_in, info.Data_segs_out
	c.said = info.Bytes_sent - info.Bytes_retrans
}

// Drain waits until this generation, which takes no new connection any more, can be stopped: nothing is left of what it had, or the limit is
// reached. Connections that are idle are closed, each as soon as it is: when the server ends, it would close all of them at once, in the
// middle of the next request of some. Those on which the server may speak by itself are left until the limit. pids are its processes. It
// must be called right after another one has taken over.
func (g *Generation) Drain(ctx context.Context, limit time.Duration, pids func() []int) (Drain, error) {
	ports := g.ports()
	begin := time.Now()
	first, err := connections(ports)
	if err != nil {
		return Drain{}, err
	}
	had := map[connectionID]watched{}
	for id, c := range first {
		had[id] = watch(c)
	}
	sorted := false // out what the new one took between the switch and our look
	idle := 0       // connections that were closed
	for {
		waiting := false // for a better moment to close some
		now, err := connections(ports)
		if err != nil {
			return Drain{}, err
		}
		looked := time.Since(begin)
		left := map[connectionID]watched{}
		for id, w := range had {
			if c, ok := now[id]; ok {
				had[id] = w.look(c)
				left[id] = had[id]
			}
		}
		if !sorted && looked >= min(settleTime/2, limit) {
			sorted = true
			held := descriptors(pids())
			maps.DeleteFunc(had, func(id connectionID, _ watched) bool {
				_, ours := held[now[id].inode]
				return now[id].accepted && !ours
			})
			continue
		}
		if looked >= min(settleTime, limit) {
			closed, waits := hangUpIdle(left, pids)
			for _, id := range closed {
				delete(had, id)
				idle++
			}
			waiting = waits
		}
		if err := g.addUnix(left); err != nil {
			return Drain{}, err
		}
		if done, d := drained(left, looked, limit); done && (!waiting || looked >= limit) {
			d.Idle += idle
			return d, nil
		}
		select {
		case <-ctx.Done():
			return Drain{Took: looked, Idle: idle, Cut: len(left)}, ctx.Err()
		case <-time.After(max(lookInterval(), min(3*(time.Since(begin)-looked), limit-looked))):
		}
	}
}

// lookInterval is different each time: a client that asks at fixed intervals would be seen at the same moment between two of them for ever.
func lookInterval() time.Duration {
	return answeredTime/2 + rand.N(answeredTime)
}

func (g *Generation) ports() map[uint16]bool {
	g.all.mu.Lock()
	defer g.all.mu.Unlock()
	ports := map[uint16]bool{}
	for at := range g.sockets {
		ports[at.AddrPort.Port()] = true
	}
	for _, at := range g.lost {
		ports[at.AddrPort.Port()] = true
	}
	delete(ports, 0) // of unix sockets
	return ports
}

// hangUpIdle closes those connections that are idle, at a good moment, and returns which. waits: for others that moment is still to come.
// left is what is left then, as it is by then: who was idle in the last look may be in the middle of a request.
func hangUpIdle(left map[connectionID]watched, pids func() []int) (closed []connectionID, waits bool) {
	var held map[uint64]descriptor
	for id, w := range left {
		if !w.idle() || w.streams() {
			continue
		}
		if held == nil {
			held = descriptors(pids())
		}
		at, ok := held[w.inode]
		if !ok {
			continue // it has just been closed, or nobody knows by whom it is held
		}
		now, done, err := at.hangUp(w)
		switch {
		case done:
			delete(left, id)
			closed = append(closed, id)
		case err == nil:
			left[id] = now
			waits = waits || now.idle() && !now.streams()
		}
	}
	return closed, waits
}

// descriptor is one of a process.
type descriptor struct{ pid, fd int }

// hangUp closes the connection behind it, as if the server had, if it is idle still and no request is to be expected: between this look and
// the end of the connection there are a few microseconds, in which one is lost. Otherwise it returns how the connection is now.
func (d descriptor) hangUp(w watched) (now watched, done bool, err error) {
	pidfd, err := unix.PidfdOpen(d.pid, 0)
	if err != nil {
		return now, false, err
	}
	defer unix.Close(pidfd)
	fd, err := unix.PidfdGetfd(pidfd, d.fd, 0)
	if errors.Is(err, unix.EBADF) {
		return now, false, nil // closed meanwhile; the next look does not find it
	}
	if err != nil {
		return now, false, err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Ino != w.inode {
		return now, false, err // the same, and another connection has its number
	}
	unread, err := unix.IoctlGetInt(fd, unix.SIOCINQ)
	if err != nil {
		return now, false, err
	}
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return now, false, err
	}
	c := connection{accepted: true, inode: w.inode, closing: info.State != tcpEstablished, unread: uint32(unread)}
	c.add(info)
	now = w.look(c)
	if !now.idle() || now.streams() || !now.rests() {
		return now, false, nil
	}
	err = unix.Shutdown(fd, unix.SHUT_RDWR)
	return now, err == nil, err
}

// descriptors are the sockets that these processes hold, by inode.
func descriptors(pids []int) map[uint64]descriptor {
	held := map[uint64]descriptor{}
	for _, pid := range pids {
		dir := filepath.Join("/proc", strconv.Itoa(pid), "fd")
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue // it has ended, and holds nothing
		}
		for _, e := range entries {
			target, err := os.Readlink(filepath.Join(dir, e.Name()))
			if rest, ok := strings.CutPrefix(target, "socket:["); err == nil && ok {
				inode, _ := strconv.ParseUint(strings.TrimSuffix(rest, "]"), 10, 64)
				fd, _ := strconv.Atoi(e.Name()) // the kernel's
				held[inode] = descriptor{pid, fd}
			}
		}
	}
	return held
}

// Verify checks for each of the generation's addresses that a new connection reaches one of its processes.
func (g *Generation) Verify(ctx context.Context, pids func() []int) error {
	g.all.mu.Lock()
	var addresses []Address
	for at := range g.sockets {
		addresses = append(addresses, at)
	}
	g.all.mu.Unlock()
	for _, at := range addresses {
		if at.IsUnix() {
			if err := g.reachesUnix(ctx, at); err != nil {
				return err
			}
			continue
		}
		if err := reaches(ctx, at, pids); err != nil {
			return err
		}
	}
	return nil
}

// reaches connects as anybody would, and looks for who has accepted it.
func reaches(ctx context.Context, at Address, pids func() []int) error {
	to, from := at.reach()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: from.AsSlice(), Zone: from.Zone()}}
	c, err := dialer.DialContext(ctx, "tcp", to.String())
	if err != nil {
		return fmt.Errorf("connect to %s: %w", at, err)
	}
	defer c.Close()
	port := uint16(c.LocalAddr().(*net.TCPAddr).Port)
	for {
		all, err := connections(map[uint16]bool{to.Port(): true})
		if err != nil {
			return err
		}
		for id, found := range all {
			if id.remotePort != port || !found.accepted {
				continue
			}
			if _, ok := descriptors(pids())[found.inode]; !ok {
				return fmt.Errorf("a connection to %s reached a process that is not of the new server", at)
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("a connection to %s was accepted by nobody", at)
		case <-time.After(2 * time.Millisecond):
		}
	}
}
