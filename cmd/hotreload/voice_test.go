package main

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fatih/color"
	"go.uber.org/zap"

	"github.com/hotreload/hotreload/supervisor"
)

func plain(t *testing.T) (*voice, *bytes.Buffer) {
	t.Helper()
	color.NoColor = true
	out := new(bytes.Buffer)
	return &voice{out: out, glyph: signs}, out
}

func done(o supervisor.Outcome, output ...string) supervisor.Event {
	return supervisor.Event{Kind: supervisor.EventDone, Outcome: &o, Output: output}
}

// These are the words that people read.
func TestVoice(t *testing.T) {
	four := []int{1, 2, 3, 4}
	for _, test := range []struct {
		event supervisor.Event
		want  string
	}{
		{supervisor.Event{Kind: supervisor.EventStarting, Detail: "php server.php"}, "… starting php server.php\n"},
		{supervisor.Event{Kind: supervisor.EventReady, Took: 212 * time.Millisecond, PID: 4211}, "✓ serving after 212 ms · master 4211\n"},
		{supervisor.Event{Kind: supervisor.EventAdopted, PID: 4211}, "✓ took over the server that runs · master 4211\n"},
		{done(supervisor.Outcome{Action: supervisor.Reload, Result: supervisor.Verified, NewWorkers: four, DurationMS: 38.2, Reasons: []string{"app/Foo.php changed"}}),
			"✓ reloaded 4 workers in 38 ms · app/Foo.php changed\n"},
		{done(supervisor.Outcome{Action: supervisor.ReloadTasks, Result: supervisor.Verified, NewWorkers: four[:1], DurationMS: 1500}),
			"✓ reloaded 1 task worker in 1.5 s\n"},
		{done(supervisor.Outcome{Action: supervisor.Restart, Result: supervisor.Verified, DurationMS: 310, Reasons: []string{"config/app.php changed (hotreload.toml:12)"}}),
			"↻ restarted in 310 ms · config/app.php changed (hotreload.toml:12)\n"},
		{done(supervisor.Outcome{Action: supervisor.Restart, Result: supervisor.Verified, DurationMS: 310, ConnectionsIdle: 20, ConnectionsCut: 1, Reasons: []string{"config/app.php changed"}}),
			"↻ restarted in 310 ms, 20 idle connections closed, 1 connection in use cut · config/app.php changed\n"},
		{done(supervisor.Outcome{Action: supervisor.Reload, Result: supervisor.Refused, Error: `app/Foo.php:12: syntax error, unexpected token "}"; the old code still serves`}),
			"✗ app/Foo.php:12: syntax error, unexpected token \"}\" · the old code still serves\n"},
		{done(supervisor.Outcome{Action: supervisor.Restart, Result: supervisor.Failed, Error: "the server ended: exit code 255"}, "PHP Fatal error", "here"),
			"✗ restart failed: the server ended: exit code 255\n  │ PHP Fatal error\n  │ here\n"},
		{supervisor.Event{Kind: supervisor.EventCrashed, Detail: "the master ended by itself: ended by SIGSEGV"}, "✗ the master ended by itself: ended by SIGSEGV\n"},
		{supervisor.Event{Kind: supervisor.EventRetry, Wait: 400 * time.Millisecond}, "… trying again in 400 ms\n"},
		{supervisor.Event{Kind: supervisor.EventWaiting}, "… waiting for a change\n"},
		{supervisor.Event{Kind: supervisor.EventEscalated, Detail: "no task worker was replaced", Plan: supervisor.Plan{Action: supervisor.Reload}},
			"! doing a reload instead · no task worker was replaced\n"},
		{supervisor.Event{Kind: supervisor.EventIgnored, Detail: "app/cache.php"}, "! ignoring app/cache.php until it changes at another time · it changed during three reloads in a row, as if the server wrote it\n"},
		{supervisor.Event{Kind: supervisor.EventGateBroken, Detail: "php is gone"}, "! not checked · php is gone\n"},
		{supervisor.Event{Kind: supervisor.EventNote, Detail: "two\nlines"}, "! two · lines\n"},
		{supervisor.Event{Kind: supervisor.EventStopping, Detail: "SIGINT"}, "… stopping · SIGINT\n"},
		{supervisor.Event{Kind: supervisor.EventStopped}, "✓ stopped\n"},
		{supervisor.Event{Kind: supervisor.EventStopped, Detail: "it was killed"}, "! stopped · it was killed\n"},
	} {
		v, out := plain(t)
		v.Event(test.event)
		if out.String() != test.want {
			t.Errorf("%s:\nhave %swant %s", test.event.Kind, out.String(), test.want)
		}
	}
}

func TestOnlyTheLastOfTheServersWordsAreShown(t *testing.T) {
	v, out := plain(t)
	v.quote(strings.Split(strings.Repeat("x\n", 40)+"last", "\n"))
	if n := strings.Count(out.String(), "\n"); n != quotedLines {
		t.Errorf("%d lines, want %d", n, quotedLines)
	}
	if !strings.HasSuffix(out.String(), "│ last\n") {
		t.Errorf("the newest line is missing:\n%s", out)
	}
}

