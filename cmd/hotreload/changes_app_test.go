package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hotreload/hotreload/control"
	"github.com/hotreload/hotreload/supervisor"
)

// app is a copy of an application, which `hotreload watch` serves.
type app struct {
	t        *testing.T
	dir      string
	port     string
	command  []string
	marks    want // what becomes of a change of the marker
	careful  bool // it may restart where a reload would do
	aside    int  // how many of its workers have a port of their own, or none
	composer bool // its autoloader is composer's, and composer is there
	output   *transcript

	cmd    *exec.Cmd
	ended  chan struct{} // closed when hotreload has
	client *control.Client
	seq    int      // of the last operation
	owed   []string // what was changed, and refused
	marked int      // how often the marker was changed
}

// marker is a file that nobody loads.
const marker = "app/marker.php"

// copyOf copies directories into one of its own, one over the other.
func copyOf(t *testing.T, dirs ...string) *app {
	t.Helper()
	a := &app{t: t, dir: t.TempDir(), port: freePort(t), marks: reloaded, output: &transcript{}, ended: make(chan struct{})}
	for _, dir := range dirs {
		a.copy(dir)
	}
	must(t, os.MkdirAll(a.path(".git"), 0o755)) // see together
	return a
}

func (a *app) copy(dir string) {
	a.t.Helper()
	dir, err := filepath.Abs(dir)
	must(a.t, err)
	a.run(a.t, "cp", "-a", dir+"/.", ".")
}

// patch replaces a text in a file before anything is started.
func (a *app) patch(file, from, to string) {
	a.t.Helper()
	a.write(a.t, file, a.replaced(a.t, file, from, to))
}

// checkout is the directory that an environment variable names, itself or its vendor/autoload.php.
func checkout(t *testing.T, variable string) string {
	t.Helper()
	dir := os.Getenv(variable)
	if dir == "" {
		t.Skipf("%s names no application with its vendor directory", variable)
	}
	return strings.TrimSuffix(dir, "/vendor/autoload.php")
}

// phpWith is how php is called, if it has these extensions.
func phpWith(t *testing.T, extensions ...string) []string {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("the processes of a server are read from /proc")
	}
	program := os.Getenv("HOTRELOAD_TEST_PHP")
	if program == "" {
		program = "php"
	}
	modules, err := exec.Command(program, "-m").Output()
	if err != nil {
		t.Skipf("%s -m: %v", program, err)
	}
	for _, extension := range extensions {
		if !slices.Contains(strings.Fields(string(modules)), extension) {
			t.Skipf("%s has no extension %s", program, extension)
		}
	}
	return append([]string{program}, strings.Fields(os.Getenv("HOTRELOAD_TEST_PHP_ARGS"))...)
}

// hasOPcache reports whether a server that is started like this has it.
func hasOPcache(php []string) bool {
	const code = "exit(function_exists('opcache_get_status') && opcache_get_status(false) !== false ? 0 : 1);"
	return exec.Command(php[0], append(slices.Clone(php[1:]), "-r", code)...).Run() == nil
}

// freePort is a port that nobody listens on: see listenOnAPort.
func freePort(t *testing.T) string {
	t.Helper()
	l, port, err := listenOnAPort()
	must(t, err)
	must(t, l.Close())
	return port
}

// listenOnAPort listens on a port that the kernel gives to nobody while a server is restarted: it takes those for outgoing
// connections from 32768 on (ip_local_port_range).
func listenOnAPort() (l net.Listener, port string, err error) {
	for range 100 {
		port = strconv.Itoa(10000 + rand.IntN(20000))
		if l, err = net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			return l, port, nil
		}
	}
	return nil, "", err
}

