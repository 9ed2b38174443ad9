package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hotreload/hotreload/supervisor"
)

// The table of changes: what hotreload does about an edit of a real server of each kind, and what every worker answers then.
//
// The servers are found through php (or HOTRELOAD_TEST_PHP, with HOTRELOAD_TEST_PHP_ARGS behind it) and the checkouts, with
// vendor, that HOTRELOAD_TEST_HYPERF, HOTRELOAD_TEST_WEBMAN and HOTRELOAD_TEST_WORKERMAN name; what is not there is skipped.
func TestTableOfChanges(t *testing.T) {
	if testing.Short() {
		t.Skip("real servers take a while")
	}
	for _, k := range []struct {
		name    string
		set     func(*testing.T) *app
		changes []change
	}{
		{"hyperf", hyperfBase, hyperfChanges},
		{"hyperf process", hyperfProcess, hyperfProcessChanges},
		{"hyperf coroutine", hyperfCoroutine, hyperfCoroutineChanges},
		{"webman", webman, webmanChanges},
		{"workerman", workerman, ownServerChanges},
		{"swoole process", swooleProcess, swooleProcessChanges},
		{"swoole base", swooleBase, swooleBaseChanges},
		{"swoole single process", swooleSingle, swooleSingleChanges},
	} {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			a := k.set(t)
			a.start()
			wrong := 0
			for _, c := range append(k.changes, atLast) {
				if !t.Run(c.name, func(t *testing.T) { a.try(t, c) }) {
					wrong++
				}
			}
			a.stop()
			t.Logf("%s: %d changes, %d wrong choices", k.name, len(k.changes), wrong)
		})
	}
}

// change is one row: an edit of an application that is served, what hotreload is to do about it, and what all workers are to
// answer then.
type change struct {
	name string
	edit edit
	want want
	path string
	body string
}

// want is the expected outcome.
type want struct {
	action supervisor.Action
	result supervisor.Result
	says   string // is part of its error
}

var (
	ignored       = want{supervisor.None, "", ""}
	reloaded      = want{supervisor.Reload, supervisor.Verified, ""}
	tasksReloaded = want{supervisor.ReloadTasks, supervisor.Verified, ""}
	restarted     = want{supervisor.Restart, supervisor.Verified, ""}
)

// refused is an operation that is not begun, because of what is found out before.
func refused(action supervisor.Action, says string) want {
	return want{action, supervisor.Refused, says}
}

// atLast ends each table: nothing has followed the row before.
var atLast = change{name: "nothing more", edit: nothing, want: ignored}

// edit changes files of an application, and returns which: relative paths, or directories with a slash behind them.
type edit func(t *testing.T, a *app) []string

func nothing(*testing.T, *app) []string { return nil }

// save replaces a text in a file, in place.
func save(file, from, to string) edit {
	return func(t *testing.T, a *app) []string {
		a.write(t, file, a.replaced(t, file, from, to))
		return []string{file}
	}
}

// saveOver does the same as editors do that write a new file and rename it.
func saveOver(file, from, to string) edit {
	return func(t *testing.T, a *app) []string {
		temp := filepath.Join(filepath.Dir(file), "4913")
		a.write(t, temp, a.replaced(t, file, from, to))
		must(t, os.Rename(a.path(temp), a.path(file)))
		return []string{file}
	}
}

// saveAt does it with a file that seems to have been changed so much later than the one before: cp -p, rsync -a.
func saveAt(later time.Duration, file, from, to string) edit {
	return func(t *testing.T, a *app) []string {
		before, err := os.Stat(a.path(file))
		must(t, err)
		temp := filepath.Join(filepath.Dir(file), "4913")
		a.write(t, temp, a.replaced(t, file, from, to))
		at := before.ModTime().Truncate(time.Second).Add(later)
		must(t, os.Chtimes(a.path(temp), at, at))
		must(t, os.Rename(a.path(temp), a.path(file)))
		return []string{file}
	}
}

