package watcher

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/sys/unix"
)

// TestScripts runs testdata/*.txt. A script is a list of commands, one a line, that work on an empty directory. It states
// what it does to the files and which batches must come of it:
//
//	write a.php "one"       write to the file, in place
//	append, chunks          append; write in two parts with a pause of several milliseconds after the truncation
//	save a.php "two"        write a temporary file and rename it
//	mkdir mkdirs touch chmod rm mv ln (symbolic) link (hard) fifo cp (with -p: keeps the time)
//	run git init            any command
//	option quiet 50ms       before watch: include, exclude, path, hold, poll, quiet, maxwait, comeback
//	watch                   start the watcher and wait until it is ready
//	expect                  the next batch, each change indented on a line of its own: created a.php
//	expect-some             the next batch contains these changes
//	quiet                   nothing is to be reported
//	held                    a batch is held up
//	overflow                as if the kernel's queue had overflowed
//	notice TEXT             something was logged that contains the text
//	stats TEXT              the statistics contain the text
//
// Words may be quoted as in Go. Every script is run a second time with polling where its first line is "# also polled".
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			runScript(t, file, string(text), PollAuto)
		})
		if strings.HasPrefix(string(text), "# also polled") {
			t.Run("polled-"+name, func(t *testing.T) {
				t.Parallel()
				runScript(t, file, string(text), PollAlways)
			})
		}
	}
}

type script struct {
	*testing.T
	where string // file:line
	dir   string
	opt   Options
	env   *env
	w     *Watcher
	log   *observer.ObservedLogs
	lure  int // number of the last file made to provoke a batch
}

// patience is how long a test waits for what must come.
const patience = time.Minute

func runScript(t *testing.T, file, text string, poll PollMode) {
	core, log := observer.New(zapcore.DebugLevel)
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := &script{T: t, dir: filepath.Join(dir, "app"), env: testEnv(), log: log}
	if err := os.Mkdir(s.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	// The quiet period is long, so that what stands together in a script comes in one batch on a busy machine, too.
	s.opt = Options{Base: s.dir, Include: defaultInclude, Exclude: defaultExclude, Quiet: 120 * time.Millisecond,
		MaxWait: 10 * time.Second, Poll: poll, PollInterval: 20 * time.Millisecond, Log: zap.New(core)}
	if poll == PollAlways {
		s.opt.Quiet = 400 * time.Millisecond // and a round of polls may take its time
	}

	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		line := strings.TrimSpace(lines[i])
		if line == "" || line[0] == '#' {
			continue
		}
		s.where = fmt.Sprintf("%s:%d", file, i+1)
		var want []string
		for i+1 < len(lines) && strings.HasPrefix(lines[i+1], "\t") {
			i++
			want = append(want, strings.TrimSpace(lines[i]))
		}
		words, err := splitWords(line)
		if err != nil {
			s.Fatalf("%s: %v", s.where, err)
		}
		s.do(words, want)
	}
}

func (s *script) do(words, want []string) {
	s.Helper()
	cmd, args := words[0], words[1:]
	switch cmd {
	case "option":
		s.option(args)
	case "watch":
		s.watch()
	case "expect":
		s.expect(want)
	case "expect-some":
		s.expectSome(want)
	case "held":
		s.held()
	case "quiet":
		s.quiet()
	case "overflow":
		s.w.tree.intake.fail(fsnotify.ErrEventOverflow)
	case "notice":
		s.notice(args[0])
	case "stats":
		if got := fmt.Sprintf("%+v", s.w.Stats()); !strings.Contains(got, args[0]) {
			s.Fatalf("%s: stats are %s", s.where, got)
		}
	case "run":
		c := exec.Command(args[0], args[1:]...)
		c.Dir = s.dir
		c.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.org",
			"GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.org")
		if out, err := c.CombinedOutput(); err != nil {
			if errors.Is(err, exec.ErrNotFound) {
				s.Skipf("%s is not installed", args[0])
			}
			s.Fatalf("%s: %v\n%s", s.where, err, out)
		}
	default:
		if err := fileCommand(cmd, args, s.path); err != nil {
			s.Fatalf("%s: %v", s.where, err)
		}
	}
}

