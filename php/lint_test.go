package php

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// samples are files by whether php -l takes them. Each is alone in its own file.
var samples = map[string]struct {
	text    string
	line    int    // 0: it compiles
	message string // the start of it
}{
	"good.php":           {"<?php\necho 1;\n", 0, ""},
	"empty.php":          {"", 0, ""},
	"shebang.php":        {"#!/usr/bin/env php\n<?php\necho 1;\n", 0, ""},
	"halted.php":         {"<?php\n__halt_compiler();\x00 ) garbage", 0, ""},
	"deprecated.php":     {"<?php\nfunction h($x = 1, $y) {}\n", 0, ""},
	"unknown.php":        {"<?php\nclass A extends Missing implements AlsoMissing {}\n", 0, ""},
	"same.php":           {"<?php\nfunction same() {}\nclass Same {}\n", 0, ""},
	"again.php":          {"<?php\nfunction same() {}\nclass Same {}\n", 0, ""},
	"template.php":       {"<?xml version=\"1.0\"?>\n<a><?= 1 ?></a>\n", 0, ""},
	"-n.php":             {"<?php\necho 1;\n", 0, ""},
	"blank name.php":     {"<?php\necho 1;\n", 0, ""},
	"line\nbreak.php":    {"<?php\n\n$a = ;\n", 3, "syntax error"},
	"x on line 3.php":    {"<?php\n\n\n\n$a = ;\n", 5, "syntax error"},
	"syntax.php":         {"<?php\n$a = ;\n", 2, "syntax error, unexpected"},
	"end.php":            {"<?php\nif (1) {\n", 3, "Unclosed '{'"},
	"method twice.php":   {"<?php\nclass X { function m() {} function m() {} }\n", 2, "Cannot redeclare X::m()"},
	"function.php":       {"<?php\nfunction f() {}\nfunction f() {}\n", 3, "Cannot redeclare"},
	"break.php":          {"<?php\nbreak;\n", 2, "'break' not in"},
	"-r echo 1;.php":     {"<?php\n$a = ;\n", 2, "syntax error"},
	"built in.php":       {"<?php\nfunction strlen() {}\n", 2, "Cannot redeclare"},
	"parameter.php":      {"<?php\nfunction g($a, $a) {}\n", 2, "Redefinition of parameter $a"},
	"ümläut.php":         {"<?php\n$a = ;\n", 2, "syntax error"},
	"deprecated bad.php": {"<?php\nfunction h($x = 1, $y) {}\n$a = ;\n", 3, "syntax error"},
}

// sampleDir writes the samples and returns their directory and names.
func sampleDir(t testing.TB) (string, []string) {
	t.Helper()
	dir := t.TempDir()
	var names []string
	for name, sample := range samples {
		writeFile(t, filepath.Join(dir, name), sample.text)
		names = append(names, name)
	}
	return dir, names
}

func checkSamples(t *testing.T, result Result, names []string) {
	t.Helper()
	found := map[string]Problem{}
	for _, problem := range result.Problems {
		found[problem.File] = problem
	}
	for _, name := range names {
		want := samples[name]
		got, bad := found[name]
		switch {
		case bad != (want.line > 0):
			t.Errorf("%q: %v", name, got)
		case bad && (got.Line != want.line || !strings.HasPrefix(got.Message, want.message)):
			t.Errorf("%q: line %d, %q; want line %d, %q", name, got.Line, got.Message, want.line, want.message)
		}
	}
	if len(result.Unreadable) > 0 || result.Checked != len(names) {
		t.Errorf("checked %d of %d, unreadable %v", result.Checked, len(names), result.Unreadable)
	}
}

func TestLintEachAlone(t *testing.T) {
	p := realPHP(t)
	dir, names := sampleDir(t)
	p.Dir = dir
	for _, name := range names {
		result, err := p.Lint(t.Context(), []string{name}, LintOptions{})
		if err != nil {
			t.Errorf("%q: %v", name, err)
		}
		checkSamples(t, result, []string{name})
	}
}