// run runs a program in the application's directory.
func (a *app) run(t *testing.T, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = a.dir
	cmd.Env = append(os.Environ(), "COMPOSER_ALLOW_SUPERUSER=1", "COMPOSER_DISABLE_NETWORK=1", "COMPOSER_HOME="+a.t.TempDir())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// autoload has composer, if it is there, write an autoloader that loads these files for everybody.
func (a *app) autoload(t *testing.T, files ...string) {
	t.Helper()
	if _, err := exec.LookPath("composer"); err != nil {
		return
	}
	project := map[string]any{}
	if text, err := os.ReadFile(a.path("composer.json")); err == nil {
		must(t, json.Unmarshal(text, &project))
	}
	autoload, ok := project["autoload"].(map[string]any)
	if !ok {
		autoload = map[string]any{}
		project["autoload"] = autoload
	}
	autoload["files"] = files
	text, err := json.Marshal(project)
	must(t, err)
	a.write(t, "composer.json", string(text))
	a.run(t, "composer", "dump-autoload", "--quiet")
	a.composer = true
}

// start starts the server under a hotreload of its own, and returns when it is ready.
func (a *app) start() {
	a.t.Helper()
	runtime, err := os.MkdirTemp("", "hr") // short: a socket's path may have some hundred bytes
	must(a.t, err)
	a.cmd = exec.Command("hotreload", append([]string{"watch", "--log-format", "console", "--"}, a.command...)...)
	a.cmd.Dir = a.dir
	a.cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+runtime, "LC_ALL=C.UTF-8")
	a.cmd.Stdout, a.cmd.Stderr, a.cmd.SysProcAttr = a.output, a.output, endsWithTest()
	must(a.t, a.cmd.Start())
	go func() {
		_ = a.cmd.Wait() // the exit code is looked at by stop
		close(a.ended)
	}()
	a.t.Cleanup(func() {
		a.end()
		os.RemoveAll(runtime)
	})
	a.until(a.t, "the server is ready", func() bool {
		if a.client == nil {
			locks, _ := filepath.Glob(filepath.Join(runtime, "hotreload", "*.lock"))
			if len(locks) != 1 {
				return false
			}
			a.client = control.NewClient(control.Place{Socket: strings.TrimSuffix(locks[0], ".lock")})
		}
		st, err := a.client.Status(context.Background())
		return err == nil && st.State == supervisor.Ready
	})
}

