package handover

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// A unix socket is found by a path, and a path leads to one socket. So the socket of each generation has a name of its own beside the path
// that the server asked for, and what stands at the path is a hard link to one of them, which rename(2) replaces at once. The first
// generation binds the path itself and gets its own name when it is ready; every later one is bound to its own name while the server
// believes to have bound the path. Servers remove the path when they end, whatever stands there; the socket survives that by its own name.

// names are those of a unix socket in the file system.
type names struct {
	// bound is what it was bound to, as the kernel has it: the connections that it accepts carry it, and nothing else tells them from
	// those of another generation.
	bound string
	// own is a hard link that the server does not know of; "" before there is one.
	own string
	// before is what stood at the path when it was bound: what the server does to "its" file is done to that one.
	before access
}

// access is who may connect.
type access struct {
	uid, gid uint32
	mode     uint32 // permissions only
}

func accessOf(path string) (access, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return access{}, fmt.Errorf("look at %s: %w", path, err)
	}
	return access{st.Uid, st.Gid, uint32(st.Mode) & 0o7777}, nil
}

// apply changes what differs. The mode comes last, because a change of the owner may clear bits of it.
func (a access) apply(path string) error {
	is, err := accessOf(path)
	if err != nil {
		return err
	}
	if is.uid != a.uid || is.gid != a.gid {
		if err := os.Lchown(path, int(a.uid), int(a.gid)); err != nil {
			return err
		}
	}
	if is.mode != a.mode {
		return unix.Chmod(path, a.mode)
	}
	return nil
}

// longestName is what fits into struct sockaddr_un with its final NUL.
const longestName = 107

// prefixOf is how the own names for path begin, in the same directory. They are short, because the address of a socket is.
func prefixOf(path string) string {
	h := fnv.New32a()
	h.Write([]byte(path))
	return filepath.Join(filepath.Dir(path), fmt.Sprintf(".hr%08x-", h.Sum32()))
}

func ownName(path string, generation int) string {
	return fmt.Sprint(prefixOf(path), generation)
}

// checkName leaves room for the numbers of many generations, so that it is not the thousandth handover that fails.
func checkName(path string) error {
	if max(len(prefixOf(path))+5, len(path)) > longestName {
		return errors.New("its path is too long for a second name beside it")
	}
	return nil
}

// canonical is the one path by which a socket is known, whichever links lead to its directory.
func canonical(path string) (string, error) {
	dir, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, filepath.Base(path)), nil
}

// place is where a path of the caller's leads to.
func (c caller) place(path string) (string, error) {
	if err := c.seesOurs(); err != nil {
		return "", err
	}
	if !filepath.IsAbs(path) {
		cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", c.pid))
		if err != nil {
			return "", err
		}
		path = filepath.Join(cwd, path)
	}
	return canonical(path)
}

// seesOurs makes sure that a path means the same to the caller as to us.
func (c caller) seesOurs() error {
	var theirs, ours unix.Stat_t
	if err := errors.Join(unix.Stat(fmt.Sprintf("/proc/%d/root", c.pid), &theirs), unix.Stat("/proc/self/root", &ours)); err != nil {
		return err
	}
	if theirs.Dev != ours.Dev || theirs.Ino != ours.Ino {
		return errors.New("the server has another root directory than hotreload")
	}
	return nil
}

// bindUnix is bind for a unix socket.
func (g *Generation) bindUnix(fd int, q *notification, c caller, theirs int, s *socket, address Address) response {
	a := g.all
	if address.isAbstract() {
		if g.sealed || g.sockets[address] != nil {
			s.close()
		} else {
			g.sockets[address] = s // until it is known whether it listens: see Seal
		}
		return goOn
	}
	path, err := c.place(address.Path)
	if err != nil {
		s.close()
		if !errors.Is(err, fs.ErrNotExist) { // then the bind fails, and the server will say so
			g.fail(fmt.Errorf("%s: %w", address, err))
		}
		return goOn
	}
	address.Path = path
	if ours := g.ownOrOrphaned(address); ours != nil {
		r := g.give(fd, q, c, theirs, s, ours, address)
		a.places.putBack(path)
		return r
	}
	if g.sealed || !a.wantedPath(path) {
		s.close()
		return goOn
	}
	if !a.taken(address) {
		a.sweep(path)
		g.sockets[address] = s
		return goOn
	}
	if err := a.bindAside(s, path, g.number); err != nil {
		s.close()
		err = fmt.Errorf("bind %s beside the one that serves: %w", address, err)
		g.fail(err)
		a.once(err.Error())                             // else nobody knows why the server does not start
		return response{Error: -int32(unix.EADDRINUSE)} // the server would take the path from the one that serves
	}
	if err := c.dress(s, path); err != nil {
		a.once(fmt.Sprintf("%s has not the owner and mode that the server would have given it: %v", address, err))
	}
	g.sockets[address] = s
	a.places.putBack(path) // servers remove what stands there before they bind
	return response{}
}

