package handover

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// A keeper is a process that holds what hotreload would take with it if it were killed: the sockets, and the descriptors by which the
// server's processes ask before they bind. Without those every later bind in the tree would fail with ENOSYS, as in a worker reload of
// Swoole's BASE mode with enable_reuse_port. While hotreload lives the keeper does nothing; when hotreload is gone it answers in its
// place, and waits for the next one, to which it gives everything back.

// keeperName is what the keeper is called in its arguments, and how it knows itself.
const keeperName = "hotreload-keeper"

// keeperSocket is the descriptor by which it hears from the hotreload that started it.
const keeperSocket = 3

// protocol is the version of what is said between keeper and hotreload, which may be of different versions after an upgrade.
const protocol = 1

// kept is everything there is to keep. Descriptors are numbers of those that come with it.
type kept struct {
	Protocol    int              `json:"protocol"`
	Bye         bool             `json:"bye,omitempty"` // nothing is to be kept any more
	Serving     int              `json:"serving"`
	Generations []keptGeneration `json:"generations"`
	Groups      []keptGroup      `json:"groups"`
}

type keptGeneration struct {
	Number  int          `json:"number"`
	Dead    bool         `json:"dead"`
	Sealed  bool         `json:"sealed"`
	Notify  int          `json:"notify"` // -1: none
	Sockets []keptSocket `json:"sockets"`
}

type keptSocket struct {
	Address Address `json:"address"`
	FD      int     `json:"fd"`
	Own     string  `json:"own,omitempty"` // the name of its own, of a unix socket
}

type keptGroup struct {
	Address Address `json:"address"`
	Order   group   `json:"order"`
}

// maxKept bounds a message; the kernel takes no more descriptors in one (SCM_MAX_FD).
const (
	maxKept = 128 << 10
	maxFDs  = 253
)

// snapshot is what a keeper needs; the caller holds the lock. Descriptors are borrowed.
func (a *Sockets) snapshot() (kept, []int) {
	k := kept{Protocol: protocol, Serving: a.serving}
	var fds []int
	for _, g := range a.generations {
		kg := keptGeneration{Number: g.number, Dead: g.dead, Sealed: g.sealed, Notify: -1}
		if g.notifier != nil {
			kg.Notify = len(fds)
			fds = append(fds, g.notifier.fd)
		}
		for address, s := range g.sockets {
			kg.Sockets = append(kg.Sockets, keptSocket{address, len(fds), s.own})
			fds = append(fds, s.fd)
		}
		k.Generations = append(k.Generations, kg)
	}
	for address, order := range a.groups {
		k.Groups = append(k.Groups, keptGroup{address, *order})
	}
	return k, fds
}

// restore makes the sockets of a snapshot, which owns its descriptors from then on. Nobody answers binds yet: see answerAll.
func restore(k kept, fds []int, log *zap.Logger, note func(string)) (*Sockets, error) {
	a, err := New(log, note)
	if err != nil {
		return nil, err
	}
	a.serving = k.Serving
	for _, kg := range k.Generations {
		g := &Generation{all: a, number: kg.Number, dead: kg.Dead, sealed: kg.Sealed, sockets: map[Address]*socket{}}
		for _, ks := range kg.Sockets {
			var st unix.Stat_t
			if ks.FD < 0 || ks.FD >= len(fds) || unix.Fstat(fds[ks.FD], &st) != nil {
				return nil, fmt.Errorf("socket of %s: descriptor %d of %d", ks.Address, ks.FD, len(fds))
			}
			s := &socket{fd: fds[ks.FD], inode: st.Ino}
			g.sockets[ks.Address] = s
			a.recall(g, s, ks)
		}
		if kg.Notify >= 0 && kg.Notify < len(fds) {
			if g.notifier, err = newNotifier(fds[kg.Notify]); err != nil {
				return nil, err
			}
		}
		a.generations = append(a.generations, g)
	}
	for _, kg := range k.Groups {
		order := slices.Clone(kg.Order)
		a.groups[kg.Address] = &order
	}
	return a, nil
}

// answerAll has every generation's binds answered.
func (a *Sockets) answerAll() {
	for _, g := range a.generations {
		if g.notifier != nil {
			go g.notifier.serve(g.answer)
		}
	}
}

