package supervisor_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hotreload/hotreload/signals"
	"github.com/hotreload/hotreload/supervisor"
)

// kind is a server of the examples.
type kind struct {
	name    string
	entry   []string
	php     string
	env     []string
	layout  supervisor.Layout
	signals supervisor.Signals
}

var swooleSignals = supervisor.Signals{Reload: syscall.SIGUSR1, ReloadTasks: syscall.SIGUSR2, Stop: syscall.SIGTERM}

func prefork(t *testing.T) kind {
	return kind{
		name: "prefork", entry: []string{"server.php"}, php: phpWith(t, "php", "pcntl", "posix"),
		layout: supervisor.LayoutSwoole, signals: swooleSignals,
	}
}

// swoole is skipped where neither php nor HOTRELOAD_TEST_PHP has the extension.
func swoole(t *testing.T) kind {
	php := os.Getenv("HOTRELOAD_TEST_PHP")
	if php == "" {
		php = "php"
	}
	return kind{
		name: "swoole", entry: []string{"server.php"}, php: phpWith(t, php, "swoole", "pcntl"),
		layout: supervisor.LayoutSwoole, signals: swooleSignals,
	}
}

// workerman is skipped unless HOTRELOAD_TEST_WORKERMAN names an autoloader of Workerman, or a directory with
// vendor/autoload.php.
func workerman(t *testing.T) kind {
	autoload := os.Getenv("HOTRELOAD_TEST_WORKERMAN")
	if autoload == "" {
		t.Skip("HOTRELOAD_TEST_WORKERMAN is not set")
	}
	if st, err := os.Stat(autoload); err == nil && st.IsDir() {
		autoload = filepath.Join(autoload, "vendor", "autoload.php")
	}
	return kind{
		name: "workerman", entry: []string{"start.php", "start"}, php: phpWith(t, "php", "pcntl", "posix"),
		env: []string{"WORKERMAN_AUTOLOAD=" + autoload}, layout: supervisor.LayoutWorkerman,
		signals: supervisor.Signals{
			Reload: syscall.SIGUSR2, EndWorker: syscall.SIGINT, Stop: syscall.SIGQUIT, StopHard: syscall.SIGINT,
		},
	}
}

// modules caches what php -m says: one run of every test asks for the same one or two programs many times.
var modules sync.Map

func phpWith(t *testing.T, php string, extensions ...string) string {
	t.Helper()
	path, err := exec.LookPath(php)
	if err != nil {
		t.Skip("php is not installed")
	}
	text, ok := modules.Load(path)
	if !ok {
		var said bytes.Buffer
		cmd := exec.Command(path, "-m")
		cmd.Stdout = &said
		if err := reaper.Run(cmd); err != nil {
			t.Skipf("%s -m: %v", path, err)
		}
		text = said.String()
		modules.Store(path, text)
	}
	for _, extension := range extensions {
		if !slices.Contains(strings.Fields(text.(string)), extension) {
			t.Skipf("%s has no extension %s", path, extension)
		}
	}
	return path
}

// onSwoole runs a test on the stand-in and on the real thing.
func onSwoole(t *testing.T, test func(t *testing.T, k kind)) {
	t.Parallel()
	t.Run("prefork", func(t *testing.T) { t.Parallel(); test(t, prefork(t)) })
	t.Run("swoole", func(t *testing.T) { t.Parallel(); test(t, swoole(t)) })
}

// onAll runs a test on Workerman, too.
func onAll(t *testing.T, test func(t *testing.T, k kind)) {
	onSwoole(t, test)
	t.Run("workerman", func(t *testing.T) { t.Parallel(); test(t, workerman(t)) })
}

// settings of a server of the examples. Workerman has workers, START_DELAY and nothing else.
type settings struct {
	mode       string // process unless it says base
	workers    int    // 0: 2
	tasks      int
	users      int
	maxRequest int
	startDelay int // ms
	stopDelay  int // ms
}

// site is a server of the examples with its own copy of the code.
type site struct {
	*place
	kind
	code     string
	original string // of the handler
}

