package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// The PHP files that are saved. Each says its version in a comment, and defines functions of its own, so that a linter has
// something to do.

const (
	versionBegin = "// version "
	versionEnd   = ", to the end\n"
)

// codeOf is the content of a PHP file of some 1.5 kB.
func codeOf(name string, version int) string {
	id := strings.NewReplacer("/", "_", ".", "_", "-", "_").Replace(name)
	var b strings.Builder
	fmt.Fprintf(&b, "<?php\n\ndeclare(strict_types=1);\n\nnamespace Bench\\%s;\n", "n"+id)
	for i := range 6 {
		fmt.Fprintf(&b, `
/** Adds up what there is, and a little more. */
function sum%d(int $count, string ...$names): array
{
    $sums = ['version' => %d];
    foreach ($names as $name) {
        $sums[$name] = ($sums[$name] ?? 0) + $count * strlen($name);
    }

    return $sums;
}
`, i, version)
	}
	fmt.Fprintf(&b, "%s%d%s", versionBegin, version, versionEnd)
	return b.String()
}

// versionOf is the version that a content has; 0 when it is not whole.
func versionOf(content string) int {
	text, whole := strings.CutSuffix(content, versionEnd)
	if !whole {
		return 0
	}
	v, _ := strconv.Atoi(text[strings.LastIndexByte(text, ' ')+1:]) // 0 when it is none
	return v
}

// saveInPlace truncates and writes, as most editors do. It returns when it began.
func saveInPlace(path, content string) (time.Duration, error) {
	began := monotonic()
	return began, os.WriteFile(path, []byte(content), 0o644)
}

// beside is the name under which a content is written before it is renamed to path.
func beside(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".swp")
}

// saveByRename writes another file beside the first, and puts it in its place. It returns when it began to do the latter.
func saveByRename(path, content string) (time.Duration, error) {
	if err := os.WriteFile(beside(path), []byte(content), 0o644); err != nil {
		return 0, err
	}
	began := monotonic()
	return began, os.Rename(beside(path), path)
}

// checkOut replaces a file as git does: it is removed, and made again.
func checkOut(path, content string) error {
	if err := os.Remove(path); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(content), 0o644)
}

// plant makes a tree of directories with PHP files, all of version 1, and returns the files. There is one directory for
// every hundred directories, with the others in it.
func plant(root string, dirs, files int) ([]string, error) {
	var paths []string
	for d := range dirs {
		dir := filepath.Join(root, fmt.Sprintf("m%03d", d/100), fmt.Sprintf("d%02d", d%100))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
		for f := range files {
			path := filepath.Join(dir, fmt.Sprintf("File%d.php", f))
			if err := os.WriteFile(path, []byte(codeOf(filepath.Base(dir)+"_"+strconv.Itoa(f), 1)), 0o644); err != nil {
				return nil, err
			}
			paths = append(paths, path)
		}
	}
	return paths, nil
}
