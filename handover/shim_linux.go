package handover

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// shimName is what the shim is called in its arguments, and how it knows itself.
const shimName = "hotreload-shim"

// unlinkShimName is that of one whose filter stops at unlink(2) too.
const unlinkShimName = shimName + "-unlink"

// firstPassed is the number of the first descriptor that is passed on (SD_LISTEN_FDS_START). Behind those that are for the server comes the
// one through which the shim says how it went, before it becomes the server.
const firstPassed = 3

// ShimMain is the whole life of a shim. A program that uses this package calls it first in main. It returns only in a process that is none.
//
// Whatever fails, the server is started all the same: without the filter it binds its sockets by itself. Only when hotreload is killed before
// it has written down that there is this process, it is not: nobody would ever know of the server.
func ShimMain() {
	if len(os.Args) < 4 || os.Args[0] != shimName && os.Args[0] != unlinkShimName {
		return
	}
	passed, err := strconv.Atoi(os.Args[1])
	if err != nil {
		return
	}
	socket := firstPassed + passed
	runtime.LockOSThread() // a filter is one of the thread's; the thread that executes the server is the one that survives
	notify, privileged, err := installFilter(os.Args[0] == unlinkShimName)
	report(socket, notify, privileged, err)
	unix.CloseOnExec(socket) // its end says that the server is being executed
	if notify >= 0 {
		unix.Close(notify)
	}
	if !mayProceed(socket) {
		os.Exit(1)
	}
	err = syscall.Exec(os.Args[2], os.Args[3:], environment(passed))
	fmt.Fprintf(os.Stderr, "start %s: %v\n", os.Args[2], err)
	os.Exit(127)
}

// environment tells the server of what is passed on to it: sd_listen_fds(3). Only here its pid is known.
func environment(passed int) []string {
	if passed == 0 {
		return os.Environ()
	}
	env := slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "LISTEN_") })
	return append(env, fmt.Sprintf("LISTEN_PID=%d", os.Getpid()), fmt.Sprintf("LISTEN_FDS=%d", passed),
		fmt.Sprintf("LISTEN_FDS_START=%d", firstPassed)) // the last is Swoole's
}

// installFilter returns the descriptor of the notifications, and whether no_new_privs was not needed for it.
func installFilter(unlinks bool) (notify int, privileged bool, err error) {
	instructions, known := bindFilter(unlinks)
	if !known {
		return -1, false, fmt.Errorf("no filter is known for %s", runtime.GOARCH)
	}
	raw, err := bpf.Assemble(instructions)
	if err != nil {
		return -1, false, err
	}
	program := sockFprog(raw)
	// Without the capability a filter takes no_new_privs, with which sudo and other setuid programs below the server do not work.
	if notify, err = seccompFilter(&program); err == nil {
		return notify, true, nil
	}
	if !errors.Is(err, unix.EACCES) {
		return -1, false, fmt.Errorf("seccomp: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return -1, false, fmt.Errorf("no_new_privs: %w", err)
	}
	if notify, err = seccompFilter(&program); err != nil {
		return -1, false, fmt.Errorf("seccomp: %w", err)
	}
	return notify, false, nil
}

// seccompFilter prefers that a signal does not interrupt a bind that waits for its answer (Linux 5.19).
func seccompFilter(program *unix.SockFprog) (int, error) {
	const flags = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW
	for _, more := range []uintptr{unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, 0} {
		fd, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags|more, uintptr(unsafe.Pointer(program)))
		if errno == 0 {
			return int(fd), nil
		}
		if errno != unix.EINVAL || more == 0 {
			return -1, errno
		}
	}
	return -1, unix.EINVAL
}

func sockFprog(raw []bpf.RawInstruction) unix.SockFprog {
	filter := make([]unix.SockFilter, len(raw))
	for i, in := range raw {
		filter[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	return unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
}

// report tells hotreload what became of the filter: the descriptor of its notifications, or why there is none.
func report(socket, notify int, privileged bool, failure error) {
	text, rights := "no_new_privs", []byte(nil)
	switch {
	case failure != nil:
		text = "error: " + failure.Error()
	default:
		rights = unix.UnixRights(notify)
		if privileged {
			text = "privileged"
		}
	}
	_ = unix.Sendmsg(socket, []byte(text), rights, nil, 0) // hotreload is gone: then nobody answers, and the keeper is not there yet
}

// mayProceed waits until hotreload lets the server start; false: it has ended.
func mayProceed(socket int) bool {
	for {
		n, err := unix.Read(socket, make([]byte, 1))
		if !errors.Is(err, unix.EINTR) {
			return n > 0
		}
	}
}

// proceed lets a shim become the server that it was started for, and returns when it has, or has ended. Who looks at the process earlier sees
// the shim, which handles every signal and waits for something, as a server does that is ready.
func proceed(shim *os.File) error {
	defer shim.Close()
	if _, err := shim.Write([]byte{1}); err != nil && !errors.Is(err, unix.EPIPE) { // it has ended, which others notice
		return fmt.Errorf("let the shim go on: %w", err)
	}
	if _, _, err := nextMessage(shim, make([]byte, 1), nil); err != nil && !errors.Is(err, unix.ECONNRESET) {
		return fmt.Errorf("wait for the end of the shim: %w", err)
	}
	return nil
}

// wrap makes cmd start through a shim. What it says can be read from the returned file, once, by hear; then it waits for proceed, or ends
// when the file is closed.
func wrap(cmd *exec.Cmd) (*os.File, error) {
	path := cmd.Path
	if cmd.Err != nil {
		return nil, cmd.Err
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socket pair for the shim: %w", err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "shim")
	passed := len(cmd.ExtraFiles)
	cmd.ExtraFiles = append(cmd.ExtraFiles, theirs)
	cmd.Args = append([]string{shimName, strconv.Itoa(passed), path}, cmd.Args...)
	cmd.Path = "/proc/self/exe" // this program, also when its file was replaced meanwhile
	return os.NewFile(uintptr(pair[0]), "shim"), nil
}

// heard is what a shim said.
type heard struct {
	notify     int // -1: none
	privileged bool
}

// hear waits for what the shim says. An error is its own, or says that it ended without a word.
func hear(from *os.File) (heard, error) {
	text, oob := make([]byte, 512), make([]byte, unix.CmsgSpace(4))
	n, oobn, err := nextMessage(from, text, oob)
	switch {
	case err != nil:
		return heard{notify: -1}, fmt.Errorf("listen to the shim: %w", err)
	case n == 0:
		return heard{notify: -1}, errors.New("the shim ended without a word")
	}
	if oobn == 0 {
		return heard{notify: -1}, errors.New(string(text[:n]))
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil || len(messages) != 1 {
		return heard{notify: -1}, fmt.Errorf("listen to the shim: %d messages, %v", len(messages), err)
	}
	rights, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(rights) != 1 {
		return heard{notify: -1}, fmt.Errorf("listen to the shim: %d descriptors, %v", len(rights), err)
	}
	return heard{rights[0], string(text[:n]) == "privileged"}, nil
}

// nextMessage reads one message, or nothing at the end.
func nextMessage(from *os.File, text, oob []byte) (n, oobn int, err error) {
	for {
		n, oobn, _, _, err = unix.Recvmsg(int(from.Fd()), text, oob, unix.MSG_CMSG_CLOEXEC)
		if !errors.Is(err, unix.EINTR) {
			return n, oobn, err
		}
	}
}