func newSite(t *testing.T, k kind) *site {
	t.Helper()
	s := &site{place: newPlace(t), kind: k}
	s.code = filepath.Join(s.dir, "example")
	s.app = filepath.Join(s.code, "app", "handler.php")
	example := os.DirFS(filepath.Join("..", "examples", k.name))
	if err := os.CopyFS(s.code, example); err != nil {
		t.Fatal(err)
	}
	original, err := os.ReadFile(s.app)
	if err != nil {
		t.Fatal(err)
	}
	s.original = string(original)
	return s
}

// save makes the handler answer with version.
func (s *site) save(version string) {
	s.t.Helper()
	s.place.save(strings.Replace(s.original, "'v1'", "'"+version+"'", 1))
}

// saveBroken makes the workers throw when they start.
func (s *site) saveBroken() {
	s.t.Helper()
	s.place.save(s.original + "\nthrow new RuntimeException('boom');\n")
}

func (s *site) options(set settings) supervisor.Options {
	if set.mode == "" {
		set.mode = "process"
	}
	if set.workers == 0 {
		set.workers = 2
	}
	n := strconv.Itoa
	command := append([]string{s.php}, s.entry...)
	env := append(os.Environ(), s.env...)
	if s.layout == supervisor.LayoutWorkerman {
		env = append(env, "WORKERMAN_PORT="+n(s.port), "WORKERMAN_PID_FILE="+s.pid, "WORKERMAN_WORKERS="+n(set.workers),
			"WORKERMAN_START_DELAY="+n(set.startDelay))
	} else {
		command = append(command, "--port="+n(s.port), "--pid-file="+s.pid, "--workers="+n(set.workers), "--tasks="+n(set.tasks),
			"--user-processes="+n(set.users), "--mode="+set.mode, "--max-request="+n(set.maxRequest),
			"--start-delay="+n(set.startDelay), "--stop-delay="+n(set.stopDelay))
	}
	opt := s.place.options(behaviour{})
	opt.Server = supervisor.Server{
		Kind: s.name, Command: command, Dir: s.code, Env: env, PIDFile: s.pid, Signals: s.signals, Layout: s.layout,
		Probe:        supervisor.ProbeDial("tcp", "127.0.0.1:"+n(s.port)),
		DrainTimeout: 500 * time.Millisecond,
	}
	return opt
}

// supervised is a site whose server runs under hotreload.
type supervised struct {
	*running
	*site
}

func (s *site) start(set settings) *supervised {
	s.t.Helper()
	return &supervised{s.place.start(s.options(set)), s}
}

// complete waits until the status shows all processes that are to be there.
func (s *supervised) complete(set settings) supervisor.Status {
	s.site.t.Helper()
	var st supervisor.Status
	eventually(s.site.t, fmt.Sprintf("the status shows the processes of %+v", set), func() bool {
		st = s.status()
		return len(workersOf(st, supervisor.Worker)) == set.workers && len(workersOf(st, supervisor.TaskWorker)) == set.tasks &&
			len(workersOf(st, supervisor.UserProcess)) == set.users
	})
	return st
}

// get asks on a connection of its own.
func (s *site) get(path string) (string, error) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: deadline}
	response, err := client.Get("http://127.0.0.1:" + strconv.Itoa(s.port) + path)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return strings.TrimSpace(string(text)), err
}

// serves checks that every answer is of this version, until each of the workers has given one.
func (s *site) serves(version string, workers []int) {
	s.t.Helper()
	type answer struct {
		text string
		err  error
	}
	heard := map[int]bool{}
	eventually(s.t, fmt.Sprintf("all of %v answer", workers), func() bool {
		answers := make(chan answer)
		const atOnce = 8
		for range atOnce { // one at a time would be taken by the same worker
			go func() {
				text, err := s.get("/")
				answers <- answer{text, err}
			}()
		}
		for range atOnce {
			a := <-answers
			var got string
			var pid int
			if a.err != nil {
				s.t.Errorf("ask for %s: %v", version, a.err)
			} else if _, err := fmt.Sscanf(a.text, "hello %s from worker %d", &got, &pid); err != nil || got != version {
				s.t.Errorf("answer %q (%v), want %s", a.text, err, version)
			}
			heard[pid] = true
		}
		for _, pid := range workers {
			if !heard[pid] {
				return s.t.Failed() // one wrong answer says it all
			}
		}
		return true
	})
}

