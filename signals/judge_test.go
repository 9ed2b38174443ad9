package signals

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestJudge(t *testing.T) {
	const pid = 4211
	written := time.Date(2026, 11, 22, 10, 0, 0, 123456789, time.UTC)
	// master is what one sees when all is well; each case changes something.
	master := func() evidence {
		return evidence{
			file:      pidFileContent{pid: pid, modTime: written, owner: 1000},
			self:      77,
			selfUID:   1000,
			process:   Info{Process: Process{PID: pid, Start: 500}, PPID: 77, UID: 1000, State: 'S', Comm: "php", Threads: 3},
			startedAt: written.Add(-2 * time.Second),
			exe:       "/usr/bin/php8.2",
		}
	}
	me := master().process.Process
	tests := []struct {
		name   string
		change func(*evidence)
		want   Expectation
		is     Verdict
		reason string // must be in it
	}{
		{"living master", func(e *evidence) {}, Expectation{}, Master, "4211 (php8.2)"},
		{"absent", func(e *evidence) { e.fileErr = fmt.Errorf("read: %w", fs.ErrNotExist) }, Expectation{}, NoFile, ""},
		{"empty", func(e *evidence) { e.fileErr = ErrIncomplete }, Expectation{}, Incomplete, ""},
		{"garbage", func(e *evidence) { e.fileErr = &PIDFileError{Path: "x.pid", Problem: "is a directory"} }, Expectation{}, Garbage, "x.pid is a directory"},
		{"not readable", func(e *evidence) { e.fileErr = fs.ErrPermission }, Expectation{}, Garbage, "permission"},

		{"our own pid", func(e *evidence) { e.file.pid = e.self }, Expectation{}, Ours, "77"},
		{"our own pid, recorded as the master of an earlier container", func(e *evidence) { e.file.pid = e.self }, Expectation{Known: Process{PID: 77, Start: 1}}, Ours, ""},
		{"dead or zombie", func(e *evidence) { e.lookErr = fmt.Errorf("look up: %w", ErrGone) }, Expectation{}, Stale, "4211 has ended"},
		{"not to be looked at", func(e *evidence) { e.lookErr = errHidden }, Expectation{}, Foreign, "hidepid"},

		{"pid given away after a container restart", func(e *evidence) { e.startedAt = written.Add(time.Minute) }, Expectation{}, Stale, "1m0s after"},
		{"the same, and it is even a php", func(e *evidence) { e.startedAt = written.Add(200 * time.Millisecond) }, Expectation{}, Stale, "200ms after"},
		{"started and written within one tick", func(e *evidence) { e.startedAt = written.Add(10 * time.Millisecond) }, Expectation{}, Master, ""},
		{"file system with whole seconds", func(e *evidence) {
			e.file.modTime = written.Truncate(time.Second)
			e.startedAt = written
		}, Expectation{}, Master, ""},
		{"whole seconds, and yet too late", func(e *evidence) {
			e.file.modTime = written.Truncate(time.Second)
			e.startedAt = written.Add(3 * time.Second)
		}, Expectation{}, Stale, ""},
		{"clock of another machine", func(e *evidence) {
			e.file.remote = true
			e.startedAt = written.Add(time.Hour)
		}, Expectation{}, Master, ""},
		{"files of another machine's users", func(e *evidence) {
			e.file.remote = true
			e.file.owner = 501
		}, Expectation{}, Master, ""},

		{"our parent: the shell of the entrypoint", func(e *evidence) {
			e.ancestor = true
			e.exe, e.process.Comm = "/bin/dash", "entrypoint.sh"
		}, Expectation{}, Foreign, "dash"},
		{"our parent: composer, after a container restart", func(e *evidence) {
			e.ancestor = true
			e.startedAt = written.Add(time.Second)
		}, Expectation{}, Stale, ""},
		{"our parent: composer, where the clock proves nothing", func(e *evidence) {
			e.ancestor = true
			e.file.remote = true
		}, Expectation{}, Stale, "started hotreload"},
		{"our parent: the server itself runs a deploy hook", func(e *evidence) { e.ancestor = true }, Expectation{}, Master, ""},
		{"pid 1: systemd", func(e *evidence) {
			e.process = Info{Process: Process{PID: 1, Start: 5}, Comm: "systemd"}
			e.exe = ""
		}, Expectation{}, Foreign, "systemd"},
		{"pid 1: php in a container, seen by root", func(e *evidence) {
			e.file.pid, e.file.owner, e.selfUID = 1, 0, 0
			e.process = Info{Process: Process{PID: 1, Start: 5}, Comm: "php", State: 'S'}
		}, Expectation{}, Master, ""},

		{"not php", func(e *evidence) { e.exe = "/usr/bin/mariadbd" }, Expectation{}, Foreign, "is mariadbd, not php* or"},
		{"kernel thread", func(e *evidence) { e.exe, e.process.Comm, e.process.UID = "", "kworker/0:1", 0 }, Expectation{}, Foreign, ""},
		{"renamed by the server, executable hidden", func(e *evidence) { e.exe = "" }, Expectation{}, Master, ""},
		{"executable replaced by an upgrade", func(e *evidence) { e.exe = "/usr/bin/php8.2" }, Expectation{}, Master, ""},
		{"under qemu", func(e *evidence) { e.exe = "/usr/bin/qemu-x86_64-static" }, Expectation{}, Master, ""},
		{"swoole-cli", func(e *evidence) { e.exe = "/opt/swoole-cli" }, Expectation{}, Master, ""},
		{"a program of the user's", func(e *evidence) { e.exe = "/app/server" }, Expectation{Programs: []string{"serv*"}}, Master, ""},
		{"php where another was named", func(e *evidence) {}, Expectation{Programs: []string{"serv*"}}, Foreign, "not serv*"},
		{"any program", func(e *evidence) { e.exe = "/app/x" }, Expectation{Programs: []string{"*"}}, Master, ""},
		{"no program is fine", func(e *evidence) {}, Expectation{Programs: []string{}}, Foreign, ""},
		{"a pattern that is none", func(e *evidence) {}, Expectation{Programs: []string{"[php"}}, Foreign, ""},

		{"another user's", func(e *evidence) { e.process.UID = 33 }, Expectation{}, Foreign, "user 33"},
		{"root's, seen by a user", func(e *evidence) { e.process.UID = 0 }, Expectation{}, Foreign, "user 0"},
		{"a user's, seen by root", func(e *evidence) { e.selfUID = 0 }, Expectation{}, Master, ""},
		{"a user's, in another user's file", func(e *evidence) { e.selfUID, e.file.owner = 0, 33 }, Expectation{}, Foreign, "file to user 33"},
		{"root's, in a user's file", func(e *evidence) { e.selfUID, e.process.UID = 0, 0 }, Expectation{}, Master, ""},
		{"a user's, in root's file", func(e *evidence) { e.selfUID, e.file.owner = 0, 0 }, Expectation{}, Master, ""},

		{"in the tree that was started", func(e *evidence) {}, Expectation{Tree: []Process{{PID: 5, Start: 1}, me}}, Master, ""},
		{"outside the tree that was started", func(e *evidence) {}, Expectation{Tree: []Process{{PID: 5, Start: 1}}}, Foreign, "does not belong"},
		{"a tree of nobody", func(e *evidence) {}, Expectation{Tree: []Process{}}, Foreign, ""},
		{"known, whatever the clock says", func(e *evidence) {
			e.startedAt = written.Add(time.Hour)
			e.exe = "/bin/other"
		}, Expectation{Known: me}, Master, "seen before"},
		{"another one is known", func(e *evidence) { e.startedAt = written.Add(time.Hour) }, Expectation{Known: Process{PID: pid, Start: 1}}, Stale, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			e := master()
			test.change(&e)
			got := judge(e, test.want)
			if got.Verdict != test.is || !strings.Contains(got.Reason, test.reason) || got.Reason == "" {
				t.Errorf("got %v: %q, want %v: %q", got.Verdict, got.Reason, test.is, test.reason)
			}
			if want := (test.is == Master); want != (got.Master == e.process.Process) || want == (got.Master == Process{}) {
				t.Errorf("%v with process %+v", got.Verdict, got.Master)
			}
		})
	}
}

