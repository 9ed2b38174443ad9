package php

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestExpireProxies(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a [b] *")
	proxy := writeFile(t, filepath.Join(dir, "runtime/container/proxy/App_A.proxy.php"), "<?php")
	lazy := writeFile(t, filepath.Join(dir, "runtime/container/proxy/HyperfLazy_A_123.php"), "<?php")
	cache := writeFile(t, filepath.Join(dir, "runtime/container/scan.cache"), "x")
	before := modTime(t, lazy)
	expired, err := ExpireProxies(dir)
	if err != nil || !slices.Equal(expired, []string{cache, proxy}) {
		t.Errorf("expired %q, %v", expired, err)
	}
	for _, file := range []string{cache, proxy} {
		if at := modTime(t, file); at.Unix() != 0 {
			t.Errorf("%s is of %v", file, at)
		}
	}
	if at := modTime(t, lazy); !at.Equal(before) {
		t.Errorf("the lazy proxy was touched")
	}
}

func TestExpireProxiesOfAnAppThatNeverRan(t *testing.T) {
	dir := t.TempDir()
	cache := filepath.Join(dir, "runtime/container/scan.cache")
	if expired, err := ExpireProxies(dir); err != nil || !slices.Equal(expired, []string{cache}) {
		t.Errorf("expired %q, %v", expired, err)
	}
	if text, err := os.ReadFile(cache); err != nil || string(text) != nothingCollected {
		t.Errorf("there is %q, %v: a recording could not tell the scan from the start around it", text, err)
	}
}

func TestExpireViews(t *testing.T) {
	dir := t.TempDir()
	view := writeFile(t, filepath.Join(dir, "storage/view/a.blade.php"), "a")
	at := time.Now().Add(-time.Hour).Truncate(time.Second)
	if err := os.Chtimes(view, at, at); err != nil {
		t.Fatal(err)
	}
	if err := ExpireViews(dir, []string{view}); err != nil {
		t.Errorf("nothing was compiled yet: %v", err)
	}
	ages := map[string]time.Duration{"older": -time.Second, "of the same time": 0, "younger": time.Second}
	compiled := func(name string) string { return filepath.Join(dir, "runtime/view", name+".php") }
	for name, age := range ages {
		writeFile(t, compiled(name), "<?php")
		if err := os.Chtimes(compiled(name), at.Add(age), at.Add(age)); err != nil {
			t.Fatal(err)
		}
	}
	if err := ExpireViews(dir, []string{filepath.Join(dir, "gone.blade.php"), view, writeFile(t, filepath.Join(dir, "new.blade.php"), "")}); err != nil {
		t.Error(err)
	}
	for name, age := range ages {
		if expired := modTime(t, compiled(name)).Unix() == 0; expired != (age > 0) {
			t.Errorf("%s: expired %v", name, expired)
		}
	}
}

func TestScanCacheable(t *testing.T) {
	for _, test := range []struct {
		name, config, dotenv string
		env                  []string
		want                 string
	}{
		{name: "nothing"},
		{name: "dotenv", dotenv: "APP_ENV=dev\nSCAN_CACHEABLE=true\n", want: ".env"},
		{name: "dotenv in brackets", dotenv: "SCAN_CACHEABLE=(true) # why\r\n", want: ".env"},
		{name: "dotenv off", dotenv: "SCAN_CACHEABLE=false\n"},
		{name: "dotenv comment", dotenv: "# SCAN_CACHEABLE=true\n"},
		{name: "environment", env: []string{"SCAN_CACHEABLE=(true)"}, want: "environment"},
		{name: "environment wins", dotenv: "SCAN_CACHEABLE=true\n", env: []string{CacheableOff}},
		{name: "the last entry counts", env: []string{"SCAN_CACHEABLE=true", CacheableOff}},
		{name: "config", config: "<?php return ['scan_cacheable' => true];", env: []string{CacheableOff}, want: "config/config.php"},
		{name: "config by env", config: "<?php return ['scan_cacheable' => env('SCAN_CACHEABLE', false)];"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			if test.config != "" {
				writeFile(t, filepath.Join(dir, "config/config.php"), test.config)
			}
			if test.dotenv != "" {
				writeFile(t, filepath.Join(dir, ".env"), test.dotenv)
			}
			if got := ScanCacheable(dir, test.env); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

func modTime(t *testing.T, file string) time.Time {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	return info.ModTime()
}
