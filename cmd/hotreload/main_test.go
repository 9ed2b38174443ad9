package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/hotreload/hotreload/control"
	"github.com/hotreload/hotreload/handover"
	"github.com/hotreload/hotreload/release"
	"github.com/hotreload/hotreload/signals"
	"github.com/hotreload/hotreload/supervisor"
)

// The test binary is hotreload itself, and the server that it supervises where no PHP is needed.
func TestMain(m *testing.M) {
	handover.ShimMain()
	handover.KeeperMain()
	release.GuardMain()
	if supervisor.RelayMain() {
		return
	}
	if err := os.Setenv("GORACE", "atexit_sleep_ms=0"); err != nil { // for the processes that tests start
		panic(err)
	}
	testscript.Main(m, map[string]func(){
		"hotreload":  func() { os.Exit(execute(context.Background(), os.Args)) },
		"fakeserver": func() { os.Exit(fakeServer(os.Args[1:])) },
		"panicker":   panicker,

		"signalprinter": printSignals,
	})
}

// patience bounds the wait for something that must happen.
const patience = 60 * time.Second

func TestScripts(t *testing.T) {
	prefork, err := filepath.Abs("../../examples/prefork")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			// Short: a socket's path may have some hundred bytes.
			runtime, err := os.MkdirTemp("", "hr")
			if err != nil {
				return err
			}
			env.Defer(func() { os.RemoveAll(runtime) })
			env.Setenv("XDG_RUNTIME_DIR", runtime)
			env.Setenv("PREFORK", prefork)
			env.Setenv("PREFORK_WORKERS", "3")
			env.Setenv("LC_ALL", "C.UTF-8")
			env.Setenv("GORACE", "atexit_sleep_ms=0") // else the race detector sleeps for a second in every process that ends
			return nil
		},
		Condition: func(name string) (bool, error) {
			switch name {
			case "php":
				return hasPHP(), nil
			}
			return false, fmt.Errorf("unknown condition %q", name)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code":       cmdCode,
			"until":      cmdUntil,
			"served":     cmdServed,
			"freeport":   cmdFreePort,
			"tell":       cmdTell,
			"untilgrep":  cmdUntilGrep,
			"ended":      cmdEnded,
			"untilalive": cmdUntilAlive,
		},
	})
}

// hasPHP reports whether there is a php that can run examples/prefork.
func hasPHP() bool {
	out, err := exec.Command("php", "-r", `exit(extension_loaded("pcntl") && extension_loaded("posix") ? 0 : 1);`).CombinedOutput()
	return err == nil && len(out) == 0
}

// code N PROGRAM ARG...: the program exits with N.
func cmdCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N program [args...]")
	}
	if have := exitCodeOf(ts, args[1:]); strconv.Itoa(have) != args[0] {
		ts.Fatalf("exit code %d, want %s", have, args[0])
	}
}

// until N PROGRAM ARG...: sooner or later the program exits with N.
func cmdUntil(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until N program [args...]")
	}
	eventually(ts, func() error {
		if have := exitCodeOf(ts, args[1:]); strconv.Itoa(have) != args[0] {
			return fmt.Errorf("exit code %d, want %s", have, args[0])
		}
		return nil
	})
}

func exitCodeOf(ts *testscript.TestScript, args []string) int {
	err := ts.Exec(args[0], args[1:]...)
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	ts.Fatalf("%v", err)
	return -1
}

// eventually tries again and again.
func eventually(ts *testscript.TestScript, try func() error) {
	deadline := time.Now().Add(patience)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("still not after %s: %v", patience, err)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// served URL TEXT WORKERS: sooner or later every one of so many workers answers with TEXT, and nobody with anything else.
func cmdServed(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: served url text workers")
	}
	want, err := strconv.Atoi(args[2])
	ts.Check(err)
	from := regexp.MustCompile(`\d+\s*$`) // "… from worker 4211"
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	defer client.CloseIdleConnections()
	eventually(ts, func() error {
		seen := map[string]bool{}
		// Who answers is chance: ask until all have, and a while longer.
		for range want * 20 {
			body, err := get(client, args[0])
			if err != nil {
				return err
			}
			if !regexp.MustCompile(regexp.QuoteMeta(args[1])).MatchString(body) {
				return fmt.Errorf("a worker answers %q", body)
			}
			seen[from.FindString(body)] = true
		}
		if len(seen) < want {
			return fmt.Errorf("%d workers answer", len(seen))
		}
		return nil
	})
}

func get(client *http.Client, url string) (string, error) {
	resp, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return string(text), err
}

// freeport NAME...: sets variables to ports that nobody listens on.
func cmdFreePort(ts *testscript.TestScript, neg bool, args []string) {
	var open []net.Listener
	for _, name := range args {
		l, port, err := listenOnAPort()
		ts.Check(err)
		open = append(open, l)
		ts.Setenv(name, port)
	}
	for _, l := range open {
		ts.Check(l.Close())
	}
}