// servesTasks checks the version of the task workers, until all of them have been heard.
func (s *site) servesTasks(version string, workers []int) {
	s.t.Helper()
	heard := map[int]bool{}
	eventually(s.t, fmt.Sprintf("all of the task workers %v answer", workers), func() bool {
		text, err := s.get("/task?data=x")
		var got string
		var pid int
		if err == nil {
			_, err = fmt.Sscanf(text, `did %s "x" in task worker %d`, &got, &pid)
		}
		if err != nil || got != version {
			s.t.Fatalf("task answer %q (%v), want %s", text, err, version)
		}
		heard[pid] = true
		for _, pid := range workers {
			if !heard[pid] {
				return false
			}
		}
		return true
	})
}

func TestPHPReload(t *testing.T) {
	for _, set := range []settings{
		{workers: 4, tasks: 2},
		{workers: 1},
		{workers: 1, tasks: 1, users: 1},
		{workers: 3, users: 2},
		{mode: "base", workers: 4},
		{mode: "base", workers: 1, tasks: 1},
		{mode: "base", workers: 2, tasks: 1, users: 1},
	} {
		t.Run(fmt.Sprintf("%+v", set), func(t *testing.T) {
			onAll(t, func(t *testing.T, k kind) {
				if k.layout == supervisor.LayoutWorkerman {
					if set.tasks+set.users > 0 || set.mode == "base" {
						t.Skip("Workerman has only workers")
					}
				}
				s := newSite(t, k).start(set)
				st := s.complete(set)
				workers, users := workersOf(st, supervisor.Worker), workersOf(st, supervisor.UserProcess)
				s.site.serves("v1", workers)
				for _, version := range []string{"v2", "v3"} {
					s.site.save(version)
					out := s.do(supervisor.Reload, supervisor.Verified)
					if out.Action != supervisor.Reload || len(common(out.OldWorkers, out.NewWorkers)) > 0 ||
						len(out.OldWorkers) != set.workers+set.tasks || len(out.NewWorkers) != set.workers+set.tasks {
						t.Errorf("outcome %+v", out)
					}
					now := s.status()
					s.site.serves(version, workersOf(now, supervisor.Worker))
					if set.tasks > 0 {
						s.servesTasks(version, workersOf(now, supervisor.TaskWorker))
					}
					if now.Master.PID != st.Master.PID {
						t.Errorf("the master is %d, was %d", now.Master.PID, st.Master.PID)
					}
					if got := workersOf(now, supervisor.UserProcess); !slices.Equal(got, users) {
						t.Errorf("user processes are %v, were %v", got, users)
					}
				}
				if err := s.end(); err != nil {
					t.Errorf("the stop: %v", err)
				}
			})
		})
	}
}

func TestPHPSingleProcessIsRestarted(t *testing.T) {
	onSwoole(t, func(t *testing.T, k kind) {
		s := newSite(t, k).start(settings{mode: "base", workers: 1})
		first := s.status()
		s.site.save("v2")
		out := s.do(supervisor.Reload, supervisor.Verified)
		st := s.status()
		if out.Action != supervisor.Restart || out.Escalated == "" || st.Master.PID == first.Master.PID {
			t.Errorf("outcome %+v", out)
		}
		s.site.serves("v2", []int{st.Master.PID})
		if err := s.end(); err != nil {
			t.Errorf("the stop: %v", err)
		}
	})
}

