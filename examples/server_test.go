package examples_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

func TestAnswers(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, k kind) {
		s := start(t, k)
		for path, want := range map[string]string{
			"/":              "hello v1 from worker ",
			"/version":       "v1",
			"/health":        "ok",
			"/slow?ms=20":    "hello v1 from worker ",
			"/task?data=a+b": `did v1 "a b" in task worker `,
		} {
			if got := s.ask(path); !strings.HasPrefix(got, want) {
				t.Errorf("GET %s = %q, want %q...", path, got, want)
			}
		}
		if pid, err := strconv.Atoi(s.ask("/pid")); err != nil || !slices.Contains(s.leaves(), pid) {
			t.Errorf("GET /pid = %d, %v; workers are %v", pid, err, s.leaves())
		}
		if status, _, err := get("http://" + s.address + "/nothing"); status != http.StatusNotFound {
			t.Errorf("GET /nothing = %d, %v", status, err)
		}
		if k.name != "prefork" {
			return // Swoole sends a body after HEAD
		}
		if response, err := http.Head("http://" + s.address + "/"); err != nil || response.ContentLength <= 0 {
			t.Errorf("HEAD / = %+v, %v", response, err)
		}
	})
}

func TestPidFile(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, k kind) {
		s := start(t, k)
		text, err := os.ReadFile(s.pidFile)
		if err != nil {
			t.Fatal(err)
		}
		if want := strconv.Itoa(s.cmd.Process.Pid); string(text) != want {
			t.Errorf("pid file says %q, want %q", text, want)
		}
	})
}

func TestProcessTree(t *testing.T) {
	t.Parallel()
	for mode, want := range map[string][]int{"process": {1, 6}, "base": {6}} {
		t.Run(mode, func(t *testing.T) {
			onBoth(t, func(t *testing.T, k kind) {
				s := start(t, k, "--mode="+mode, "--workers=3", "--tasks=2", "--user-processes=1")
				s.eventually(fmt.Sprintf("the tree has the levels %v", want), func() bool {
					var counts []int
					for _, level := range s.tree() {
						counts = append(counts, len(level))
					}
					return slices.Equal(counts, want)
				})
			})
		})
	}
}

func TestReload(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"process", "base"} {
		t.Run(mode, func(t *testing.T) {
			onBoth(t, func(t *testing.T, k kind) {
				s := start(t, k, "--mode="+mode, "--workers=3", "--tasks=2")
				old := s.leavesWhenComplete(5)
				s.save("v2")
				s.signal(syscall.SIGUSR1)
				s.replaced(old, 5)
				for range 10 {
					if got := s.ask("/version"); got != "v2" {
						t.Fatalf("version after the reload: %q", got)
					}
				}
				if got := s.ask("/task?data=x"); !strings.HasPrefix(got, "did v2") {
					t.Errorf("task after the reload: %q", got)
				}
			})
		})
	}
}

func TestReloadKeepsUserProcesses(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, k kind) {
		s := start(t, k, "--workers=2", "--tasks=0", "--user-processes=2")
		before := s.leavesWhenComplete(4)
		s.signal(syscall.SIGUSR1)
		s.eventually("two of the four stay and two are new", func() bool {
			now := s.leaves()
			return len(now) == 4 && len(common(before, now)) == 2
		})
	})
}

func TestReloadOfTaskWorkers(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, k kind) {
		s := start(t, k, "--workers=2", "--tasks=2")
		before := s.leavesWhenComplete(4)
		s.save("v2")
		s.signal(syscall.SIGUSR2)
		s.eventually("two of the four stay and two are new", func() bool {
			now := s.leaves()
			return len(now) == 4 && len(common(before, now)) == 2
		})
		if got := s.ask("/task?data=x"); !strings.HasPrefix(got, "did v2") {
			t.Errorf("task after the reload: %q", got)
		}
		if got := s.ask("/version"); got != "v1" {
			t.Errorf("version of a worker after a reload of the task workers: %q", got)
		}
	})
}

func TestReloadOfNoTaskWorkersDoesNothing(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, k kind) {
		s := start(t, k, "--workers=2", "--tasks=0")
		before := s.leavesWhenComplete(2)
		s.signal(syscall.SIGUSR2)
		s.eventually("it warns", func() bool { return strings.Contains(s.output.String(), "cannot reload task workers") })
		if now := s.leaves(); !slices.Equal(now, before) {
			t.Errorf("workers %v became %v", before, now)
		}
	})
}