// What is quick is said once, when it is done; what takes long is announced.
func TestSlowOperationsAreAnnounced(t *testing.T) {
	begin := supervisor.Event{Kind: supervisor.EventChanged, Plan: supervisor.Plan{Action: supervisor.Restart, Reasons: []string{"a.php changed"}}}
	end := done(supervisor.Outcome{Action: supervisor.Restart, Result: supervisor.Verified})
	for name, test := range map[string]struct {
		lasts time.Duration
		want  int
	}{"quick": {time.Second / 2, 1}, "slow": {2 * time.Second, 2}} {
		synctest.Test(t, func(t *testing.T) {
			v, out := plain(t)
			v.slow = time.Second
			v.Event(begin)
			time.Sleep(test.lasts)
			synctest.Wait()
			v.Event(end)
			time.Sleep(time.Minute)
			synctest.Wait()
			if n := strings.Count(out.String(), "\n"); n != test.want {
				t.Errorf("%s: %d lines, want %d:\n%s", name, n, test.want, out)
			}
		})
	}
}

func TestOtherPackagesSpeakWithTheSameVoice(t *testing.T) {
	v, out := plain(t)
	log := zap.New(&voiceCore{zap.InfoLevel, v, nil}).With(zap.String("dir", "/srv"))
	log.Debug("not this")
	log.Info("looking", zap.Int("files", 3))
	log.Warn("limit reached")
	want := "… looking · dir=/srv files=3\n! limit reached · dir=/srv\n"
	if out.String() != want {
		t.Errorf("have\n%swant\n%s", out, want)
	}
}

func TestIsUTF8(t *testing.T) {
	for _, test := range []struct {
		env  map[string]string
		want bool
	}{
		{map[string]string{}, false},
		{map[string]string{"LANG": "de_DE.UTF-8"}, true},
		{map[string]string{"LANG": "C.utf8"}, true},
		{map[string]string{"LANG": "C.UTF-8", "LC_ALL": "C"}, false},
		{map[string]string{"LANG": "C", "LC_CTYPE": "en_US.UTF-8"}, true},
		{map[string]string{"LANG": "C.UTF-8", "LC_ALL": ""}, true},
	} {
		if have := isUTF8(func(name string) string { return test.env[name] }); have != test.want {
			t.Errorf("%v: %v, want %v", test.env, have, test.want)
		}
	}
}

// recorder is a reporter that remembers.
type recorder struct{ said []string }

func (r *recorder) Info(text string)         { r.said = append(r.said, "info "+text) }
func (r *recorder) Warn(text string)         { r.said = append(r.said, "warn "+text) }
func (r *recorder) Event(e supervisor.Event) { r.said = append(r.said, "event "+string(e.Kind)) }

func TestAttachedSaysOnceThatNobodyIsThere(t *testing.T) {
	r := new(recorder)
	a := &attachedReporter{reporter: r}
	missing := supervisor.Event{Kind: supervisor.EventCrashed, Detail: "no master"}
	for _, e := range []supervisor.Event{missing, {Kind: supervisor.EventRetry}, missing, {Kind: supervisor.EventRetry},
		{Kind: supervisor.EventAdopted, PID: 5}, missing, missing} {
		a.Event(e)
	}
	want := "event crashed|info waiting for somebody to start it|info found the server: master 5|event crashed|info waiting for somebody to start it"
	if have := strings.Join(r.said, "|"); have != want {
		t.Errorf("have %s\nwant %s", have, want)
	}
}

// stuckWriter takes nothing until it is let go.
type stuckWriter struct {
	letGo chan struct{}
	bytes.Buffer
}

func (w *stuckWriter) Write(p []byte) (int, error) {
	<-w.letGo
	return w.Buffer.Write(p)
}

func TestOutletNeverBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &stuckWriter{letGo: make(chan struct{})}
		o := newOutlet(w)
		for range 3 * waitingLines { // a write that blocked would be a deadlock, which synctest reports
			if _, err := o.Write([]byte("line\n")); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		close(w.letGo)
		o.Close()
		if !strings.Contains(w.String(), "lines were lost here") {
			t.Error("lines were lost, and nobody said so")
		}
		if n := strings.Count(w.String(), "line\n"); n < waitingLines {
			t.Errorf("%d lines arrived, want at least %d", n, waitingLines)
		}
		if _, err := o.Write([]byte("late\n")); err != nil || strings.Contains(w.String(), "late") {
			t.Error("a line after the end")
		}
	})
}

func TestOutletGivesUpOnAStuckTerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &stuckWriter{letGo: make(chan struct{})}
		o := newOutlet(w)
		o.Write([]byte("line\n"))
		o.Close() // returns, or synctest reports a deadlock
		close(w.letGo)
	})
}
