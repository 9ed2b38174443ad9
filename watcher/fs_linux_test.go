package watcher

import (
	"fmt"
	"regexp"
	"testing"

	"golang.org/x/sys/unix"
)

func TestRemedyIsALineToPaste(t *testing.T) {
	for err, want := range map[error]string{
		unix.ENOSPC: `^sudo sysctl -w fs\.inotify\.max_user_watches=\d{6,}$`,
		unix.EMFILE: `^sudo sysctl -w fs\.inotify\.max_user_instances=\d{4,}$`,
		unix.EACCES: `^$`,
	} {
		if got := remedy(fmt.Errorf("add: %w", err)); !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("%v: %q", err, got)
		}
	}
}

func TestFileSystem(t *testing.T) {
	for _, path := range []string{"/proc", "/no/such/path"} {
		if name, remote := fileSystem(path); remote {
			t.Errorf("%s is remote: %q", path, name)
		}
	}
	// The device of a path that is surely mounted is found in the table of mounts.
	if got := fuseType("/proc"); got != "proc" {
		t.Errorf("type of /proc: %q", got)
	}
}