// release closes our copies and nothing else.
func (a *Sockets) release() {
	for _, g := range a.generations {
		if g.notifier != nil {
			g.notifier.file.Close()
		}
		for _, s := range g.sockets {
			s.close()
		}
	}
}

func send(fd int, k kept, fds []int) error {
	text, err := json.Marshal(k)
	if err != nil {
		return err
	}
	if len(text) > maxKept || len(fds) > maxFDs {
		return fmt.Errorf("%d bytes and %d descriptors are too much", len(text), len(fds))
	}
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	for {
		err := unix.Sendmsg(fd, text, rights, nil, unix.MSG_NOSIGNAL)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// receive returns io.EOF when the other side is gone.
func receive(fd int) (kept, []int, error) {
	text, oob := make([]byte, maxKept), make([]byte, unix.CmsgSpace(maxFDs*4))
	var n, oobn int
	for {
		var err error
		n, oobn, _, _, err = unix.Recvmsg(fd, text, oob, unix.MSG_CMSG_CLOEXEC)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return kept{}, nil, err
		}
		break
	}
	if n == 0 {
		return kept{}, nil, io.EOF
	}
	var fds []int
	if messages, err := unix.ParseSocketControlMessage(oob[:oobn]); err == nil {
		for i := range messages {
			if rights, err := unix.ParseUnixRights(&messages[i]); err == nil {
				fds = append(fds, rights...)
			}
		}
	}
	var k kept
	if err := json.Unmarshal(text[:n], &k); err != nil {
		closeAll(fds)
		return kept{}, nil, fmt.Errorf("read what is kept: %w", err)
	}
	if k.Protocol != protocol {
		closeAll(fds)
		return kept{}, nil, fmt.Errorf("what is kept is of protocol %d, not %d", k.Protocol, protocol)
	}
	return k, fds, nil
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}

// keeper is hotreload's end.
type keeper struct {
	fd  int
	pid int
	cmd *exec.Cmd // nil: an earlier hotreload started it
}

// startKeeper starts one that the next hotreload finds at path.
func startKeeper(path string, start func(*exec.Cmd) error) (*keeper, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	theirs := os.NewFile(uintptr(pair[1]), "keeper")
	defer theirs.Close()
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{keeperName, path}
	cmd.Env = []string{} // nothing of ours, and above all not what marks the server's processes
	cmd.Dir = "/"
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // the terminal's signals are none of its business
	if err := start(cmd); err != nil {
		unix.Close(pair[0])
		return nil, err
	}
	return &keeper{pair[0], cmd.Process.Pid, cmd}, nil
}

// keep tells the keeper what there is to keep; the caller holds the lock. Without a keeper the server works all the same, until hotreload is
// killed.
func (a *Sockets) keep() {
	if a.path == "" {
		return
	}
	k, fds := a.snapshot()
	if a.keeper != nil && send(a.keeper.fd, k, fds) == nil {
		return
	}
	if a.keeper != nil { // it was killed
		unix.Close(a.keeper.fd)
		a.keeper = nil
	}
	if len(fds) == 0 {
		return
	}
	keeper, err := startKeeper(a.path, a.start)
	if err == nil {
		a.keeper = keeper
		err = send(keeper.fd, k, fds)
	}
	if err != nil {
		a.once("if hotreload is killed, nobody keeps the server's sockets: " + err.Error())
	}
}

// dismiss ends the keeper: there is nothing to keep any more.
func (a *Sockets) dismiss() {
	if a.keeper == nil {
		return
	}
	_ = send(a.keeper.fd, kept{Protocol: protocol, Bye: true}, nil) // else it is gone already
	unix.Close(a.keeper.fd)
	a.keeper = nil
}

// Resume takes over from the keeper at path what an earlier hotreload has left to it. patience is how long that may take to turn up, 0 where
// none is expected.
func Resume(path string, patience time.Duration, start func(*exec.Cmd) error, log *zap.Logger, note func(string)) (*Sockets, error) {
	fd, err := findKeeper(path, patience)
	if err != nil {
		return nil, fmt.Errorf("find the keeper of the sockets: %w", err)
	}
	limit := unix.NsecToTimeval(int64(5 * time.Second))
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit)
	k, fds, err := receive(fd)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("take over from the keeper of the sockets: %w", err)
	}
	a, err := restore(k, fds, log, note)
	if err != nil {
		unix.Close(fd)
		closeAll(fds)
		return nil, err
	}
	pid := 0
	if who, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
		pid = int(who.Pid)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.path, a.start, a.keeper = path, start, &keeper{fd: fd, pid: pid}
	a.beware()
	a.keep() // the receipt: until it comes, the keeper does not let go
	a.answerAll()
	return a, nil
}