// A signal that arrives while a reload runs is lost: code that was saved in between is not served.
func TestSignalDuringReloadIsDropped(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, k kind) {
		s := start(t, k, "--workers=2", "--tasks=0")
		old := s.leavesWhenComplete(2)
		slow := make(chan error, 1)
		c := &client{address: s.address}
		defer c.close()
		go func() { slow <- c.get("/slow?ms=1500") }()
		s.eventually("the slow request is in flight", func() bool { return s.connections() > 0 })
		s.save("v2")
		s.signal(syscall.SIGUSR1)
		var young []int
		s.eventually("the idle worker is replaced and the busy one goes on", func() bool {
			now := s.leaves()
			young = without(now, old)
			return len(now) == 3 && len(young) == 2
		})
		s.eventually("the new workers answer", func() bool { return s.ask("/version") == "v2" })
		s.save("v3")
		s.signal(syscall.SIGUSR1)
		if err := <-slow; err != nil {
			t.Errorf("the slow request: %v", err)
		}
		if got := s.replaced(old, 2); !slices.Equal(got, young) {
			t.Errorf("workers %v became %v: the second signal was not dropped", young, got)
		}
		if got := s.ask("/version"); got != "v2" {
			t.Errorf("version %q", got)
		}
	})
}

func without(pids, gone []int) []int {
	return slices.DeleteFunc(slices.Clone(pids), func(pid int) bool { return slices.Contains(gone, pid) })
}

// connections counts the established ones at the server's port.
func (s *server) connections() int {
	text, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		s.t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(s.address)
	number, _ := strconv.Atoi(port)
	count := 0
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) > 3 && strings.HasSuffix(fields[1], fmt.Sprintf(":%04X", number)) && fields[3] == "01" {
			count++
		}
	}
	return count
}

func TestLateWorkerIsKilled(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, k kind) {
		s := start(t, k, "--workers=2", "--tasks=0", "--max-wait-time=1")
		old := s.leavesWhenComplete(2)
		failed := make(chan error, 1)
		c := &client{address: s.address}
		defer c.close()
		go func() { failed <- c.get("/slow?ms=600000") }()
		s.eventually("the slow request is in flight", func() bool { return s.connections() > 0 })
		s.signal(syscall.SIGUSR1)
		s.replaced(old, 2)
		if k.name == "prefork" { // a Swoole master holds the connection, and keeps it open without an answer
			if err := <-failed; err == nil {
				t.Error("a request was answered by a worker that was killed")
			}
		}
	})
}

func TestStop(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			s := start(t, prefork(t), "--user-processes=1")
			c := &client{address: s.address}
			defer c.close()
			done := make(chan error, 1)
			go func() { done <- c.get("/slow?ms=300") }()
			s.eventually("the slow request is in flight", func() bool { return s.connections() > 0 })
			s.signal(sig)
			if err := <-done; err != nil {
				t.Errorf("a request in flight: %v", err)
			}
			if code := s.waitExit(); code != 0 {
				t.Errorf("exit code %d", code)
			}
			if _, err := os.Stat(s.pidFile); !os.IsNotExist(err) {
				t.Errorf("the pid file is still there: %v", err)
			}
			if !s.alone() {
				t.Error("something of it still runs")
			}
		})
	}
}

func TestHangupIsIgnored(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, k kind) {
		s := start(t, k, "--workers=2", "--tasks=0")
		before := s.leavesWhenComplete(2)
		s.signal(syscall.SIGHUP)
		s.signal(syscall.SIGUSR1) // handled after it
		s.replaced(before, 2)
		if got := s.ask("/health"); got != "ok" {
			t.Errorf("health %q", got)
		}
	})
}

func TestWorkerThatDiesIsStartedAgain(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, k kind) {
		s := start(t, k, "--workers=2", "--tasks=1")
		before := s.leavesWhenComplete(3)
		for _, pid := range before {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
		s.replaced(before, 3)
		if got := s.ask("/health"); got != "ok" {
			t.Errorf("health %q", got)
		}
	})
}

func TestBrokenCodeForksWithoutAPauseAndHeals(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, k kind) {
		s := start(t, k, "--workers=2", "--tasks=0")
		s.save("v1';;(")
		s.signal(syscall.SIGUSR1)
		s.eventually("workers die by the dozen", func() bool {
			return strings.Count(s.output.String(), "Parse error") >= 48
		})
		conn, err := net.Dial("tcp", s.address)
		if err != nil {
			t.Fatalf("the port is closed: %v", err)
		}
		defer conn.Close()
		s.save("v3")
		s.eventually("the mended code is served", func() bool { return s.ask("/version") == "v3" })
	})
}

func TestMaxRequest(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, k kind) {
		s := start(t, k, "--workers=1", "--tasks=0", "--max-request=3")
		pids := map[string]bool{}
		for range 60 {
			pids[s.ask("/pid")] = true
		}
		if len(pids) < 2 {
			t.Errorf("60 requests were all answered by %v", pids)
		}
	})
}

