package main

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hotreload/hotreload/signals"
)

// `run` with a program of which nothing is known does what an init for containers does. What the suites of dumb-init and tini check is
// checked here, as the first process of a container and as a process like any other.
func asInitAndNot(t *testing.T, test func(t *testing.T, m image)) {
	t.Run("first process", func(t *testing.T) {
		t.Parallel()
		needContainers(t) // before anything is copied
		test(t, image{dir: appDir(t)})
	})
	t.Run("process like any other", func(t *testing.T) {
		t.Parallel()
		test(t, image{dir: appDir(t), bare: true})
	})
}

func (m image) run(t *testing.T, command ...string) *container {
	t.Helper()
	return m.start(t, append([]string{"run", "--kind", "none", "--"}, command...)...)
}

func TestEverySignalReachesTheProgramOnce(t *testing.T) {
	ours := []syscall.Signal{
		syscall.SIGKILL, syscall.SIGSTOP, syscall.SIGCHLD, // nobody can pass them on
		syscall.SIGINT, syscall.SIGTERM, // stop it
		syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU, // job control
		syscall.SIGPIPE, syscall.SIGURG, syscall.SIGPROF, 32, 33, 34, // the runtime of Go has its own use for them
	}
	asInitAndNot(t, func(t *testing.T, m image) {
		c := m.run(t, "signalprinter")
		c.prints(`^printing \d+$`)
		var want []string
		for sig := syscall.Signal(1); sig <= 64; sig++ {
			if slices.Contains(ours, sig) {
				continue
			}
			c.kill(sig)
			want = append(want, "got "+signals.SignalName(sig))
			c.prints("^" + regexp.QuoteMeta(want[len(want)-1]) + "$")
		}
		have := regexp.MustCompile(`(?m)^got .*$`).FindAllString(c.out.String(), -1)
		if !slices.Equal(have, want) {
			t.Errorf("the program %q\nwant %q", have, want)
		}
		if len(want) < 45 {
			t.Errorf("only %d signals", len(want))
		}
		c.kill(syscall.SIGTERM)
		c.prints(`^got SIGTERM$`)
		c.kill(syscall.SIGINT) // it does not want to: now
		if code := c.exits(); code != exitFailed {
			t.Errorf("exit code %d, want %d: it was not a graceful stop", code, exitFailed)
		}
	})
}

// A signal that the program has no handler for does to it what it does without hotreload.
func TestASignalEndsTheProgram(t *testing.T) {
	asInitAndNot(t, func(t *testing.T, m image) {
		for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGQUIT} {
			c := m.run(t, "sh", "-c", "echo sleeps; exec sleep 1000")
			c.prints(`^sleeps$`)
			c.kill(sig)
			if code := c.exits(); code != 128+int(sig) {
				t.Errorf("%s: exit code %d, want %d", signals.SignalName(sig), code, 128+int(sig))
			}
		}
	})
}

func TestTheProgramsExitCodeIsHotreloads(t *testing.T) {
	asInitAndNot(t, func(t *testing.T, m image) {
		for script, want := range map[string]int{
			"exit 1": 1, "exit 2": 2, "exit 32": 32, "exit 64": 64, "exit 127": 127, "exit 254": 254, "exit 255": 255,
			"exit 0":        1, // nobody has asked for its end
			"kill -KILL $$": 137, "kill -TERM $$": 143, "kill -HUP $$": 129,
		} {
			c := m.run(t, "sh", "-c", script)
			if code := c.exits(); code != want {
				t.Errorf("%s: exit code %d, want %d", script, code, want)
			}
		}
		if code := m.run(t, "/does/not/exist").exits(); code != exitFailed {
			t.Errorf("exit code %d of a program that is not there, want %d", code, exitFailed)
		}
	})
}

// Orphans become hotreload's, in whatever session they are, and none of them stays a zombie.
func TestOrphansAreReaped(t *testing.T) {
	const script = `i=0; while [ $i -lt 100 ]; do (sleep 0.0$((i % 3)) &); (setsid sleep 0.0$((i % 3)) &); i=$((i+1)); done; echo forked; exec sleep 1000`
	asInitAndNot(t, func(t *testing.T, m image) {
		c := m.run(t, "sh", "-c", script)
		c.prints(`^forked$`)
		c.until("only the program is left", func() bool { return len(c.inside()) == 1 })
		c.kill(syscall.SIGTERM)
		if code := c.exits(); code != exitOK {
			t.Errorf("exit code %d after a stop", code)
		}
	})
}

