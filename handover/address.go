package handover

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"
)

// Address is where a stream socket is bound: the key by which sockets of several generations belong together.
type Address struct {
	// AddrPort of a TCP socket; the zero value for a unix socket.
	AddrPort netip.AddrPort `json:"addr,omitzero"`
	// V6Only is set for an IPv6 wildcard that takes no IPv4.
	V6Only bool `json:"v6only,omitempty"`
	// Path of a unix socket.
	Path string `json:"path,omitempty"`
}

func (a Address) String() string {
	switch {
	case a.Path != "":
		return "unix:" + strings.ReplaceAll(a.Path, "\x00", "@") // as ss(8) shows what is abstract
	case a.V6Only:
		return a.AddrPort.String() + v6Only
	}
	return a.AddrPort.String()
}

const v6Only = " (IPv6 only)"

// ParseAddress reads what String writes.
func ParseAddress(text string) (Address, error) {
	if path, ok := strings.CutPrefix(text, "unix:"); ok {
		return Address{Path: path}, nil
	}
	plain, only := strings.CutSuffix(text, v6Only)
	at, err := netip.ParseAddrPort(plain)
	return Address{AddrPort: at, V6Only: only}, err
}

// IsUnix reports whether it is the address of a unix socket.
func (a Address) IsUnix() bool { return a.Path != "" }

// isAbstract reports whether it is the address of a unix socket that has no path. Two sockets cannot have one such name, and nothing
// leads from one to another.
func (a Address) isAbstract() bool { return strings.HasPrefix(a.Path, "\x00") }

// errForeign is an address that is none of ours to handle: the bind goes on.
var errForeign = errors.New("not the address of a stream server")

// parseSockaddr reads what a process gave to bind(2): see ip(7), ipv6(7), unix(7).
func parseSockaddr(raw []byte) (Address, error) {
	if len(raw) < 2 {
		return Address{}, errForeign
	}
	switch binary.NativeEndian.Uint16(raw) {
	case unix.AF_INET:
		if len(raw) < unix.SizeofSockaddrInet4 {
			return Address{}, errForeign
		}
		addr := netip.AddrFrom4([4]byte(raw[4:8]))
		return tcpAddress(addr, binary.BigEndian.Uint16(raw[2:]))
	case unix.AF_INET6:
		const withoutScope = 24 // as the kernel accepts it (SIN6_LEN_RFC2133)
		if len(raw) < withoutScope {
			return Address{}, errForeign
		}
		addr := netip.AddrFrom16([16]byte(raw[8:24]))
		if len(raw) >= unix.SizeofSockaddrInet6 && addr.IsLinkLocalUnicast() {
			addr = addr.WithZone(fmt.Sprint(binary.NativeEndian.Uint32(raw[24:])))
		}
		return tcpAddress(addr, binary.BigEndian.Uint16(raw[2:]))
	case unix.AF_UNIX:
		name := string(raw[2:])
		if strings.HasPrefix(name, "\x00") { // abstract: all of it counts
			return Address{Path: name}, nil
		}
		path, _, _ := strings.Cut(name, "\x00")
		if path == "" {
			return Address{}, errForeign // the kernel chooses a name
		}
		return Address{Path: path}, nil
	}
	return Address{}, errForeign
}

// tcpAddress leaves port 0 alone: the kernel chooses one, and nobody could know it beforehand.
func tcpAddress(addr netip.Addr, port uint16) (Address, error) {
	if port == 0 {
		return Address{}, errForeign
	}
	return Address{AddrPort: netip.AddrPortFrom(addr, port)}, nil
}

// reach is the address of this machine by which the socket can be connected to, and from which.
func (a Address) reach() (to netip.AddrPort, from netip.Addr) {
	ip := a.AddrPort.Addr().Unmap()
	switch {
	case ip == netip.IPv4Unspecified():
		ip = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	case ip.IsUnspecified():
		ip = netip.IPv6Loopback()
	}
	return netip.AddrPortFrom(ip, a.AddrPort.Port()), ip
}
