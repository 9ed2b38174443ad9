package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestParseReady(t *testing.T) {
	for text, want := range map[string]Ready{
		"":                         {},
		"pid-file":                 {Scheme: "pid-file"},
		"tcp://127.0.0.1:9501":     {"tcp", "127.0.0.1:9501"},
		"tcp://[::1]:80":           {"tcp", "[::1]:80"},
		"unix:///run/x.sock":       {"unix", "/run/x.sock"},
		"unix://run/x.sock":        {"unix", "/base/run/x.sock"},
		"http://localhost/health":  {"http", "http://localhost/health"},
		"https://[::1]:8443/?a=b":  {"https", "https://[::1]:8443/?a=b"},
		"exec:curl -f x | grep -q": {"exec", "curl -f x | grep -q"},
	} {
		got, f := parseReady(text, "/base")
		if f != nil || got != want {
			t.Errorf("%s: %+v, %+v", text, got, f)
			continue
		}
		if again, f := parseReady(got.String(), "/elsewhere"); f != nil || again != got {
			t.Errorf("%s is shown as %s", text, got)
		}
	}
	for text, suggestion := range map[string]string{
		"tcp://9501": "", "tcp://:9501": `"127.0.0.1:9501"`, "tcp://h:0": "", "tcp://a b:1": "", "unix://": "", "exec: ": "",
		"http://": "", "http://h:99999/": "", "http://%zz": "", "ftp://x": "", "/run/x.sock": `"unix:///run/x.sock"`,
		"pidfile": `"pid-file"`, "x": "", "https//x": "",
	} {
		if _, f := parseReady(text, "/base"); f == nil || f.suggestion != suggestion {
			t.Errorf("%s: %+v", text, f)
		}
	}
}

func TestStatusRange(t *testing.T) {
	ranges, f := parseStatuses("200-299, 404")
	if f != nil || len(ranges) != 2 {
		t.Fatal(ranges, f)
	}
	for status, want := range map[int]bool{199: false, 200: true, 299: true, 300: false, 404: true} {
		if got := ranges[0].Contains(status) || ranges[1].Contains(status); got != want {
			t.Errorf("%d: %v", status, got)
		}
	}
	for _, text := range []string{"", "99", "600", "200-", "-200", "a", "200,,204", "200--300"} {
		if got, f := parseStatuses(text); f == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestFormatDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", time.Minute: "1m", time.Hour: "1h", 90 * time.Second: "1m30s", time.Hour + time.Second: "1h0m1s",
		10 * time.Second: "10s", 100 * time.Minute: "1h40m", 1500 * time.Millisecond: "1.5s", 10 * time.Minute: "10m",
	} {
		if got := formatDuration(d); got != want {
			t.Errorf("%s: %s", d, got)
		}
		if again, f := parseDuration(want, true); f != nil || again != d {
			t.Errorf("%s reads as %s", want, again)
		}
	}
}

func TestMarkdownTable(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(MarkdownTable()), "\n")
	if len(lines) != 2+len(Options()) {
		t.Errorf("%d lines", len(lines))
	}
	for _, line := range lines {
		if bars := strings.Count(strings.ReplaceAll(line, `\|`, ""), "|"); bars != 6 {
			t.Errorf("%d bars: %s", bars, line)
		}
	}
}

func TestErrorsAreSorted(t *testing.T) {
	dir := project(t, map[string]string{FileName: "[log]\nlevel = 1\nfromat = 1\n[server]\nkind = 1\n"})
	_, err := Load(Source{WorkDir: dir, Environ: []string{"HOTRELOAD_LOG_LEVEL=x"}, Flags: []Flag{{"--kind", "server.kind", "y"}}})
	var keys []string
	for line := range strings.SplitSeq(errorText(err), "\n") {
		keys = append(keys, strings.Join(strings.SplitN(line, ": ", 3)[:2], " "))
	}
	want := `hotreload.toml:2:9 log.level,hotreload.toml:3:1 log.fromat,hotreload.toml:5:8 server.kind,` +
		`HOTRELOAD_LOG_LEVEL "x" is not one of debug, info, warn, error,--kind "y" is not one of`
	if got := strings.Join(keys, ","); !strings.HasPrefix(got, want) {
		t.Errorf("got %s", got)
	}
}

func TestErrorIsOneLine(t *testing.T) {
	e := &Error{File: "a\nb.toml", Line: 1, Col: 2, Key: "x\x1b[31m", Msg: "m\r"}
	if got, want := e.Error(), `a\nb.toml:1:2: x\x1b[31m: m\r`; got != want {
		t.Errorf("got %s", got)
	}
}

func TestRelativeWorkDir(t *testing.T) {
	if _, err := Load(Source{WorkDir: "sub"}); errorText(err) != `working directory "sub": not absolute` {
		t.Error(err)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if c, want := mustLoad(t, Source{}), filepath.Join(filepath.Dir(here), FileName); c.File != want {
		t.Errorf("without WorkDir: read %q, want %q", c.File, want)
	}
}

func TestNearest(t *testing.T) {
	for _, tc := range [][2]string{
		{"pid_fle", "pid_file"}, {"PID_FILE", "pid_file"}, {"pid-file", "pid_file"}, {"pidfile", "pid_file"},
		{"dri", "dir"}, {"di", "dir"}, {"x", ""}, {"", ""}, {"completely_else", ""}, {strings.Repeat("pid_file", 100), ""},
	} {
		if got := nearest(tc[0], []string{"pid_file", "dir", "ready"}); got != tc[1] {
			t.Errorf("%s: got %q, want %q", tc[0], got, tc[1])
		}
	}
	for _, tc := range [][2]string{
		{"server.kidn", "server.kind"}, {"kind", "server.kind"}, {"watch.signals", "server.signals"}, {"lint", "reload.lint"},
		{"server.timeout", "reload.timeout"}, {"watch.timeout", "reload.timeout"}, {"backoff.min", "restart.backoff.min"},
		{"reload.rule", "reload.rules"}, {"levle", "log.level"}, {"server.zzzzzz", ""},
	} {
		if got := nearestKey(tc[0]); got != tc[1] {
			t.Errorf("%s: got %q, want %q", tc[0], got, tc[1])
		}
	}
}