// tell SIGNAL [PIDFILE]: sends the hotreload of this script, or the process in a pid file, a signal.
func cmdTell(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 || len(args) > 2 {
		ts.Fatalf("usage: tell signal [pidfile]")
	}
	sig, err := signals.ParseSignal(args[0])
	ts.Check(err)
	p, err := processOf(ts, args[1:])
	ts.Check(err)
	ts.Check(p.Signal(sig))
}

// ended [PIDFILE]: sooner or later the process that a pid file names, or hotreload, is gone.
func cmdEnded(ts *testscript.TestScript, neg bool, args []string) {
	eventually(ts, func() error {
		p, err := processOf(ts, args)
		if err == nil && p.Alive() {
			return fmt.Errorf("process %s still runs", p)
		}
		return nil
	})
}

// untilalive PIDFILE: sooner or later the pid file names a process that runs.
func cmdUntilAlive(ts *testscript.TestScript, neg bool, args []string) {
	eventually(ts, func() error {
		_, err := processOf(ts, args)
		return err
	})
}

func processOf(ts *testscript.TestScript, args []string) (signals.Process, error) {
	if len(args) == 1 {
		pid, err := signals.ReadPIDFile(ts.MkAbs(args[0]))
		if err != nil {
			return signals.Process{}, err
		}
		return signals.Lookup(pid)
	}
	locks, err := filepath.Glob(filepath.Join(ts.Getenv("XDG_RUNTIME_DIR"), "hotreload", "*.lock"))
	if err != nil || len(locks) != 1 {
		return signals.Process{}, fmt.Errorf("%d hotreloads run", len(locks))
	}
	text, err := os.ReadFile(locks[0])
	if err != nil {
		return signals.Process{}, err
	}
	var owner control.Owner
	if err := json.Unmarshal(text, &owner); err != nil {
		return signals.Process{}, err
	}
	return signals.Lookup(owner.PID)
}

// untilgrep PATTERN FILE: sooner or later the file contains it.
func cmdUntilGrep(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: untilgrep pattern file")
	}
	pattern := regexp.MustCompile("(?m)" + args[0])
	eventually(ts, func() error {
		text, err := os.ReadFile(ts.MkAbs(args[1]))
		if err == nil && !pattern.Match(text) {
			err = fmt.Errorf("%s does not contain %q:\n%s", args[1], args[0], text)
		}
		return err
	})
}

// printSignals is a program that prints all signals that it gets, but those that the runtime of Go sends itself and that its children
// cause.
func printSignals() {
	caught := make(chan os.Signal, 100)
	signal.Notify(caught)
	fmt.Println("printing", os.Getpid())
	for sig := range caught {
		if sig != syscall.SIGURG && sig != syscall.SIGCHLD {
			fmt.Println("got", signals.SignalName(sig.(syscall.Signal)))
		}
	}
}

// fakeServer is a program of which hotreload knows nothing: it does what its arguments say.
//
//	fakeserver [port=N] [pidfile=FILE] [exit=N] [die=SIGNAL] [ignore=SIGNAL] [catch=SIGNAL] [file=FILE]
//
// It answers GET / with the text that the file had when it was started.
func fakeServer(args []string) int {
	var text []byte
	caught := make(chan os.Signal, 8)
	stop := make(chan os.Signal, 8)
	if !slices.Contains(args, "ignore=SIGTERM") {
		signal.Notify(stop, syscall.SIGTERM)
	} else {
		signal.Notify(make(chan os.Signal, 8), syscall.SIGTERM)
	}
	for _, arg := range args {
		name, value, _ := strings.Cut(arg, "=")
		number, _ := strconv.Atoi(value)
		switch name {
		case "file":
			text, _ = os.ReadFile(value)
		case "catch":
			sig, _ := signals.ParseSignal(value)
			signal.Notify(caught, sig)
		case "port":
			l, err := net.Listen("tcp", "127.0.0.1:"+value)
			if err != nil {
				fmt.Fprintln(os.Stderr, "Fatal error: "+err.Error())
				return 98
			}
			go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				fmt.Fprintf(w, "%s from %d", text, os.Getpid())
			}))
		case "pidfile":
			os.WriteFile(value, []byte(strconv.Itoa(os.Getpid())), 0o600)
			defer os.Remove(value)
		case "exit":
			fmt.Println("these are my last words")
			return number
		case "die":
			sig, _ := signals.ParseSignal(value)
			syscall.Kill(os.Getpid(), sig)
			select {}
		case "cat":
			io.Copy(os.Stdout, os.Stdin)
			return number
		}
	}
	fmt.Println("fakeserver serves")
	for {
		select {
		case sig := <-caught:
			fmt.Println("fakeserver got", signals.SignalName(sig.(syscall.Signal)))
		case <-stop:
			fmt.Println("fakeserver stops")
			return 0
		}
	}
}
