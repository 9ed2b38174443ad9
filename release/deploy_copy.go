package release

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// copier copies a directory into a new release, with modes, times, symlinks as they are, and owners where we may set them (root). Not
// copied are what git keeps in it (".git"), what hotreload keeps beside "current", "current" itself and what is shared, should they
// lie in there, and what is no file: sockets, FIFOs, devices. Hard links become files of their own; extended attributes are left
// behind.
//
// The marker of a complete release comes last, so that a copy that was cut short has none.
type copier struct {
	from, to string
	marker   string          // relative; "": none
	except   map[string]bool // absolute, resolved

	files   int
	bytes   int64
	skipped []string // what is no file
	late    bool     // the marker is there, and still to be copied
}

// newCopier checks that the directory is one that can be copied there.
func (s *Store) newCopier(from, to string) (*copier, error) {
	if from == "" {
		return nil, errors.New("nothing says what to copy")
	}
	real, err := filepath.EvalSymlinks(from)
	if err != nil {
		return nil, fmt.Errorf("copy %s: %w", from, err)
	}
	if !isDir(real) {
		return nil, fmt.Errorf("copy %s: it is not a directory", from)
	}
	if within(resolved(s.opt.Dir), real) || within(s.opt.Dir, from) {
		return nil, fmt.Errorf("copy %s: the releases (%s) lie in it", from, s.opt.Dir)
	}
	c := &copier{from: real, to: to, marker: s.opt.Marker, except: map[string]bool{}}
	beside := resolved(filepath.Dir(s.opt.Current))
	for _, path := range []string{filepath.Join(beside, filepath.Base(s.opt.Current)), filepath.Join(beside, homeName), resolved(s.opt.SharedDir)} {
		c.except[path] = true
	}
	return c, nil
}

func (c *copier) describe() string {
	text := fmt.Sprintf("%d files, %s", c.files, sizeOf(c.bytes))
	if c.files == 1 {
		text = "1 file, " + sizeOf(c.bytes)
	}
	if n := len(c.skipped); n > 0 {
		text += fmt.Sprintf(", without %d that are none: %s", n, strings.Join(c.skipped[:min(n, 3)], ", "))
	}
	return text
}

// sizeOf is a number of bytes for people.
func sizeOf(n int64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	size, unit := float64(n)/1024, 0
	for size >= 1023.95 && unit < len(units)-1 {
		size, unit = size/1024, unit+1
	}
	return fmt.Sprintf("%.1f %cB", size, units[unit])
}

func (c *copier) run(ctx context.Context) error {
	if err := c.directory(ctx, "."); err != nil {
		return fmt.Errorf("copy %s: %w", c.from, err)
	}
	if !c.late {
		return nil
	}
	dir := filepath.Join(c.to, filepath.Dir(c.marker))
	if err := c.lastEntry(ctx, dir); err != nil {
		return fmt.Errorf("copy %s: %w", c.from, err)
	}
	return nil
}

// lastEntry copies the marker into a directory that is done already, and may be read-only.
func (c *copier) lastEntry(ctx context.Context, dir string) error {
	was, err := os.Stat(dir)
	if err != nil {
		return err
	}
	info, err := os.Lstat(filepath.Join(c.from, c.marker))
	if err != nil {
		return err
	}
	if err := os.Chmod(dir, was.Mode().Perm()|0o700); err != nil {
		return err
	}
	return errors.Join(c.entry(ctx, c.marker, info), likeness(dir, was))
}

// directory copies what is in a directory that is there already, then its mode and times: those of the source may forbid to write.
func (c *copier) directory(ctx context.Context, name string) error {
	from, to := filepath.Join(c.from, name), filepath.Join(c.to, name)
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		path := filepath.Join(name, e.Name())
		if e.Name() == ".git" || c.except[filepath.Join(c.from, path)] {
			continue
		}
		if path == c.marker {
			c.late = true
			continue
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if err := c.entry(ctx, path, info); err != nil {
			return err
		}
	}
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	return likeness(to, info)
}

// entry copies one file, link or directory.
func (c *copier) entry(ctx context.Context, name string, info fs.FileInfo) error {
	from, to := filepath.Join(c.from, name), filepath.Join(c.to, name)
	switch info.Mode().Type() {
	case fs.ModeDir:
		if err := os.Mkdir(to, 0o700); err != nil {
			return err
		}
		return c.directory(ctx, name)
	case fs.ModeSymlink:
		text, err := os.Readlink(from)
		if err != nil {
			return err
		}
		if err := os.Symlink(text, to); err != nil {
			return err
		}
		c.files++
		return linkLikeness(to, info)
	case 0:
		n, err := copyFile(from, to)
		if err != nil {
			return err
		}
		c.files, c.bytes = c.files+1, c.bytes+n
		return likeness(to, info)
	}
	c.skipped = append(c.skipped, name)
	return nil
}

// copyFile copies what is in a file. Where the file system can share it between two files, io.Copy has it do so (copy_file_range(2)).
func copyFile(from, to string) (int64, error) {
	// What was a file a moment ago may be a FIFO by now, and that would be waited for.
	in, err := os.OpenFile(from, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return 0, err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(out, in)
	return n, errors.Join(err, out.Close())
}

// likeness gives a copy the owner, mode and times of what it is of. The owner comes first: changing it clears the set-id bits
// (chown(2)).
func likeness(path string, of fs.FileInfo) error {
	if err := setOwner(path, of); err != nil {
		return err
	}
	if err := os.Chmod(path, of.Mode()); err != nil {
		return err
	}
	return setTimes(path, of)
}

// linkLikeness is likeness for a symlink, which has no mode of its own.
func linkLikeness(path string, of fs.FileInfo) error {
	if err := setOwner(path, of); err != nil {
		return err
	}
	return setTimes(path, of)
}

func setOwner(path string, of fs.FileInfo) error {
	sys, ok := of.Sys().(*syscall.Stat_t)
	if !ok || os.Geteuid() != 0 {
		return nil
	}
	return os.Lchown(path, int(sys.Uid), int(sys.Gid))
}

// setTimes sets the time of modification, also that of a symlink itself.
func setTimes(path string, of fs.FileInfo) error {
	at := unix.NsecToTimespec(of.ModTime().UnixNano())
	access := unix.NsecToTimespec(time.Now().UnixNano())
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{access, at}, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &fs.PathError{Op: "set the times of", Path: path, Err: err}
	}
	return nil
}