// ownOrOrphaned is the socket that this generation has for an address already, or one that a dead one left behind; nil: there is none.
func (g *Generation) ownOrOrphaned(address Address) *socket {
	if ours := g.sockets[address]; ours != nil {
		if ours.boundName() != "" {
			return ours
		}
		ours.close() // its bind went on, and failed
		delete(g.sockets, address)
	}
	return g.all.orphaned(g, address)
}

// wantedPath is wanted for the path of a unix socket, by whichever links it was configured.
func (a *Sockets) wantedPath(path string) bool {
	return len(a.only) == 0 || slices.ContainsFunc(a.only, func(o Address) bool {
		at, err := canonical(o.Path)
		return o.IsUnix() && err == nil && at == path
	})
}

// taken reports whether another generation listens there.
func (a *Sockets) taken(address Address) bool {
	for _, g := range a.generations {
		if g.sockets[address] != nil {
			return true
		}
		for _, lost := range g.lost {
			if lost == address {
				return true
			}
		}
	}
	return false
}

// bindAside binds the server's socket to a name of its own.
func (a *Sockets) bindAside(s *socket, path string, generation int) error {
	if err := checkName(path); err != nil {
		return err
	}
	s.before, _ = accessOf(path) // it may have been removed already
	own := ownName(path, generation)
	a.sweep(path)
	if err := unix.Bind(s.fd, &unix.SockaddrUnix{Name: own}); err != nil {
		return err
	}
	s.own, s.bound = own, own
	return nil
}

// dress gives the file the owner and the mode that it would have if the caller had bound it: unix(7), "Pathname socket ownership and
// permissions".
func (c caller) dress(s *socket, path string) error {
	who, err := c.identity()
	if err != nil {
		return err
	}
	var st, dir unix.Stat_t
	if err := errors.Join(unix.Fstat(s.fd, &st), unix.Stat(filepath.Dir(path), &dir)); err != nil {
		return err
	}
	want := access{uid: who.uid, gid: who.gid, mode: uint32(st.Mode) & 0o777 &^ who.umask}
	if dir.Mode&unix.S_ISGID != 0 {
		want.gid = dir.Gid
	}
	return want.apply(s.own)
}

// identity is what a new file of the caller's is made with.
type identity struct{ uid, gid, umask uint32 }

func (c caller) identity() (identity, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.pid))
	if err != nil {
		return identity{}, err
	}
	var id identity
	for line := range strings.Lines(string(status)) {
		key, value, _ := strings.Cut(line, ":")
		var unused uint32
		switch key {
		case "Umask":
			_, err = fmt.Sscanf(value, "%o", &id.umask)
		case "Uid": // real, effective, saved, of the file system
			_, err = fmt.Sscan(value, &unused, &unused, &unused, &id.uid)
		case "Gid":
			_, err = fmt.Sscan(value, &unused, &unused, &unused, &id.gid)
		}
		if err != nil {
			return identity{}, fmt.Errorf("%s of process %d: %w", key, c.pid, err)
		}
	}
	return id, nil
}

// boundName is what the socket is bound to, "" while it is not.
func (s *socket) boundName() string {
	sa, err := unix.Getsockname(s.fd)
	if err != nil {
		return ""
	}
	at, ok := sa.(*unix.SockaddrUnix)
	if !ok || at.Name == "@" { // so the package renders no name at all
		return ""
	}
	return at.Name
}

// sealUnix gives a socket that listens the name of its own, by which it can be handed over.
func (g *Generation) sealUnix(s *socket, path string) error {
	a := g.all
	if (Address{Path: path}).isAbstract() {
		return errors.New("an abstract socket cannot be handed over")
	}
	if s.own == "" {
		if err := checkName(path); err != nil {
			return err
		}
		a.sweep(path)
		own := ownName(path, g.number)
		if err := os.Link(path, own); err != nil {
			return fmt.Errorf("keep it by a second name: %w", err)
		}
		s.own, s.bound = own, s.boundName()
		a.places.set(path, own)
	}
	return nil
}

