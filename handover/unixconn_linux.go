package handover

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// dialUnix is Dial for a unix socket.
func (g *Generation) dialUnix(ctx context.Context, path string) (net.Conn, bool, error) {
	to, found := g.nameOf(path)
	c, err := (&net.Dialer{}).DialContext(ctx, "unix", to)
	return c, found, err
}

// nameOf is where this generation's socket for a path is found, whichever one the path leads to.
func (g *Generation) nameOf(path string) (name string, found bool) {
	at, err := canonical(path)
	if err != nil {
		return path, false
	}
	g.all.mu.Lock()
	defer g.all.mu.Unlock()
	s := g.sockets[Address{Path: at}]
	switch {
	case s == nil:
		return path, false
	case s.own == "":
		return path, true // the first generation, before it is ready: it has bound the path itself
	}
	return s.own, true
}

// reachesUnix checks that whoever connects to the path gets to this generation's socket.
func (g *Generation) reachesUnix(ctx context.Context, at Address) error {
	bound, err := boundAt(at.Path)
	for errors.Is(err, unix.EAGAIN) && ctx.Err() == nil { // its queue is full
		select {
		case <-ctx.Done():
		case <-time.After(2 * time.Millisecond):
		}
		bound, err = boundAt(at.Path)
	}
	if err != nil {
		return fmt.Errorf("connect to %s: %w", at, err)
	}
	g.all.mu.Lock()
	defer g.all.mu.Unlock()
	if s := g.sockets[at]; s != nil && s.bound != bound {
		return fmt.Errorf("a connection to %s reached a socket that is not of the new server (%s)", at, bound)
	}
	return nil
}

// boundAt is what the socket was bound to to which a path leads: every connection to it has that for its peer.
func boundAt(path string) (string, error) {
	fd, err := connectUnix(path)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	sa, err := unix.Getpeername(fd)
	if err != nil {
		return "", err
	}
	at, ok := sa.(*unix.SockaddrUnix)
	if !ok {
		return "", errors.New("a socket of another family")
	}
	return at.Name, nil
}

// addUnix adds the connections to unix sockets of this generation, accepted or not, to those that it still has. Whether one is in use
// cannot be told: the kernel does not say when something was last sent. So each counts as such.
func (g *Generation) addUnix(left map[connectionID]watched) error {
	bound := map[string]bool{}
	g.all.mu.Lock()
	for at, s := range g.sockets {
		if at.IsUnix() {
			bound[s.bound] = true
		}
	}
	for _, s := range g.lostUnix {
		bound[s.bound] = true
	}
	g.all.mu.Unlock()
	if len(bound) == 0 {
		return nil
	}
	table, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		return fmt.Errorf("look at connections: %w", err)
	}
	for i := range unixConnections(string(table), bound) {
		left[connectionID{cookie: uint64(i)}] = watched{} // no TCP connection has the remote port 0
	}
	return nil
}

// unixConnections counts the connections in /proc/net/unix to sockets that were bound to one of these names:
//
//	Num       RefCount Protocol Flags    Type St Inode Path
func unixConnections(table string, bound map[string]bool) int {
	const flags, kind, state, path = 3, 4, 5, 7
	const (
		stream             = "0001"
		acceptsConnections = 1 << 16 // __SO_ACCEPTCON
		connecting         = "02"    // SS_CONNECTING: nobody has accepted it yet
		connected          = "03"
	)
	n := 0
	for line := range strings.Lines(table) {
		fields := strings.SplitN(strings.TrimRight(line, "\n"), " ", path)
		if len(fields) < path || fields[kind] != stream || fields[state] != connecting && fields[state] != connected {
			continue
		}
		// The inode is padded to five places.
		_, name, ok := strings.Cut(strings.TrimLeft(fields[path-1], " "), " ")
		set, err := strconv.ParseUint(fields[flags], 16, 64)
		if ok && err == nil && set&acceptsConnections == 0 && bound[name] {
			n++
		}
	}
	return n
}
