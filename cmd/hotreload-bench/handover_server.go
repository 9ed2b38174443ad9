package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/BurntSushi/toml"

	"github.com/hotreload/hotreload/control"
	"github.com/hotreload/hotreload/supervisor"
)

// handed is a server that is handed over, as its project has it: nothing in it knows of hotreload.
type handed struct {
	*site
	name      string
	addresses []string
	slow      string // a path that takes one second; "": it has none
	stuck     string // while this file exists, a new server listens and never answers; "": that cannot be had
}

// handedHere makes the servers that can run on this machine, and says why others cannot.
func (b *bench) handedHere(ctx context.Context) (here []*handed, why []string, err error) {
	add := func(h *handed, e error) {
		var missing *missingError
		switch {
		case errors.As(e, &missing):
			why = append(why, missing.Error())
		case e != nil:
			err = errors.Join(err, e)
		default:
			here = append(here, h)
		}
	}
	add(b.handedHyperf(ctx))
	add(b.handedSwoole(ctx, "BASE"))
	add(b.handedSwoole(ctx, "PROCESS"))
	add(b.handedWebman())
	add(b.handedPrefork(ctx))
	return here, why, err
}

type missingError struct{ what, variable string }

func (e *missingError) Error() string {
	return fmt.Sprintf("%s: not measured, %s names none.", e.what, e.variable)
}

// pause of a worker of examples/prefork, and of Swoole's, that takes a second.
const slowSecond = "/slow?ms=1000"

func (b *bench) handedPrefork(ctx context.Context) (*handed, error) {
	e := example{"prefork", "php"}
	if err := e.runs(ctx); err != nil {
		return nil, &missingError{"examples/prefork", "PATH"}
	}
	p, err := b.newPHPSite(e)
	if err != nil {
		return nil, err
	}
	return &handed{site: p.site, name: "examples/prefork", addresses: []string{p.address}, slow: slowSecond}, nil
}

// swooleServer listens on all given ports, the first of them IPv4, the second IPv6, and so on.
const swooleServer = `<?php
$o = getopt('', ['mode:', 'ports:', 'pid-file:', 'workers:', 'reuse']);
$ports = explode(',', $o['ports']);
$s = new Swoole\Http\Server('127.0.0.1', (int) $ports[0], $o['mode'] === 'BASE' ? SWOOLE_BASE : SWOOLE_PROCESS);
foreach (array_slice($ports, 1) as $i => $port) {
    $i % 2 === 0 ? $s->listen('::1', (int) $port, SWOOLE_SOCK_TCP6) : $s->listen('127.0.0.1', (int) $port, SWOOLE_SOCK_TCP);
}
$s->set(['worker_num' => (int) $o['workers'], 'pid_file' => $o['pid-file'], 'log_level' => SWOOLE_LOG_WARNING, 'enable_reuse_port' => isset($o['reuse'])]);
$s->on('workerStart', function () {
    while (is_file(__DIR__ . '/stuck')) {
        usleep(10_000);
        clearstatcache();
    }
});
$s->on('request', function ($request, $response) {
    if ($request->server['request_uri'] === '/slow') {
        Swoole\Coroutine::sleep((int) $request->get['ms'] / 1000);
    }
    $response->end("hello\n");
});
$s->start();
`

// handedSwoole is a plain Swoole server on 127.0.0.1, and on more ports if that is asked for.
func (b *bench) handedSwoole(ctx context.Context, mode string, more ...string) (*handed, error) {
	e := example{"swoole", os.Getenv(phpWithSwoole)}
	if e.runs(ctx) != nil {
		return nil, &missingError{"Swoole " + mode, phpWithSwoole}
	}
	s, err := b.newSite("swoole")
	if err != nil {
		return nil, err
	}
	script := filepath.Join(s.dir, "server.php")
	if err := os.WriteFile(script, []byte(swooleServer), 0o644); err != nil {
		return nil, err
	}
	h := &handed{site: s, name: "Swoole " + mode, slow: slowSecond, stuck: filepath.Join(s.dir, "stuck")}
	var ports []string
	for _, host := range append([]string{"127.0.0.1"}, more...) {
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		ports = append(ports, port)
		h.addresses = append(h.addresses, net.JoinHostPort(host, port))
	}
	s.kind, s.address = "swoole", h.addresses[0]
	s.command = []string{e.php, script, "--mode=" + mode, "--ports=" + strings.Join(ports, ","), "--pid-file=" + s.pidFile, fmt.Sprintf("--workers=%d", workers)}
	if len(more) > 0 {
		h.name += fmt.Sprintf(", %d ports, IPv4 and IPv6", len(ports))
		s.command = append(s.command, "--reuse")
	}
	return h, nil
}

