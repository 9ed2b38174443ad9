package main

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hotreload/hotreload/supervisor"
)

// application is examples/prefork in an image, on a port of its own.
type application struct {
	image
	url string
}

// newApplication adds lines to its [server] table.
func newApplication(t *testing.T, lines string) application {
	t.Helper()
	if !hasPHP() {
		t.Skip("no php with pcntl and posix")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	_, port, _ := net.SplitHostPort(address)

	dir := appDir(t)
	for _, part := range []string{"app", "src"} {
		if err := os.CopyFS(filepath.Join(dir, part), os.DirFS(filepath.Join("../../examples/prefork", part))); err != nil {
			t.Fatal(err)
		}
	}
	main, err := os.ReadFile("../../examples/prefork/server.php")
	if err != nil {
		t.Fatal(err)
	}
	config := `[server]
kind = "swoole"
command = ["php", "server.php", "--port=` + port + `", "--workers=2"]
pid_file = "runtime/server.pid"
env = { TMPDIR = "` + filepath.Join(dir, "runtime") + `" }
` + lines + `
[restart.backoff]
min = "10ms"
[log]
format = "console"
`
	for name, text := range map[string]string{"server.php": string(main), "hotreload.toml": config} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return application{image{dir: dir}, "http://" + address + "/"}
}

func (a application) answers() bool {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	_, err := get(client, a.url)
	return err == nil
}

// What a hardened container has: an unprivileged user, nothing in the environment, nothing to write to but what the application asks for.
func TestContainerWithoutPrivileges(t *testing.T) {
	t.Parallel()
	a := newApplication(t, `drain_delay = "1h"`)
	a.nobody, a.readOnly = true, true
	c := a.start(t, "run")
	c.ready()
	if out, code := c.exec("sh", "-c", "touch /tmp/x /run/x x"); code == 0 {
		t.Errorf("the root file system can be written to: %s", out)
	}
	if out, code := c.exec("hotreload", "reload"); code != exitOK || !strings.HasPrefix(out, "reloaded") {
		t.Errorf("reload: exit code %d, %s", code, out)
	}

	// The load balancer notices before anything is stopped.
	c.kill(syscall.SIGTERM)
	c.until("it is not ready", func() bool {
		out, code := c.exec("hotreload", "status", "--ready")
		if code != exitOK && (code != exitFailed || out != "hotreload: not ready: stopping\n") {
			t.Fatalf("exit code %d, %q", code, out)
		}
		return code == exitFailed
	})
	if !a.answers() {
		t.Error("the server was stopped before the delay was over")
	}
	time.Sleep(atOnce) // a second wish is one that comes later than this
	c.kill(syscall.SIGTERM)
	if code := c.exits(); code != exitFailed {
		t.Errorf("exit code %d, want %d: it was not a graceful stop", code, exitFailed)
	}
}

func TestContainerIsStopped(t *testing.T) {
	t.Parallel()
	c := newApplication(t, `drain_delay = "200ms"`).start(t, "run")
	c.ready()
	begin := time.Now()
	c.kill(syscall.SIGTERM)
	if code := c.exits(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	if took := time.Since(begin); took < 200*time.Millisecond {
		t.Errorf("it ended after %s, before the load balancer could notice", took)
	}
}

// A probe is told the truth from the first moment on, and as long as somebody answers that is yes.
func TestContainerIsProbed(t *testing.T) {
	t.Parallel()
	a := newApplication(t, `ready = "exec:test -e runtime/go"`)
	c := a.start(t, "run")
	c.until("it says that it starts", func() bool {
		out, code := c.exec("hotreload", "status", "--ready")
		if code != exitFailed {
			t.Fatalf("exit code %d before it is ready: %s", code, out)
		}
		return out == "hotreload: not ready: starting\n"
	})
	if err := os.WriteFile(filepath.Join(a.dir, "runtime/go"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	c.ready()

	if err := os.WriteFile(filepath.Join(a.dir, "app/handler.php"), []byte("<?php\nbroken(\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, code := c.exec("hotreload", "reload"); code != exitRefused {
		t.Fatalf("exit code %d for code that does not parse: %s", code, out)
	}
	out, code := c.exec("hotreload", "status", "--ready", "--json")
	if code != exitOK || !strings.Contains(out, `"state":"degraded"`) || !strings.Contains(out, `"ready":true`) {
		t.Errorf("exit code %d of a server that serves the old code: %s", code, out)
	}
}

func TestContainerOfAServerThatEnds(t *testing.T) {
	t.Parallel()
	t.Run("is started again", func(t *testing.T) {
		t.Parallel()
		c := newApplication(t, "").start(t, "run")
		c.ready()
		before := c.status()
		if out, code := c.exec("kill", "-KILL", strconv.Itoa(before.Master.PID)); code != 0 {
			t.Fatal(out)
		}
		c.until("another master serves", func() bool {
			st := c.status()
			return st.Ready && st.Generation > before.Generation
		})
		if st := c.status(); st.Counters.Crashes != 1 {
			t.Errorf("counters: %+v", st.Counters)
		}
		for _, old := range before.Workers {
			if _, code := c.exec("kill", "-0", strconv.Itoa(old.PID)); code == 0 {
				t.Errorf("process %d of the old server is left", old.PID)
			}
		}
	})
	t.Run("ends, when it cannot start", func(t *testing.T) {
		t.Parallel()
		a := newApplication(t, "")
		if err := os.WriteFile(filepath.Join(a.dir, "server.php"), []byte("<?php fwrite(STDERR, 'cannot start'); exit(3);"), 0o644); err != nil {
			t.Fatal(err)
		}
		c := a.start(t, "run")
		if code := c.exits(); code != 3 {
			t.Errorf("exit code %d, want the server's", code)
		}
		c.prints(`gave up after 5 failed starts: the server ended before it was ready: exit code 3`)
	})
}

// The same small numbers come back in each container, and the pid file stays.
func TestContainerFindsAPIDFile(t *testing.T) {
	t.Parallel()
	a := newApplication(t, "")
	file := filepath.Join(a.dir, "runtime/server.pid")
	c := a.start(t, "run")
	c.ready()
	// As after `docker kill`.
	master := c.status().Master.PID
	c.kill(syscall.SIGKILL)
	c.exits()
	text, err := os.ReadFile(file)
	if err != nil || strings.TrimSpace(string(text)) != strconv.Itoa(master) {
		t.Fatalf("the pid file is %q, %v; want %d", text, err, master)
	}
	for _, left := range []struct {
		name   string
		number int
	}{
		{"of the first process", 1}, {"of hotreload's first child or thread", 2}, {"of the master before", master}, {"of nobody", 1 << 21},
	} {
		t.Run(left.name, func(t *testing.T) {
			if err := os.WriteFile(file, []byte(strconv.Itoa(left.number)), 0o644); err != nil {
				t.Fatal(err)
			}
			c := a.start(t, "run")
			c.ready()
			st := c.status()
			text, err := os.ReadFile(file)
			if err != nil || strings.TrimSpace(string(text)) != strconv.Itoa(st.Master.PID) {
				t.Errorf("the pid file is %q, %v; want %d", text, err, st.Master.PID)
			}
			c.kill(syscall.SIGTERM)
			if code := c.exits(); code != exitOK {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

func (c *container) status() supervisor.Status {
	c.t.Helper()
	out, code := c.exec("hotreload", "status", "--json")
	var st supervisor.Status
	if err := json.Unmarshal([]byte(out), &st); err != nil {
		c.t.Fatalf("exit code %d: %v: %s", code, err, out)
	}
	return st
}

// `docker run -it`: the first process leads a session.
func TestContainerWithATerminal(t *testing.T) {
	needContainers(t)
	m := image{dir: appDir(t), session: true}
	cmd := m.command([]string{"hotreload", "run", "--kind", "none", "--", "sh"})
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // the terminal is left to the first process
	x := onTerminal(t, cmd)
	x.sees(`serving`)
	x.press("echo below process $PPID; cat\r")
	x.sees(`below process 1\s`)
	x.press("to cat\r")
	x.sees(`(?s)to cat.*to cat`)
	x.press("\x1a")
	x.sees(`Stopped`)
	x.press("fg\r")
	x.press("to cat again\r")
	x.sees(`(?s)to cat again.*to cat again`)
	x.press("\x03")
	x.sees(`(?s)\^C.*# $`)
	x.press("exit 7\r")
	if code := x.exits(); code != 7 {
		t.Errorf("exit code %d, want that of the shell", code)
	}
}