// create writes a new file.
func create(file, content string) edit {
	return func(t *testing.T, a *app) []string {
		must(t, os.MkdirAll(filepath.Dir(a.path(file)), 0o755))
		a.write(t, file, content)
		return []string{file}
	}
}

// touch changes nothing but times.
func touch(file string) edit {
	return func(t *testing.T, a *app) []string {
		must(t, os.Chtimes(a.path(file), time.Now(), time.Now()))
		return []string{file}
	}
}

func remove(file string) edit {
	return func(t *testing.T, a *app) []string {
		must(t, os.Remove(a.path(file)))
		return []string{file}
	}
}

// together makes several edits at once, as git does when it checks out another branch.
func together(edits ...edit) edit {
	return func(t *testing.T, a *app) (touched []string) {
		lock := a.path(".git/index.lock")
		must(t, os.WriteFile(lock, nil, 0o644))
		defer func() { must(t, os.Remove(lock)) }()
		for _, e := range edits {
			touched = append(touched, e(t, a)...)
		}
		return touched
	}
}

// dumpAutoload has composer write its autoloader anew.
func dumpAutoload(files ...string) edit {
	return func(t *testing.T, a *app) []string {
		if !a.composer {
			t.Skip("composer is not installed")
		}
		a.autoload(t, files...)
		return []string{"vendor/composer/"}
	}
}

func (a *app) path(file string) string { return filepath.Join(a.dir, file) }

// write does not empty a file first: on a busy machine that could be a change of its own.
func (a *app) write(t *testing.T, file, content string) {
	t.Helper()
	f, err := os.OpenFile(a.path(file), os.O_WRONLY|os.O_CREATE, 0o644)
	must(t, err)
	_, err = f.WriteString(content)
	must(t, errors.Join(err, f.Truncate(int64(len(content))), f.Close()))
}

func (a *app) replaced(t *testing.T, file, from, to string) string {
	t.Helper()
	text, err := os.ReadFile(a.path(file))
	must(t, err)
	if !strings.Contains(string(text), from) {
		t.Fatalf("%s does not contain %q", file, from)
	}
	return strings.Replace(string(text), from, to, 1)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// try makes one change, and holds hotreload to what the row says of it.
func (a *app) try(t *testing.T, c change) {
	said := a.output.len()
	defer func() {
		if t.Failed() {
			t.Logf("hotreload said:\n%s", a.output.from(said))
			a.resync(t)
		}
	}()
	want, begin := c.want, time.Now()
	touched := c.edit(t, a)
	if want == ignored { // seen, since what is saved after it is acted upon
		want, touched = a.marks, a.mark(t)
	}
	touched = append(touched, a.owed...)
	st := a.outcome(t)
	out, took := st.Last, time.Since(begin)
	if out.Seq != a.seq {
		t.Errorf("operation %d, want %d: something else was done, too", out.Seq, a.seq)
	}
	if a.careful && want.action == supervisor.Reload && out.Action == supervisor.Restart {
		want.action = supervisor.Restart
	}
	if out.Result == supervisor.Refused {
		want.action = out.Action // nothing was done
	}
	if out.Action != want.action || out.Result != want.result || !strings.Contains(out.Error, want.says) {
		t.Errorf("%s %s (%q), want %s %s (%q)", out.Action, out.Result, out.Error, want.action, want.result, want.says)
	}
	for _, file := range out.Files {
		if !slices.ContainsFunc(touched, func(f string) bool { return f == file || strings.HasSuffix(f, "/") && strings.HasPrefix(file, f) }) {
			t.Errorf("it is about %s, too, which nobody has changed", file)
		}
	}
	if degraded := st.State == supervisor.Degraded; degraded != (out.Result == supervisor.Refused) {
		t.Errorf("state %s after %s", st.State, out.Result)
	}
	a.owed = nil
	if out.Result == supervisor.Refused {
		a.owed = touched
	}
	if c.path != "" {
		a.serve(t, st, c.path, c.body)
	}
	t.Logf("%s %s, %.0f ms; %d ms after the edit: %s", out.Action, out.Result, out.DurationMS, took.Milliseconds(), strings.Join(out.Reasons, ", "))
}
