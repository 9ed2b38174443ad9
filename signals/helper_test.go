package signals

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience is how long a test waits for a fact that must come true.
const patience = 30 * time.Second

const roleVariable = "SIGNALS_TEST_ROLE"

// TestMain makes the test binary the misbehaving processes that the tests need.
// Each says "ready" on a line, with what the test must know, and stays until killed
// or until its standard input ends, so that none outlives the test.
func TestMain(m *testing.M) {
	name, argument, _ := strings.Cut(os.Getenv(roleVariable), ":")
	if name == "" {
		os.Exit(m.Run())
	}
	role := roles[name]
	if role == nil {
		role = platformRoles[name]
	}
	role(argument)
}

var roles = map[string]func(argument string){
	"sleep": func(string) { ready() },
	"exit": func(code string) {
		n, _ := strconv.Atoi(code)
		os.Exit(n)
	},
	"deaf": func(string) {
		signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
		ready()
	},
	// The child stays a zombie: nobody waits for it.
	"keep-zombie": func(string) {
		ready(start("exit:0").Process.Pid)
	},
	// Children of different threads, one of them in a session of its own.
	"family": func(string) {
		pids := make(chan any)
		for i := range 3 {
			go func() {
				runtime.LockOSThread()
				child := command("sleep")
				child.SysProcAttr = &syscall.SysProcAttr{Setsid: i == 0}
				pids <- mustStart(child).Process.Pid
				select {} // a thread that ends hands its children to another
			}()
		}
		ready(<-pids, <-pids, <-pids)
	},
	// A manager whose workers die at once, below a master.
	"crash-loop": func(argument string) {
		if argument == "" {
			ready(start("crash-loop:manager").Process.Pid)
		}
		for {
			child := start("exit:255")
			go child.Wait()
		}
	},
}

func ready(facts ...any) {
	fmt.Println(append([]any{"ready"}, facts...)...)
	io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}

// command prepares the test binary in a role; its standard input is inherited,
// so it ends with the test at the latest.
func command(role string) *exec.Cmd {
	exe, err := os.Executable()
	if err != nil {
		panic(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	cmd.Stdin = os.Stdin
	cmd.Stderr = os.Stderr
	return cmd
}

func start(role string) *exec.Cmd { return mustStart(command(role)) }

func mustStart(cmd *exec.Cmd) *exec.Cmd {
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return cmd
}

// helper is a child of the test.
type helper struct {
	*exec.Cmd
	Process Process
	Facts   []string // what it said after "ready"
}

func (h *helper) fact(t *testing.T, i int) int {
	t.Helper()
	n, err := strconv.Atoi(h.Facts[i])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// startHelper starts a role in a session of its own and waits until it is
// ready. Everything in the session is killed when the test ends.
func startHelper(t *testing.T, role string) *helper {
	t.Helper()
	return startCommand(t, command(role))
}

func startCommand(t *testing.T, cmd *exec.Cmd) *helper {
	t.Helper()
	cmd.Stdin = nil
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // not reaped yet, so still ours
		stdin.Close()
		cmd.Wait()
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "ready") {
		t.Fatalf("helper said %q, %v", line, err)
	}
	p, err := Lookup(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	return &helper{Cmd: cmd, Process: p, Facts: strings.Fields(line)[1:]}
}

// within gives up after patience.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// eventually waits until fact is true.
func eventually(t *testing.T, what string, fact func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !fact() {
		if time.Now().After(deadline) {
			t.Fatalf("still not: %s", what)
		}
		runtime.Gosched()
	}
}

func wantGone(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, ErrGone) {
		t.Errorf("%s: got error %v, want ErrGone", what, err)
	}
}