// The same with real processes and files: the evidence is gathered right.
func TestJudgeReal(t *testing.T) {
	h := startHelper(t, "sleep")
	zombieParent := startHelper(t, "keep-zombie")
	zombie := zombieParent.fact(t, 0)
	eventually(t, "the child is a zombie", func() bool {
		_, err := Lookup(zombie)
		return errors.Is(err, ErrGone)
	})
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "server.pid")
	write := func(pid int, age time.Duration) {
		t.Helper()
		if err := os.WriteFile(path, []byte(strconv.Itoa(pid)), 0o644); err != nil {
			t.Fatal(err)
		}
		if age > 0 {
			then := time.Now().Add(-age)
			if err := os.Chtimes(path, then, then); err != nil {
				t.Fatal(err)
			}
		}
	}
	this := Expectation{Programs: []string{filepath.Base(exe)}}
	expect := func(what string, want Expectation, is Verdict) {
		t.Helper()
		if j := Judge(path, want); j.Verdict != is {
			t.Errorf("%s: got %v: %s, want %v", what, j.Verdict, j.Reason, is)
		}
	}
	expect("before there is a file", this, NoFile)
	write(h.Process.PID, 0)
	expect("the master", this, Master)
	expect("no php", Expectation{}, Foreign)
	expect("known", Expectation{Known: h.Process}, Master)
	if isLocal(t, path) {
		write(h.Process.PID, time.Hour)
		expect("a file an hour older than the process", this, Stale)
	}
	write(zombie, 0)
	expect("a zombie", this, Stale)
	write(os.Getpid(), 0)
	expect("this process", this, Ours)
	write(maxPID, 0)
	expect("nobody", this, Stale)
}

func isLocal(t *testing.T, path string) bool {
	t.Helper()
	content, err := readPIDFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return !content.remote
}
