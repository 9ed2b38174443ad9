package signals

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ErrIncomplete says that a pid file has no pid in it yet: it is empty, or a
// state file that breaks off or lacks its master. Servers truncate first and write
// then; read again.
var ErrIncomplete = errors.New("pid file is incomplete")

// PIDFileError says that a file is no pid file at all.
type PIDFileError struct {
	Path    string
	Problem string // "is a directory", "holds a negative number"
	Excerpt string // the first bytes of the content, if that is the problem
}

func (e *PIDFileError) Error() string {
	if e.Excerpt == "" {
		return fmt.Sprintf("pid file %s %s", e.Path, e.Problem)
	}
	return fmt.Sprintf("pid file %s %s: %q", e.Path, e.Problem, e.Excerpt)
}

// ReadPIDFile returns the pid in a file: a number with or without white space
// around it, or masterProcessId in the JSON state file of Laravel Octane. It never
// blocks and reads a bounded amount, whatever the path leads to.
//
// The error is [fs.ErrNotExist], [ErrIncomplete], a [*PIDFileError], or that of
// opening and reading. A number that was written half looks whole, so its process
// must be looked at in any case: see [Judge].
func ReadPIDFile(path string) (int, error) {
	content, err := readPIDFile(path)
	return content.pid, err
}

type pidFileContent struct {
	pid     int
	modTime time.Time
	owner   int  // user id
	remote  bool // on a file system with somebody else's clock and users
}

func readPIDFile(path string) (pidFileContent, error) {
	// Opening a FIFO for reading without O_NONBLOCK waits for a writer.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if errors.Is(err, unix.ENXIO) {
		return pidFileContent{}, &PIDFileError{Path: path, Problem: "is a socket"}
	}
	if err != nil {
		return pidFileContent{}, fmt.Errorf("read pid file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return pidFileContent{}, fmt.Errorf("read pid file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return pidFileContent{}, &PIDFileError{Path: path, Problem: "is " + kindOf(info.Mode())}
	}
	const limit = 256 << 10 // Octane puts its whole configuration beside the pid
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return pidFileContent{}, fmt.Errorf("read pid file: %w", err)
	}
	content := pidFileContent{modTime: info.ModTime(), owner: ownerOf(info), remote: isRemote(f)}
	if len(data) > limit {
		return content, &PIDFileError{Path: path, Problem: "is too long", Excerpt: excerpt(data)}
	}
	content.pid, err = parsePIDFile(data)
	var garbage *PIDFileError
	if errors.As(err, &garbage) {
		garbage.Path = path
	} else if err != nil {
		err = fmt.Errorf("read pid file %s: %w", path, err)
	}
	return content, err
}

// parsePIDFile returns a pid that is at least 1, ErrIncomplete, or a
// *PIDFileError without its path.
func parsePIDFile(data []byte) (int, error) {
	text := bytes.Trim(data, " \t\r\n\x00") // NULs: what a crash of the machine leaves of a file
	if len(text) == 0 {
		return 0, ErrIncomplete
	}
	garbage := func(problem string) (int, error) {
		return 0, &PIDFileError{Problem: problem, Excerpt: excerpt(data)}
	}
	if text[0] == '{' {
		var state struct {
			Master *json.Number `json:"masterProcessId"`
		}
		decoder := json.NewDecoder(bytes.NewReader(text))
		err := decoder.Decode(&state)
		switch {
		case errors.Is(err, io.ErrUnexpectedEOF):
			return 0, ErrIncomplete
		case err != nil || decoder.InputOffset() != int64(len(text)):
			return garbage("is not the state file of a server")
		case state.Master == nil: // Octane writes its configuration first
			return 0, ErrIncomplete
		}
		text = []byte(*state.Master)
	}
	pid, err := strconv.ParseInt(string(text), 10, 32)
	switch {
	case err != nil:
		return garbage("does not hold a pid")
	case pid < 1 || pid > maxPID:
		return garbage("holds a number that is no pid")
	}
	return int(pid), nil
}

// maxPID is the largest number that Linux ever gives (PID_MAX_LIMIT).
const maxPID = 1 << 22

func excerpt(data []byte) string { return string(data[:min(len(data), 32)]) }

func kindOf(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "a directory"
	case mode&fs.ModeNamedPipe != 0:
		return "a FIFO"
	case mode&fs.ModeDevice != 0:
		return "a device"
	}
	return "not a regular file"
}

func ownerOf(info fs.FileInfo) int {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid)
	}
	return -1
}
