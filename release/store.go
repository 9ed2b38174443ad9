package release

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Options say where the releases are. All paths are absolute, and may lead through symlinks.
type Options struct {
	Current   string   // the symlink that leads to the live release; it need not exist yet
	Dir       string   // holds the releases
	SharedDir string   // holds what all releases share; "": there is none
	Shared    []string // files and directories of SharedDir that [Turn.Share] links into a release; relative, clean
	Marker    string   // file without which a release is not complete; "": a directory is enough
	Locks     []string // files that exist while another tool deploys

	// Users tells which of these directories processes use, and who does: "process 4211 (php)". An error means that it cannot be
	// told, and nothing is removed then. nil: no process ever uses one.
	Users func(dirs []string) (map[string]string, error)
}

// Store is the releases of one application. It remembers nothing between two calls: the disk is the truth.
type Store struct {
	opt Options

	// at is called at every step after which a kill or a full disk leaves something else behind. Tests die there, or return an
	// error of the kernel's. nil: nothing.
	at func(step string) error
}

// homeName is the directory beside "current" in which everything is that hotreload remembers.
const homeName = ".hotreload"

// Open returns the store. Nothing need exist yet, and nothing is made.
func Open(opt Options) (*Store, error) {
	for what, path := range map[string]string{"current": opt.Current, "the releases": opt.Dir} {
		if !filepath.IsAbs(path) {
			return nil, fmt.Errorf("open releases: the path of %s is not absolute: %q", what, path)
		}
	}
	opt.Current, opt.Dir = filepath.Clean(opt.Current), filepath.Clean(opt.Dir)
	return &Store{opt: opt}, nil
}

// Home is the directory in which hotreload remembers what it did. It need not exist.
func (s *Store) Home() string { return filepath.Join(filepath.Dir(s.opt.Current), homeName) }

// LogDir is where the output of the deploy of a release belongs. It need not exist; [Turn.Prune] removes it with its release.
func (s *Store) LogDir(name string) string { return filepath.Join(s.Home(), "log", name) }

// NotALinkError says that something other than a symlink lies where "current" should be.
type NotALinkError struct {
	Path string
	Dir  bool // it is a directory, and not just a file
	into string
}

func (e *NotALinkError) Error() string {
	if e.Dir {
		return fmt.Sprintf("%s is a directory and not a symlink to a release; to make it the first release: mv %s %s", e.Path, quoted(e.Path), quoted(e.into))
	}
	return e.Path + " is a file and not a symlink to a release"
}

// Current returns the directory that the symlink leads to at this moment, absolute and with all symlinks resolved. The error wraps
// [fs.ErrNotExist] when there is no symlink or it leads nowhere, which may also be a moment between the two steps of a tool that
// removes it and makes it anew; it is a [*NotALinkError] when no symlink is there.
func (s *Store) Current() (string, error) {
	if _, err := s.link(); err != nil {
		return "", err
	}
	path, err := filepath.EvalSymlinks(s.opt.Current)
	if err != nil {
		return "", fmt.Errorf("resolve current: %w", err)
	}
	return path, nil
}

// link reads the text of the symlink.
func (s *Store) link() (string, error) {
	text, err := os.Readlink(s.opt.Current)
	if errors.Is(err, syscall.EINVAL) {
		st, statErr := os.Lstat(s.opt.Current)
		return "", &NotALinkError{
			Path: s.opt.Current,
			Dir:  statErr == nil && st.IsDir(),
			into: filepath.Join(s.opt.Dir, time.Now().UTC().Format(dated)),
		}
	}
	if err != nil {
		return "", fmt.Errorf("read current: %w", err)
	}
	return text, nil
}

// IncompleteError says what a release lacks.
type IncompleteError struct {
	Release string // its name, or its path
	Lacks   string // a clause: "there is no REVISION in it"
}

func (e *IncompleteError) Error() string {
	return fmt.Sprintf("release %s is not complete: %s", e.Release, e.Lacks)
}

// Check returns an [*IncompleteError] unless path is a release that may go live: a directory with the marker in it, not one whose
// deploy has not ended.
func (s *Store) Check(path string) error {
	r, err := s.Find(path)
	var missing *NotFoundError
	if errors.As(err, &missing) {
		return &IncompleteError{Release: missing.Release, Lacks: "there is no directory " + missing.Path}
	}
	if err != nil {
		return err
	}
	if !r.Complete {
		return &IncompleteError{Release: r.Name, Lacks: r.Why}
	}
	return nil
}

// lacks says what the directory real lacks to be a release, "" when nothing.
func (s *Store) lacks(real string) string {
	st, err := os.Stat(real)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "there is no directory " + real
	case err != nil:
		return err.Error()
	case !st.IsDir():
		return real + " is not a directory"
	}
	if s.opt.Marker == "" {
		return ""
	}
	_, err = os.Stat(filepath.Join(real, s.opt.Marker))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Sprintf("there is no %s in it", s.opt.Marker)
	case err != nil:
		return err.Error()
	}
	return ""
}

// LockedError says that another tool deploys.
type LockedError struct {
	Path  string
	Since time.Time // when the file was last written; zero when that cannot be told
	Text  string    // the first line of the file: Deployer writes the user's name
}

func (e *LockedError) Error() string {
	text := fmt.Sprintf("another deploy is under way: there is %s", e.Path)
	if !e.Since.IsZero() {
		text += fmt.Sprintf(", for %s", time.Since(e.Since).Round(time.Second))
	}
	if e.Text != "" {
		text += fmt.Sprintf(" (%s)", e.Text)
	}
	return text
}

// Locked returns the first lock file of another tool that is there, nil when there is none.
func (s *Store) Locked() *LockedError {
	for _, path := range s.opt.Locks {
		st, err := os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
			continue
		}
		e := &LockedError{Path: path}
		if err == nil {
			e.Since, e.Text = st.ModTime(), firstLine(path)
		}
		return e
	}
	return nil
}
