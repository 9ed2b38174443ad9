package signals

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// Using returns, for each of dirs, the processes that use it, other than this one: their working directory, root, executable, an
// open file or a mapped file is the directory or lies in it. dirs are absolute and resolved. It works by the names that the kernel
// has for these files now, also where a process sees the directory at another place, in a mount namespace of its own or through
// a bind mount.
//
// hidden are the processes that may not be looked at, because they belong to another user or have changed their user: nothing is known
// of them. Processes in other pid namespaces, and on other machines that share the file system, are not seen at all.
func Using(dirs []string) (users map[string][]Info, hidden []Info, err error) {
	infos, err := readAll()
	if err != nil {
		return nil, nil, fmt.Errorf("read process table: %w", err)
	}
	seen := sights{dirs: dirs, own: namespaceOf(os.Getpid()), names: make(map[string][]sight)}
	users = make(map[string][]Info)
	for _, info := range infos {
		if info.PID == os.Getpid() || info.dead() || info.isKernelThread() {
			continue
		}
		used, err := seen.usedBy(info.PID)
		if _, lookErr := info.look(); errors.Is(lookErr, ErrGone) {
			continue
		}
		for dir := range used {
			users[dir] = append(users[dir], info)
		}
		if errors.Is(err, fs.ErrPermission) {
			hidden = append(hidden, info)
		} else if err != nil {
			return nil, nil, fmt.Errorf("find out what process %d uses: %w", info.PID, err)
		}
	}
	return users, hidden, nil
}

// isKernelThread: none of them uses memory of its own or has a process group.
func (i Info) isKernelThread() bool { return i.PGID == 0 && i.RSS == 0 }

// sight is a directory under one of the names that a process may know it by.
type sight struct{ name, dir string }

// sights are the names of directories in each mount namespace.
type sights struct {
	dirs  []string
	own   string
	names map[string][]sight // by namespace and root directory
}

// usedBy tells which of the directories a process uses. With an error it may be more.
func (s *sights) usedBy(pid int) (map[string]bool, error) {
	dir := "/proc/" + strconv.Itoa(pid)
	root, err := os.Readlink(dir + "/root")
	if err != nil {
		return nil, ended(err)
	}
	names, err := s.of(pid, root)
	if err != nil {
		return nil, ended(err)
	}
	used := make(map[string]bool)
	look := func(path string) {
		for _, n := range names {
			if lies(path, n.name) {
				used[n.dir] = true
			}
		}
	}
	look(root)
	var unread []error
	for _, link := range []string{"cwd", "exe"} {
		path, err := os.Readlink(dir + "/" + link)
		unread = append(unread, ended(err))
		look(path)
	}
	proc, err := procfs.NewProc(pid)
	if err == nil {
		var open []string
		open, err = proc.FileDescriptorTargets()
		for _, path := range open {
			look(path)
		}
	}
	unread = append(unread, ended(err))
	maps, err := os.ReadFile(dir + "/maps")
	unread = append(unread, ended(err))
	for line := range bytes.Lines(maps) {
		// Nothing before the path contains a slash (proc_pid_maps(5)).
		if i := bytes.IndexByte(line, '/'); i >= 0 {
			look(strings.ReplaceAll(strings.TrimRight(string(line[i:]), "\n"), `\012`, "\n"))
		}
	}
	return used, errors.Join(unread...)
}

// ended makes nothing of the errors that a process gives that has ended, or has no such thing.
func ended(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

// lies reports whether path is dir or lies in it.
func lies(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

// namespaceOf names the mount namespace of a process; "" when it may not be looked at.
func namespaceOf(pid int) string {
	name, _ := os.Readlink("/proc/" + strconv.Itoa(pid) + "/ns/mnt")
	return name
}

// of returns the names of the directories in the mount namespace of a process whose root directory is root.
func (s *sights) of(pid int, root string) ([]sight, error) {
	namespace := namespaceOf(pid)
	if namespace == s.own {
		pid, root = os.Getpid(), "/" // the kernel shows a path from our root where one leads there
	}
	key := namespace + " " + root
	if names, known := s.names[key]; known {
		return names, nil
	}
	ours, err := procfs.GetMounts()
	if err != nil {
		return nil, err
	}
	theirs := ours
	if namespace != s.own {
		if theirs, err = procfs.GetProcMounts(pid); err != nil {
			return nil, err
		}
	}
	names := []sight{}
	for _, dir := range s.dirs {
		for _, name := range aliases(dir, ours, theirs) {
			names = append(names, sight{filepath.Join(root, name), dir})
		}
	}
	s.names[key] = names
	return names, nil
}

// aliases returns the names that a directory, which is called dir under the mounts ours, has under the mounts theirs: a mount shows a part
// of a file system, and the directory may lie in that part, or hold it.
func aliases(dir string, ours, theirs []*procfs.MountInfo) []string {
	var on *procfs.MountInfo
	for _, m := range ours {
		// Of those that are mounted one on another the last counts, which is on top.
		if at := unescape.Replace(m.MountPoint); lies(dir, at) && (on == nil || len(at) >= len(unescape.Replace(on.MountPoint))) {
			on = m
		}
	}
	if on == nil {
		return nil
	}
	inside := filepath.Join(unescape.Replace(on.Root), strings.TrimPrefix(dir, unescape.Replace(on.MountPoint)))
	var names []string
	for _, m := range theirs {
		if m.MajorMinorVer != on.MajorMinorVer {
			continue
		}
		root, at := unescape.Replace(m.Root), unescape.Replace(m.MountPoint)
		switch {
		case lies(inside, root):
			names = append(names, filepath.Join(at, strings.TrimPrefix(inside, root)))
		case lies(root, inside):
			names = append(names, at)
		}
	}
	return names
}

// unescape undoes what the kernel does to paths in mountinfo (mangle in fs/proc_namespace.c).
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`, `\043`, "#")
