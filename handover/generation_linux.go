package handover

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"

	"golang.org/x/sys/unix"

	"go.uber.org/zap"
)

// Generation is one start of the server, with the sockets that it bound. It belongs to its Sockets, whose lock guards it.
type Generation struct {
	all       *Sockets
	number    int
	shim      *os.File   // nil once it has become the server
	theirs    []*os.File // our copies of what is passed on, until it was started
	notifier  *notifier
	sockets   map[Address]*socket
	inherited []uint64          // sockets that were inherited, by inode
	lost      []Address         // where it listens on sockets of which we have no copy
	lostUnix  map[string]*names // those of them that have a path, by it
	dead      bool              // its master crashed: its sockets wait for the next generation
	sealed    bool              // it is ready: what is bound from now on is none of ours
	why       string            // why its sockets cannot be handed over, "" while they can
}

// Begin makes cmd start as a new generation. Started must follow, whether cmd was started or not, and then Proceed or Retire.
func (a *Sockets) Begin(number int, cmd *exec.Cmd) *Generation {
	a.mu.Lock()
	defer a.mu.Unlock()
	g := &Generation{all: a, number: number, sockets: map[Address]*socket{}}
	a.generations = append(a.generations, g)
	if len(cmd.ExtraFiles) > 0 {
		g.fail(errors.New("descriptors are passed on by number already"))
		return g
	}
	switch {
	case len(a.inherited) > 0:
		g.fail(g.inherit(cmd))
	case a.passes:
		if err := g.pass(cmd); err != nil {
			g.fail(err)
		}
	}
	g.theirs = slices.Clone(cmd.ExtraFiles)
	shim, err := wrap(cmd)
	if err != nil {
		g.fail(err)
		return g
	}
	g.shim, g.theirs = shim, cmd.ExtraFiles
	if a.guardsPaths() {
		cmd.Args[0] = unlinkShimName
	}
	a.beware()
	return g
}

// Started listens to the shim, and answers the binds from then on. It returns when the shim waits for Proceed.
func (g *Generation) Started() {
	for _, f := range g.theirs {
		f.Close()
	}
	if g.shim == nil {
		return
	}
	said, err := hear(g.shim)
	g.all.mu.Lock()
	defer g.all.mu.Unlock()
	g.theirs = nil
	if err != nil {
		g.fail(err)
		return
	}
	if !said.privileged {
		g.all.once("no_new_privs is set for the server, because hotreload lacks CAP_SYS_ADMIN: sudo and other setuid programs do not work below it")
	}
	n, err := newNotifier(said.notify)
	if err != nil {
		g.fail(err)
		return
	}
	g.notifier = n
	go n.serve(g.answer)
	g.all.keep()
}

// Proceed has the shim become the server, and returns when it has. If hotreload is killed before, the shim ends, and there is no server that
// nobody knows of.
func (g *Generation) Proceed() {
	if g.shim == nil {
		return
	}
	err := proceed(g.shim)
	g.shim = nil
	if err != nil {
		g.all.mu.Lock()
		defer g.all.mu.Unlock()
		g.fail(err)
	}
}

func (g *Generation) fail(err error) {
	if g.why == "" {
		g.why = err.Error()
		g.all.log.Debug("sockets are not handed over", zap.Int("generation", g.number), zap.Error(err))
	}
}

// Method is how this generation can take over from another, and be taken over from: "interpose" or "off", and why.
func (g *Generation) Method() (method, why string) {
	g.all.mu.Lock()
	defer g.all.mu.Unlock()
	switch {
	case g.why != "":
		return "off", g.why
	case g.all.passes:
		return "pass", ""
	}
	return "interpose", ""
}

// goOn lets a bind through.
var goOn = response{Flags: flagContinue}

// answer decides about one bind.
func (g *Generation) answer(fd int, q *notification) response {
	if q.Data.NR != unix.SYS_BIND {
		return g.answerUnlink(fd, q)
	}
	theirs := int(int32(q.Data.Args[0]))
	c, err := callerOf(int(q.PID))
	if err != nil {
		g.couldNot(err)
		return goOn
	}
	defer c.close()
	raw, err := c.read(q.Data.Args[1], int(uint32(q.Data.Args[2])))
	if err == nil && !valid(fd, q.ID) {
		return goOn // it has ended, and the pid may be another's
	}
	address, err := addressOf(raw, err)
	if errors.Is(err, errForeign) {
		return goOn
	}
	if err != nil {
		g.couldNot(err)
		return goOn
	}
	s, err := c.socket(theirs)
	if err != nil {
		g.couldNot(err)
		return goOn
	}
	domain, kind, protocol, err := s.nature()
	if err != nil || kind != unix.SOCK_STREAM || domain != unix.AF_UNIX && protocol != unix.IPPROTO_TCP {
		s.close()
		g.datagram(kind, address)
		return goOn
	}
	if domain == unix.AF_INET6 && address.AddrPort.Addr().IsUnspecified() {
		only, err := unix.GetsockoptInt(s.fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY)
		address.V6Only = err == nil && only == 1
	}
	return g.bind(fd, q, c, theirs, s, address)
}

