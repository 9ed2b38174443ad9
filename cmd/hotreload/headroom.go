package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// headroom says why there is no room for a second server of that size, in bytes, beside the first; "" when there is, or when nobody limits
// it. Only cgroup v2 is looked at: Documentation/admin-guide/cgroup-v2.rst, "Memory".
func headroom(need int64) string {
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return ""
	}
	_, path, ok := strings.Cut(string(own), "0::")
	if !ok {
		return ""
	}
	path, _, _ = strings.Cut(path, "\n")
	return headroomIn("/sys/fs/cgroup", path, need)
}

// headroomIn asks the cgroup at path below root, and those above it: each may have a limit.
func headroomIn(root, path string, need int64) string {
	for dir := filepath.Join(root, path); ; dir = filepath.Dir(dir) {
		limit, limited := numberIn(dir, "memory.max")
		used, known := numberIn(dir, "memory.current")
		if limited && known {
			used -= reclaimable(dir)
			if used+need > limit {
				return fmt.Sprintf("a second server would need %s beside the %s that are used, and the limit is %s", megabytes(need), megabytes(used), megabytes(limit))
			}
		}
		if dir == root || len(dir) <= len(root) {
			return ""
		}
	}
}

// numberIn is false where there is no number: "max", or no such file.
func numberIn(dir, name string) (int64, bool) {
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return n, err == nil
}

// reclaimable is the memory that the kernel would give up first: file pages that nobody has used for a while.
func reclaimable(dir string) int64 {
	text, _ := os.ReadFile(filepath.Join(dir, "memory.stat"))
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "inactive_file "); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
			return n
		}
	}
	return 0
}
