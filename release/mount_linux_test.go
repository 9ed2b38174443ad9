package release

import (
	"syscall"
	"testing"
)

// tmpfs has a file system of its own at a directory until the end of the test.
func tmpfs(t *testing.T, at, options string) {
	t.Helper()
	mount(t, "tmpfs", at, "tmpfs", 0, options)
}

// bind has one directory at another until the end of the test.
func bind(t *testing.T, dir, at string) {
	t.Helper()
	mount(t, dir, at, "", syscall.MS_BIND, "")
}

func mount(t *testing.T, source, at, kind string, flags uintptr, options string) {
	t.Helper()
	if err := syscall.Mount(source, at, kind, flags, options); err != nil {
		t.Skipf("mounting is not permitted: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(at, 0); err != nil {
			t.Error(err)
		}
	})
}