// findKeeper connects to the keeper. It may not have noticed yet that hotreload was killed, or have been started right before.
func findKeeper(path string, patience time.Duration) (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		err := unix.Connect(fd, &unix.SockaddrUnix{Name: path})
		if err == nil {
			return fd, nil
		}
		if time.Since(began) >= patience {
			unix.Close(fd)
			return -1, err
		}
	}
}

// KeeperMain is the whole life of a keeper. A program that uses this package calls it first in main. It returns only in a process that is
// none.
func KeeperMain() {
	if len(os.Args) != 2 || os.Args[0] != keeperName {
		return
	}
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGPIPE, syscall.SIGUSR1, syscall.SIGUSR2)
	path := os.Args[1]
	fd := keeperSocket
	var k kept
	var fds []int
	for {
		next, nextFDs, err := receive(fd)
		if err != nil { // hotreload is gone
			unix.Close(fd)
			if k.Protocol == 0 || len(k.Generations) == 0 {
				os.Exit(0) // there is nothing to keep
			}
			fd, next, nextFDs = standIn(path, k, fds)
			fds = nil // they were let go
		}
		if next.Bye {
			os.Exit(0)
		}
		closeAll(fds)
		k, fds = next, nextFDs
	}
}

// standIn answers in hotreload's place until the next one has taken over, and returns its socket and what it wants kept. The process ends
// when nobody is left who asks.
func standIn(path string, k kept, fds []int) (int, kept, []int) {
	a, err := restore(k, fds, nil, func(string) {})
	if err != nil {
		os.Exit(1)
	}
	a.answerAll()
	_ = os.Remove(path)
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err == nil {
		_ = os.Chmod(path, 0o600)
	}
	a.leaveWhenAlone(l)
	if err != nil {
		select {} // the next hotreload cannot find it, but the binds are answered
	}
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			select {}
		}
		if fd, next, nextFDs, ok := a.handBack(c); ok {
			l.Close()
			return fd, next, nextFDs
		}
	}
}

// leaveWhenAlone ends the process when no process is left that could ask.
func (a *Sockets) leaveWhenAlone(l *net.UnixListener) {
	var all sync.WaitGroup
	for _, g := range a.generations {
		if g.notifier != nil {
			all.Go(func() { <-g.notifier.gone }) // never, once it was handed back
		}
	}
	go func() {
		all.Wait()
		a.clearPaths()
		if l != nil {
			l.Close() // and with it the path
		}
		os.Exit(0)
	}()
}

// handBack gives everything to the next hotreload, and lets go of it when that one has said what is to be kept from now on: it may be of a
// version that does not understand, or be killed.
func (a *Sockets) handBack(c *net.UnixConn) (fd int, next kept, nextFDs []int, ok bool) {
	file, err := c.File()
	c.Close()
	if err != nil {
		return -1, next, nil, false
	}
	defer file.Close()
	fd, err = unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return -1, next, nil, false
	}
	for _, g := range a.generations {
		if g.notifier != nil {
			g.notifier.pause()
		}
	}
	if next, nextFDs, err = a.exchange(fd); err != nil {
		unix.Close(fd)
		for _, g := range a.generations {
			if g.notifier != nil {
				g.notifier.resume(g.answer)
			}
		}
		return -1, next, nil, false
	}
	a.release()
	return fd, next, nextFDs, true
}

// receiptTime is how long whoever takes over may take to say so.
const receiptTime = 5 * time.Second

func (a *Sockets) exchange(fd int) (next kept, nextFDs []int, err error) {
	if err := unix.SetNonblock(fd, false); err != nil {
		return next, nil, err
	}
	k, fds := a.snapshot()
	if err := send(fd, k, fds); err != nil {
		return next, nil, err
	}
	limit, never := unix.NsecToTimeval(int64(receiptTime)), unix.Timeval{}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit); err != nil {
		return next, nil, err
	}
	if next, nextFDs, err = receive(fd); err != nil {
		return next, nil, err
	}
	return next, nextFDs, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &never)
}
