package supervisor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/hotreload/hotreload/signals"
)

// Probe asks the server whether it is ready: nil when it is, else an error that says what is missing. It must return
// soon after ctx is done.
type Probe func(ctx context.Context) error

// probeTimeout bounds one try of a probe.
const probeTimeout = 2 * time.Second

// ProbeDial is ready when a connection can be made: network and address as for net.Dial.
func ProbeDial(network, address string) Probe {
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, probeTimeout)
		defer cancel()
		c, err := dial(ctx, network, address)
		if err != nil {
			return fmt.Errorf("%s does not answer: %w", address, plain(err))
		}
		return c.Close()
	}
}

type dialerKey struct{}

// dialer is whom probes reach.
type dialer struct {
	sockets Sockets
	passed  *atomic.Bool // set when a connection could not be led to these sockets alone; nil: nobody wants to know
}

// withDialer has the probes that get this context ask the generation that these sockets belong to.
func withDialer(ctx context.Context, s Sockets) context.Context {
	return withSteeredDialer(ctx, s, nil)
}

// withSteeredDialer tells, too, whether the probes could not be led there.
func withSteeredDialer(ctx context.Context, s Sockets, passed *atomic.Bool) context.Context {
	return context.WithValue(ctx, dialerKey{}, dialer{s, passed})
}

// dial connects to the generation that is being probed.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	if d, ok := ctx.Value(dialerKey{}).(dialer); ok {
		if network == "unix" {
			address = "unix:" + address
		}
		c, steered, err := d.sockets.Dial(ctx, address)
		if !steered && d.passed != nil {
			d.passed.Store(true)
		}
		return c, err
	}
	return (&net.Dialer{}).DialContext(ctx, network, address)
}

// ProbeListeners is ready when every one of these sockets takes a connection.
func ProbeListeners(listeners []signals.Listener) Probe {
	return func(ctx context.Context) error {
		for _, l := range listeners {
			network, address := reach(l)
			if err := ProbeDial(network, address)(ctx); err != nil {
				return err
			}
		}
		return nil
	}
}

// reach is how a socket is reached from this machine: a wildcard address through loopback.
func reach(l signals.Listener) (network, address string) {
	if l.Network == "unix" {
		return "unix", l.Addr
	}
	host, port, err := net.SplitHostPort(l.Addr)
	if err != nil {
		return "tcp", l.Addr
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if ip.To4() == nil {
			host = "::1"
		}
	}
	return "tcp", net.JoinHostPort(host, port)
}

// ProbeHTTP is ready when a GET of url is answered with a status that ok accepts. Redirects are answers; certificates are
// not checked, because the server is asked by its local address.
func ProbeHTTP(url string, ok func(status int) bool) Probe {
	client := &http.Client{
		Transport: &http.Transport{
			DisableKeepAlives: true, // an idle connection would hold an old worker
			DialContext:       dial,
			TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       probeTimeout,
	}
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return fmt.Errorf("probe %s: %w", url, err)
		}
		req.Header.Set("User-Agent", "hotreload")
		resp, err := client.Do(req)
		if err != nil {
			return fmt.Errorf("%s does not answer: %w", url, plain(err))
		}
		resp.Body.Close()
		if !ok(resp.StatusCode) {
			return fmt.Errorf("%s answers %d", url, resp.StatusCode)
		}
		return nil
	}
}

// plain is the cause at the bottom of a network error, without the layers that name the address again.
func plain(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}

// ProbeExec is ready when the shell command exits with 0. Run executes it; nil means (*exec.Cmd).Run.
func ProbeExec(command, dir string, env []string, run func(*exec.Cmd) error) Probe {
	if run == nil {
		run = (*exec.Cmd).Run
	}
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, probeTimeout)
		defer cancel()
		cmd := exec.CommandContext(ctx, "/bin/sh", "-c", command)
		cmd.Dir, cmd.Env = dir, env
		cmd.WaitDelay = probeTimeout
		var said strings.Builder
		cmd.Stdout, cmd.Stderr = &said, &said
		if err := run(cmd); err != nil {
			text, _, _ := strings.Cut(strings.TrimSpace(said.String()), "\n")
			return fmt.Errorf("%s: %w %s", command, err, text)
		}
		return nil
	}
}

// ProbeNothing is ready at once: for `ready = "pid-file"`, where the pid file is all there is to wait for.
func ProbeNothing(context.Context) error { return nil }

// answers waits, as long as ctx lets it, until the server answers after its workers were replaced.
func (d *processes) answers(ctx context.Context, t *tree) error {
	probe := d.opt.Server.Probe
	if probe == nil {
		listeners := d.listenersOf(t)
		t.setListeners(listeners)
		probe = ProbeListeners(listeners)
	}
	for {
		err := probe(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %v", errNotVerified, err)
		case <-t.done:
			return fmt.Errorf("master %d after its workers were replaced: %w", t.master.PID, signals.ErrGone)
		case <-time.After(paceMax):
		}
	}
}

// listenersOf returns the sockets that the tree listens on, without those that were passed on to it by us; nil where that cannot be found
// out.
func (d *processes) listenersOf(t *tree) []signals.Listener {
	l, err := signals.Listeners(t.processes())
	if err != nil {
		d.log.Debug("find listening sockets", zap.Error(err))
	}
	ours, err := signals.Listeners([]signals.Process{signals.Self()})
	if err != nil {
		return l
	}
	return slices.DeleteFunc(l, func(l signals.Listener) bool {
		return !t.sockets.Holds(l.Inode) && slices.ContainsFunc(ours, func(o signals.Listener) bool { return o.Inode == l.Inode })
	})
}

func listeners(p signals.Process) (int, error) {
	l, err := signals.Listeners([]signals.Process{p})
	return len(l), err
}
