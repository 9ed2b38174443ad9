package release

import "golang.org/x/sys/unix"

// syncFileSystem has everything that was written sent to the disk (sync(2)): macOS has nothing for a single file system.
func syncFileSystem(string) error { return unix.Sync() }