// until looks again and again, while hotreload runs.
func (a *app) until(t *testing.T, what string, seen func() bool) {
	t.Helper()
	deadline := time.After(patience / 2)
	for !seen() {
		select {
		case <-a.ended:
			t.Fatalf("hotreload has ended:\n%s", a.output.from(0))
		case <-deadline:
			t.Fatalf("not after %s: %s\n%s", patience/2, what, a.output.from(0))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// outcome is the status after the next operation.
func (a *app) outcome(t *testing.T) supervisor.Status {
	t.Helper()
	var st supervisor.Status
	a.until(t, "the outcome", func() (done bool) {
		st, done = a.settled()
		return done && st.Last != nil && st.Last.Seq > a.seq
	})
	a.seq++
	return st
}

// settled is the status, and whether nothing is being done.
func (a *app) settled() (supervisor.Status, bool) {
	st, err := a.client.Status(context.Background())
	if err != nil {
		return st, false
	}
	switch st.State {
	case supervisor.Starting, supervisor.Reloading, supervisor.Restarting:
		return st, false
	}
	return st, true
}

// mark changes the marker.
func (a *app) mark(t *testing.T) []string {
	t.Helper()
	a.marked++
	a.write(t, marker, fmt.Sprintf("<?php // mark %d\n", a.marked))
	return []string{marker}
}

// resync waits, after a row that failed, until everything was done that there was to do, so that the next row is on its own.
func (a *app) resync(t *testing.T) {
	a.owed = append(a.owed, a.mark(t)...)
	a.until(t, "the mark is seen", func() bool {
		st, done := a.settled()
		if done && st.Last != nil && st.Last.Seq > a.seq && slices.Contains(st.Last.Files, marker) {
			a.seq = st.Last.Seq
			return true
		}
		return false
	})
}

// served is what one process answers.
type served struct {
	body string
	pid  int
	role supervisor.Role
	err  error
}

// ask asks on a connection of its own.
func (a *app) ask(ctx context.Context, client *http.Client, path string) served {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:"+a.port+path, nil)
	if err != nil {
		return served{err: err}
	}
	resp, err := client.Do(req)
	if err != nil {
		return served{err: err}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	pid, _ := strconv.Atoi(resp.Header.Get("X-Worker"))
	role := supervisor.Role(resp.Header.Get("X-Role"))
	if role == "" {
		role = supervisor.Worker
	}
	return served{strings.TrimSpace(string(body)), pid, role, err}
}

// answers asks many at once until ctx is done: one at a time would always be answered by the same worker.
func (a *app) answers(ctx context.Context, path string) <-chan served {
	const atOnce = 8
	out := make(chan served)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for range atOnce {
		go func() {
			for ctx.Err() == nil {
				select {
				case out <- a.ask(ctx, client, path):
				case <-ctx.Done():
				}
			}
		}()
	}
	return out
}

// serve checks that nobody gives any other answer, until each process that st knows has given this one.
func (a *app) serve(t *testing.T, st supervisor.Status, path, body string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience/2)
	defer cancel()
	answers := a.answers(ctx, path)
	heard := map[int]bool{}
	for n := 1; ; n++ {
		var got served
		select {
		case got = <-answers:
		case <-ctx.Done():
			t.Errorf("of %v only %v have answered %s", workersOf(st, supervisor.Worker), slices.Sorted(maps.Keys(heard)), path)
			return
		}
		all := workersOf(st, got.role)
		switch {
		case got.err != nil:
			t.Errorf("answer %d to %s: %v", n, path, got.err)
			return
		case got.body != body:
			t.Errorf("answer %d to %s, by %s %d: %q, want %q", n, path, got.role, got.pid, got.body, body)
			return
		case !slices.Contains(all, got.pid):
			t.Errorf("answer %d to %s is by %d, which is none of the %ss %v", n, path, got.pid, got.role, all)
			return
		}
		if heard[got.pid] = true; len(heard) == len(all)-a.aside {
			return
		}
	}
}

// workersOf are the processes with a role; the master where it does the work itself.
func workersOf(st supervisor.Status, role supervisor.Role) []int {
	var pids []int
	for _, w := range st.Workers {
		if w.Role == role {
			pids = append(pids, w.PID)
		}
	}
	if len(pids) == 0 && st.Master != nil {
		pids = []int{st.Master.PID}
	}
	return pids
}

// stop compares what hotreload has counted with what was seen, and ends it.
func (a *app) stop() {
	a.t.Helper()
	cmd := exec.Command("hotreload", "status", "--json")
	cmd.Dir, cmd.Env = a.dir, a.cmd.Env
	text, err := cmd.Output()
	must(a.t, err)
	var st supervisor.Status
	must(a.t, json.Unmarshal(text, &st))
	if n := st.Counters; n.Reloads+n.Restarts+n.Refused != a.seq || n.Failed+n.Crashes > 0 {
		a.t.Errorf("%+v, want %d operations", n, a.seq)
	}
	a.end()
	if code := a.cmd.ProcessState.ExitCode(); code != 0 {
		a.t.Errorf("hotreload ended with %d:\n%s", code, a.output.from(0))
	}
}

// end has hotreload end, and with it everything that it has started.
func (a *app) end() {
	_ = a.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-a.ended:
	case <-time.After(patience):
		a.t.Errorf("hotreload %d does not end:\n%s", a.cmd.Process.Pid, a.output.from(0))
		_ = a.cmd.Process.Kill()
		<-a.ended
	}
}

// transcript is what a program has printed.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (x *transcript) Write(p []byte) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.text.Write(p)
}

func (x *transcript) len() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.text.Len()
}

func (x *transcript) from(offset int) string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.text.String()[offset:]
}