func (b *bench) handedHyperf(ctx context.Context) (*handed, error) {
	const variable = "HOTRELOAD_BENCH_HYPERF"
	e := example{"swoole", os.Getenv(phpWithSwoole)}
	if os.Getenv(variable) == "" || e.runs(ctx) != nil {
		return nil, &missingError{"Hyperf", variable + " and " + phpWithSwoole}
	}
	s, port, err := b.checkOutOf("hyperf", os.Getenv(variable), "config/autoload/server.php", "9501")
	if err != nil {
		return nil, err
	}
	s.kind, s.command = "hyperf", []string{e.php, "bin/hyperf.php", "start"}
	s.pidFile, s.address = filepath.Join(s.dir, "runtime/hyperf.pid"), "127.0.0.1:"+port
	h := &handed{site: s, name: "Hyperf", addresses: []string{s.address}, slow: "/bench-slow", stuck: filepath.Join(s.dir, "stuck")}
	const routes = `
while (is_file(BASE_PATH . '/stuck')) {
    usleep(10_000);
    clearstatcache();
}
Hyperf\HttpServer\Router\Router::get('/bench-slow', static function () {
    Swoole\Coroutine::sleep(1);
    return 'slow';
});
`
	return h, appendTo(filepath.Join(s.dir, "config/routes.php"), routes)
}

// appendTo adds to a file of PHP.
func appendTo(file, code string) error {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(code)
	return errors.Join(err, f.Close())
}

func (b *bench) handedWebman() (*handed, error) {
	const variable = "HOTRELOAD_BENCH_WEBMAN"
	if os.Getenv(variable) == "" {
		return nil, &missingError{"webman", variable}
	}
	s, port, err := b.checkOutOf("webman", os.Getenv(variable), "config/process.php", "8787")
	if err != nil {
		return nil, err
	}
	s.kind, s.command = "webman", []string{"php", "start.php", "start"}
	s.pidFile, s.address = filepath.Join(s.dir, "runtime/webman.pid"), "127.0.0.1:"+port
	h := &handed{site: s, name: "webman", addresses: []string{s.address}, slow: "/bench-slow", stuck: filepath.Join(s.dir, "stuck")}
	const bootstrap = `
while (is_file(base_path('stuck'))) { // in each worker
    usleep(10_000);
    clearstatcache();
}
`
	const route = `
Webman\Route::get('/bench-slow', static function () {
    sleep(1); // and nobody else is answered by this worker
    return response('slow');
});
`
	return h, errors.Join(appendTo(filepath.Join(s.dir, "support/bootstrap.php"), bootstrap), appendTo(filepath.Join(s.dir, "config/route.php"), route))
}

// checkOutOf copies a project, and has it listen on another port.
func (b *bench) checkOutOf(name, from, file, port string) (*site, string, error) {
	s, err := b.newSite(name)
	if err != nil {
		return nil, "", err
	}
	s.dir = filepath.Join(s.dir, "project")
	if out, err := exec.Command("cp", "-a", from, s.dir).CombinedOutput(); err != nil {
		return nil, "", fmt.Errorf("copy %s: %w: %s", from, err, out)
	}
	if err := os.RemoveAll(filepath.Join(s.dir, "runtime")); err != nil {
		return nil, "", err
	}
	if err := os.MkdirAll(filepath.Join(s.dir, "runtime/logs"), 0o755); err != nil {
		return nil, "", err
	}
	path := filepath.Join(s.dir, file)
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, "", err
	}
	mine, err := freePort()
	if err != nil {
		return nil, "", err
	}
	if !bytes.Contains(text, []byte(port)) {
		return nil, "", fmt.Errorf("%s does not name port %s", path, port)
	}
	return s, mine, os.WriteFile(path, bytes.ReplaceAll(text, []byte(port), []byte(mine)), 0o644)
}

// handing is a hotreload that runs a server.
type handing struct {
	*handed
	hotreload string
	config    string
	process   *process
	client    *control.Client
	marks     *marks
}

// marks remembers when hotreload said that a new server serves.
type marks struct {
	tail
	mu sync.Mutex
	at []time.Time
}

func (m *marks) Write(p []byte) (int, error) {
	m.mu.Lock()
	for range bytes.Count(p, []byte("the new server serves")) {
		m.at = append(m.at, time.Now())
	}
	m.mu.Unlock()
	return m.tail.Write(p)
}

