package signals

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestParsePIDFile(t *testing.T) {
	const garbage = -1
	tests := []struct {
		content string
		want    int // 0: incomplete
	}{
		{"4211", 4211}, {"4211\n", 4211}, {" \t4211 \r\n", 4211}, {"4211\x00\x00", 4211}, {"1", 1}, {"0004211", 4211},
		{"4194304", 4194304},
		{"", 0}, {"\n", 0}, {" \r\n\t", 0}, {"\x00\x00\x00\x00", 0},
		{"0", garbage}, {"-1", garbage}, {"-4211", garbage}, {"4194305", garbage}, {"99999999999999999999", garbage},
		{"4211 4212", garbage}, {"4211\n4212\n", garbage}, {"42x", garbage}, {"0x10", garbage}, {"4211.0", garbage},
		{"php", garbage}, {"<?php return 1;", garbage}, {"\xff\xfe4", garbage}, {"[4211]", garbage}, {"null", garbage},
		{`{"masterProcessId":4211,"managerProcessId":4212,"state":{"octaneConfig":{"a":[1]}}}`, 4211},
		{"{\n    \"masterProcessId\": 4211\n}\n", 4211},
		{`{"state":{"host":"127.0.0.1"}}`, 0}, {`{"masterProcessId":null}`, 0}, {"{}", 0},
		{`{"masterProcessId":42`, 0}, {`{"masterProcessId"`, 0}, {"{", 0},
		{`{"masterProcessId":-1}`, garbage}, {`{"masterProcessId":0}`, garbage}, {`{"masterProcessId":1e3}`, garbage},
		{`{"masterProcessId":"x"}`, garbage}, {`{"masterProcessId":{}}`, garbage}, {`{"masterProcessId":1}}`, garbage}, {`{masterProcessId:1}`, garbage},
	}
	for _, test := range tests {
		pid, err := parsePIDFile([]byte(test.content))
		var bad *PIDFileError
		switch {
		case test.want > 0 && (err != nil || pid != test.want):
			t.Errorf("%q: got %d, %v, want %d", test.content, pid, err, test.want)
		case test.want == 0 && (!errors.Is(err, ErrIncomplete) || pid != 0):
			t.Errorf("%q: got %d, %v, want ErrIncomplete", test.content, pid, err)
		case test.want == garbage && (!errors.As(err, &bad) || pid != 0):
			t.Errorf("%q: got %d, %v, want a PIDFileError", test.content, pid, err)
		}
	}
}

func FuzzPIDFile(f *testing.F) {
	for _, seed := range []string{"4211\n", "", "-1", "{", `{"masterProcessId":4211,"state":{}}`, `{"masterProcessId":null}`, "4211\x00"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		pid, err := parsePIDFile(data)
		var bad *PIDFileError
		switch {
		case err == nil:
			if pid < 1 || pid > maxPID {
				t.Errorf("%q: got %d", data, pid)
			}
		case pid != 0:
			t.Errorf("%q: got %d with error %v", data, pid, err)
		case errors.As(err, &bad):
			if len(bad.Excerpt) > 32 {
				t.Errorf("an excerpt of %d bytes", len(bad.Excerpt))
			}
		case !errors.Is(err, ErrIncomplete):
			t.Errorf("%q: got %v", data, err)
		}
	})
}

func TestReadPIDFile(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := write("good pid", "4211\n")
	link := filepath.Join(dir, "link")
	if err := os.Symlink(good, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{good, link} {
		if pid, err := ReadPIDFile(path); pid != 4211 || err != nil {
			t.Errorf("%s: got %d, %v", path, pid, err)
		}
	}
	for _, path := range []string{filepath.Join(dir, "absent"), filepath.Join(dir, "absent", "deeper")} {
		if _, err := ReadPIDFile(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: got %v, want fs.ErrNotExist", path, err)
		}
	}
	if _, err := ReadPIDFile(write("empty", "")); !errors.Is(err, ErrIncomplete) || !strings.Contains(err.Error(), "empty") {
		t.Errorf("empty: got %v, want ErrIncomplete with the path", err)
	}

	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o644); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "socket")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	huge := write("huge", "4211")
	if err := os.Truncate(huge, 1<<30); err != nil { // sparse: NULs follow the number
		t.Fatal(err)
	}
	for _, path := range []string{dir, fifo, socket, os.DevNull, huge, write("garbage", "hello")} {
		var bad *PIDFileError
		if _, err := ReadPIDFile(path); !errors.As(err, &bad) || bad.Path != path || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: got %v, want a PIDFileError with the path", path, err)
		}
	}
}