func TestPHPReloadOfTaskWorkers(t *testing.T) {
	onSwoole(t, func(t *testing.T, k kind) {
		set := settings{workers: 2, tasks: 2}
		s := newSite(t, k).start(set)
		before := s.complete(set)
		s.site.save("v2")
		out := s.do(supervisor.ReloadTasks, supervisor.Verified)
		if out.Action != supervisor.ReloadTasks || !sameSet(out.OldWorkers, workersOf(before, supervisor.TaskWorker)) || len(out.NewWorkers) != 2 {
			t.Errorf("outcome %+v", out)
		}
		after := s.status()
		if a, b := workersOf(before, supervisor.Worker), workersOf(after, supervisor.Worker); !sameSet(a, b) {
			t.Errorf("workers are %v, were %v", b, a)
		}
		s.servesTasks("v2", out.NewWorkers)
		s.site.serves("v1", workersOf(after, supervisor.Worker))
		s.end()
	})
}

func sameSet(a, b []int) bool {
	return len(a) == len(b) && len(common(a, b)) == len(a)
}

func TestPHPReloadOfTaskWorkersThatAreNotThere(t *testing.T) {
	onSwoole(t, func(t *testing.T, k kind) {
		s := newSite(t, k).start(settings{workers: 2})
		s.site.save("v2")
		out := s.do(supervisor.ReloadTasks, supervisor.Verified)
		if out.Action != supervisor.Reload || !strings.Contains(out.Escalated, "no task workers") {
			t.Errorf("outcome %+v", out)
		}
		s.site.serves("v2", out.NewWorkers)
		s.end()
	})
}

func TestPHPRequestInFlightFinishes(t *testing.T) {
	onAll(t, func(t *testing.T, k kind) {
		site := newSite(t, k)
		begun := filepath.Join(site.dir, "begun")
		site.original = strings.Replace(site.original, "    return 'hello '", "    touch('"+begun+"');\n    return 'hello '", 1)
		site.save("v1")
		opt := site.options(settings{workers: 2})
		opt.Server.DrainTimeout = deadline / 2 // Workerman's old worker is not hurried
		s := &supervised{site.place.start(opt), site}
		c, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(site.port))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.SetDeadline(time.Now().Add(deadline)); err != nil {
			t.Fatal(err)
		}
		in := bufio.NewReader(c)
		send := func(path string) {
			t.Helper()
			if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: test\r\n\r\n", path); err != nil {
				t.Fatal(err)
			}
		}
		hear := func() (string, error) {
			response, err := http.ReadResponse(in, nil)
			if err != nil {
				return "", err
			}
			body, err := io.ReadAll(response.Body)
			return string(body), err
		}
		send("/health")
		if _, err := hear(); err != nil { // answered: a worker has this connection
			t.Fatal(err)
		}
		type answer struct {
			text string
			err  error
		}
		answered := make(chan answer, 1)
		send("/slow?ms=1000")
		go func() {
			text, err := hear()
			c.Close()
			answered <- answer{text, err}
		}()
		eventually(t, "a worker has begun to answer", func() bool { _, err := os.Stat(begun); return err == nil })
		site.save("v2")
		out := s.do(supervisor.Reload, supervisor.Verified)
		if a := <-answered; !strings.HasPrefix(a.text, "hello v1 from worker ") || !strings.Contains(a.text, "slowly") {
			t.Errorf("answered %q, %v", a.text, a.err)
		}
		site.serves("v2", out.NewWorkers)
		s.end()
	})
}

func TestPHPSlowWorkers(t *testing.T) {
	for _, mode := range []string{"process", "base"} {
		t.Run(mode, func(t *testing.T) {
			onAll(t, func(t *testing.T, k kind) {
				if k.layout == supervisor.LayoutWorkerman && mode == "base" {
					t.Skip("Workerman has no modes")
				}
				s := newSite(t, k).start(settings{mode: mode, workers: 3, tasks: 1, startDelay: 300, stopDelay: 300})
				s.site.serves("v1", workersOf(s.status(), supervisor.Worker))
				s.site.save("v2")
				s.do(supervisor.Reload, supervisor.Verified)
				s.site.serves("v2", workersOf(s.status(), supervisor.Worker))
				s.site.save("v3")
				s.do(supervisor.Restart, supervisor.Verified)
				s.site.serves("v3", workersOf(s.status(), supervisor.Worker))
				if err := s.end(); err != nil {
					t.Errorf("the stop: %v", err)
				}
			})
		})
	}
}