// It is told to end, and has a moment for that: what is in the program's process group, and what has left it.
func TestWhatAProgramLeavesBehindIsToldToEnd(t *testing.T) {
	const script = `signalprinter & setsid signalprinter & read start <runtime/start; `
	fifo := func(t *testing.T, m image) func() {
		t.Helper()
		if err := syscall.Mkfifo(m.dir+"/runtime/start", 0o666); err != nil {
			t.Fatal(err)
		}
		return func() {
			if err := os.WriteFile(m.dir+"/runtime/start", []byte("go\n"), 0); err != nil {
				t.Error(err)
			}
		}
	}
	for name, test := range map[string]struct {
		then string
		end  func(c *container)
		code int
	}{
		"it ends by itself": {"exit 5", func(*container) {}, 5},
		"it is stopped":     {"echo waits; exec sleep 1000", func(c *container) { c.prints(`^waits$`); c.ready(); c.kill(syscall.SIGTERM) }, exitFailed},
	} {
		t.Run(name, func(t *testing.T) {
			asInitAndNot(t, func(t *testing.T, m image) {
				begin := fifo(t, m)
				// The printers never end by themselves: a short limit for those who have the choice.
				c := m.start(t, "run", "--kind", "none", "--stop-timeout", "2s", "--", "sh", "-c", script+test.then)
				c.prints(`(?s)^printing \d+$.*^printing \d+$`)
				begin()
				test.end(c)
				if code := c.exits(); code != test.code {
					t.Errorf("exit code %d, want %d", code, test.code)
				}
				if n := strings.Count(c.out.String(), "got SIGTERM"); n != 2 {
					t.Errorf("%d of 2 processes were told to end:\n%s", n, c.out)
				}
				for _, m := range regexp.MustCompile(`printing (\d+)`).FindAllStringSubmatch(c.out.String(), -1) {
					if pid, _ := strconv.Atoi(m[1]); c.image.bare && unix.Kill(pid, 0) == nil {
						t.Errorf("process %d is left", pid)
					}
				}
			})
		})
	}
}

// What ends in time when it is told to has ended well.
func TestAShellThatStartsPrograms(t *testing.T) {
	asInitAndNot(t, func(t *testing.T, m image) {
		c := m.run(t, "sh", "-c", `yes | tail >/dev/null & yes | tail >/dev/null & echo runs; wait`)
		c.prints(`^runs$`)
		c.until("five processes run", func() bool { return len(c.inside()) == 5 })
		c.kill(syscall.SIGTERM)
		if code := c.exits(); code != exitOK {
			t.Errorf("exit code %d, want a graceful stop", code)
		}
	})
}

// However hotreload was started: the program blocks no signal, and ignores none of those that hotreload can let it have.
func TestTheProgramStartsWithCleanSignals(t *testing.T) {
	dir := appDir(t)
	cmd := image{dir: dir, bare: true}.command([]string{"sh", "-c",
		`trap "" HUP INT QUIT USR1 USR2 TERM CHLD PIPE TSTP; exec hotreload run --kind none -- cat /proc/self/status`})
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	cmd.Path, cmd.Err = sh, nil
	cmd.Stderr = os.Stderr
	out, err := outputBlocking(cmd, unix.SIGTERM, unix.SIGUSR1, unix.SIGCHLD, unix.SIGTTIN)
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != exitFailed {
		t.Fatalf("%v: %s", err, out)
	}
	out = regexp.MustCompile(`(?m)^(SigIgn:\s0{7})[01][08]`).ReplaceAll(out, []byte("${1}00")) // 32 and 33 are the C library's own: signal(7)
	for _, name := range []string{"SigBlk", "SigIgn", "SigCgt"} {
		if !regexp.MustCompile(`(?m)^` + name + `:\s0{16}$`).Match(out) {
			t.Errorf("%s is not empty:\n%s", name, regexp.MustCompile(`(?m)^Sig.*$`).FindAll(out, -1))
		}
	}
}

// What whoever started hotreload wanted to be ignored, hotreload ignores.
func TestIgnoredSignalsAreIgnored(t *testing.T) {
	dir := appDir(t)
	m := image{dir: dir, bare: true}
	c := &container{t: t, image: m, out: &shown{}, done: make(chan struct{})}
	c.cmd = m.command([]string{"sh", "-c", `trap "" HUP INT; exec hotreload run --kind none -- signalprinter`})
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	c.cmd.Path, c.cmd.Err = sh, nil
	c.begin()
	c.prints(`^printing \d+$`)
	c.kill(syscall.SIGHUP)
	c.kill(syscall.SIGINT)
	c.kill(syscall.SIGUSR1)
	c.prints(`^got SIGUSR1$`)
	c.kill(syscall.SIGTERM)
	c.prints(`^got SIGTERM$`)
	if out := c.out.String(); strings.Contains(out, "got SIGHUP") || strings.Contains(out, "got SIGINT") {
		t.Errorf("it was told of what nobody wants to know:\n%s", out)
	}
	c.kill(syscall.SIGTERM)
	c.exits()
}

// outputBlocking is cmd.Output of a program that is started with these signals blocked.
func outputBlocking(cmd *exec.Cmd, sigs ...unix.Signal) ([]byte, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var set, before unix.Sigset_t
	for _, sig := range sigs {
		set.Val[0] |= 1 << (sig - 1)
	}
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, &set, &before); err != nil {
		return nil, err
	}
	defer unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil)
	return cmd.Output()
}

// hotreload itself holds no directory that somebody may want to remove; the program starts where hotreload was started.
func TestWorkingDirectories(t *testing.T) {
	asInitAndNot(t, func(t *testing.T, m image) {
		c := m.run(t, "sh", "-c", `echo "parent: $(readlink /proc/$PPID/cwd)"; echo "program: $(readlink /proc/$$/cwd)"; exit 3`)
		if code := c.exits(); code != 3 {
			t.Errorf("exit code %d", code)
		}
		c.prints(`^parent: /$`)
		c.prints(fmt.Sprintf(`^program: %s$`, regexp.QuoteMeta(m.dir)))
	})
}
