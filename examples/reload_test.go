package examples_test

import (
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

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
		s := start(t, k, "--workers=2", "--tasks=0", "--max-wait-time=60")
		old := s.leavesWhenComplete(2)
		slow := make(chan error, 1)
		c := &client{address: s.address}
		defer c.close()
		go func() { slow <- c.get("/slow?ms=10000") }() // the reload lasts as long: until both signals were sent
		s.inFlight()
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

func TestLateWorkerIsKilled(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, k kind) {
		s := start(t, k, "--workers=2", "--tasks=0", "--max-wait-time=1")
		old := s.leavesWhenComplete(2)
		failed := make(chan error, 1)
		c := &client{address: s.address}
		defer c.close()
		go func() { failed <- c.get("/slow?ms=600000") }()
		s.inFlight()
		s.signal(syscall.SIGUSR1)
		s.replaced(old, 2)
		if k.name == "prefork" { // a Swoole master holds the connection, and keeps it open without an answer
			if err := <-failed; err == nil {
				t.Error("a request was answered by a worker that was killed")
			}
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
