package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hotreload/hotreload/watcher"
)

// printMachine says what the figures were measured on.
func (b *bench) printMachine(ctx context.Context) {
	fmt.Fprintf(b.out, "## hotreload-bench, %s\n\n", time.Now().UTC().Format(time.DateOnly))
	for _, fact := range []string{
		fmt.Sprintf("%d cores, %s/%s, %s", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, kernel()),
		"load before the run: " + contentOf("/proc/loadavg"),
		"inotify: max_user_watches " + contentOf("/proc/sys/fs/inotify/max_user_watches") +
			", max_queued_events " + contentOf("/proc/sys/fs/inotify/max_queued_events"),
		firstLine(ctx, b.hotreload, "version") + ", quiet period " + watcher.DefaultQuiet.String(),
		"php: " + firstLine(ctx, "php", "--version"),
	} {
		fmt.Fprintf(b.out, "- %s\n", fact)
	}
}

func kernel() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return err.Error()
	}
	return unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:])
}

func contentOf(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(text))
}

// firstLine is the first line of what a program says, or that it is not installed.
func firstLine(ctx context.Context, program string, args ...string) string {
	if _, err := exec.LookPath(program); err != nil {
		return notInstalled
	}
	out, err := exec.CommandContext(ctx, program, args...).Output()
	if err != nil {
		return err.Error()
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return line
}