// sweep removes the own names for path that a killed hotreload has left: no socket is behind them any more. The caller holds the lock.
func (a *Sockets) sweep(path string) {
	left, err := filepath.Glob(escape(prefixOf(path)) + "*")
	if err != nil {
		return
	}
	used := map[string]bool{}
	for _, g := range a.generations {
		for _, s := range g.sockets {
			used[s.own] = true // it need not be asked: a server would see us connect
		}
	}
	for _, name := range left {
		if used[name] {
			continue
		}
		if c, err := connectUnix(name); err == nil {
			unix.Close(c)
		} else if errors.Is(err, unix.ECONNREFUSED) {
			if sameFile(path, name) {
				_ = os.Remove(path) // its server was killed before it could, and the next one may not
			}
			_ = os.Remove(name) // if it cannot be, the next link to this name fails, and says so
		}
	}
}

// escape makes a path a pattern of itself.
func escape(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// connectUnix connects without waiting: where a queue is full, somebody is there.
func connectUnix(path string) (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, err
	}
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// takeUnix lets the path lead to this socket.
func (a *Sockets) takeUnix(s *names, path string) error {
	if s.own == "" {
		return errors.New("it has no second name")
	}
	was := a.places.set(path, s.own) // before the switch: what is put back from now on is this one
	if err := a.turn(s, path); err != nil {
		a.places.set(path, was)
		return err
	}
	return nil
}

func (a *Sockets) turn(s *names, path string) error {
	if sameFile(path, s.own) {
		return nil
	}
	// What the server has done to its file since it bound it, it has done to the one of the generation before.
	if now, err := accessOf(path); err == nil && s.before != (access{}) && now != s.before {
		if err := now.apply(s.own); err != nil {
			a.once(fmt.Sprintf("unix:%s has not the owner and mode that the server has given it: %v", path, err))
		}
	}
	s.before = access{}
	once := s.own + "~"
	_ = os.Remove(once) // of a hotreload that was killed here
	if err := os.Link(s.own, once); err != nil {
		return err
	}
	if err := os.Rename(once, path); err != nil {
		return errors.Join(err, os.Remove(once))
	}
	return nil
}

func sameFile(x, y string) bool {
	one, err := os.Lstat(x)
	if err != nil {
		return false
	}
	other, err := os.Lstat(y)
	return err == nil && os.SameFile(one, other)
}

// leaveUnix removes the names of a socket that is being closed.
func (a *Sockets) leaveUnix(s *names, path string) {
	if s.own == "" {
		return
	}
	if a.places.clear(path, s.own) && sameFile(path, s.own) {
		_ = os.Remove(path) // the server was killed before it could
	}
	_ = os.Remove(s.own)
}

// clearPaths removes the names of all sockets: nobody is left who listens on them.
func (a *Sockets) clearPaths() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, g := range a.generations {
		for address, s := range g.sockets {
			a.leaveUnix(&s.names, address.Path)
		}
	}
}

// adoptPath gives the socket that stands at path, of which we have no copy, a name of its own all the same; the caller holds the lock.
func (a *Sockets) adoptPath(g *Generation, path string) {
	path, err := canonical(path)
	if err != nil {
		return
	}
	bound, err := boundAt(path)
	if err != nil {
		return
	}
	s := &names{bound: bound, own: ownName(path, g.number)}
	if a.sweep(path); !sameFile(path, s.own) && os.Link(path, s.own) != nil {
		return // then it has a gap
	}
	if g.lostUnix == nil {
		g.lostUnix = map[string]*names{}
	}
	g.lostUnix[path] = s
	a.places.set(path, s.own)
}

// recall notes the names of a socket that was kept.
func (a *Sockets) recall(g *Generation, s *socket, kept keptSocket) {
	if kept.Own == "" {
		return
	}
	s.own, s.bound = kept.Own, s.boundName()
	if g.dead || g.number == a.serving {
		a.places.set(kept.Address.Path, kept.Own)
	}
}

// ExpectPaths says that the server, which nobody has seen yet, may listen on a unix socket: when its first generation ends, it is kept
// from removing the path. Later ones are anyway, once there was one.
func (a *Sockets) ExpectPaths() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.paths = true
}

// guardsPaths reports whether servers are to be kept from removing paths; the caller holds the lock.
func (a *Sockets) guardsPaths() bool {
	return a.paths || !a.places.empty() || slices.ContainsFunc(a.only, Address.IsUnix)
}
