package handover

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// Sockets are those of all generations of one server.
type Sockets struct {
	log  *zap.Logger
	note func(string) // something worth a line

	mu          sync.Mutex // guards all below, and the generations
	generations []*Generation
	groups      map[Address]*group
	serving     int // the generation that new connections go to; 0: there is none yet
	said        map[string]bool
	places      *places   // of unix sockets
	only        []Address // what is handed over; none: whatever is bound
	passes      bool      // they are opened here, and passed on
	inherited   []*os.File
	paths       bool // among them are unix sockets

	path   string                // where a keeper is found by the next hotreload; "": there is none
	start  func(*exec.Cmd) error // starts it
	keeper *keeper               // nil: none
}

// New returns the sockets of a server that has none yet. Notes are told to note.
func New(log *zap.Logger, note func(string)) (*Sockets, error) {
	if log == nil {
		log = zap.NewNop()
	}
	return &Sockets{log: log, note: note, groups: map[Address]*group{}, said: map[string]bool{}, places: newPlaces()}, nil
}

// KeepAt has everything kept for the next hotreload, which finds the keeper at path, a unix socket. start starts a command whose end somebody
// waits for.
func (a *Sockets) KeepAt(path string, start func(*exec.Cmd) error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.path, a.start = path, start
}

// AbandonAll is for sockets that were resumed, and whose server has ended: connections wait in them for the next generation.
func (a *Sockets) AbandonAll() {
	a.mu.Lock()
	all := slices.Clone(a.generations)
	a.mu.Unlock()
	for _, g := range all {
		g.Abandon()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, g := range all { // numbers begin anew
		for _, order := range a.groups {
			order.rename(g.number, -g.number)
		}
		if a.serving == g.number {
			a.serving = -g.number
		}
		g.number = -g.number
	}
}

// Lost makes a generation of a server that runs, whose keeper was killed together with hotreload: it listens on these addresses, and
// nobody has a copy of its sockets. The program that was attached to them still keeps joiners out, and a joiner can replace it.
func (a *Sockets) Lost(number int, addresses []string) *Generation {
	a.mu.Lock()
	defer a.mu.Unlock()
	g := &Generation{all: a, number: number, sealed: true, sockets: map[Address]*socket{}}
	for _, text := range addresses {
		if address, err := ParseAddress(text); err == nil {
			g.lost = append(g.lost, address)
			if address.IsUnix() {
				a.adoptPath(g, address.Path)
				continue
			}
			a.joined(g, address)
		}
	}
	a.generations = append(a.generations, g)
	a.serving = number
	return g
}

// Generation is one that was resumed; nil: there is none of that number.
func (a *Sockets) Generation(number int) *Generation {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, g := range a.generations {
		if g.number == number {
			return g
		}
	}
	return nil
}

func (a *Sockets) once(text string) {
	if !a.said[text] {
		a.said[text] = true
		go a.note(text) // whoever listens may be waiting for us
	}
}

func compareAddress(x, y Address) int {
	return cmp.Or(x.AddrPort.Compare(y.AddrPort), cmp.Compare(x.Path, y.Path))
}

// admit prepares a socket that is about to be bound, so that it takes no connection from those that listen there already.
func (a *Sockets) admit(s *socket, address Address) error {
	if err := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
		return err
	}
	if order := a.groups[address]; order != nil && len(*order) > 0 {
		return nil // it takes over the group's program; with one of its own it could not be bound (inet_bind_conflict)
	}
	return s.steer(toAll(0))
}

// joined notes that a socket listens.
func (a *Sockets) joined(g *Generation, address Address) {
	order := a.groups[address]
	if order == nil {
		order = &group{}
		a.groups[address] = order
	}
	order.join(g.number)
}

// leave retires all sockets of a generation.
func (g *Generation) leave() {
	a := g.all
	for address, s := range g.sockets {
		if address.IsUnix() {
			a.leaveUnix(&s.names, address.Path)
		} else {
			for _, other := range a.generations { // one that began to listen unseen has its place in the order, too
				a.indexOf(address, other)
			}
		}
		s.retire()
		a.left(g, address)
		delete(g.sockets, address)
	}
}

func (a *Sockets) left(g *Generation, address Address) {
	if order := a.groups[address]; order != nil {
		order.leave(g.number)
		if len(*order) == 0 {
			delete(a.groups, address)
		}
	}
	a.steer(address)
}