// Requests must not notice a reload: neither those on connections that are kept, nor those that come with a new one.
func TestNobodyNoticesAReload(t *testing.T) {
	t.Parallel()
	for name, keep := range map[string]bool{"keep-alive": true, "close": false} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, k kind) {
				s := start(t, k, "--workers=3", "--tasks=0")
				old := s.leavesWhenComplete(3)
				var stop atomic.Bool
				var requests atomic.Int64
				var clients sync.WaitGroup
				for range 8 {
					clients.Go(func() {
						c := &client{address: s.address}
						defer c.close()
						for !stop.Load() {
							if err := c.get("/pid"); err != nil {
								t.Errorf("request %d: %v", requests.Load(), err)
								return
							}
							requests.Add(1)
							if !keep {
								c.close()
							}
						}
					})
				}
				for range 4 {
					more := requests.Load() + 100
					s.eventually("there is traffic", func() bool { return requests.Load() > more || t.Failed() })
					s.signal(syscall.SIGUSR1)
					old = s.replaced(old, 3)
				}
				stop.Store(true)
				clients.Wait()
			})
		})
	}
}

func TestSlowClientHoldsUpNobody(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, k kind) {
		s := start(t, k, "--workers=1", "--tasks=0")
		conn, err := net.Dial("tcp", s.address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write([]byte("GET /pid HTTP/1.1\r\nHos")); err != nil {
			t.Fatal(err)
		}
		c := &client{address: s.address}
		defer c.close()
		go func() { _ = c.get("/slow?ms=600000") }()
		s.eventually("both are connected", func() bool { return s.connections() == 2 })
		if got := s.ask("/health"); got != "ok" {
			t.Errorf("health %q", got)
		}
	})
}

func TestKilledMasterTakesAllAlong(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, k kind) {
		s := start(t, k, "--workers=2", "--tasks=1", "--user-processes=1")
		s.leavesWhenComplete(4)
		s.signal(syscall.SIGKILL)
		s.eventually("nothing of it runs", s.alone)
		if _, err := os.Stat(s.pidFile); err != nil {
			t.Errorf("the pid file is gone, and nobody was there to remove it: %v", err)
		}
	})
}

func TestSecondServerOnTheSamePort(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, k kind) {
		s := start(t, k)
		_, port, _ := net.SplitHostPort(s.address)
		second := launch(t, k, "--port="+port, "--pid-file="+s.pidFile)
		if code := second.waitExit(); code != int(syscall.EADDRINUSE) {
			t.Errorf("exit code %d", code)
		}
		if text, _ := os.ReadFile(s.pidFile); string(text) != strconv.Itoa(s.cmd.Process.Pid) {
			t.Errorf("the pid file of the first says %q", text)
		}
	})
}

func TestSingleProcessIgnoresReload(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, k kind) {
		s := start(t, k, "--mode=base", "--workers=1", "--tasks=0")
		s.save("v2")
		s.signal(syscall.SIGUSR1)
		s.eventually("it warns", func() bool {
			text := s.output.String()
			return strings.Contains(text, "single process") || strings.Contains(text, "Unable to find callback function")
		})
		if got := s.ask("/version"); got != "v1" {
			t.Errorf("version %q", got)
		}
		if got, want := s.ask("/pid"), strconv.Itoa(s.cmd.Process.Pid); got != want {
			t.Errorf("pid %s, want the master's, %s", got, want)
		}
		s.signal(syscall.SIGTERM)
		if code := s.waitExit(); code != 0 {
			t.Errorf("exit code %d", code)
		}
	})
}

// The pid file is there before the master can take a signal: one that comes too early kills it.
func TestEarlySignalKillsTheMaster(t *testing.T) {
	t.Parallel()
	s := launch(t, prefork(t), "--handler-delay=600000")
	s.eventually("the pid file is written and the server answers", func() bool {
		text, _ := os.ReadFile(s.pidFile)
		_, _, err := get("http://" + s.address + "/health")
		return len(text) > 0 && err == nil
	})
	if s.handles(syscall.SIGCHLD) {
		t.Fatal("it takes signals already")
	}
	s.signal(syscall.SIGUSR1)
	if code := s.waitExit(); code != -int(syscall.SIGUSR1) {
		t.Errorf("exit %d, want a death by SIGUSR1", code)
	}
	s.eventually("nothing of it runs", s.alone)
}

func TestUsage(t *testing.T) {
	t.Parallel()
	k := prefork(t)
	for args, want := range map[string]int{"--help": 0, "--nonsense=1": 2, "--port=many": 2, "--mode=thread": 2, "--workers=0": 2} {
		s := launch(t, k, args)
		if code := s.waitExit(); code != want || !strings.Contains(s.output.String(), "--max-request") {
			t.Errorf("%s: exit code %d, output %s", args, code, s.output)
		}
	}
}