func TestPHPCrashLoop(t *testing.T) {
	for _, mode := range []string{"process", "base"} {
		t.Run(mode, func(t *testing.T) {
			onAll(t, func(t *testing.T, k kind) {
				if k.layout == supervisor.LayoutWorkerman && mode == "base" {
					t.Skip("Workerman has no modes")
				}
				s := newSite(t, k).start(settings{mode: mode, workers: 2, tasks: 1})
				s.saveBroken()
				out := s.do(supervisor.Reload, supervisor.Failed)
				if !strings.Contains(out.Error, "workers die as soon as they start") || !strings.Contains(out.Error, "boom") {
					t.Errorf("the error: %s", out.Error)
				}
				if !strings.Contains(strings.Join(out.Output, "\n"), "boom") {
					t.Errorf("its last lines: %q", out.Output)
				}
				if st := s.status(); st.State != supervisor.Crashed || st.Owed == "" {
					t.Errorf("status %+v", st)
				}
				s.nothingLeft()

				// Still broken: the next try says so, too.
				s.do(supervisor.Reload, supervisor.Failed)
				s.nothingLeft()

				s.site.save("v2")
				out = s.do(supervisor.Reload, supervisor.Verified)
				if out.Action != supervisor.Restart {
					t.Errorf("outcome %+v", out)
				}
				s.site.serves("v2", workersOf(s.status(), supervisor.Worker))
				if err := s.end(); err != nil {
					t.Errorf("the stop: %v", err)
				}
			})
		})
	}
}

// Servers drop a reload signal that comes while they reload.
func TestPHPChangesDuringAReloadAreNotLost(t *testing.T) {
	for _, mode := range []string{"process", "base"} {
		t.Run(mode, func(t *testing.T) {
			onAll(t, func(t *testing.T, k kind) {
				if k.layout == supervisor.LayoutWorkerman && mode == "base" {
					t.Skip("Workerman has no modes")
				}
				s := newSite(t, k).start(settings{mode: mode, workers: 2, startDelay: 50, stopDelay: 50})
				var all sync.WaitGroup
				version := ""
				const edits = 12
				for i := range edits {
					version = fmt.Sprintf("v%d", i+2)
					s.site.save(version)
					all.Go(func() {
						out, err := s.Do(context.Background(), supervisor.Request{Action: supervisor.Reload, Reason: "edit"})
						if err != nil || out.Result != supervisor.Verified || out.Action != supervisor.Reload {
							t.Errorf("reload: %+v, %v", out, err)
						}
					})
					if i%3 != 2 { // and now and then two or three at once
						eventually(t, "a reload runs", func() bool { return s.status().State == supervisor.Reloading })
					}
				}
				all.Wait()
				st := s.status()
				if st.Counters.Reloads > edits || st.Counters.Failed > 0 {
					t.Errorf("counters %+v for %d edits", st.Counters, edits)
				}
				s.site.serves(version, workersOf(st, supervisor.Worker))
				s.end()
			})
		})
	}
}

