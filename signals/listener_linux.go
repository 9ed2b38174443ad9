package signals

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/prometheus/procfs"
)

// Listeners returns the listening TCP and unix stream sockets that the processes hold,
// each once, in the order of the kernel's tables. They are looked for in the
// network namespace of the first process. Processes that have ended hold nothing. It
// needs the right to look at their descriptors: same user, or root.
func Listeners(processes []Process) ([]Listener, error) {
	all, err := listenersBeside(processes)
	if err != nil {
		return nil, fmt.Errorf("read listening sockets: %w", err)
	}
	// A worker may hold ten thousand connections, so its descriptors are looked
	// at only while there is something left to find.
	unclaimed := make(map[string]int, len(all))
	for i, l := range all {
		unclaimed["socket:["+strconv.FormatUint(l.Inode, 10)+"]"] = i
	}
	held := make([]bool, len(all))
	for _, p := range processes {
		if len(unclaimed) == 0 {
			break
		}
		if err := p.claim(unclaimed, held); err != nil && !errors.Is(err, ErrGone) {
			return nil, fmt.Errorf("read listening sockets: %w", err)
		}
	}
	var found []Listener
	for i, l := range all {
		if held[i] {
			found = append(found, l)
		}
	}
	return found, nil
}

// claim moves what p holds from unclaimed to held.
func (p Process) claim(unclaimed map[string]int, held []bool) error {
	proc, err := procfs.NewProc(p.PID)
	if err != nil {
		return p.still(err, "descriptors")
	}
	targets, err := proc.FileDescriptorTargets()
	if err := p.still(err, "descriptors"); err != nil {
		return err
	}
	for _, target := range targets {
		if i, found := unclaimed[target]; found {
			held[i] = true
			delete(unclaimed, target)
		}
	}
	return nil
}

// listenersBeside returns all listening sockets of the network namespace of the
// first process that still lives.
func listenersBeside(processes []Process) ([]Listener, error) {
	for _, p := range processes {
		all, err := p.namespaceListeners()
		if p.Alive() {
			return all, err
		}
	}
	return nil, nil
}

func (p Process) namespaceListeners() ([]Listener, error) {
	all, err := p.tcpListeners()
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(p.path("net/unix"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return append(all, parseNetUnix(data)...), nil
}

func (p Process) tcpListeners() ([]Listener, error) {
	if p.sharesNetwork() {
		if all, err := tcpListeners(); err == nil {
			return all, nil
		} // else the kernel has no sock_diag, or a profile forbids it
	}
	return p.tableListeners()
}

// tableListeners reads /proc/PID/net/tcp and tcp6, which are of the namespace of p.
func (p Process) tableListeners() ([]Listener, error) {
	proc, err := procfs.NewFS("/proc/" + strconv.Itoa(p.PID))
	if err != nil {
		return nil, err
	}
	var all []Listener
	for _, table := range []struct {
		network string
		read    func() (procfs.NetTCP, error)
	}{
		//lint:ignore SA1019 netlink, recommended instead, only sees the namespace of the caller
		{"tcp4", proc.NetTCP},
		//lint:ignore SA1019 see above
		{"tcp6", proc.NetTCP6},
	} {
		sockets, err := table.read()
		if errors.Is(err, os.ErrNotExist) {
			continue // a kernel without IPv6
		}
		if err != nil {
			return nil, err
		}
		for _, s := range sockets {
			if s.St == tcpListen {
				addr := net.JoinHostPort(s.LocalAddr.String(), strconv.FormatUint(s.LocalPort, 10))
				all = append(all, Listener{Network: table.network, Addr: addr, Inode: s.Inode})
			}
		}
	}
	return all, nil
}

// parseNetUnix returns the listening stream sockets in /proc/net/unix:
//
//	Num       RefCount Protocol Flags    Type St Inode Path
//
// The parser of procfs cuts a path at its first space, and refuses the whole
// table for one socket, of anybody, that has a newline in its name.
func parseNetUnix(data []byte) []Listener {
	const flags, kind, inode, path = 3, 4, 6, 7
	const acceptsConnections = 1 << 16 // __SO_ACCEPTCON
	var found []Listener
	for line := range bytes.Lines(data) {
		fields := strings.SplitN(strings.TrimRight(string(line), "\n"), " ", path+1)
		// The inode is padded to five places.
		for len(fields) == path+1 && fields[inode] == "" {
			rest := strings.SplitN(fields[path], " ", 2)
			fields = append(append(fields[:inode:inode], rest[0]), rest[1:]...)
		}
		if len(fields) <= inode || fields[kind] != "0001" {
			continue
		}
		set, err := strconv.ParseUint(fields[flags], 16, 64)
		if err != nil || set&acceptsConnections == 0 {
			continue
		}
		number, err := strconv.ParseUint(fields[inode], 10, 64)
		if err != nil {
			continue
		}
		listener := Listener{Network: "unix", Inode: number}
		if len(fields) > path {
			listener.Addr = fields[path]
		}
		found = append(found, listener)
	}
	return found
}
