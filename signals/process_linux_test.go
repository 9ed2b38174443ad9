package signals

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// The id of a thread looks like a pid to kill(2) and to /proc.
func TestLookupRefusesThreads(t *testing.T) {
	tids, err := Self().threads()
	if err != nil {
		t.Fatal(err)
	}
	tried := false
	for _, tid := range tids {
		if tid == os.Getpid() {
			continue
		}
		tried = true
		_, err := Lookup(tid)
		wantGone(t, "Lookup of a thread", err)
	}
	if !tried {
		t.Fatal("this process has one thread")
	}
}

func TestWaitLeaksNoDescriptor(t *testing.T) {
	count := func() int {
		// The poller of the runtime has its own; the first wait opens it.
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := Self().Wait(ctx); !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v", err)
		}
		fds, err := readNumbers("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(fds)
	}
	before := count()
	for range 100 {
		count()
	}
	if after := count(); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

func TestDisposition(t *testing.T) {
	tests := []struct {
		name string
		cmd  *exec.Cmd
		want Disposition
	}{
		{"shell", exec.Command("sh", "-c", `echo ready; read line`), Default},
		{"trap", exec.Command("sh", "-c", `trap : USR1; echo ready; read line`), Handled},
		{"ignore", exec.Command("sh", "-c", `trap "" USR1; echo ready; read line`), Ignored},
		{"blocked", command("block"), Blocked},
		{"signalfd", command("block:signalfd"), Handled},
		// Go handles it in every process.
		{"multithreaded", command("sleep"), Handled},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := startCommand(t, test.cmd)
			got, err := h.Process.Disposition(syscall.SIGUSR1)
			if err != nil || got != test.want {
				t.Errorf("got %v, %v, want %v", got, err, test.want)
			}
		})
	}
}

