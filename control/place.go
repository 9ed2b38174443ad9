package control

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Project tells one hotreload from another.
type Project struct {
	Socket  string   // the configured socket, absolute; "": one per project, in the runtime directory
	PIDFile string   // absolute; "": the server writes none
	Dir     string   // the directory of the configuration, absolute
	Config  string   // the configuration file, absolute; "": none
	Command []string // what is started, where there is no pid file to go by
	Exact   bool     // Find looks for this pid file only, not for whatever runs in Dir
}

// Place is where one hotreload keeps its files.
type Place struct {
	Socket string // absolute
}

// Lock is the path of the file that is locked while hotreload runs.
func (p Place) Lock() string { return p.Socket + ".lock" }

// State is the path of the file that survives a killed hotreload.
func (p Place) State() string { return p.Socket + ".state" }

// longestSocket is how long the path of a unix socket may be: sun_path (108 bytes on Linux, 104 on macOS) less its final
// NUL, and less the suffix that it has for a moment while it is made.
const longestSocket = len(unix.RawSockaddrUnix{}.Path) - 1 - len(newSuffix)

// runtimeDirs is what decides on the directories for sockets. Tests replace it.
type runtimeDirs struct {
	getenv func(string) string
	uid    int
	system string // "/run/hotreload"
	temp   string // of this environment
	users  string // "/run/user"
	shared string // "/tmp"
	memory string // "/dev/shm"
}

func realDirs() runtimeDirs {
	return runtimeDirs{getenv: os.Getenv, uid: os.Geteuid(), system: "/run/hotreload", temp: os.TempDir(), users: "/run/user", shared: "/tmp", memory: "/dev/shm"}
}

// candidates are the directories for sockets, the preferred first. The last one is there for containers with a read-only root file
// system, in which runtimes leave nothing else writable.
func (d runtimeDirs) candidates() []string {
	var dirs []string
	if xdg := d.getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(xdg) {
		dirs = append(dirs, filepath.Join(xdg, "hotreload"))
	}
	ours := "hotreload-" + strconv.Itoa(d.uid)
	return append(dirs, d.system, filepath.Join(d.temp, ours), filepath.Join(d.memory, ours))
}

// all are the candidates and those that another environment would lead to: a client in cron, under sudo or in docker exec
// has neither XDG_RUNTIME_DIR nor TMPDIR. Those that somebody else could write to are left out.
func (d runtimeDirs) all() []string {
	user := strconv.Itoa(d.uid)
	dirs := append(d.candidates(), filepath.Join(d.users, user, "hotreload"), filepath.Join(d.shared, "hotreload-"+user))
	slices.Sort(dirs)
	return slices.DeleteFunc(slices.Compact(dirs), func(dir string) bool { return !d.trusts(dir) })
}

// trusts reports whether a hotreload that runs in dir is one to talk to: our own, or, for root, that of the user whom the system has
// given its runtime directory to (RuntimeDirectory= and User= of a systemd unit).
func (d runtimeDirs) trusts(dir string) bool {
	err := d.ours(dir)
	if err == nil || d.uid != 0 || dir != d.system {
		return err == nil
	}
	st, err := os.Lstat(dir)
	return err == nil && st.IsDir() && st.Mode().Perm()&0o022 == 0
}

// errUnsafe says that somebody else could put files into a directory.
var errUnsafe = errors.New("is not ours alone")

// ours reports whether dir is a directory of our user in which nobody else can write. A link is not: in /tmp anybody
// could have put it there.
func (d runtimeDirs) ours(dir string) error {
	st, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	switch {
	case !st.IsDir():
		return fmt.Errorf("%s: %w: it is no directory", dir, errUnsafe)
	case ok && int(sys.Uid) != d.uid:
		return fmt.Errorf("%s: %w: it belongs to user %d", dir, errUnsafe, sys.Uid)
	case st.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("%s: %w: others may write to it (mode %04o)", dir, errUnsafe, st.Mode().Perm())
	}
	return nil
}

// open makes dir if need be and returns an error unless we can create files there. Its parent must exist: a
// runtime directory that the system has not made is none.
func (d runtimeDirs) open(dir string) error {
	// XDG_RUNTIME_DIR may be another user's, after su or sudo -E; root could write there, and should not.
	if parent := filepath.Dir(dir); parent == d.getenv("XDG_RUNTIME_DIR") {
		if err := d.ours(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := d.ours(dir); err != nil {
		return err
	}
	return unix.Access(dir, unix.W_OK|unix.X_OK)
}

// Locate returns where a hotreload of this project is to put its files, and makes the directory if it is one of our own.
func (p Project) Locate() (Place, error) { return p.locate(realDirs()) }

func (p Project) locate(d runtimeDirs) (Place, error) { return p.choose(d, d.open) }

// choose takes the first directory that usable returns no error for.
func (p Project) choose(d runtimeDirs, usable func(dir string) error) (Place, error) {
	if p.Socket != "" {
		return p.explicit()
	}
	var why []string
	for _, dir := range d.candidates() {
		place := p.in(dir)
		if len(place.Socket) > longestSocket {
			why = append(why, fmt.Sprintf("%s: the path would be too long", dir))
			continue
		}
		if err := usable(dir); err != nil {
			why = append(why, err.Error())
			continue
		}
		return place, nil
	}
	return Place{}, fmt.Errorf("no directory for the control socket (set [control] socket, or --socket): %s", strings.Join(why, "; "))
}

func (p Project) explicit() (Place, error) {
	if n := len(p.Socket); n > longestSocket {
		return Place{}, fmt.Errorf("the path of the control socket has %d bytes, and unix sockets allow %d: %s", n, longestSocket, p.Socket)
	}
	if st, err := os.Stat(filepath.Dir(p.Socket)); err != nil || !st.IsDir() {
		return Place{}, fmt.Errorf("the directory of the control socket %s does not exist", p.Socket)
	}
	return Place{Socket: p.Socket}, nil
}

// in is the place of the project in one of the directories.
func (p Project) in(dir string) Place {
	return Place{Socket: filepath.Join(dir, p.name()+".sock")}
}

// name is the same for every client of the project: a hash of the pid file, or else of what is started where. Links in
// directories are resolved, because the same project is often reached by two names (/tmp and /private/tmp, a home
// directory that is a link).
func (p Project) name() string {
	h := sha256.New()
	if p.PIDFile != "" {
		fmt.Fprintf(h, "pid file\x00%s", resolve(p.PIDFile))
	} else {
		fmt.Fprintf(h, "command\x00%s\x00%s", resolve(p.Dir), strings.Join(p.Command, "\x00"))
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:10])
}

// resolve resolves the links in as much of path as exists: the directory of a pid file is often made by the server.
func resolve(path string) string {
	dir, rest := filepath.Dir(path), filepath.Base(path)
	for {
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			return filepath.Join(real, rest)
		}
		if dir == filepath.Dir(dir) {
			return filepath.Clean(path)
		}
		dir, rest = filepath.Dir(dir), filepath.Join(filepath.Base(dir), rest)
	}
}