func TestLintTogether(t *testing.T) {
	p := realPHP(t)
	dir, names := sampleDir(t)
	for _, parallel := range []int{0, 1, 7} {
		// The server's settings are those of the plain php -l; the fast check takes "<?" for code and is corrected.
		p := PHP{Path: p.Path, Dir: dir, Args: []string{"-d", "short_open_tag=0", "-d", "html_errors=1", "-d", "display_errors=0", "-d", "log_errors=1"}}
		result, err := p.Lint(t.Context(), names, LintOptions{ShortOpenTag: true, Parallel: parallel})
		if err != nil {
			t.Errorf("parallel %d: %v", parallel, err)
		}
		checkSamples(t, result, names)
	}
}

func TestLintWithoutOPcache(t *testing.T) {
	realPHP(t)
	dir, names := sampleDir(t)
	p := fakePHP(t, `case "$*" in *opcache*) exit 1;; esac; exec $PHP "$@"`)
	p.Dir = dir
	result, err := p.Lint(t.Context(), names, LintOptions{})
	if err != nil {
		t.Error(err)
	}
	checkSamples(t, result, names)
}

// A process that compiles many files and dies in one of them goes on behind it; the file itself is cleared.
func TestLintSurvivesACrashOfTheFastCheck(t *testing.T) {
	realPHP(t)
	dir, names := sampleDir(t)
	p := fakePHP(t, `case "$*" in
*opcache*) exec $PHP -r 'echo "ready\n0\n"; posix_kill(getmypid(), SIGSEGV);';;
esac
exec $PHP "$@"`)
	p.Dir = dir
	result, err := p.Lint(t.Context(), names, LintOptions{})
	if err != nil {
		t.Error(err)
	}
	checkSamples(t, result, names)
}

func TestLintReportsACrash(t *testing.T) {
	for name, script := range map[string]string{
		"signal": "kill -SEGV $$",
		"memory": `echo "PHP Fatal error:  Allowed memory size of 2097152 bytes exhausted (tried to allocate 16384 bytes) in $PWD on line 2"; exit 255`,
		"silent": "exit 255",
	} {
		t.Run(name, func(t *testing.T) {
			p := fakePHP(t, script)
			result, err := p.Lint(t.Context(), []string{writeFile(t, filepath.Join(t.TempDir(), "a.php"), "<?php")}, LintOptions{})
			if err == nil || len(result.Problems) > 0 {
				t.Errorf("problems %v, error %v", result.Problems, err)
			}
		})
	}
}

func TestLintWithoutABinary(t *testing.T) {
	p := PHP{Path: "/nonexistent/php"}
	_, err := p.Lint(t.Context(), []string{writeFile(t, filepath.Join(t.TempDir(), "a.php"), "<?php")}, LintOptions{})
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

func TestLintUnreadable(t *testing.T) {
	p := realPHP(t)
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "good.php"), "<?php\n")
	if err := os.Mkdir(filepath.Join(dir, "directory.php"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe.php"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("loop.php", filepath.Join(dir, "loop.php")); err != nil {
		t.Fatal(err)
	}
	p.Dir = dir
	result, err := p.Lint(t.Context(), []string{"gone.php", "directory.php", "pipe.php", "loop.php", "good.php"}, LintOptions{})
	if err != nil || result.Checked != 1 || len(result.Problems) != 0 {
		t.Errorf("%+v, %v", result, err)
	}
	if len(result.Unreadable) != 1 || result.Unreadable[0].File != "loop.php" || result.Unreadable[0].Err == nil {
		t.Errorf("unreadable: %+v", result.Unreadable)
	}
}

func TestLintUnreadableToPHPAlone(t *testing.T) {
	p := fakePHP(t, `echo "Could not open input file: a.php"; exit 1`)
	file := writeFile(t, filepath.Join(t.TempDir(), "a.php"), "<?php")
	result, err := p.Lint(t.Context(), []string{file}, LintOptions{})
	if err != nil || len(result.Unreadable) != 1 || result.Checked != 0 {
		t.Errorf("%+v, %v", result, err)
	}
}

