package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/renameio/v2"

	"github.com/hotreload/hotreload/signals"
)

// Handover keeps the listening sockets of generations apart, so that one can be ready beside another.
type Handover interface {
	// Begin has cmd, which is about to be started, start as a generation of its own.
	Begin(number int, cmd *exec.Cmd) Sockets
	// Resume returns the sockets of a generation that an earlier hotreload started, and which listens on these addresses; nil: it has none.
	// whole is false when they were lost with it: then every bind of its processes fails, and none of its workers may be replaced.
	Resume(number int, listen []string) (s Sockets, whole bool)
	// Drop closes what a master that crashed has left open for the next one: there will be none.
	Drop()
	// Spares reports whether a process is there for the sockets, and none of the server's.
	Spares(pid int) bool
}

// Sockets are those that one generation listens on.
type Sockets interface {
	// Started must follow on Begin, when cmd was started or could not be. It returns when there is the process that becomes the server.
	Started()
	// Proceed lets it become the server. If hotreload is killed before, it ends.
	Proceed()
	// Method says how they can be handed over, "interpose" or "off", and for "off" why they cannot. It is final after Seal.
	Method() (method, why string)
	// Seal says that the server is ready, and returns what it listens on.
	Seal() []signals.Listener
	// Listening are the addresses that are handed over, as Handover.Resume takes them.
	Listening() []string
	// Holds reports whether a socket is one of these.
	Holds(inode uint64) bool
	// Dial connects to this generation, though another one may take all new connections; false: to whoever listens there. The address is
	// HOST:PORT or unix:PATH.
	Dial(ctx context.Context, address string) (c net.Conn, steered bool, err error)
	// Take sends all new connections to this generation.
	Take() error
	// Verify checks that new connections reach these processes.
	Verify(ctx context.Context, pids func() []int) error
	// Drain waits until nobody needs this generation any more, which takes no new connections, or until the limit is reached.
	Drain(ctx context.Context, limit time.Duration, pids func() []int) (Drained, error)
	// Retire closes them: the generation is gone.
	Retire()
	// Abandon leaves them open for the next generation: the master crashed.
	Abandon()
}

// Drained is how the last connections of a generation ended.
type Drained struct {
	Idle int // between two requests
	Cut  int // in the middle of one, or of a stream
}

// noHandover is why nothing is handed over where nothing should be.
const noHandover = "off"

// noSockets are those of a server whose sockets nobody hands over.
type noSockets struct{ why string }

func (noSockets) Started()                   {}
func (noSockets) Proceed()                   {}
func (n noSockets) Method() (string, string) { return "off", n.why }
func (noSockets) Seal() []signals.Listener   { return nil }
func (noSockets) Listening() []string        { return []string{} }
func (noSockets) Holds(uint64) bool          { return false }
func (noSockets) Take() error                { return nil }
func (noSockets) Retire()                    {}
func (noSockets) Abandon()                   {}

func (noSockets) Dial(ctx context.Context, address string) (net.Conn, bool, error) {
	network := "tcp"
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		network, address = "unix", path
	}
	c, err := (&net.Dialer{}).DialContext(ctx, network, address)
	return c, false, err
}

func (noSockets) Verify(context.Context, func() []int) error { return nil }

func (noSockets) Drain(context.Context, time.Duration, func() []int) (Drained, error) {
	return Drained{}, nil
}

// canHandOver says why a restart of g is a stop and a start, "" when the new generation can be ready first.
func (d *processes) canHandOver(g generation) string {
	if d.opt.Handover == nil {
		return noHandover
	}
	method, why := g.(*tree).sockets.Method()
	if method == "off" {
		return why
	}
	if len(g.(*tree).sockets.Listening()) == 0 {
		return "it listens on no port that could be handed over"
	}
	if d.opt.Headroom != nil {
		return d.opt.Headroom(g.(*tree).size())
	}
	return ""
}

// size is the memory of the tree in bytes, what its processes share counted for each: never too little.
func (t *tree) size() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all int64
	for _, s := range t.last.procs {
		all += s.RSS
	}
	return all
}

