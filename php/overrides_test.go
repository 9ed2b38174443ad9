package php

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestWriteOverrides(t *testing.T) {
	defaults := map[string]string{"opcache.validate_timestamps": "1", "opcache.revalidate_freq": "2", "opcache.file_update_protection": "2", "realpath_cache_size": "4096K"}
	production := map[string]string{"opcache.validate_timestamps": "0", "opcache.revalidate_freq": "60", "opcache.file_update_protection": "0", "realpath_cache_size": "16M"}
	for _, test := range []struct {
		name            string
		ini             map[string]string
		opcache         bool
		args            string
		file            string
		replaced, fixed string
	}{
		{"php's defaults", defaults, true, "", "revalidate_freq realpath_cache_size", "[]", "[]"},
		{"production", production, true, "", "validate_timestamps revalidate_freq file_update_protection realpath_cache_size",
			"[opcache.validate_timestamps=1 (was 0) opcache.revalidate_freq=0 (was 60) opcache.file_update_protection=2 (was 0) realpath_cache_size=0 (was 16M)]", "[]"},
		{"production without OPcache", production, false, "", "validate_timestamps revalidate_freq file_update_protection realpath_cache_size",
			"[realpath_cache_size=0 (was 16M)]", "[]"},
		{"on the command line", production, true, "-d opcache.validate_timestamps=0 -d memory_limit=1G", "validate_timestamps revalidate_freq file_update_protection realpath_cache_size",
			"[opcache.revalidate_freq=0 (was 60) opcache.file_update_protection=2 (was 0) realpath_cache_size=0 (was 16M)]", "[opcache.validate_timestamps=1 (was 0)]"},
		{"no ini files at all", defaults, true, "-n", "revalidate_freq realpath_cache_size", "[]",
			"[opcache.revalidate_freq=0 (was 2) realpath_cache_size=0 (was 4096K)]"},
		{"a longer protection stays", map[string]string{"opcache.validate_timestamps": "On", "opcache.revalidate_freq": "0", "opcache.file_update_protection": "10", "realpath_cache_size": "0"}, true, "", "", "[]", "[]"},
		{"unknown", nil, false, "", "validate_timestamps revalidate_freq file_update_protection realpath_cache_size", "[]", "[]"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "ini")
			p := PHP{Args: strings.Fields(test.args), Env: []string{}}
			o, err := p.WriteOverrides(dir, Settings{INI: test.ini, OPcache: test.opcache})
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(o.Replaced); got != test.replaced {
				t.Errorf("replaced %s, want %s", got, test.replaced)
			}
			if got := fmt.Sprint(o.Fixed); got != test.fixed {
				t.Errorf("fixed %s, want %s", got, test.fixed)
			}
			text, err := os.ReadFile(o.File)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for line := range strings.Lines(string(text)) {
				if name, _, ok := strings.Cut(line, "="); ok {
					names = append(names, strings.TrimPrefix(name, "opcache."))
				}
			}
			if got := strings.Join(names, " "); got != test.file {
				t.Errorf("the file sets %s, want %s", got, test.file)
			}
		})
	}
}