func TestDispositionsOf(t *testing.T) {
	const sig = syscall.SIGUSR1
	in := NewSet(sig)
	tests := []struct {
		name string
		d    Dispositions
		want Disposition
	}{
		{"nothing", Dispositions{}, Default},
		{"caught", Dispositions{Caught: in}, Handled},
		{"caught and blocked for a moment", Dispositions{Caught: in, Blocked: in}, Handled},
		{"ignored", Dispositions{Ignored: in}, Ignored},
		{"ignored and blocked", Dispositions{Ignored: in, Blocked: in}, Ignored},
		{"blocked", Dispositions{Blocked: in}, Blocked},
		{"blocked and received", Dispositions{Blocked: in, Received: in}, Handled},
		{"received but not blocked by all threads", Dispositions{Received: in}, Default},
		{"another one", Dispositions{Caught: NewSet(syscall.SIGUSR2)}, Default},
		{"the last one", Dispositions{Caught: 1 << 63}, Default},
	}
	for _, test := range tests {
		if got := test.d.Of(sig); got != test.want {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
	if !Set(1<<63).Has(64) || Set(1<<63).Has(65) || Set(^uint64(0)).Has(0) {
		t.Error("the ends of a set")
	}
}

// A PHP that handles nothing says that it catches SIGUSR1. The package says so
// in Dispositions; should PHP ever change, that must too.
func TestPHPCatchesWhatItDoesNotHandle(t *testing.T) {
	php, err := exec.LookPath("php")
	if err != nil {
		t.Skip("no php")
	}
	h := startCommand(t, exec.Command(php, "-n", "-r", `echo "ready\n"; fgets(STDIN);`))
	d, err := h.Process.Dispositions()
	if err != nil {
		t.Fatal(err)
	}
	if d.Of(SIGRTMIN) != Default || d.Of(syscall.SIGTSTP) != Default || d.Of(syscall.SIGIO) != Default {
		t.Errorf("got %+v: the signals that tell are touched by PHP itself", d)
	}
	if d.Of(syscall.SIGUSR1) != Handled {
		t.Skip("this php is built without Zend signals")
	}
	if err := h.Process.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	h.Cmd.Wait()
	if status := h.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGUSR1 {
		t.Errorf("ended by %v, want SIGUSR1 to end what claims to catch it", status.Signal())
	}
}

func TestWaiting(t *testing.T) {
	h := startCommand(t, exec.Command("sh", "-c", "echo ready; exec sleep 1000"))
	if _, err := os.ReadFile("/proc/self/wchan"); err != nil {
		t.Skip("this kernel has no wchan:", err)
	}
	var symbol string
	deadlineErr := func() (err error) {
		symbol, err = h.Process.Waiting()
		return err
	}
	if err := deadlineErr(); err != nil {
		t.Fatal(err)
	}
	if data, _ := os.ReadFile("/proc/1/wchan"); string(data) == "0" && symbol == "" {
		t.Skip("this kernel hides wchan")
	}
	eventually(t, "sleep sleeps", func() bool {
		return deadlineErr() == nil && strings.Contains(symbol, "nanosleep")
	})
}

// Waiting and Cmdline must not tell about a later process with the same pid.
func TestReusedPIDTellsNothing(t *testing.T) {
	h := startHelper(t, "sleep")
	earlier := Process{PID: h.Process.PID, Start: h.Process.Start - 1}
	_, err := earlier.Cmdline()
	wantGone(t, "Cmdline", err)
	_, err = earlier.Exe()
	wantGone(t, "Exe", err)
	_, err = earlier.Cwd()
	wantGone(t, "Cwd", err)
	_, err = earlier.Waiting()
	wantGone(t, "Waiting", err)
	_, err = earlier.Disposition(syscall.SIGUSR1)
	wantGone(t, "Disposition", err)
	if listeners, err := Listeners([]Process{earlier}); err != nil || listeners != nil {
		t.Errorf("Listeners: got %v, %v, want nothing", listeners, err)
	}
}

func TestParseStat(t *testing.T) {
	const rest = " S 10 20 30 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 3 0 12345 1000000 250 18446744073709551615 1 1\n"
	for comm, name := range map[string]string{
		"(php)": "php", "(a b)": "a b", "(:-) S 1 2 3)": ":-) S 1 2 3", "(new\nline)": "new\nline", "()": "",
	} {
		info, err := parseStat([]byte("42 " + comm + rest))
		want := Info{
			Process: Process{PID: 42, Start: 12345}, PPID: 10, PGID: 20, SID: 30,
			State: 'S', Comm: name, Threads: 3, RSS: 250 * int64(os.Getpagesize()),
		}
		if err != nil || info != want {
			t.Errorf("%q: got %+v, %v, want %+v", comm, info, err, want)
		}
	}
	for _, line := range []string{"", "42", "42 php S", "42 (php", "42 (php)", "42 (php) S 1 2", "(php)" + rest, "x (php)" + rest,
		"42 (php)" + strings.Replace(rest, "12345", "soon", 1)} {
		if info, err := parseStat([]byte(line)); err == nil {
			t.Errorf("%q: got %+v, want an error", line, info)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	own, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(own)
	f.Add([]byte("1 ()) R"))
	f.Fuzz(func(t *testing.T, line []byte) {
		info, err := parseStat(line)
		if err == nil && !strings.Contains(string(line), "("+info.Comm+")") {
			t.Errorf("name %q is not in %q", info.Comm, line)
		}
	})
}

func FuzzParseStatus(f *testing.F) {
	own, err := os.ReadFile("/proc/self/status")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(own)
	f.Add([]byte("Name:\tTgid:\t1\nSigBlk: g"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if status, err := parseStatus(data); err != nil && status != (threadStatus{}) {
			t.Errorf("got %+v with error %v", status, err)
		}
		parseSigmask(data)
	})
}

func BenchmarkTree(b *testing.B) {
	self := Self()
	for b.Loop() {
		if _, err := Tree(self); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSnapshot(b *testing.B) {
	for b.Loop() {
		if _, err := Snapshot(); err != nil {
			b.Fatal(err)
		}
	}
}