// handOver starts a new generation beside old, turns all new connections to it when it is ready, and ends old when nobody needs
// it any more. On error old serves as if nothing had been, and nothing of the new one is left.
func (d *processes) handOver(ctx context.Context, old generation, number int, next *Release, switched func(generation)) (generation, Drained, error) {
	from, home := old.(*tree), d.opt.Server.from(next)
	aside, err := d.setPIDFileAside(number, from.home.pidFile, home.pidFile)
	if err != nil {
		return nil, Drained{}, err
	}
	d.replacing = from
	defer func() { d.replacing = nil }()
	g, err := d.launch(ctx, number, home)
	if err != nil {
		d.replacing = nil
		d.save(from, true)
		aside.back()
		return nil, Drained{}, err
	}
	to := g.(*tree)
	written := aside.written()
	if err := d.prove(ctx, to); err != nil {
		if back := from.sockets.Take(); back != nil {
			err = errors.Join(err, back)
		}
		d.giveUp(to)
		d.replacing = nil
		d.save(from, true)
		aside.back()
		return nil, Drained{}, err
	}
	switched(to)
	drained, err := d.drain(ctx, from, to)
	if err != nil && !to.gone() {
		d.note(fmt.Sprintf("drain the old server: %v", err))
	}
	if to.gone() && from.master.Alive() && ctx.Err() == nil {
		why := fmt.Errorf("the new server ended right after it had taken over: %s", to.Exit())
		err := errors.Join(why, from.sockets.Take())
		d.giveUp(to)
		d.replacing = nil
		d.save(from, true)
		aside.back()
		return nil, Drained{}, err
	}
	release := aside.guard(written)
	if err := d.end(context.WithoutCancel(ctx), from); err != nil {
		d.note("the old server: " + err.Error())
	}
	release()
	aside.keep(written)
	d.replacing = nil
	d.save(to, true)
	return to, drained, nil
}

// choose decides which of two servers is adopted when hotreload was killed while one was about to replace the other: the new one only if it
// had got ready. What is not chosen and not whole is ended.
func (d *processes) choose(ctx context.Context, a *Adoption) *Adoption {
	if !a.Old.Runs() || a.Ready && a.Master.Alive() {
		return a
	}
	d.note(fmt.Sprintf("the server that was to replace master %d had not got ready: it is ended", a.Old.Master.PID))
	t := d.treeOf(a)
	if err := d.kill(t); err != nil {
		d.note(err.Error())
	}
	t.sockets.Retire()
	return a.Old
}

// replace ends the old server in favour of t, as handOver would have if hotreload had not been killed.
func (d *processes) replace(ctx context.Context, a *Adoption, t *tree) {
	if err := t.sockets.Take(); err != nil {
		d.note(err.Error())
	}
	old := d.treeOf(a)
	old.watch()
	aside := &pidAside{d: d, file: t.home.pidFile}
	written := aside.writtenBy(t.master)
	if _, err := d.drain(ctx, old, t); err != nil {
		d.note(fmt.Sprintf("drain the old server: %v", err))
	}
	release := aside.guard(written)
	if err := d.end(context.WithoutCancel(ctx), old); err != nil {
		d.note("the old server: " + err.Error())
	}
	release()
	aside.keep(written)
}

// prove turns all new connections to t, when it is well as far as it can be asked before that.
func (d *processes) prove(ctx context.Context, t *tree) error {
	steered, err := d.healthy(ctx, t)
	if steered && err != nil {
		return err
	}
	if err := d.turnTo(ctx, t); err != nil || steered {
		return err
	}
	return d.well(ctx, t)
}

// turnTo sends the new connections to t, and makes sure that they get there.
func (d *processes) turnTo(ctx context.Context, t *tree) error {
	if err := t.sockets.Take(); err != nil {
		return err
	}
	look, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	if err := t.sockets.Verify(look, t.pids); err != nil {
		return err
	}
	if probe := d.opt.Server.Probe; probe != nil && !d.opt.Server.ProbeSteers {
		if err := probe(look); err != nil { // it could only be asked who answers to everybody
			return err
		}
	}
	return nil
}