func TestPHPRespawnsUnderLoadAreNoReload(t *testing.T) {
	for _, mode := range []string{"process", "base"} {
		t.Run(mode, func(t *testing.T) {
			onSwoole(t, func(t *testing.T, k kind) {
				s := newSite(t, k).start(settings{mode: mode, workers: 3, maxRequest: 50})
				stop := make(chan struct{})
				var load sync.WaitGroup
				var least atomic.Int64 // the oldest version that a question asked from now on may be answered with
				least.Store(1)
				for range 3 {
					load.Go(func() {
						for {
							select {
							case <-stop:
								return
							default:
							}
							want := least.Load()
							text, err := s.get("/version")
							if err != nil {
								continue // a worker that ends drops connections: its server's affair
							}
							if got, err := strconv.ParseInt(strings.TrimPrefix(text, "v"), 10, 64); err != nil || got < want {
								t.Errorf("answer %q, want at least v%d", text, want)
								return
							}
						}
					})
				}
				first := s.status()
				eventually(t, "workers were replaced by their server", func() bool {
					seen, err := s.get("/pid")
					pid, _ := strconv.Atoi(seen)
					return err == nil && !slices.Contains(workersOf(first), pid)
				})
				for version := 2; version <= 5; version++ {
					s.site.save(fmt.Sprintf("v%d", version))
					out := s.do(supervisor.Reload, supervisor.Verified)
					if out.Action != supervisor.Reload && !strings.Contains(out.Escalated, "SIGSEGV") { // Swoole's own crash (6.2.2, BASE, max_request)
						t.Errorf("outcome %+v", out)
					}
					least.Store(int64(version))
					for range 20 {
						_, _ = s.get("/version") // more load, and time to find an old worker
					}
				}
				close(stop)
				load.Wait()
				if st := s.status(); st.State != supervisor.Ready || st.Counters.Crashes > 0 {
					t.Errorf("status %+v", st)
				}
				s.end()
			})
		})
	}
}

func TestPHPKilledMasterIsStartedAgain(t *testing.T) {
	for _, mode := range []string{"process", "base"} {
		t.Run(mode, func(t *testing.T) {
			onAll(t, func(t *testing.T, k kind) {
				if k.layout == supervisor.LayoutWorkerman && mode == "base" {
					t.Skip("Workerman has no modes")
				}
				s := newSite(t, k).start(settings{mode: mode, workers: 2, tasks: 1, users: 1})
				first := s.status()
				s.site.save("v2")
				kill(t, masterOf(t, first))
				s.told(supervisor.EventCrashed, "SIGKILL")
				eventually(t, "the server is ready again", func() bool {
					st := s.status()
					return st.State == supervisor.Ready && st.Generation == 2
				})
				st := s.status()
				if both := common(workersOf(first), workersOf(st)); len(both) > 0 {
					t.Errorf("workers of the dead master: %v", both)
				}
				s.site.serves("v2", workersOf(st, supervisor.Worker))
				if st.Counters.Crashes != 1 {
					t.Errorf("counters %+v", st.Counters)
				}
				if err := s.end(); err != nil {
					t.Errorf("the stop: %v", err)
				}
			})
		})
	}
}

// An idle keep-alive connection holds a worker of Workerman's that is to end gracefully.
func TestPHPIdleConnectionHoldsNoReloadUp(t *testing.T) {
	onAll(t, func(t *testing.T, k kind) {
		s := newSite(t, k).start(settings{workers: 2})
		client := http.Client{Transport: &http.Transport{}, Timeout: deadline}
		defer client.CloseIdleConnections()
		response, err := client.Get("http://127.0.0.1:" + strconv.Itoa(s.site.port) + "/")
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, response.Body)
		response.Body.Close()
		s.site.save("v2")
		out := s.do(supervisor.Reload, supervisor.Verified)
		if out.Action != supervisor.Reload {
			t.Errorf("outcome %+v", out)
		}
		s.site.serves("v2", out.NewWorkers)
		s.end()
	})
}

func TestPHPAttach(t *testing.T) {
	onAll(t, func(t *testing.T, k kind) {
		site := newSite(t, k)
		opt := site.options(settings{workers: 2, tasks: 1})
		cmd := exec.Command(opt.Server.Command[0], opt.Server.Command[1:]...)
		cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = opt.Server.Env, site.code, site.to, site.to
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		m, ended := spawn(t, cmd)
		eventually(t, "the owner's server answers", func() bool {
			_, err := site.get("/health")
			return err == nil
		})
		opt.Mode, opt.Server.Command = supervisor.Attach, nil
		s := &supervised{site.place.start(opt), site}
		site.save("v2")
		out := s.do(supervisor.Reload, supervisor.Verified)
		if out.Action != supervisor.Reload {
			t.Errorf("outcome %+v", out)
		}
		site.serves("v2", workersOf(s.status(), supervisor.Worker))
		if err := s.Stop(context.Background()); err != nil {
			t.Errorf("the stop: %v", err)
		}
		s.waitEnd()
		if _, err := site.get("/health"); err != nil || !m.Alive() {
			t.Errorf("somebody else's server after the stop: %v", err)
		}
		if err := m.Signal(k.signals.Stop); err != nil {
			t.Fatal(err)
		}
		<-ended
		s.nothingLeft()
	})
}

