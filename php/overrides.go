package php

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/google/renameio/v2"
)

// overridesFile is the name of the file that WriteOverrides writes. php reads the files of a directory in the order of their names.
const overridesFile = "hotreload.ini"

// Setting is one ini setting with the value it has or had, and the one that a reload needs.
type Setting struct {
	Name string
	Was  string
	Now  string
}

func (s Setting) String() string {
	return fmt.Sprintf("%s=%s (was %s)", s.Name, s.Now, s.Was)
}

// Overrides is what WriteOverrides did.
type Overrides struct {
	// File is the ini file that was written.
	File string
	// Env are the entries that the server's environment needs, as KEY=VALUE.
	Env []string
	// Replaced are settings of the user's own that no longer apply; php's defaults are not named.
	Replaced []Setting
	// Fixed are settings that no file can change, because the command says -d or -n: with them workers may go on with old
	// code. Now is what the command should say.
	Fixed []Setting
}

// override is a setting that decides whether a worker, forked after a file changed, loads the new code.
type override struct {
	name, value, byDefault string
	opcache                bool // it matters only where OPcache is on
	good                   func(value string) bool
}

// overrides, each with the way in which it fails (tried with PHP 8.2 and a master that forks). A CLI master has one
// request that never ends, and OPcache compares with the time at which it began:
//
//   - Without timestamps there is no second look at a file.
//   - With revalidate_freq above 0 the second look is never due.
//   - Files younger than file_update_protection when the master started are not cached, so nothing that was saved since
//     is. At 0 it is, with its time in whole seconds: the second save within a second is not seen.
//   - A worker inherits the master's realpath cache: when a link is pointed elsewhere, paths below lead to
//     the old target for realpath_cache_ttl, or for ever where that is 0.
//
// What is left: a file that is replaced by another with the same modification time, older than the master, stays as it was.
var overrides = []override{
	{"opcache.validate_timestamps", "1", "1", true, isOn},
	{"opcache.revalidate_freq", "0", "2", true, func(v string) bool { return number(v) == 0 }},
	{"opcache.file_update_protection", "2", "2", true, func(v string) bool { return number(v) >= 2 }},
	{"realpath_cache_size", "0", "4096K", false, func(v string) bool { return number(v) == 0 }},
}

// WriteOverrides writes an ini file into dir, which is created where it is missing and should hold nothing else, with which
// the server's OPcache looks at every file again when a new worker loads it. s are the settings of p without it.
//
// It leaves opcache.preload alone: what is preloaded takes a restart. more are settings besides those; their Was is not looked at.
func (p PHP) WriteOverrides(dir string, s Settings, more ...Setting) (Overrides, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Overrides{}, fmt.Errorf("write php overrides: %w", err)
	}
	if strings.ContainsRune(dir, filepath.ListSeparator) {
		return Overrides{}, fmt.Errorf("write php overrides: php cannot read ini files from %s: the name has a %q", dir, filepath.ListSeparator)
	}
	o := Overrides{File: filepath.Join(dir, overridesFile), Env: []string{"PHP_INI_SCAN_DIR=" + p.scanDirs(dir)}}
	text := "; Written by hotreload: workers that are forked after a file changed load the new one.\n"
	fixed := p.fixed()
	for _, v := range overrides {
		was, known := s.INI[v.name]
		if known && v.good(was) {
			continue
		}
		text += fmt.Sprintf("%s=%s\n", v.name, v.value)
		if !known || v.opcache && !s.OPcache {
			continue
		}
		setting := Setting{Name: v.name, Was: was, Now: v.value}
		switch {
		case fixed(v.name):
			o.Fixed = append(o.Fixed, setting)
		case was != v.byDefault:
			o.Replaced = append(o.Replaced, setting)
		}
	}
	for _, setting := range more {
		text += fmt.Sprintf("%s=%s\n", setting.Name, setting.Now)
		setting.Was = s.INI[setting.Name]
		if fixed(setting.Name) {
			o.Fixed = append(o.Fixed, setting)
		} else {
			o.Replaced = append(o.Replaced, setting)
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Overrides{}, fmt.Errorf("write php overrides: %w", err)
	}
	if err := renameio.WriteFile(o.File, []byte(text), 0o644); err != nil {
		return Overrides{}, fmt.Errorf("write php overrides: %w", err)
	}
	return o, nil
}

// scanDirs is the user's PHP_INI_SCAN_DIR with dir behind it, where it wins. An empty element is the directory that php was
// built with; it is what counts when the variable is missing, and not when the variable is empty.
func (p PHP) scanDirs(dir string) string {
	env := p.Env
	if env == nil {
		env = os.Environ()
	}
	users, set := lookup(env, "PHP_INI_SCAN_DIR")
	switch {
	case !set:
		return string(filepath.ListSeparator) + dir
	case users == "":
		return dir
	}
	// The file of an earlier hotreload, inherited from it, must not stay in front for ever.
	kept := []string{}
	for _, element := range filepath.SplitList(users) {
		if element != dir {
			kept = append(kept, element)
		}
	}
	return strings.Join(append(kept, dir), string(filepath.ListSeparator))
}

// fixed tells which settings the command itself decides.
func (p PHP) fixed() func(name string) bool {
	names := map[string]bool{}
	all := false
	for i, arg := range p.Args {
		switch arg {
		case "-n":
			all = true
		case "-d":
			if i+1 < len(p.Args) {
				name, _, _ := strings.Cut(p.Args[i+1], "=")
				names[strings.TrimSpace(name)] = true
			}
		}
	}
	return func(name string) bool { return all || names[name] }
}

// number reads an ini value as php does: an integer, perhaps with K, M or G behind it, which change no comparison with 0 or 2.
func number(value string) int {
	digits := strings.TrimRight(strings.TrimSpace(value), "kKmMgG")
	n, err := strconv.Atoi(digits)
	if err != nil {
		return 0
	}
	return n
}

func isOn(value string) bool {
	switch strings.ToLower(value) {
	case "1", "on", "yes", "true":
		return true
	}
	return number(value) != 0
}