// steer sends the new connections of one address where they are to go, after the order of its sockets has changed: an index that is out of
// range, with one socket left, would be right by chance, and wrong as soon as another joins.
func (a *Sockets) steer(address Address) {
	for _, g := range a.generations {
		s := g.sockets[address]
		if g.number != a.serving || s == nil {
			continue
		}
		index, ok := a.place(address, g.number)
		if !ok {
			continue
		}
		if err := s.steer(toAll(index)); err != nil {
			a.log.Error("steer", zap.Stringer("address", address), zap.Error(err))
		}
	}
}

func (a *Sockets) forget(g *Generation) {
	a.generations = slices.DeleteFunc(a.generations, func(x *Generation) bool { return x == g })
}

// orphaned moves the socket of a dead generation to g; nil: there is none.
func (a *Sockets) orphaned(g *Generation, address Address) *socket {
	for _, dead := range a.generations {
		s := dead.sockets[address]
		if !dead.dead || s == nil {
			continue
		}
		delete(dead.sockets, address)
		g.sockets[address] = s
		if order := a.groups[address]; order != nil {
			order.rename(dead.number, g.number)
		}
		return s
	}
	return nil
}

// Take sends all new connections to this generation.
func (g *Generation) Take() error {
	a := g.all
	a.mu.Lock()
	defer a.mu.Unlock()
	for path, s := range g.lostUnix {
		if err := a.takeUnix(s, path); err != nil {
			return fmt.Errorf("take unix:%s: %w", path, err)
		}
	}
	for address, s := range g.sockets {
		if address.IsUnix() {
			if err := a.takeUnix(&s.names, address.Path); err != nil {
				return fmt.Errorf("take %s: %w", address, err)
			}
			continue
		}
		index, ok := a.place(address, g.number)
		if !ok {
			return fmt.Errorf("steer %s: generation %d is not among those that listen", address, g.number)
		}
		if err := s.steer(toAll(index)); err != nil {
			return fmt.Errorf("steer %s: %w", address, err)
		}
	}
	a.serving = g.number
	a.dropDead() // what nobody took over is not served any more
	return nil
}

// Dial connects to this generation, though new connections go to another one. The address is that of one of its sockets, HOST:PORT by whichever
// name of this machine, or unix:PATH; others are dialled as they are, and the second result is false then.
func (g *Generation) Dial(ctx context.Context, address string) (net.Conn, bool, error) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return g.dialUnix(ctx, path)
	}
	at, s := g.find(address)
	if s == nil {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		return c, false, err
	}
	c, err := g.dial(ctx, at, s)
	return c, true, err
}

// find is the socket that takes connections to address, as the kernel would choose: the most specific one.
func (g *Generation) find(address string) (Address, *socket) {
	g.all.mu.Lock()
	defer g.all.mu.Unlock()
	to, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return Address{}, nil
	}
	ip := to.AddrPort().Addr().Unmap()
	var best Address
	var found *socket
	for at, s := range g.sockets {
		has := at.AddrPort.Addr().Unmap()
		if int(at.AddrPort.Port()) != to.Port {
			continue
		}
		switch {
		case has == ip:
			return at, s
		case has.IsUnspecified() && (has.Is4() == ip.Is4() || !at.V6Only):
			if found == nil || has.Is4() {
				best, found = at, s
			}
		}
	}
	return best, found
}

func (g *Generation) dial(ctx context.Context, at Address, s *socket) (net.Conn, error) {
	to, from := at.reach()
	fd, local, err := boundTo(from)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "probe")
	defer file.Close()
	undo, err := g.admitProbe(at, s, local)
	if err != nil {
		return nil, err
	}
	defer undo()
	if err := connect(ctx, file, to); err != nil {
		return nil, err
	}
	return net.FileConn(file)
}

// admitProbe lets one connection through to this generation until undo is called. Probes are made one at a time.
func (g *Generation) admitProbe(at Address, s *socket, from netip.AddrPort) (undo func(), err error) {
	a := g.all
	a.mu.Lock()
	mine, ok := a.indexOf(at, g)
	others, served := a.place(at, a.serving)
	if !ok || !served || a.serving == g.number {
		a.mu.Unlock()
		return func() {}, nil // whoever connects comes to this generation
	}
	if err := s.steer(withProbe(from, mine, others)); err != nil {
		a.mu.Unlock()
		return nil, fmt.Errorf("steer a probe of %s: %w", at, err)
	}
	return func() {
		defer a.mu.Unlock()
		if err := s.steer(toAll(others)); err != nil {
			a.log.Error("steer back", zap.Stringer("address", at), zap.Error(err))
		}
	}, nil
}

