package signals

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"strconv"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// tcpListeners asks the kernel for the listening TCP sockets of this process's network namespace: sock_diag(7). Unlike
// /proc/net/tcp, which lists all connections, also those in TIME_WAIT, and walks the whole table to find them (60 ms with 25,000 of
// them), it costs the same on a busy machine.
func tcpListeners() ([]Listener, error) {
	var all []Listener
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		request := nl.NewNetlinkRequest(nl.SOCK_DIAG_BY_FAMILY, unix.NLM_F_DUMP)
		request.AddData(listenDiagRequest(family))
		messages, err := request.Execute(unix.NETLINK_INET_DIAG, nl.SOCK_DIAG_BY_FAMILY)
		if err != nil {
			return nil, err
		}
		for _, message := range messages {
			if l, ok := parseListenDiag(message); ok {
				all = append(all, l)
			}
		}
	}
	return all, nil
}

// listenDiagRequest is a struct inet_diag_req_v2 (linux/inet_diag.h) for the listening sockets of an address family.
type listenDiagRequest uint8

const (
	sizeofInetDiagRequest = 56
	sizeofInetDiagMessage = 72 // struct inet_diag_msg
	tcpListen             = 10 // TCP_LISTEN in net/tcp_states.h
)

// Len implements nl.NetlinkRequestData.
func (listenDiagRequest) Len() int { return sizeofInetDiagRequest }

// Serialize implements nl.NetlinkRequestData.
func (family listenDiagRequest) Serialize() []byte {
	b := make([]byte, sizeofInetDiagRequest)
	b[0], b[1] = uint8(family), unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(b[4:], 1<<tcpListen)
	return b
}

func parseListenDiag(b []byte) (Listener, bool) {
	if len(b) < sizeofInetDiagMessage || b[1] != tcpListen {
		return Listener{}, false
	}
	l := Listener{Inode: uint64(binary.NativeEndian.Uint32(b[68:]))}
	var ip netip.Addr
	switch b[0] {
	case unix.AF_INET:
		l.Network, ip = "tcp4", netip.AddrFrom4([4]byte(b[8:12]))
	case unix.AF_INET6:
		// As net.IP writes it: an IPv4 address in IPv6 as IPv4.
		l.Network, ip = "tcp6", netip.AddrFrom16([16]byte(b[8:24])).Unmap()
	default:
		return Listener{}, false
	}
	l.Addr = net.JoinHostPort(ip.String(), strconv.Itoa(int(binary.BigEndian.Uint16(b[4:]))))
	return l, true
}

// sharesNetwork reports whether p is for sure in the network namespace of this process.
func (p Process) sharesNetwork() bool {
	theirs, err := os.Readlink(p.path("ns/net"))
	if err != nil {
		return false
	}
	ours, err := os.Readlink("/proc/self/ns/net")
	return err == nil && ours == theirs
}
