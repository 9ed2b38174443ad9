package php

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// bulkFrom is the number of files from which one process for all is used. It is faster from four on, two CPUs given (a
// process takes 6 to 10 ms to start, with OPcache a few more, and then 0.1 ms per file), but sees a little less: see Lint.
const bulkFrom = 8

// LintOptions are the zero value for most.
type LintOptions struct {
	// ShortOpenTag is the server's short_open_tag (see Settings): is code behind "<?" code? Without it a template
	// with "<?xml" is one.
	ShortOpenTag bool
	// Parallel bounds the processes that run at a time; 0 is the number of CPUs.
	Parallel int
}

// Result is what Lint found.
type Result struct {
	// Problems are the files that do not compile, in the order of the files that were given.
	Problems []Problem
	// Unreadable are the files that could not be checked; the code in them may be good or bad.
	Unreadable []Unreadable
	// Checked counts the files that php looked at. Files that are gone, and directories, are in none of the three.
	Checked int
}

// Problem is one file that does not compile.
type Problem struct {
	// File is the name as it was given to Lint.
	File string
	// Line is php's line number, from 1.
	Line int
	// Message is in php's words: `syntax error, unexpected token ";"`.
	Message string
}

func (p Problem) String() string {
	return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Message)
}

// Unreadable is one file that could not be checked.
type Unreadable struct {
	File string
	Err  error
}

// Lint asks php whether files compile, and runs none of their code. A few files are checked by a process each,
// many by one process that compiles them with OPcache where there is one.
//
// Both are fast because they read no php.ini (-n), and so may refuse what the server would take. Each failure is
// therefore confirmed by php -l with the server's own settings before it counts.
//
// The check of many files does not see what php -l sees of inheritance between classes of one file.
//
// An error means that php itself could not do the work: it crashed, ran out of memory, or ctx ended. What was found
// until then is in the Result.
func (p PHP) Lint(ctx context.Context, files []string, options LintOptions) (Result, error) {
	l := linter{php: p, options: options, parallel: options.Parallel}
	if l.parallel <= 0 {
		l.parallel = runtime.GOMAXPROCS(0)
	}
	readable, unreadable := l.sift(files)
	result := Result{Unreadable: unreadable, Checked: len(readable)}
	suspects, errSuspects := l.suspects(ctx, readable)
	verdicts, errConfirm := l.each(ctx, suspects, l.confirm)
	for i, verdict := range verdicts {
		switch {
		case verdict.problem != nil:
			result.Problems = append(result.Problems, *verdict.problem)
		case verdict.gone:
			result.Checked--
		case verdict.unreadable != nil:
			result.Unreadable = append(result.Unreadable, Unreadable{suspects[i], verdict.unreadable})
			result.Checked--
		}
	}
	return result, cmp.Or(ctx.Err(), errSuspects, errConfirm)
}

type linter struct {
	php      PHP
	options  LintOptions
	parallel int
}

// verdict is what one process said about one file.
type verdict struct {
	failed     bool
	problem    *Problem
	unreadable error
	gone       bool
}

// sift drops what is gone or is no file, and reports what cannot be opened.
func (l linter) sift(files []string) (readable []string, unreadable []Unreadable) {
	for _, file := range files {
		err := l.open(file)
		switch {
		case err == nil:
			readable = append(readable, file)
		case errors.Is(err, os.ErrNotExist), errors.Is(err, errNoFile):
		default:
			unreadable = append(unreadable, Unreadable{file, err})
		}
	}
	return readable, unreadable
}

var errNoFile = errors.New("not a regular file")

// open tries to open file for reading, and closes it. A named pipe would block: it is never opened.
func (l linter) open(file string) error {
	path := file
	if !filepath.IsAbs(path) {
		path = filepath.Join(l.php.Dir, path)
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errNoFile
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return f.Close()
}

// suspects returns the files that a fast check refuses, in order.
func (l linter) suspects(ctx context.Context, files []string) ([]string, error) {
	bad := map[string]bool{}
	rest := files
	if len(files) >= bulkFrom {
		var err error
		if rest, err = l.bulk(ctx, files, bad); err != nil {
			return nil, err
		}
	}
	verdicts, err := l.each(ctx, rest, l.quick)
	for i, verdict := range verdicts {
		if verdict.failed {
			bad[rest[i]] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(files), func(file string) bool { return !bad[file] }), err
}

// each asks about every file, l.parallel at a time. Of the errors it returns the first; the other files are asked
// about all the same, unless ctx ended.
func (l linter) each(ctx context.Context, files []string, ask func(context.Context, string) (verdict, error)) ([]verdict, error) {
	verdicts := make([]verdict, len(files))
	errs := make([]error, len(files))
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(l.parallel, len(files)) {
		wg.Go(func() {
			for i := range next {
				verdicts[i], errs[i] = ask(ctx, files[i])
			}
		})
	}
	for i := range files {
		if ctx.Err() != nil {
			break
		}
		next <- i
	}
	close(next)
	wg.Wait()
	return verdicts, cmp.Or(errs...)
}

// quick runs php -n -l. A process that crashes is a failure too: the confirmation tells which.
func (l linter) quick(ctx context.Context, file string) (verdict, error) {
	args := append(l.quickSettings(), "-l", dashless(file))
	cmd := l.php.command(ctx, []string{"-n"}, args...)
	return verdict{failed: l.php.run(cmd) != nil}, ctx.Err()
}

func (l linter) quickSettings() []string {
	return []string{"-d", "short_open_tag=" + onOff(l.options.ShortOpenTag), "-d", "display_errors=0", "-d", "log_errors=0"}
}

// confirm runs php -l with the server's settings, except those that shape how php talks.
func (l linter) confirm(ctx context.Context, file string) (verdict, error) {
	cmd := l.php.command(ctx, l.php.Args,
		"-d", "display_errors=1", "-d", "html_errors=0", "-d", "log_errors=0", "-d", "error_log=",
		"-d", "error_prepend_string=", "-d", "error_append_string=", "-d", "xdebug.mode=off",
		"-l", dashless(file))
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	err := l.php.run(cmd)
	if err == nil || ctx.Err() != nil {
		return verdict{}, ctx.Err()
	}
	if err := l.open(file); err != nil { // it changed since it was sifted, or php runs as somebody else
		return verdict{gone: errors.Is(err, os.ErrNotExist), unreadable: err}, nil
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		if problem, ok := parseLint(output.String(), dashless(file)); ok {
			problem.File = file
			return verdict{problem: &problem}, nil
		}
		if strings.Contains(output.String(), "Could not open input file") {
			return verdict{unreadable: errors.New("php cannot open it")}, nil
		}
	}
	return verdict{}, fmt.Errorf("lint %s: %w: %s", file, err, lastLine(output.Bytes()))
}

// dashless keeps php from taking a file for an option.
func dashless(file string) string {
	if strings.HasPrefix(file, "-") {
		return "./" + file
	}
	return file
}

func onOff(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

// lastLine is the last line of output that says something, for an error's text.
func lastLine(output []byte) string {
	lines := strings.Split(strings.TrimSpace(string(output)), "\n")
	last := []rune(lines[len(lines)-1])
	return string(last[:min(len(last), 200)])
}