// indexOf is the place of a generation's socket in its group; one that listens by now and was not counted yet is the last.
func (a *Sockets) indexOf(at Address, g *Generation) (uint32, bool) {
	if s := g.sockets[at]; s == nil || !s.listening() {
		return 0, false
	}
	a.joined(g, at)
	return a.place(at, g.number)
}

// place is what a program must return to choose a generation's socket; false: it has none that listens.
func (a *Sockets) place(at Address, generation int) (uint32, bool) {
	order := a.groups[at]
	if order == nil {
		return 0, false
	}
	return order.index(generation)
}

// boundTo makes a socket with a port of its own.
func boundTo(ip netip.Addr) (fd int, local netip.AddrPort, err error) {
	family := unix.AF_INET
	if ip.Is6() {
		family = unix.AF_INET6
	}
	fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, local, fmt.Errorf("socket: %w", err)
	}
	if err = unix.Bind(fd, sockaddr(netip.AddrPortFrom(ip, 0))); err == nil {
		local, err = localOf(fd)
	}
	if err != nil {
		unix.Close(fd)
		return -1, local, fmt.Errorf("bind a probe to %s: %w", ip, err)
	}
	return fd, local, nil
}

func sockaddr(at netip.AddrPort) unix.Sockaddr {
	if at.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(at.Port()), Addr: at.Addr().As16()}
}

func localOf(fd int) (netip.AddrPort, error) {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return netip.AddrPort{}, err
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port)), nil
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port)), nil
	}
	return netip.AddrPort{}, errors.New("a socket of another family")
}

// connect waits until the handshake is done.
func connect(ctx context.Context, file *os.File, to netip.AddrPort) error {
	conn, err := file.SyscallConn()
	if err != nil {
		return err
	}
	if deadline, ok := ctx.Deadline(); ok {
		_ = file.SetDeadline(deadline) // sockets take one
	}
	stop := context.AfterFunc(ctx, func() { file.Close() })
	defer stop()
	var failed error
	begun := false
	err = conn.Write(func(fd uintptr) bool {
		if !begun {
			begun = true
			failed = unix.Connect(int(fd), sockaddr(to))
			return !errors.Is(failed, unix.EINPROGRESS)
		}
		code, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
		failed = errors.Join(err)
		if code != 0 {
			failed = unix.Errno(code)
		}
		return true
	})
	if err := cmp.Or(failed, err); err != nil {
		return fmt.Errorf("connect to %s: %w", to, err)
	}
	return nil
}

// Holds reports whether a socket is one of this generation's.
func (g *Generation) Holds(inode uint64) bool {
	g.all.mu.Lock()
	defer g.all.mu.Unlock()
	for _, s := range g.sockets {
		if s.inode == inode {
			return true
		}
	}
	return slices.Contains(g.inherited, inode)
}

// Listening are the addresses that this generation listens on.
func (g *Generation) Listening() []string {
	g.all.mu.Lock()
	defer g.all.mu.Unlock()
	out := []string{}
	for address := range g.sockets {
		out = append(out, address.String())
	}
	for _, address := range g.lost {
		out = append(out, address.String())
	}
	slices.Sort(out)
	return out
}

// Drop closes what dead generations have left open.
func (a *Sockets) Drop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.dropDead()
}

// Spares reports whether a process is there for the sockets, and not one of the server's.
func (a *Sockets) Spares(pid int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.keeper != nil && a.keeper.pid == pid
}

func (a *Sockets) dropDead() {
	for _, dead := range slices.Clone(a.generations) {
		if !dead.dead {
			continue
		}
		dead.leave()
		a.forget(dead)
	}
	a.beware()
	a.keep()
}

// Close ends everything: the server is gone.
func (a *Sockets) Close() {
	a.mu.Lock()
	all := slices.Clone(a.generations)
	a.mu.Unlock()
	for _, g := range all {
		g.Retire()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.dismiss()
}