func (s *script) path(rel string) string {
	if filepath.IsAbs(rel) {
		return rel
	}
	return filepath.Join(s.dir, rel)
}

func (s *script) option(args []string) {
	var err error
	switch name, values := args[0], args[1:]; name {
	case "include":
		s.opt.Include = values
	case "exclude":
		s.opt.Exclude = values
	case "path":
		for _, v := range values {
			s.opt.Paths = append(s.opt.Paths, s.path(v))
		}
	case "hold":
		for _, v := range values {
			s.opt.HoldFiles = append(s.opt.HoldFiles, s.path(v))
		}
	case "poll":
		s.opt.Poll = map[string]PollMode{"auto": PollAuto, "always": PollAlways, "never": PollNever}[values[0]]
	case "quiet":
		s.opt.Quiet, err = time.ParseDuration(values[0])
	case "comeback":
		s.env.comeBack, err = time.ParseDuration(values[0])
	case "maxwait":
		s.opt.MaxWait, err = time.ParseDuration(values[0])
	default:
		err = errors.New("no such option")
	}
	if err != nil {
		s.Fatalf("%s: %v", s.where, err)
	}
}

func (s *script) watch() {
	if s.opt.Paths == nil {
		s.opt.Paths = []string{s.dir}
	}
	s.w = startWatcher(s.T, s.opt, s.env)
	s.until("the content of all files", func(t *tree) bool {
		for _, d := range t.nodes {
			if slices.ContainsFunc(d.files, func(f fileState) bool { return !f.known && !f.opaque }) {
				return false
			}
		}
		return true
	})
}

func startWatcher(t *testing.T, opt Options, e *env) *Watcher {
	t.Helper()
	w, err := newWatcher(opt, e)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(patience):
			t.Error("Run does not end")
		}
	})
	select {
	case <-w.Ready():
	case <-time.After(patience):
		t.Fatal("never ready")
	}
	return w
}

func (s *script) next() []string {
	s.Helper()
	select {
	case b := <-s.w.Batches():
		var got []string
		for _, c := range b.Changes {
			if !filepath.IsAbs(c.Path) || s.path(filepath.FromSlash(c.Rel)) != c.Path {
				s.Errorf("%s: path %q, relative %q", s.where, c.Path, c.Rel)
			}
			if !slices.Contains([]string{".env", ""}, c.Rel) && strings.HasPrefix(filepath.Base(c.Rel), "lure") && len(b.Changes) == 1 {
				return []string{"lure"}
			}
			got = append(got, c.Op.String()+" "+quoteIfNeeded(c.Rel))
		}
		if b.First.IsZero() || b.Taken.Before(b.First) {
			s.Errorf("%s: first %v, taken %v", s.where, b.First, b.Taken)
		}
		return got
	case <-time.After(patience):
		s.Fatalf("%s: no batch", s.where)
		return nil
	}
}

func (s *script) expect(want []string) {
	s.Helper()
	got := s.next()
	if !slices.Equal(got, want) {
		s.Fatalf("%s:\n got %q\nwant %q", s.where, got, want)
	}
}

// expectSome wants these changes and does not mind others.
func (s *script) expectSome(want []string) {
	s.Helper()
	got := s.next()
	for _, change := range want {
		if !slices.Contains(got, change) {
			s.Fatalf("%s:\n got %q\nwant %q", s.where, got, want)
		}
	}
}

// held waits until the watcher has decided to hold a batch up.
func (s *script) held() {
	s.Helper()
	s.until("a hold", func(t *tree) bool { return t.held > 0 })
	s.until("a hold", func(t *tree) bool { t.held = 0; return true })
	s.until("another hold", func(t *tree) bool { return t.held > 0 })
	select {
	case b := <-s.w.Batches():
		s.Fatalf("%s: not held: %v", s.where, b.Changes)
	default:
	}
}

// until waits for a fact about the tree.
func (s *script) until(what string, fact func(*tree) bool) {
	s.Helper()
	deadline := time.Now().Add(patience)
	for {
		answer := make(chan bool)
		s.w.calls <- func() { answer <- fact(s.w.tree) }
		if <-answer {
			return
		}
		if time.Now().After(deadline) {
			s.Fatalf("%s: %s did not come", s.where, what)
		}
		time.Sleep(time.Millisecond)
	}
}

