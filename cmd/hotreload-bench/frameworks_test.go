package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestWitness(t *testing.T) {
	began := time.Now()
	at := func(ms int) time.Time { return began.Add(time.Duration(ms) * time.Millisecond) }
	says := func(pid int, version string, asked, answered int) reply {
		return reply{answer{pid, version}, at(asked), at(answered)}
	}
	refused := reply{asked: at(10)}
	for _, tt := range []struct {
		name    string
		replies []reply
		workers []int
		served  int // ms; 0: not
		silence int
		failed  int
	}{
		{"nothing was asked", nil, []int{1}, 0, 0, 0},
		{"both", []reply{says(1, "v2", 9, 10), says(2, "v2", 9, 14)}, []int{1, 2}, 14, 10, 0},
		{"their first answers count", []reply{says(1, "v2", 9, 10), says(2, "v2", 9, 14), says(1, "v2", 19, 20)}, []int{1, 2}, 14, 10, 0},
		{"one is not heard of", []reply{says(1, "v2", 9, 10), says(3, "v2", 9, 14)}, []int{1, 2}, 0, 10, 0},
		{"one has gone", []reply{says(1, "v2", 9, 10), says(3, "v2", 9, 14), says(2, "v2", 9, 15)}, []int{1, 2}, 15, 10, 0},
		{"an old answer of another one", []reply{says(1, "v2", 9, 10), says(2, "v2", 9, 14), says(3, "v1", 9, 16)}, []int{1, 2}, 16, 10, 0},
		{"back to the old code", []reply{says(1, "v2", 9, 10), says(1, "v1", 19, 20)}, []int{1}, 0, 10, 0},
		{"and forth", []reply{says(1, "v2", 9, 10), says(1, "v1", 19, 20), says(1, "v2", 49, 50)}, []int{1}, 50, 30, 0},
		{"refused for a while", []reply{says(1, "v1", 1, 2), refused, refused, says(1, "v2", 59, 60)}, []int{1}, 60, 58, 2},
		{"nobody works", []reply{says(1, "v2", 9, 10)}, nil, 0, 10, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWitness("v2", began)
			for _, r := range tt.replies {
				w.hear(r)
			}
			when, ok := w.served(tt.workers)
			if ok != (tt.served > 0) || ok && !when.Equal(at(tt.served)) {
				t.Errorf("served %v after %v, want %d ms", ok, when.Sub(began), tt.served)
			}
			if w.silence != at(tt.silence).Sub(began) || w.failed != tt.failed {
				t.Errorf("silence %v and %d failed, want %d ms and %d", w.silence, w.failed, tt.silence, tt.failed)
			}
		})
	}
}

// All connections are there before the first request is made.
func TestAskTogether(t *testing.T) {
	const n = 3
	open, answers := make(chan struct{}, n), make(chan struct{})
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-answers
		fmt.Fprint(w, "hello v7 from worker 42\n")
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			open <- struct{}{}
		}
	}
	server.Start()
	defer server.Close()
	go func() {
		defer close(answers)
		for range n {
			<-open
		}
	}()
	address := server.Listener.Addr().String()
	for _, r := range askTogether(t.Context(), address, "/", n) {
		if r.answer != (answer{42, "v7"}) || r.at.Before(r.asked) {
			t.Errorf("got %+v", r)
		}
	}
	server.Close()
	for _, r := range askTogether(t.Context(), address, "/", n) {
		if r.pid != 0 {
			t.Errorf("a server that is closed answers %+v", r)
		}
	}
}

func TestCopyCheckout(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	files := []string{"app/A.php", "vendor/autoload.php", "vendor/composer/a.php", "vendor/bin/x", "vendor/one/two/src/B.php", "runtime/x.pid"}
	for _, file := range files {
		path := filepath.Join(from, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(file), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := copyCheckout(to, from); err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join(to, file))
		if left := strings.HasPrefix(file, "runtime/"); left != os.IsNotExist(err) || !left && string(text) != file {
			t.Errorf("%s: %q, %v", file, text, err)
			continue
		}
		original, err := os.Stat(filepath.Join(from, file))
		if err != nil {
			t.Fatal(err)
		}
		if copied, err := os.Stat(filepath.Join(to, file)); err == nil && os.SameFile(original, copied) && !strings.HasPrefix(file, "vendor/one/") {
			t.Errorf("%s is the same file, and could be written to", file)
		}
	}
}