// PHP ends at its next echo when nobody reads its output: the relay keeps a server alive whose hotreload was killed.
func TestPHPAdoption(t *testing.T) {
	for _, mode := range []string{"process", "base"} {
		t.Run(mode, func(t *testing.T) {
			onAll(t, func(t *testing.T, k kind) {
				if k.layout == supervisor.LayoutWorkerman && mode == "base" {
					t.Skip("Workerman has no modes")
				}
				site := newSite(t, k)
				site.original = strings.Replace(site.original, "return 'hello '", "echo \"said\\n\";\n    return 'hello '", 1)
				site.save("v1")
				opt := site.options(settings{mode: mode, workers: 2})
				a := site.abandon(opt)
				site.serves("v1", nil) // and prints
				eventually(t, "what the workers print arrives", func() bool { return strings.Contains(site.output(), "said\n") })
				opt.Adopt = &a
				s := &supervised{site.place.start(opt), site}
				st := s.status()
				if st.Master.PID != a.Master.PID || s.count(supervisor.EventAdopted) != 1 || len(workersOf(st)) != 2 {
					t.Errorf("status %+v, want master %d", st, a.Master.PID)
				}
				site.serves("v1", workersOf(st))
				site.save("v2")
				out := s.do(supervisor.Reload, supervisor.Verified)
				if out.Action != supervisor.Reload {
					t.Errorf("outcome %+v", out)
				}
				site.serves("v2", out.NewWorkers)
				if err := s.end(); err != nil {
					t.Errorf("the stop: %v", err)
				}
			})
		})
	}
}

func TestPHPStatusShowsTheProcessesOfNow(t *testing.T) {
	onAll(t, func(t *testing.T, k kind) {
		s := newSite(t, k).start(settings{workers: 2})
		before := workersOf(s.status())
		w, err := signals.Lookup(before[0])
		if err != nil {
			t.Fatal(err)
		}
		kill(t, w) // its server starts another, and hotreload has no part in it
		eventually(t, "the status shows the new worker and not the dead one", func() bool {
			now := workersOf(s.status())
			return len(now) == 2 && !slices.Contains(now, w.PID)
		})
		s.end()
	})
}

// A Swoole master that has a timer of its own, as Octane's has, does not leave its event loop at SIGTERM.
func TestPHPMasterWithATimerOfItsOwnIsStopped(t *testing.T) {
	t.Parallel()
	k := swoole(t)
	p := newPlace(t)
	script := filepath.Join(p.dir, "timer.php")
	code := fmt.Sprintf(`<?php
$server = new Swoole\Http\Server('127.0.0.1', %d, SWOOLE_PROCESS);
$server->set(['worker_num' => 2, 'pid_file' => '%s', 'log_level' => SWOOLE_LOG_NONE]);
$server->on('start', fn () => Swoole\Timer::tick(100, fn () => true));
$server->on('request', fn ($request, $response) => $response->end('x'));
$server->start();
`, p.port, p.pid)
	if err := os.WriteFile(script, []byte(code), 0o644); err != nil {
		t.Fatal(err)
	}
	opt := p.options(behaviour{})
	opt.Server = supervisor.Server{
		Kind: "swoole", Command: []string{k.php, script}, Dir: p.dir, Env: os.Environ(), PIDFile: p.pid,
		Signals: k.signals, Layout: k.layout, StopTimeout: 20 * time.Second,
	}
	r := p.start(opt)
	if err := r.end(); err != nil {
		t.Errorf("the stop: %v", err)
	}
}
