package examples_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
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
			s.inFlight()
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
		s.inFlight() // and the other one, which came first, was accepted
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

// The pid file is there before the master can take a signal: one that comes too early kills it.
func TestEarlySignalKillsTheMaster(t *testing.T) {
	t.Parallel()
	s := launch(t, prefork(t), "--handler-delay=600000")
	s.eventually("the pid file is written and the server answers", func() bool {
		text, _ := os.ReadFile(s.pidFile)
		_, _, err := get("http://" + s.address + "/health")
		return len(text) > 0 && err == nil
	})
	if s.catches(syscall.SIGCHLD) {
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
