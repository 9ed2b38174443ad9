package main

import (
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// manager is a service manager that was promised to be told how the server is.
type manager struct {
	t    *testing.T
	conn *net.UnixConn
	name string
	told []string // since the last time somebody looked
}

func newManager(t *testing.T) *manager {
	t.Helper()
	name := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &manager{t: t, conn: conn, name: name}
}

// hears waits for an assignment, and returns its value. What came before it is forgotten.
func (m *manager) hears(name string, is func(value string) bool) string {
	m.t.Helper()
	if err := m.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		m.t.Fatal(err)
	}
	var all []string
	for {
		for i, assignment := range m.told {
			all = append(all, assignment)
			if value, found := strings.CutPrefix(assignment, name+"="); found && is(value) {
				m.told = m.told[i+1:]
				return value
			}
		}
		buf := make([]byte, 4096)
		n, err := m.conn.Read(buf)
		if err != nil {
			m.t.Fatalf("%s: %v, only %q", name, err, all)
		}
		m.told = strings.Split(strings.TrimSpace(string(buf[:n])), "\n")
	}
}

func anything(string) bool { return true }

// With SIGHUP as systemd sends it for Type=notify-reload, and SIGABRT as it does when the pings do not come.
func TestServiceManager(t *testing.T) {
	t.Parallel()
	a := newApplication(t, "")
	m := newManager(t)
	a.bare = true
	a.env = []string{"NOTIFY_SOCKET=" + m.name, "WATCHDOG_USEC=1000000"}
	c := a.start(t, "run")
	m.hears("STATUS", func(text string) bool { return text == "starting" })
	m.hears("READY", anything)
	m.hears("STATUS", func(text string) bool { return strings.HasPrefix(text, "ready: swoole, master ") })
	m.hears("WATCHDOG", anything)

	for _, p := range c.inside() {
		env, err := p.Environ()
		if err != nil {
			continue // it has ended
		}
		for _, entry := range env {
			if strings.HasPrefix(entry, "NOTIFY_SOCKET") || strings.HasPrefix(entry, "WATCHDOG_") {
				t.Errorf("process %d (%s) has %s", p.PID, p.Comm, entry)
			}
		}
	}

	var before unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &before); err != nil {
		t.Fatal(err)
	}
	c.kill(syscall.SIGHUP)
	m.hears("RELOADING", anything)
	usec, err := strconv.ParseInt(m.hears("MONOTONIC_USEC", anything), 10, 64)
	if err != nil || time.Duration(usec)*time.Microsecond < time.Duration(before.Nano()).Truncate(time.Microsecond) {
		t.Errorf("the reload began at %d µs (%v), and was asked for at %d ns", usec, err, before.Nano())
	}
	m.hears("READY", anything)

	// hotreload is taken to hang: it ends and shows where, and the server goes on without it.
	c.kill(syscall.SIGABRT)
	c.prints(`^SIGABRT: abort`)
	c.until("hotreload has ended", func() bool { return !c.first.Alive() })
	if !a.answers() {
		t.Error("the server has ended too")
	}
	next := a.start(t, "run")
	m.hears("READY", anything)
	next.prints(`took over the server that runs`)
	next.kill(syscall.SIGTERM)
	m.hears("STOPPING", anything)
	if code := next.exits(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}
