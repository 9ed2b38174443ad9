package php

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestSettings(t *testing.T) {
	p := realPHP(t)
	p.Args = []string{"-d", "short_open_tag=On", "-d", "realpath_cache_ttl=7"}
	s, err := p.Settings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(s.Version, "8.") || s.VersionID < 80000 || !s.ShortOpenTag || s.INI["realpath_cache_ttl"] != "7" {
		t.Errorf("%+v", s)
	}
	if s.Extensions["standard"] != s.Version {
		t.Errorf("extensions %v", s.Extensions)
	}
	p.Args = []string{"-n", "-d", "short_open_tag=Off"}
	if s, err = p.Settings(t.Context()); err != nil || s.ShortOpenTag || s.OPcache || len(s.Files) != 0 {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestSettingsOfOPcache(t *testing.T) {
	p := realPHP(t)
	for args, want := range map[string]bool{
		"":                         false,
		"-d opcache.enable_cli=1":  true,
		"-d opcache.enable_cli=on": true,
		"-d opcache.enable_cli=1 -d opcache.enable=0": false,
	} {
		p.Args = append([]string{"-d", "opcache.enable=1", "-d", "opcache.enable_cli=0"}, strings.Fields(args)...)
		s, err := p.Settings(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, loaded := s.Extensions["Zend OPcache"]; loaded && s.OPcache != want {
			t.Errorf("%q: OPcache %v", args, s.OPcache)
		}
	}
}

func TestSettingsAmongNoise(t *testing.T) {
	p := fakePHP(t, `echo "Warning: noise"; printf '\002{"version":"8.4.1","ini":{"x":"1"}}\003'; echo more`)
	s, err := p.Settings(t.Context())
	if err != nil || s.Version != "8.4.1" || s.INI["x"] != "1" {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestSettingsFail(t *testing.T) {
	for script, want := range map[string]string{
		"echo broken >&2; exit 3": "exit status 3: broken",
		"exit 0":                  "read the answer",
	} {
		if _, err := fakePHP(t, script).Settings(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", script, err, want)
		}
	}
}

func TestSettingsFiles(t *testing.T) {
	p := realPHP(t)
	dir := t.TempDir()
	main := writeFile(t, filepath.Join(dir, "main.ini"), "short_open_tag=1\n")
	scanned := writeFile(t, filepath.Join(dir, "scan", "x.ini"), "realpath_cache_ttl=9\n")
	p.Args = []string{"-c", main}
	p.Env = []string{"PHP_INI_SCAN_DIR=" + filepath.Join(dir, "scan")}
	s, err := p.Settings(t.Context())
	if err != nil || !slices.Equal(s.Files, []string{main, scanned}) || !s.ShortOpenTag || s.INI["realpath_cache_ttl"] != "9" {
		t.Errorf("%+v, %v", s, err)
	}
}
