package release

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"
)

// Release is one release, as it was when it was looked at.
type Release struct {
	Name     string    `json:"name"`
	Path     string    `json:"path"`     // absolute; symlinks of the configured paths are in it still
	Time     time.Time `json:"time"`     // from the name when that is a date, else when the directory last got or lost an entry
	Revision string    `json:"revision"` // the first line of REVISION, or what is checked out of git; "" when neither tells
	Current  bool      `json:"current"`
	Previous bool      `json:"previous"` // what a rollback goes back to
	Failed   bool      `json:"failed"`   // it was tried and did not work, or was rolled back from
	Complete bool      `json:"complete"`
	Why      string    `json:"why"` // why it failed, or what it lacks; "" otherwise

	// Real is Path with all symlinks resolved, as Current returns it; "" when it leads nowhere.
	Real string `json:"-"`
	// Outside: it does not lie in the directory of the releases. Such a one is never removed.
	Outside bool `json:"-"`
	// Link: its name is a symlink. Such a one is never removed either.
	Link bool `json:"-"`

	id id
}

// List returns the releases, the newest first; the live one is among them wherever it lies. Hidden directories, files, and second
// names for a release are no releases.
func (s *Store) List() ([]Release, error) {
	releases, err := s.list(s.memory())
	if err != nil {
		return nil, fmt.Errorf("list releases: %w", err)
	}
	return releases, nil
}

func (s *Store) list(m memory) ([]Release, error) {
	entries, err := os.ReadDir(s.opt.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	current, err := s.Current()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	shared := resolved(s.opt.SharedDir)
	var releases []Release
	for _, entry := range entries {
		if badName(entry.Name()) != "" || !entry.IsDir() && entry.Type()&fs.ModeSymlink == 0 {
			continue
		}
		r := s.look(filepath.Join(s.opt.Dir, entry.Name()), m)
		if r.Link && (r.Real == "" || !isDir(r.Real) || s.holds(r.Real)) || r.Real != "" && r.Real == shared {
			continue
		}
		releases = append(releases, r)
	}
	for _, path := range append(m.outside(), current) {
		if path != "" && isDir(path) && !slices.ContainsFunc(releases, func(r Release) bool { return r.Real == path }) {
			releases = append(releases, s.look(path, m))
		}
	}
	order(releases)
	for i := range releases {
		releases[i].Current = releases[i].Real == current && current != ""
	}
	if i := m.previous(releases); i >= 0 {
		releases[i].Previous = true
	}
	return releases, nil
}

// NotFoundError says that there is no release of this name.
type NotFoundError struct {
	Release string // as it was asked for
	Path    string // where it was looked for
}

func (e *NotFoundError) Error() string {
	return fmt.Sprintf("there is no release %s (%s)", e.Release, e.Path)
}

// Find returns the release that arg means: the name of one, or any path to its directory, relative to the working directory, or
// through "current". It need not be complete. A directory that lies elsewhere is a release too, as long as it is a directory. Whether
// it is the previous one is not looked up. The error is a [*NotFoundError] when there is no such directory.
func (s *Store) Find(arg string) (Release, error) {
	path := filepath.Join(s.opt.Dir, arg)
	if strings.Contains(arg, "/") || badName(arg) != "" || !exists(path) {
		path = arg
	}
	if !filepath.IsAbs(path) {
		dir, err := os.Getwd()
		if err != nil {
			return Release{}, fmt.Errorf("find release %q: %w", arg, err)
		}
		path = dir + "/" + path // not cleaned: what ".." is depends on what current leads to
	}
	real, err := filepath.EvalSymlinks(path)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR), arg == "":
		if badName(arg) == "" {
			path = filepath.Join(s.opt.Dir, arg)
		}
		return Release{}, &NotFoundError{Release: arg, Path: path}
	case err != nil:
		return Release{}, fmt.Errorf("find release %q: %w", arg, err)
	case !isDir(real):
		return Release{}, fmt.Errorf("find release %q: %s is not a directory", arg, path)
	}
	// A link among the releases is a name of its own, unless it leads to another release.
	above, name := filepath.Split(strings.TrimRight(path, "/"))
	switch {
	case s.holds(real):
		path = filepath.Join(s.opt.Dir, filepath.Base(real))
	case badName(name) == "" && resolved(above) == resolved(s.opt.Dir):
		path = filepath.Join(s.opt.Dir, name)
	default:
		path = real
	}
	if why := badName(filepath.Base(path)); why != "" {
		return Release{}, fmt.Errorf("find release %q: its name %s", arg, why)
	}
	if within(resolved(s.opt.Dir), real) || within(resolved(filepath.Dir(s.opt.Current)), real) {
		return Release{}, fmt.Errorf("find release %q: %s is no release, but where the releases or current lie", arg, path)
	}
	r := s.look(path, s.memory())
	current, err := s.Current()
	r.Current = err == nil && current == r.Real
	return r, nil
}