// quiet makes a change of its own. Events keep their order, so that whatever else were to be reported would come before it,
// or with it. A round of polls has no order; after the second change a whole round has passed since the first.
func (s *script) quiet() {
	s.Helper()
	n := 1
	if s.opt.Poll == PollAlways {
		n = 2
	}
	for range n {
		s.lure++
		if err := fileCommand("write", []string{fmt.Sprintf("lure%d.php", s.lure), "x"}, s.path); err != nil {
			s.Fatal(err)
		}
		if got := s.next(); !slices.Equal(got, []string{"lure"}) {
			s.Fatalf("%s: reported %q", s.where, got)
		}
	}
}

func (s *script) notice(text string) {
	s.Helper()
	var all []string
	for _, e := range s.log.All() {
		line := fmt.Sprintf("%s %v", e.Message, e.ContextMap())
		if strings.Contains(line, text) {
			return
		}
		all = append(all, line)
	}
	s.Fatalf("%s: no notice contains %q:\n%s", s.where, text, strings.Join(all, "\n"))
}

// fileCommand does one thing to the file system.
func fileCommand(cmd string, args []string, at func(string) string) error {
	arg := func(i int) string {
		if i < len(args) {
			return args[i]
		}
		return ""
	}
	one, two := at(arg(0)), at(arg(1))
	switch cmd {
	case "write":
		return os.WriteFile(one, []byte(arg(1)), 0o644)
	case "append":
		f, err := os.OpenFile(one, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteString(arg(1))
		return errors.Join(err, f.Close())
	case "chunks":
		f, err := os.Create(one)
		if err != nil {
			return err
		}
		time.Sleep(100 * time.Millisecond) // this is what is tested: a program that is slow between truncating and writing
		_, err = f.WriteString(arg(1))
		return errors.Join(err, f.Close())
	case "save":
		if err := os.WriteFile(one+".tmp", []byte(arg(1)), 0o644); err != nil {
			return err
		}
		return os.Rename(one+".tmp", one)
	case "mkdir":
		return os.Mkdir(one, 0o755)
	case "mkdirs":
		return os.MkdirAll(one, 0o755)
	case "touch":
		now := time.Now()
		return os.Chtimes(one, now, now)
	case "backdate":
		return os.Chtimes(one, time.Unix(1e9, 0), time.Unix(1e9, 0))
	case "chmod":
		mode, err := strconv.ParseUint(arg(0), 8, 32)
		return errors.Join(err, os.Chmod(two, fs.FileMode(mode)))
	case "rm":
		return os.RemoveAll(one)
	case "mv":
		return os.Rename(one, two)
	case "ln":
		return os.Symlink(arg(0), two)
	case "relink":
		if err := os.Symlink(arg(0), two+".tmp"); err != nil {
			return err
		}
		return os.Rename(two+".tmp", two)
	case "link":
		return os.Link(one, two)
	case "fifo":
		return unix.Mkfifo(one, 0o644)
	case "cp":
		keep := arg(0) == "-p"
		if keep {
			one, two = two, at(arg(2))
		}
		info, err := os.Stat(one)
		if err != nil {
			return err
		}
		text, err := os.ReadFile(one)
		if err != nil {
			return err
		}
		if err := os.WriteFile(two, text, 0o644); err != nil || !keep {
			return err
		}
		return os.Chtimes(two, info.ModTime(), info.ModTime())
	}
	return fmt.Errorf("no command %q", cmd)
}

func splitWords(line string) (words []string, err error) {
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimSpace(line) {
		word, rest, _ := strings.Cut(line, " ")
		if line[0] == '"' {
			quoted, err := strconv.QuotedPrefix(line)
			if err != nil {
				return nil, err
			}
			if word, err = strconv.Unquote(quoted); err != nil {
				return nil, err
			}
			rest = line[len(quoted):]
		}
		words, line = append(words, word), rest
	}
	return words, nil
}

func quoteIfNeeded(path string) string {
	if q := strconv.Quote(path); q != `"`+path+`"` || strings.Contains(path, " ") {
		return q
	}
	return path
}
