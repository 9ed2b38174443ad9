package php

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestFromCommand(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"bin/php", "bin/php8.2", "bin/php-swoole", "bin/php-fpm8.2", "bin/env", "bin/sh", "bin/tini", "other/php", "app/tools/php"} {
		executable(t, filepath.Join(dir, name), "\x7fELF")
	}
	executable(t, filepath.Join(dir, "app/server"), "#!/usr/bin/env -S php8.2 -d a=1\n<?php")
	executable(t, filepath.Join(dir, "app/direct"), "#!"+dir+"/bin/php-swoole -n\n<?php")
	executable(t, filepath.Join(dir, "app/run.sh"), "#!/bin/sh\nexec php8.2 server.php")
	executable(t, filepath.Join(dir, "app/loop"), "#!"+dir+"/app/loop\n")
	path := "PATH=" + dir + "/bin:" + dir + "/nowhere"

	for _, test := range []struct {
		command string // words separated by |
		path    string // below dir
		args    string
		env     string // an entry that there must be
	}{
		{command: "php|server.php", path: "bin/php"},
		{command: "php8.2|-d|memory_limit=1G|-c|my.ini|server.php|-d|not=this", path: "bin/php8.2", args: "-d memory_limit=1G -c my.ini"},
		{command: "php|-dx=1|-cother.ini|-n|-q|server.php", path: "bin/php", args: "-d x=1 -c other.ini -n"},
		{command: "php|-nq|server.php", path: "bin/php", args: "-n"},
		{command: "php|--define|x=1|--php-ini|f|--no-php-ini|s.php", path: "bin/php", args: "-d x=1 -c f -n"},
		{command: "php|-d", path: "bin/php"},
		{command: "php|-f|server.php|-n", path: "bin/php"},
		{command: "php|--|server.php", path: "bin/php"},
		{command: dir + "/other/php|bin/hyperf.php|start", path: "other/php"},
		{command: "tools/php|x.php", path: "-tools/php"},
		{command: "env|FOO=1|-u|BAR|php|-n|x.php", path: "bin/php", args: "-n", env: "FOO=1"},
		{command: "/usr/bin/env|php8.2|x.php", path: "bin/php8.2"},
		{command: "/usr/bin/env|-S|FOO='a b' php8.2 -n|x.php", path: "bin/php8.2", args: "-n", env: "FOO=a b"},
		{command: "env|PATH=" + dir + "/other|php|x.php", path: "other/php"},
		{command: "sh|-c|cd /srv && FOO=1 exec php8.2 -d 'a=b c' server.php", path: "bin/php8.2", args: "-d a=b c", env: "FOO=1"},
		{command: "bash|-ec|php8.2 server.php 2>&1 | tee log", path: "bin/php8.2"},
		{command: "tini|--|php8.2|-n|server.php", path: "bin/php8.2", args: "-n"},
		{command: "nice|-n|5|env|A=1|php8.2|s.php", path: "bin/php8.2", env: "A=1"},
		{command: "./server|start", path: "bin/php8.2", args: "-d a=1"},
		{command: "./direct|start", path: "bin/php-swoole", args: "-n"},
		{command: "./run.sh", path: "bin/php"},
		{command: "./loop", path: "bin/php"},
		{command: "php-fpm8.2|-F", path: "bin/php8.2"},
		{command: "php-fpm8.3|-F", path: "bin/php"},
		{command: "node|server.js", path: "bin/php"},
		{command: "php7.4|server.php", path: "bin/php"},
		{command: "", path: "bin/php"},
	} {
		t.Run(strings.ReplaceAll(test.command, dir, ""), func(t *testing.T) {
			var command []string
			if test.command != "" {
				command = strings.Split(test.command, "|")
			}
			got, err := FromCommand(command, filepath.Join(dir, "app"), []string{path, "BAR=2"})
			if err != nil {
				t.Fatal(err)
			}
			want := filepath.Join(dir, test.path)
			if relative, ok := strings.CutPrefix(test.path, "-"); ok {
				want = relative // as written: it is relative to the working directory
			}
			if got.Path != want {
				t.Errorf("path %s, want %s", got.Path, want)
			}
			if args := strings.Join(got.Args, " "); args != test.args {
				t.Errorf("arguments %q, want %q", args, test.args)
			}
			if test.env != "" && !slices.Contains(got.Env, test.env) {
				t.Errorf("environment %q lacks %q", got.Env, test.env)
			}
		})
	}
}

func TestFromCommandWithoutPHP(t *testing.T) {
	_, err := FromCommand([]string{"php", "server.php"}, t.TempDir(), []string{"PATH=/nonexistent"})
	if !errors.Is(err, ErrNoPHP) {
		t.Errorf("error %v, want ErrNoPHP", err)
	}
}

func TestSplitCommands(t *testing.T) {
	for line, want := range map[string]string{
		`a b  c`:          "[[a b c]]",
		`a 'b c' "d e"`:   "[[a b c d e]]",
		`a && b; c | d`:   "[[a] [b] [c] [d]]",
		`a "x;y" \; z`:    "[[a x;y ; z]]",
		`a "quote \" in"`: `[[a quote " in]]`,
		`'unfinished`:     "[[unfinished]]",
		` `:               "[]",
		"a ''\nb":         "[[a ] [b]]",
	} {
		got := splitCommands(line)
		var text []string
		for _, words := range got {
			text = append(text, "["+strings.Join(words, " ")+"]")
		}
		if joined := "[" + strings.Join(text, " ") + "]"; joined != want {
			t.Errorf("%q is %s, want %s", line, joined, want)
		}
	}
}

func executable(t *testing.T, path, text string) {
	t.Helper()
	writeFile(t, path, text)
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
}