// within reports whether path is dir, or lies in it. Both are resolved.
func within(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && path != "" && rel != ".." && !strings.HasPrefix(rel, "../")
}

// holds reports whether the directory real lies directly among the releases.
func (s *Store) holds(real string) bool {
	return real != "" && filepath.Dir(real) == resolved(s.opt.Dir) && badName(filepath.Base(real)) == ""
}

// look looks at one release. It does not know which one is current.
func (s *Store) look(path string, m memory) Release {
	r := Release{Name: filepath.Base(path), Path: path, Outside: filepath.Dir(path) != s.opt.Dir}
	st, err := os.Lstat(path)
	r.Link = err == nil && st.Mode()&fs.ModeSymlink != 0
	r.Real = resolved(path)
	r.id = id{Name: r.Name}
	if r.Outside {
		r.id.Name = r.Path
	}
	if st, err := os.Stat(path); err == nil {
		r.Time = st.ModTime().UTC()
		r.id.Inode = inodeOf(st)
	}
	if t, ok := dateOf(r.Name); ok {
		r.Time = t
	}
	r.Revision = revisionOf(r.Real)
	r.Why = cmp.Or(m.unfinished(r.id), s.lacks(path))
	r.Complete = r.Why == ""
	if why, failed := m.failed(r.id); failed {
		r.Failed, r.Why = true, cmp.Or(r.Why, why)
	}
	return r
}

// dated is the name that hotreload gives a release, in UTC, as Capistrano and Envoyer do.
const dated = "20060102150405"

// dateOf reads a name that is a date.
func dateOf(name string) (time.Time, bool) {
	for _, layout := range []string{dated, "20060102-150405", "20060102_150405", "20060102T150405Z", "2006-01-02-15-04-05", "2006-01-02_15-04-05"} {
		if t, err := time.Parse(layout, name); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// order sorts the newest first. Directories with numbers for names (Deployer counts its releases) are as old as their numbers
// say: a directory's time changes whenever an entry is added to it, so it may not be older than that of a lower number.
func order(releases []Release) {
	number := func(r Release) (int, bool) {
		n, err := strconv.Atoi(r.Name)
		_, isDate := dateOf(r.Name)
		return n, err == nil && !isDate
	}
	var counted []*Release
	for i := range releases {
		if _, ok := number(releases[i]); ok {
			counted = append(counted, &releases[i])
		}
	}
	slices.SortFunc(counted, func(a, b *Release) int {
		x, _ := number(*a)
		y, _ := number(*b)
		return cmp.Compare(y, x)
	})
	for i := 1; i < len(counted); i++ {
		if counted[i].Time.After(counted[i-1].Time) {
			counted[i].Time = counted[i-1].Time
		}
	}
	slices.SortStableFunc(releases, func(a, b Release) int {
		x, _ := number(a)
		y, _ := number(b)
		return cmp.Or(b.Time.Compare(a.Time), cmp.Compare(y, x), strings.Compare(b.Name, a.Name))
	})
}

// badName says why a directory of this name is no release, "" when it may be one.
func badName(name string) string {
	switch {
	case name == "" || name == "." || name == "/":
		return "is empty"
	case strings.HasPrefix(name, "."):
		return "begins with a dot"
	case strings.Contains(name, "/"):
		return "contains a slash"
	case !utf8.ValidString(name):
		return "is not UTF-8"
	case strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return "contains a line break or another character that cannot be printed"
	case len(name) > maxName:
		return fmt.Sprintf("is longer than %d bytes", maxName)
	}
	return ""
}

// maxName leaves room for what is put before and behind a name while the directory is removed: 255 bytes is the limit of
// most file systems.
const maxName = 200

// resolved is path without symlinks, "" when it leads nowhere.
func resolved(path string) string {
	if path == "" {
		return ""
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return ""
	}
	return real
}

func isDir(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.IsDir()
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// inodeOf tells a directory from a later one of the same name.
func inodeOf(st fs.FileInfo) uint64 {
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		return sys.Ino
	}
	return 0
}
