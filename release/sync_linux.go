package release

import (
	"os"

	"golang.org/x/sys/unix"
)

// syncFileSystem writes everything that was written to the file system of dir to the disk (syncfs(2)), whoever has written it. Errors of
// writing that happened meanwhile are returned since Linux 5.8.
func syncFileSystem(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return os.NewSyscallError("syncfs", unix.Syncfs(int(d.Fd())))
}