func TestScanDirs(t *testing.T) {
	for _, test := range []struct {
		name string
		env  []string
		want string
	}{
		{"not set", []string{}, ":/o"},
		{"empty: no built-in directory", []string{"PHP_INI_SCAN_DIR="}, "/o"},
		{"the user's", []string{"PHP_INI_SCAN_DIR=/u"}, "/u:/o"},
		{"built-in and the user's", []string{"PHP_INI_SCAN_DIR=:/u"}, ":/u:/o"},
		{"ours from before", []string{"PHP_INI_SCAN_DIR=:/o"}, ":/o"},
		{"the last entry counts", []string{"PHP_INI_SCAN_DIR=/a", "PHP_INI_SCAN_DIR=/b"}, "/b:/o"},
	} {
		if got := (PHP{Env: test.env}).scanDirs("/o"); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}

func TestWriteOverridesFails(t *testing.T) {
	dir := t.TempDir()
	if _, err := (PHP{}).WriteOverrides(filepath.Join(dir, "a:b"), Settings{}); err == nil {
		t.Error("a directory that php cannot be told")
	}
	file := writeFile(t, filepath.Join(dir, "file"), "")
	if _, err := (PHP{}).WriteOverrides(filepath.Join(file, "x"), Settings{}); err == nil {
		t.Error("a directory below a file")
	}
}

func TestOverridesReachPHP(t *testing.T) {
	p := realPHP(t)
	p.Env = []string{}
	o, err := p.WriteOverrides(t.TempDir(), Settings{})
	if err != nil {
		t.Fatal(err)
	}
	before, err := p.Settings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p.Env = o.Env
	after, err := p.Settings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if after.INI["realpath_cache_size"] != "0" {
		t.Errorf("settings %v", after.INI)
	}
	if !maps.Equal(before.Extensions, after.Extensions) {
		t.Errorf("extensions %v became %v: the built-in directory is lost", before.Extensions, after.Extensions)
	}
}

// A master forks a worker after each change, as a server does in a reload. With the overrides every worker has the last code; without
// them the same change is not seen, or the override would be needless.
func TestOverridesMakeWorkersLoadTheLastCode(t *testing.T) {
	p := realPHP(t)
	s, err := p.Settings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if s.Extensions["Zend OPcache"] == "" || s.Extensions["pcntl"] == "" {
		t.Skip("php has no OPcache or no pcntl")
	}
	past := time.Now().Add(-time.Hour).Truncate(time.Second)
	soon := time.Now().Add(time.Hour).Truncate(time.Second)
	save := func(version string, at time.Time) func(m *master) {
		return func(m *master) { m.save("v1", version, at) }
	}
	relink := func(m *master) { m.point("v2") }
	for _, test := range []struct {
		name    string
		args    string
		preload bool // the master itself has used the link
		steps   []func(m *master)
		want    string // without the overrides: always another version
	}{
		{"an edit", "-d opcache.enable_cli=1", false, []func(*master){save("edit", soon)}, "edit"},
		{"an edit without timestamps", "-d opcache.enable_cli=1 -d opcache.revalidate_freq=0 INI opcache.validate_timestamps=0", false, []func(*master){save("edit", soon)}, "edit"},
		{"two edits in a second", "-d opcache.enable_cli=1 INI opcache.revalidate_freq=0 INI opcache.file_update_protection=0", false, []func(*master){save("one", soon), save("two", soon)}, "two"},
		{"a link pointed elsewhere", "-d opcache.enable_cli=0", true, []func(*master){relink}, "v2"},
		{"a link pointed elsewhere, with OPcache", "-d opcache.enable_cli=1 INI opcache.revalidate_freq=0", true, []func(*master){relink}, "v2"},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, with := range []bool{false, true} {
				m := startMaster(t, p, test.args, test.preload, with, past)
				if got := m.fork(); got != "v1" {
					t.Fatalf("the first worker says %q", got)
				}
				var got string
				for _, step := range test.steps {
					step(m)
					got = m.fork()
				}
				if (got == test.want) != with {
					t.Errorf("overrides %v: the worker says %q, the file %q", with, got, test.want)
				}
			}
		})
	}
}

// master is testdata/php/fork.php.
type master struct {
	t     *testing.T
	dir   string
	in    io.Writer
	lines *bufio.Scanner
}

// startMaster starts it on a file behind a link; words behind INI in args go into an ini file of the user's.
func startMaster(t *testing.T, p PHP, args string, preload, overridden bool, at time.Time) *master {
	t.Helper()
	m := &master{t: t, dir: t.TempDir()}
	for _, version := range []string{"v1", "v2"} {
		m.save(version, version, at)
		writeFile(t, filepath.Join(m.dir, version, "preload.php"), "<?php\n")
	}
	m.point("v1")
	arguments, ini, _ := strings.Cut(args, "INI")
	users := filepath.Join(m.dir, "users")
	writeFile(t, filepath.Join(users, "users.ini"), strings.ReplaceAll(ini, "INI", "\n"))
	p.Args = strings.Fields(arguments)
	p.Env = []string{"PHP_INI_SCAN_DIR=:" + users}
	if overridden {
		s, err := p.Settings(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		o, err := p.WriteOverrides(filepath.Join(m.dir, "ours"), s)
		if err != nil {
			t.Fatal(err)
		}
		p.Env = o.Env
	}
	command := []string{"../testdata/php/fork.php", filepath.Join(m.dir, "current", "file.php")}
	if preload {
		command = append(command, filepath.Join(m.dir, "current", "preload.php"))
	}
	cmd := p.command(t.Context(), p.Args, command...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() })
	t.Cleanup(func() { _ = in.Close() })
	m.in, m.lines = in, bufio.NewScanner(out)
	if got := m.line(); got != "ready" {
		t.Fatalf("the master says %q", got)
	}
	return m
}

// fork makes the master fork a worker and returns what it says.
func (m *master) fork() string {
	m.t.Helper()
	if _, err := io.WriteString(m.in, "\n"); err != nil {
		m.t.Fatal(err)
	}
	return m.line()
}

func (m *master) line() string {
	m.t.Helper()
	if !m.lines.Scan() {
		m.t.Fatalf("the master ended: %v", m.lines.Err())
	}
	return m.lines.Text()
}

// save puts a file that returns version in dir, with the modification time at.
func (m *master) save(dir, version string, at time.Time) {
	m.t.Helper()
	file := filepath.Join(m.dir, dir, "file.php")
	writeFile(m.t, file+"~", "<?php\nreturn '"+version+"';\n")
	if err := os.Chtimes(file+"~", at, at); err != nil {
		m.t.Fatal(err)
	}
	if err := os.Rename(file+"~", file); err != nil {
		m.t.Fatal(err)
	}
}

// point makes the link "current" lead to target.
func (m *master) point(target string) {
	m.t.Helper()
	link := filepath.Join(m.dir, "current")
	if err := os.Symlink(target, link+"~"); err != nil {
		m.t.Fatal(err)
	}
	if err := os.Rename(link+"~", link); err != nil {
		m.t.Fatal(err)
	}
}
