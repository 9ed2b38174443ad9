package php

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/fcgi"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// fakeFPM answers requests for the script as the handler says.
func fakeFPM(t *testing.T, answer http.HandlerFunc) FPM {
	t.Helper()
	return fakeListener(t, func(l net.Listener) { fcgi.Serve(l, answer) })
}

func fakeListener(t *testing.T, serve func(net.Listener)) FPM {
	t.Helper()
	path := filepath.Join(publicDir(t), "fake.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go serve(l)
	return FPM{Address: FPMAddress{"unix", path}, Place: FPMPlace{Dir: t.TempDir()}}
}

// requestEnd is the empty record that ends the input of a request, and so the request.
const requestEnd = "\x01\x05\x00\x01\x00\x00\x00\x00"

// fakeConn reads each request, and answers as do says, without any protocol.
func fakeConn(t *testing.T, do func(net.Conn)) FPM {
	return fakeListener(t, func(l net.Listener) {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				r := bufio.NewReader(conn)
				for seen := ""; !strings.HasSuffix(seen, requestEnd); {
					b, err := r.ReadByte()
					if err != nil {
						return
					}
					seen += string([]byte{b})
				}
				do(conn)
			}()
		}
	})
}

// reply is what the script prints when all is well, changed by change.
func reply(change ...func(*fpmReply)) string {
	r := fpmReply{PHP: "8.2.36", Host: "here", Parent: 1, Loaded: true, INI: map[string]string{"opcache.enable": "1"}, Status: &opcacheStatus{Enabled: true}}
	r.Status.Statistics.StartTime = 1000
	for _, c := range change {
		c(&r)
	}
	text, err := json.Marshal(r)
	if err != nil {
		panic(err)
	}
	return "\x02" + string(text) + "\x03"
}

func prints(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, text) }
}

func fails(status int, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, text, status) }
}