// since is when it said so first since then; zero: it did not.
func (m *marks) since(then time.Time) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, at := range m.at {
		if at.After(then) {
			return at
		}
	}
	return time.Time{}
}

// way is how restarts are made.
type way struct {
	handover string // auto or off
	drain    time.Duration
	ready    time.Duration // how long a server may take; 0: as long as it likes, and an open port is enough
}

func (h *handed) run(ctx context.Context, b *bench, w way) (*handing, error) {
	server := map[string]any{"kind": h.kind, "command": h.command, "dir": h.dir, "pid_file": h.pidFile}
	if w.ready > 0 {
		server["ready"], server["ready_timeout"] = "http://"+h.addresses[0]+"/", w.ready.String()
	}
	socket := filepath.Join(filepath.Dir(h.dir), filepath.Base(h.dir)+".sock")
	text, err := toml.Marshal(map[string]any{
		"server":  server,
		"restart": map[string]any{"handover": w.handover, "drain_timeout": w.drain.String()},
		"control": map[string]any{"socket": socket},
		"log":     map[string]any{"format": "json"},
	})
	if err != nil {
		return nil, err
	}
	run := &handing{handed: h, hotreload: b.hotreload, config: socket + ".toml", marks: &marks{}}
	if err := os.WriteFile(run.config, text, 0o644); err != nil {
		return nil, err
	}
	cmd := exec.Command(b.hotreload, "-c", run.config, "run")
	cmd.Dir = h.dir
	cmd.Stderr = run.marks
	if run.process, err = launch(cmd); err != nil {
		return nil, err
	}
	run.client = control.NewClient(control.Place{Socket: socket})
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var st supervisor.Status
	err = run.process.until(ctx, func() bool {
		st, err = run.client.Status(ctx)
		return err == nil && st.State == supervisor.Ready
	})
	if err == nil && w.handover != "off" && (st.Handover == nil || st.Handover.Method != "interpose") {
		err = fmt.Errorf("there is no handover: %+v", st.Handover)
	}
	if err != nil {
		run.stop()
		return nil, fmt.Errorf("%w\n%s", err, run.marks)
	}
	return run, nil
}

func (r *handing) stop() { r.process.stop() }

// restarted is how one restart went.
type restarted struct {
	supervisor.Outcome
	serving time.Duration // from the command until the new server serves
}

// restart is `hotreload restart`.
func (r *handing) restart(ctx context.Context) (restarted, error) {
	began := time.Now()
	cmd := exec.CommandContext(ctx, r.hotreload, "-c", r.config, "restart", "--json")
	cmd.Dir = r.dir
	out, err := cmd.Output()
	took := time.Since(began)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return restarted{}, err
	}
	var d restarted
	if e := json.Unmarshal(out, &d.Outcome); e != nil {
		return restarted{}, fmt.Errorf("hotreload restart: %w: %s\n%s", errors.Join(err, e), out, r.marks)
	}
	d.serving = took
	if at := r.marks.since(began); !at.IsZero() {
		d.serving = at.Sub(began)
	}
	return d, nil
}

// boot is how long the server takes by itself, from its start until it answers.
func (h *handed) boot(ctx context.Context) (time.Duration, error) {
	cmd := exec.Command(h.command[0], h.command[1:]...)
	cmd.Dir = h.dir
	began := time.Now()
	p, err := launch(cmd)
	if err != nil {
		return 0, err
	}
	defer p.stop()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		c := &loadClient{load: load{path: "/"}, address: h.addresses[0]}
		conn, err := net.Dial("tcp", c.address)
		if err == nil {
			c.take(conn)
			_, err = c.ask()
			c.drop()
			if err == nil {
				took := time.Since(began)
				wait(ctx, time.Second) // a server that is stopped while it still starts workers leaves some
				return took, nil
			}
		}
		select {
		case <-p.done:
			return 0, p.ended()
		case <-ctx.Done():
			return 0, fmt.Errorf("%s does not answer: %w", h.name, err)
		case <-time.After(time.Millisecond):
		}
	}
}

// alone starts the server without hotreload, until stop is called.
func (h *handed) alone(ctx context.Context) (stop func(), err error) {
	p, err := h.serve(ctx)
	if err != nil {
		return nil, err
	}
	return p.stop, nil
}

func percent(x float64) string { return strconv.FormatFloat(100*x, 'f', 1, 64) + " %" }