// drain waits for the connections of the old generation, as long as the new one lives.
func (d *processes) drain(ctx context.Context, from, to *tree) (Drained, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-to.done:
			cancel()
		case <-ctx.Done():
		}
	}()
	return from.sockets.Drain(ctx, d.opt.Server.DrainTimeout, from.pids)
}

func (t *tree) gone() bool {
	select {
	case <-t.done:
		return true
	default:
		return false
	}
}

// pids are those of the tree's processes as they are now.
func (t *tree) pids() []int {
	infos, err := t.everybody()
	if err != nil {
		return nil
	}
	pids := make([]int, len(infos))
	for i, info := range infos {
		pids[i] = info.PID
	}
	return pids
}

// pidAside is the pid file of a master that serves while another one starts: servers refuse to start beside it, and both write it.
type pidAside struct {
	d     *processes
	file  string // "": the server writes none
	aside string
}

// asideInfix stands between the name of a pid file and the number of the generation that it was set aside for.
const asideInfix = ".before-"

func (d *processes) setPIDFileAside(number int, old, file string) (*pidAside, error) {
	p := &pidAside{d: d, file: file}
	if p.file == "" || !samePlace(old, file) {
		return p, nil
	}
	p.aside = fmt.Sprintf("%s%s%d", p.file, asideInfix, number)
	err := os.Rename(p.file, p.aside)
	if errors.Is(err, fs.ErrNotExist) {
		p.aside = ""
		return p, nil
	}
	if err != nil {
		return nil, fmt.Errorf("set the pid file aside: %w", err)
	}
	return p, nil
}

// back makes the file that of the old master again.
func (p *pidAside) back() {
	if p.aside == "" {
		return
	}
	if err := os.Rename(p.aside, p.file); err != nil {
		p.d.note(fmt.Sprintf("the pid file of the server that goes on is lost: %v", err))
	}
}

// written is what the new master has written.
func (p *pidAside) written() []byte {
	if p.file == "" {
		return nil
	}
	text, err := os.ReadFile(p.file)
	if err != nil {
		return nil
	}
	return text
}

// guard puts the file of the new master back as soon as the old one has removed it, until release is called.
func (p *pidAside) guard(written []byte) (release func()) {
	if written == nil {
		return func() {}
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-quit:
				return
			case <-time.After(paceMin):
			}
			if _, err := os.Lstat(p.file); errors.Is(err, fs.ErrNotExist) {
				p.keep(written)
			}
		}
	}()
	return func() { close(quit); <-done }
}

// writtenBy is the pid file, if it names this master.
func (p *pidAside) writtenBy(master signals.Process) []byte {
	if pid, err := signals.ReadPIDFile(p.file); p.file == "" || err != nil || pid != master.PID {
		return nil
	}
	return p.written()
}

// restorePIDFile brings the pid file of a back that was set aside when hotreload was killed, and removes what else was.
func (d *processes) restorePIDFile(a *Adoption) {
	file := d.homeOf(a).pidFile
	if file == "" {
		return
	}
	asides, _ := filepath.Glob(globQuote(file) + asideInfix + "*")
	for _, aside := range asides {
		pid, err := signals.ReadPIDFile(aside)
		if _, missing := os.Lstat(file); err == nil && pid == a.Master.PID && errors.Is(missing, fs.ErrNotExist) {
			_ = os.Rename(aside, file) // else it stays missing, and is judged so
			continue
		}
		_ = os.Remove(aside)
	}
}

// globQuote makes a path a pattern that matches only itself: filepath.Match.
func globQuote(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}

// keep makes sure that the file is that of the new master: the old one removes it by its path when it ends.
func (p *pidAside) keep(written []byte) {
	if p.aside != "" {
		_ = os.Remove(p.aside) // the old master may have
	}
	if written == nil {
		return
	}
	if text, err := os.ReadFile(p.file); err == nil && string(text) == string(written) {
		return
	}
	if err := renameio.WriteFile(p.file, written, 0o644); err != nil {
		p.d.note(fmt.Sprintf("write the pid file of the new server again: %v", err))
	}
}
