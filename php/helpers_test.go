package php

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// realPHP skips a test where there is no php.
func realPHP(t testing.TB) PHP {
	t.Helper()
	path, err := exec.LookPath("php")
	if err != nil {
		t.Skip("php is not installed")
	}
	return PHP{Path: path}
}

// fakePHP is a shell script in php's place; $PHP is the real one where there is one.
func fakePHP(t testing.TB, script string) PHP {
	t.Helper()
	real, err := exec.LookPath("php")
	if err != nil {
		real = "/nonexistent"
	}
	path := filepath.Join(t.TempDir(), "php")
	writeFile(t, path, "#!/bin/sh\nPHP="+real+"\n"+script+"\n")
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
	return PHP{Path: path}
}

func writeFile(t testing.TB, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