func addressOf(raw []byte, err error) (Address, error) {
	if err != nil {
		return Address{}, err
	}
	return parseSockaddr(raw)
}

// couldNot notes that a bind could not be looked at: nothing can be handed over then, because nobody knows what was bound.
func (g *Generation) couldNot(err error) {
	g.all.mu.Lock()
	defer g.all.mu.Unlock()
	g.fail(fmt.Errorf("look at a bind: %w", err))
}

func (g *Generation) datagram(kind int, address Address) {
	if kind != unix.SOCK_DGRAM || address.IsUnix() { // a client of syslog may have that
		return
	}
	g.all.mu.Lock()
	defer g.all.mu.Unlock()
	g.all.once(fmt.Sprintf("UDP sockets are not handed over: %s has a gap at a restart", address))
}

// bind lets the server have the address: with the socket that this generation has for it already, with one that a dead generation left
// behind, or with its own, which joins the group.
func (g *Generation) bind(fd int, q *notification, c caller, theirs int, s *socket, address Address) response {
	a := g.all
	a.mu.Lock()
	defer a.mu.Unlock()
	if address.IsUnix() {
		return g.bindUnix(fd, q, c, theirs, s, address)
	}
	ours := g.sockets[address]
	if ours != nil && !ours.isBound(q.PID) { // somebody else had the address
		ours.close()
		delete(g.sockets, address)
		ours = nil
	}
	if ours == nil {
		ours = a.orphaned(g, address)
	}
	if ours != nil {
		return g.give(fd, q, c, theirs, s, ours, address)
	}
	if g.sealed || !a.wanted(address) {
		s.close()
		return goOn
	}
	if err := a.admit(s, address); err != nil {
		s.close()
		g.fail(fmt.Errorf("prepare the socket of %s: %w", address, err))
		return goOn
	}
	s.binder = q.PID
	g.sockets[address] = s
	return goOn
}

// give puts ours in the place of the server's own socket.
func (g *Generation) give(fd int, q *notification, c caller, theirs int, s, ours *socket, address Address) response {
	defer s.close()
	if err := sameBlocking(ours, s); err != nil {
		g.all.log.Warn("copy O_NONBLOCK", zap.Error(err))
	}
	if err := replace(fd, q, ours.fd, theirs, c.closesOnExec(theirs)); err != nil {
		g.fail(fmt.Errorf("give the server the socket of %s: %w", address, err))
		return goOn
	}
	return response{} // bound, as far as the server can tell
}

// sameBlocking makes ours block if, and only if, theirs did: a blocking server spins on a socket that does not.
func sameBlocking(ours, theirs *socket) error {
	want, err := theirs.nonblock()
	if err != nil {
		return err
	}
	return unix.SetNonblock(ours.fd, want)
}

// Seal says that the server is ready: what it has bound until now is what is handed over. It forgets what does not listen, and returns
// the addresses and the inodes of what does.
func (g *Generation) Seal() []Listening {
	a := g.all
	a.mu.Lock()
	defer a.mu.Unlock()
	g.seal()
	var out []Listening
	for address, s := range g.sockets {
		out = append(out, Listening{address, s.inode})
	}
	slices.SortFunc(out, func(x, y Listening) int { return compareAddress(x.Address, y.Address) })
	a.keep()
	return out
}

// seal forgets what does not listen, and counts what does.
func (g *Generation) seal() {
	g.sealed = true
	a := g.all
	for address, s := range g.sockets {
		if !s.listening() {
			a.leaveUnix(&s.names, address.Path)
			s.close()
			delete(g.sockets, address)
			continue
		}
		if !address.IsUnix() {
			a.joined(g, address)
		} else if err := g.sealUnix(s, address.Path); err != nil {
			g.fail(fmt.Errorf("%s: %w", address, err))
			s.close()
			delete(g.sockets, address)
			continue
		}
	}
}

// Listening is a socket that a generation listens on.
type Listening struct {
	Address Address
	Inode   uint64
}

// Retire is the end of a generation whose processes are all gone: its sockets take no connection any more.
func (g *Generation) Retire() {
	if g.shim != nil {
		g.shim.Close()
		g.shim = nil
	}
	a := g.all
	a.mu.Lock()
	g.leave()
	for _, address := range g.lost {
		a.left(g, address) // its last holder has ended
	}
	for path, s := range g.lostUnix {
		a.leaveUnix(s, path)
	}
	a.forget(g)
	a.beware()
	n := g.notifier
	a.keep()
	a.mu.Unlock()
	if n != nil {
		n.close()
	}
}

// Abandon is the end of a generation that crashed: its sockets stay open, and connections wait in them for the next generation.
func (g *Generation) Abandon() {
	a := g.all
	a.mu.Lock()
	n := g.notifier
	g.notifier = nil
	g.seal() // what does not listen yet is of no use to the next one
	g.dead = true
	a.beware()
	a.keep()
	a.mu.Unlock()
	if n != nil {
		n.close()
	}
}