// What goes wrong before there is an answer of the script, and what is said of it.
func TestFpmErrors(t *testing.T) {
	for name, c := range map[string]struct {
		fpm  FPM
		want error  // nil: any other
		say  string // part of the message
	}{
		"no socket":      {FPM{Address: FPMAddress{"unix", "/nonexistent/fpm.sock"}}, ErrFPMGone, "unix:/nonexistent/fpm.sock: no php-fpm listens there: connect: no such file"},
		"refused":        {FPM{Address: FPMAddress{"tcp", "127.0.0.1:1"}}, ErrFPMGone, "127.0.0.1:1: no php-fpm listens there: connect: connection refused"},
		"no such dir":    {FPM{Place: FPMPlace{Dir: "/nonexistent"}}, ErrFPMScript, "/nonexistent: no such file"},
		"unseen":         {fakeFPM(t, fails(404, "File not found.")), ErrFPMUnseen, `opcache.php: it answers 404 "File not found."`},
		"denied":         {fakeFPM(t, fails(403, "Access denied.")), ErrFPMDenied, `403 "Access denied."`},
		"died":           {fakeFPM(t, fails(500, "<b>Fatal error</b>:  out of <b>luck</b>")), nil, `the answer is 500 "Fatal error: out of luck"`},
		"other page":     {fakeFPM(t, prints("<html>\n<p>welcome")), nil, `did not run to its end; the answer is 200 "<html> <p>welcome"`},
		"cut off":        {fakeFPM(t, prints("\x02{")), nil, "did not run to its end"},
		"garbled":        {fakeFPM(t, prints("\x02{\x03")), nil, "read the answer of the script: unexpected end of JSON"},
		"a web server":   {fakeConn(t, func(c net.Conn) { io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n") }), ErrNotFastCGI, `it begins with "HTTP/1.1 400 Bad Request\r"`},
		"closed":         {fakeConn(t, func(net.Conn) {}), ErrFPMBroken, "closed before the end"},
		"half a record":  {fakeConn(t, func(c net.Conn) { c.Write([]byte{1, 6, 0, 1, 0, 9, 0, 0, 'x'}) }), ErrFPMBroken, "closed before the end"},
		"no headers":     {fakeConn(t, says("plain")), ErrNotFastCGI, `it has no headers, and begins with "plain"`},
		"many words":     {fakeConn(t, says(strings.Repeat("plain ", 50000))), ErrNotFastCGI, `it has no headers, and begins with "plain plain`},
		"no word":        {fakeConn(t, says("")), ErrNotFastCGI, `it has no headers, and begins with ""`},
		"strange status": {fakeConn(t, says("Status: many\r\n\r\n")), ErrNotFastCGI, `its status is "many"`},
		"said aside": {fakeConn(t, func(c net.Conn) {
			c.Write(append(record(fcgiStderr, "Primary script "), record(fcgiStdout, "Status: 404 Not Found\r\n\r\nFile not")...))
			c.Write(append(record(fcgiStderr, "unknown"), records(" found.\n")...))
		}), ErrFPMUnseen, `it answers 404 "File not found." "Primary script unknown"`},
		"endless":        {fakeConn(t, endless(fcgiStdout)), nil, "the answer is longer than 4 MiB"},
		"endless aside":  {fakeConn(t, endless(fcgiStderr)), nil, "the answer is longer than 4 MiB"},
		"endless header": {fakeConn(t, func(c net.Conn) { c.Write(record(fcgiStdout, "X: ")); endless(fcgiStdout)(c) }), nil, "the answer is longer than 4 MiB"},
		"silent":         {fakeConn(t, func(c net.Conn) { io.Copy(io.Discard, c) }), ErrFPMLate, "no answer within 100ms"},
	} {
		t.Run(name, func(t *testing.T) {
			if errors.Is(c.want, ErrFPMLate) {
				c.fpm.Patience = 100 * time.Millisecond
			}
			_, err := c.fpm.OPcacheStatus(t.Context())
			if err == nil || !strings.Contains(err.Error(), c.say) || (c.want != nil && !errors.Is(err, c.want)) {
				t.Errorf("%v\nwant %v: %s", err, c.want, c.say)
			}
			if dir := c.fpm.Place.Dir; dir != "" {
				nothingLeft(t, dir)
			}
		})
	}
}

// Types of records.
const (
	fcgiEndRequest = 3
	fcgiStdout     = 6
	fcgiStderr     = 7
)

// record is one as it goes over the wire.
func record(kind byte, content string) []byte {
	n := len(content)
	return append([]byte{1, kind, 0, 1, byte(n >> 8), byte(n), 0, 0}, content...)
}

// records are a whole answer.
func records(stdout string) []byte {
	var out []byte
	for part := range slices.Chunk([]byte(stdout), 60000) {
		out = append(out, record(fcgiStdout, string(part))...)
	}
	return append(out, record(fcgiEndRequest, "\x00\x00\x00\x00\x00\x00\x00\x00")...)
}

func says(stdout string) func(net.Conn) {
	return func(c net.Conn) { c.Write(records(stdout)) }
}

func endless(kind byte) func(net.Conn) {
	chunk := record(kind, strings.Repeat("x", 60000))
	return func(c net.Conn) {
		for {
			if _, err := c.Write(chunk); err != nil {
				return
			}
		}
	}
}

// What code that runs before the script can do to the headers, and gofast by itself refuses.
func TestFpmHeaders(t *testing.T) {
	for name, headers := range map[string]string{
		"a long one":              "Content-Type: text/html\r\nContent-Security-Policy: " + strings.Repeat("https://example.org ", 5000) + "\r\n",
		"of no type":              "X-Powered-By: PHP/8.2.36\r\n",
		"a redirect":              "Location: /elsewhere\r\n",
		"two of the same, folded": "X-A: 1\r\n 2\r\nX-A: 3\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			cache, err := fakeConn(t, says(headers+"\r\n"+reply())).OPcacheStatus(t.Context())
			if err != nil || cache.PHP != "8.2.36" {
				t.Errorf("%+v, %v", cache, err)
			}
		})
	}
}

// However a question ends, the connection is closed, nothing of gofast goes on running, and it writes nothing to the log.
func TestFpmLeavesNothingRunning(t *testing.T) {
	var logged bytes.Buffer
	log.SetOutput(&logged)
	defer log.SetOutput(os.Stderr)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for name, c := range map[string]struct {
		ctx    context.Context
		answer func(net.Conn)
	}{
		"answered":   {t.Context(), says("X: y\r\n\r\n" + reply())},
		"no headers": {t.Context(), says(strings.Repeat("plain ", 50000))},
		"endless":    {t.Context(), endless(fcgiStdout)},
		"closed":     {t.Context(), func(c net.Conn) { c.Close() }},
		"no FastCGI": {t.Context(), func(c net.Conn) { io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n") }},
		"interrupted": {ctx, func(c net.Conn) {
			c.Write(record(fcgiStdout, "X: y\r\n"))
			if !gofastRuns() {
				t.Error("this test does not see the goroutines of gofast")
			}
			cancel()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			closed := make(chan bool)
			f := fakeConn(t, func(conn net.Conn) {
				c.answer(conn)
				io.Copy(io.Discard, conn)
				close(closed)
			})
			_, _ = f.OPcacheStatus(c.ctx)
			late := time.After(time.Minute)
			select {
			case <-closed:
			case <-late:
				t.Fatal("the connection is still open")
			}
			for gofastRuns() {
				select {
				case <-time.After(time.Millisecond):
				case <-late:
					t.Fatalf("still running:\n%s", stacks())
				}
			}
		})
	}
	if logged.Len() > 0 {
		t.Errorf("logged: %s", logged.String())
	}
}

func gofastRuns() bool { return strings.Contains(stacks(), "yookoala/gofast") }

// stacks are those of all goroutines.
func stacks() string {
	text := make([]byte, 1<<20)
	return string(text[:runtime.Stack(text, true)])
}

// The caller's end interrupts a question at once, and the script is removed.
func TestFpmInterrupted(t *testing.T) {
	asked := make(chan bool, 1)
	f := fakeConn(t, func(c net.Conn) {
		asked <- true
		io.Copy(io.Discard, c)
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	if _, err := f.ResetOPcache(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	nothingLeft(t, f.Place.Dir)
}

// A cache that is off, and why.
func TestFpmOff(t *testing.T) {
	ini := func(name, value string) func(*fpmReply) { return func(r *fpmReply) { r.INI[name] = value } }
	noStatus := func(r *fpmReply) { r.Status = nil }
	for name, c := range map[string]struct {
		change []func(*fpmReply)
		want   error
		say    string
	}{
		"on":             {nil, nil, ""},
		"not loaded":     {[]func(*fpmReply){noStatus, func(r *fpmReply) { r.Loaded = false }}, ErrOPcacheOff, "not loaded"},
		"disabled":       {[]func(*fpmReply){noStatus, ini("opcache.enable", "0")}, ErrOPcacheOff, "opcache.enable=0"},
		"failed":         {[]func(*fpmReply){noStatus}, ErrOPcacheOff, "could not start"},
		"files only":     {[]func(*fpmReply){ini("opcache.file_cache", "/c"), func(r *fpmReply) { r.Status.FileCacheOnly = true }}, ErrOPcacheOff, "only /c"},
		"switched off":   {[]func(*fpmReply){func(r *fpmReply) { r.Status.Enabled = false }}, ErrOPcacheOff, "no longer is"},
		"pending is on":  {[]func(*fpmReply){func(r *fpmReply) { r.Status.Enabled, r.Status.Pending = false, true }}, nil, ""},
		"no function":    {[]func(*fpmReply){noStatus, func(r *fpmReply) { r.Forbidden = []string{"opcache_get_status"} }}, ErrOPcacheForbidden, "disable_functions has opcache_get_status"},
		"status allowed": {[]func(*fpmReply){func(r *fpmReply) { r.Forbidden = []string{"opcache_reset"} }}, nil, ""},
		"restricted": {[]func(*fpmReply){noStatus, ini("opcache.restrict_api", "/srv/app"), func(r *fpmReply) {
			r.Messages = []string{`Zend OPcache API is restricted by "restrict_api" configuration directive`}
		}}, ErrOPcacheForbidden, "opcache.restrict_api=/srv/app"},
	} {
		t.Run(name, func(t *testing.T) {
			f := fakeFPM(t, prints("a line of auto_prepend_file\n"+reply(c.change...)+"\nand one behind"))
			cache, err := f.OPcacheStatus(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if !errors.Is(cache.Off, c.want) || (c.want != nil && !strings.Contains(cache.Off.Error(), c.say)) {
				t.Errorf("off: %v, want %v: %s", cache.Off, c.want, c.say)
			}
			if name == "no function" || name == "restricted" || name == "disabled" {
				if _, err := f.ResetOPcache(deadline(t, time.Minute)); !errors.Is(err, c.want) {
					t.Errorf("reset: %v", err)
				}
			}
		})
	}
}

// script is a fake of the script with a cache behind it.
type script struct {
	t       *testing.T
	resets  atomic.Int32 // how often opcache_reset() was called
	asked   atomic.Int32
	respond func(s *script, n int32, reset bool) func(*fpmReply)
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	reset := fcgi.ProcessEnv(r)["HOTRELOAD_ACTION"] == fpmReset
	if reset {
		s.resets.Add(1)
	}
	n := s.asked.Add(1)
	io.WriteString(w, reply(s.respond(s, n, reset)))
}

func yes(b bool) *bool { return &b }

// What counts as a reset, and what does not.
func TestFpmReset(t *testing.T) {
	// Each answers the nth question, the first of which is to reset.
	for name, c := range map[string]struct {
		respond func(s *script, n int32, reset bool) func(*fpmReply)
		want    error
		resets  int32 // 0: not looked at
	}{
		"restarted at once": {func(_ *script, n int32, reset bool) func(*fpmReply) {
			return func(r *fpmReply) { r.Reset, r.Status.Statistics.ManualRestarts = yes(true), int64(n-1) }
		}, nil, 1},
		"restarted later": {func(_ *script, n int32, reset bool) func(*fpmReply) {
			return func(r *fpmReply) {
				r.Reset, r.Status.Pending, r.Status.Enabled = yes(true), n > 1 && n < 4, n == 1 || n >= 4
				if n >= 4 {
					r.Status.Statistics.ManualRestarts = 1
				}
			}
		}, nil, 1},
		"restarted for lack of memory, which is as good": {func(_ *script, n int32, reset bool) func(*fpmReply) {
			return func(r *fpmReply) {
				if r.Reset = yes(false); n == 1 {
					r.Status.Pending = true
					return
				}
				r.Status.Statistics.OOMRestarts, r.Status.Statistics.LastRestart = 1, 2000
			}
		}, nil, 1},
		"php-fpm was restarted meanwhile": {func(_ *script, n int32, reset bool) func(*fpmReply) {
			return func(r *fpmReply) { r.Reset, r.Status.Statistics.StartTime = yes(true), 1000+int64(n/2) }
		}, nil, 1},
		"refused the first time": {func(_ *script, n int32, reset bool) func(*fpmReply) {
			return func(r *fpmReply) {
				r.Reset = yes(n > 1)
				if n == 3 {
					r.Status.Statistics.ManualRestarts = 1
				}
			}
		}, nil, 2},
		"pending for ever": {func(_ *script, n int32, reset bool) func(*fpmReply) {
			return func(r *fpmReply) { r.Reset, r.Status.Pending = yes(true), n > 1 }
		}, ErrOPcacheUnverified, 1},
		"counted, and still in progress": {func(_ *script, n int32, reset bool) func(*fpmReply) {
			return func(r *fpmReply) {
				r.Reset, r.Status.InProgress, r.Status.Statistics.ManualRestarts = yes(true), n > 1, int64(n-1)
			}
		}, ErrOPcacheUnverified, 1},
		"true, and nothing happens": {func(_ *script, n int32, reset bool) func(*fpmReply) {
			return func(r *fpmReply) { r.Reset = yes(true) }
		}, ErrOPcacheUnverified, 1},
		"thread safe": {func(_ *script, n int32, reset bool) func(*fpmReply) {
			return func(r *fpmReply) { r.ThreadSafe = true }
		}, ErrOPcacheThreadSafe, 1},
		"may not be called": {func(_ *script, n int32, reset bool) func(*fpmReply) {
			return func(r *fpmReply) { r.Forbidden = []string{"opcache_reset"} }
		}, ErrOPcacheForbidden, 1},
		"off after the restart": {func(_ *script, n int32, reset bool) func(*fpmReply) {
			return func(r *fpmReply) { r.Reset, r.Loaded = yes(true), n == 1 }
		}, ErrOPcacheOff, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &script{t: t, respond: c.respond}
			f := fakeFPM(t, s.ServeHTTP)
			r, err := f.ResetOPcache(deadline(t, patienceFor(c.want)))
			if !errors.Is(err, c.want) {
				t.Errorf("%v, want %v; %+v", err, c.want, r)
			}
			if n := s.resets.Load(); n != c.resets {
				t.Errorf("%d resets, want %d", n, c.resets)
			}
			nothingLeft(t, f.Place.Dir)
		})
	}
}

func patienceFor(want error) time.Duration {
	if errors.Is(want, ErrOPcacheUnverified) {
		return 2 * time.Second // all of it is waited for, and the reset must fit in
	}
	return time.Minute
}

// A worker that dies of the reset is no success, and not the end: the next question is answered by another.
func TestFpmResetWorkerDies(t *testing.T) {
	var asked atomic.Int32
	f := fakeConn(t, func(c net.Conn) {
		n := int64(asked.Add(1))
		if n == 2 || n == 3 {
			return
		}
		text := reply(func(r *fpmReply) { r.Reset, r.Status.Statistics.ManualRestarts = yes(true), n })
		c.Write(records("Content-Type: text/html\r\n\r\n" + text))
	})
	if r, err := f.ResetOPcache(deadline(t, time.Minute)); err != nil || r.After.ManualRestarts != 4 {
		t.Errorf("%v, %+v", err, r)
	}
}

func TestParseFPMAddress(t *testing.T) {
	for text, want := range map[string]string{
		"/run/php/fpm.sock":        "unix:/run/php/fpm.sock",
		"unix:/run/php/fpm.sock":   "unix:/run/php/fpm.sock",
		"unix:///run/php/fpm.sock": "unix:/run/php/fpm.sock",
		"./fpm.sock":               "unix:./fpm.sock",
		"fpm.sock":                 "unix:fpm.sock",
		"127.0.0.1:9000":           "127.0.0.1:9000",
		"tcp://php:9000":           "php:9000",
		"[::1]:9000":               "[::1]:9000",
		"9000":                     "127.0.0.1:9000",
		":9000":                    "127.0.0.1:9000",
		"":                         "",
		"unix:":                    "",
		"unix://":                  "",
		"localhost":                "",
		"localhost:":               "",
		"localhost:http":           "",
		"localhost:0":              "",
		"localhost:65536":          "",
		"http://localhost:80":      "",
		"fcgi://localhost:9000":    "",
	} {
		got, err := ParseFPMAddress(text)
		if want == "" {
			if err == nil {
				t.Errorf("%q: got %v", text, got)
			}
			continue
		}
		if err != nil || got.String() != want {
			t.Errorf("%q: got %v, %v", text, got, err)
			continue
		}
		if again, err := ParseFPMAddress(got.String()); err != nil || again != got {
			t.Errorf("%q: its own text %q is %v, %v", text, got, again, err)
		}
	}
}

// The request is taken apart by the standard library's server: lengths, long values, and the end of each stream.
func TestFpmRequest(t *testing.T) {
	long := strings.Repeat("long ", 30000) // in more than one record
	seen := make(chan map[string]string, 1)
	f := fakeFPM(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		env := fcgi.ProcessEnv(r)
		env["body"] = fmt.Sprint(string(body), err)
		seen <- env
		io.WriteString(w, strings.Repeat("z", 200000))
	})
	c := conversation{f, &laidScript{path: "/a.php"}}
	params := c.params("do")
	params["LONG"], params["MIDDLE"], params["EMPTY"] = long, long[:127], ""
	answer, err := fcgiAsk(t.Context(), f.Address, params)
	if err != nil || answer.status != 200 || len(answer.body) != 200000 {
		t.Fatalf("%d, %d bytes, %v", answer.status, len(answer.body), err)
	}
	env := <-seen
	if env["LONG"] != long || env["MIDDLE"] != long[:127] || env["HOTRELOAD_ACTION"] != "do" || env["SCRIPT_FILENAME"] != "/a.php" || env["body"] != "<nil>" {
		t.Errorf("got %d bytes, %q", len(env["LONG"]), env["body"])
	}
}

// Whatever is answered, the exchange ends with the connection.
func FuzzFpmAnswer(f *testing.F) {
	f.Add(records("Status: 200 OK\r\n\r\n" + reply()))
	f.Add([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
	f.Add([]byte{1, 6, 0, 1, 255, 255, 255, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		conn, server := net.Pipe()
		defer conn.Close()
		go io.Copy(io.Discard, server)
		go func() {
			server.Write(data)
			server.Close()
		}()
		if answer, err := fcgiExchange(conn, map[string]string{"A": "b"}); err == nil {
			_, _ = conversation{script: &laidScript{}}.read(answer)
			_ = answer.words()
		}
	})
}
