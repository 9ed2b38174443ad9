package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/hotreload/hotreload/config"
	"github.com/hotreload/hotreload/signals"
)

// endpoint is a TCP address on which the server is to listen.
type endpoint struct {
	host string // "" and names that are no address: all of the machine's
	port int
	from string // where that is said
}

func (e endpoint) String() string { return net.JoinHostPort(e.host, strconv.Itoa(e.port)) }

// occupant is who listens on an endpoint.
type occupant struct {
	endpoint endpoint
	taken    bool
	pid      int    // 0: a process that may not be looked at
	program  string // what it is called
	ours     bool   // the server that runs, or hotreload for it
}

func checkPort(_ context.Context, p *patient) []finding {
	cfg := p.cfg()
	code, _ := p.code()
	endpoints := endpointsOf(cfg, code, p.env())
	s, err := p.server()
	if err != nil || len(endpoints) == 0 {
		return nil
	}
	door, _ := p.door()
	occupants, err := occupantsOf(endpoints, s, door)
	if errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	if err != nil {
		return []finding{warning("could not be looked at: %v", err)}
	}
	return judgePort(portFacts{occupants: occupants, runs: s.master.PID != 0, hidden: s.hidden(), ready: cfg.Server.Ready.Scheme != ""})
}

type portFacts struct {
	occupants []occupant
	runs      bool // the server does
	hidden    bool // ... as somebody else
	ready     bool // the addresses are those that hotreload will wait for; else they were found in the server's files
}

func judgePort(f portFacts) []finding {
	var found []finding
	for _, o := range f.occupants {
		at := fmt.Sprintf("%s (%s)", o.endpoint, o.endpoint.from)
		who := fmt.Sprintf("process %d (%s)", o.pid, o.program)
		switch {
		case o.taken && o.ours:
			found = append(found, fine("%s: the server listens", at))
		case o.taken && o.pid == 0 && f.hidden:
			found = append(found, fine("%s: somebody listens, presumably the server", at))
		case o.taken && o.pid == 0:
			found = append(found, failure("%s: somebody else listens there, a process that we may not look at", at).
				remedy("sudo ss -ltnp 'sport = :%d'", o.endpoint.port))
		case o.taken && f.runs:
			found = append(found, failure("%s: %s listens there, and not the server that runs", at, who).
				remedy("kill %d   # or choose another port", o.pid))
		case o.taken:
			found = append(found, failure("%s: %s listens there, and the server cannot", at, who).
				remedy("kill %d   # or choose another port", o.pid))
		case f.runs && f.ready:
			found = append(found, failure("%s: nobody listens there, although a master runs: it never counts as ready", at).
				remedy(`ready = "tcp://127.0.0.1:PORT" under [server] in %s   # or leave it out: the ports that it binds`, config.FileName))
		case f.runs:
			found = append(found, fine("%s: nobody listens there; the running server may use another", at))
		default:
			found = append(found, fine("%s is free", at))
		}
	}
	return found
}

// meets reports whether two sockets cannot both listen: the same port, on addresses that overlap.
func (e endpoint) meets(addr netip.AddrPort) bool {
	if int(addr.Port()) != e.port {
		return false
	}
	ip, err := netip.ParseAddr(strings.Trim(e.host, "[]"))
	if err != nil {
		return e.host != "localhost" || addr.Addr().IsLoopback() || addr.Addr().IsUnspecified()
	}
	theirs := addr.Addr().Unmap()
	switch {
	case ip.IsUnspecified() || theirs.IsUnspecified():
		return true
	}
	return ip.Unmap() == theirs
}

// occupantsOf finds who listens where the server is to.
func occupantsOf(endpoints []endpoint, s serverFacts, door doorFacts) ([]occupant, error) {
	listeners, err := signals.Listening()
	if err != nil {
		return nil, err
	}
	var found []occupant
	for _, e := range endpoints {
		o := occupant{endpoint: e}
		var here []signals.Listener
		for _, l := range listeners {
			if addr, err := netip.ParseAddrPort(l.Addr); err == nil && e.meets(addr) {
				here = append(here, l)
			}
		}
		if o.taken = len(here) > 0; o.taken {
			if err := o.identify(here, s, door); err != nil {
				return nil, err
			}
		}
		found = append(found, o)
	}
	return found, nil
}

// identify finds out whose the sockets are: the server's own process, if one is among the holders.
func (o *occupant) identify(here []signals.Listener, s serverFacts, door doorFacts) error {
	holders, err := signals.Holders(here)
	if err != nil {
		return err
	}
	for _, h := range holders {
		ours := h.PID == s.master.PID || slices.Contains(s.look.Tree, h.Process) || door.owner != nil && h.PID == door.owner.PID
		if o.pid == 0 || ours {
			o.pid, o.program, o.ours = h.PID, h.Comm, ours
			if exe, err := h.Exe(); err == nil {
				o.program = filepath.Base(exe)
			}
		}
	}
	return nil
}