func TestLintOfAFileThatVanishes(t *testing.T) {
	dir := t.TempDir()
	p := fakePHP(t, `rm -f a.php; exit 255`)
	p.Dir = dir
	writeFile(t, filepath.Join(dir, "a.php"), "<?php $a = ;")
	result, err := p.Lint(t.Context(), []string{"a.php"}, LintOptions{})
	if err != nil || len(result.Problems)+len(result.Unreadable)+result.Checked != 0 {
		t.Errorf("%+v, %v", result, err)
	}
}

func TestLintOfNothing(t *testing.T) {
	result, err := PHP{Path: "/nonexistent"}.Lint(t.Context(), nil, LintOptions{})
	if err != nil || result.Checked != 0 {
		t.Errorf("%+v, %v", result, err)
	}
}

func TestLintEndsWithItsContext(t *testing.T) {
	for _, count := range []int{1, bulkFrom} {
		dir := t.TempDir()
		var files []string
		for i := range count {
			files = append(files, writeFile(t, filepath.Join(dir, fmt.Sprintf("%d.php", i)), "<?php"))
		}
		// A wrapper with a child that holds the pipes: the kill must reach both.
		p := fakePHP(t, "echo started > "+dir+"/started; sleep 600; echo")
		ctx, cancel := context.WithCancel(t.Context())
		p.Run = func(cmd *exec.Cmd) error {
			if err := cmd.Start(); err != nil {
				return err
			}
			waitFor(t, filepath.Join(dir, "started"))
			cancel()
			return cmd.Wait()
		}
		if _, err := p.Lint(ctx, files, LintOptions{}); !errors.Is(err, context.Canceled) {
			t.Errorf("%d files: error %v", count, err)
		}
	}
}

// waitFor waits until a file is there. It may run in another goroutine than the test's.
func waitFor(t *testing.T, file string) {
	for end := time.Now().Add(time.Minute); ; {
		if _, err := os.Stat(file); err == nil {
			return
		}
		if time.Now().After(end) {
			t.Errorf("%s did not appear", file)
			return
		}
		time.Sleep(time.Millisecond) // between two looks
	}
}

func TestLintRunsThroughRun(t *testing.T) {
	p := realPHP(t)
	dir, names := sampleDir(t)
	var runs atomic.Int64
	p.Dir = dir
	p.Run = func(cmd *exec.Cmd) error {
		runs.Add(1)
		return cmd.Run()
	}
	result, err := p.Lint(t.Context(), names, LintOptions{})
	if err != nil || runs.Load() == 0 {
		t.Errorf("%d runs, %v", runs.Load(), err)
	}
	checkSamples(t, result, names)
}

// manyFiles writes count classes with 20 methods each.
func manyFiles(b *testing.B, count int) []string {
	dir := b.TempDir()
	var files []string
	for i := range count {
		var text strings.Builder
		fmt.Fprintf(&text, "<?php\n\nnamespace App\\N%d;\n\nfinal class C%d extends Base\n{\n", i, i)
		for m := range 20 {
			fmt.Fprintf(&text, "    public function m%d(int $a, string $b = 'x'): int\n    {\n        return $a + strlen($b) * %d;\n    }\n\n", m, m)
		}
		text.WriteString("}\n")
		files = append(files, writeFile(b, filepath.Join(dir, fmt.Sprint(i/100), fmt.Sprintf("C%d.php", i)), text.String()))
	}
	return files
}

func BenchmarkLint(b *testing.B) {
	p := realPHP(b)
	files := manyFiles(b, 5000)
	for _, count := range []int{1, 2, 4, bulkFrom - 1, bulkFrom, 100, 5000} {
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			for b.Loop() {
				if result, err := p.Lint(b.Context(), files[:count], LintOptions{}); err != nil || result.Checked != count {
					b.Fatalf("%+v, %v", result, err)
				}
			}
		})
	}
}
