package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/google/renameio/v2"

	"github.com/hotreload/hotreload/supervisor"
)

// Save writes down what the next hotreload needs to adopt the server if this one is killed. At no moment is there half a file.
func (p Place) Save(a supervisor.Adoption) error {
	text, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("save state: %w", err)
	}
	if err := renameio.WriteFile(p.State(), append(text, '\n'), 0o600, renameio.WithTempDir(filepath.Dir(p.State()))); err != nil {
		return fmt.Errorf("save state: %w", err)
	}
	return nil
}

// tidy removes what a hotreload that was killed in the middle of Save has left: temporary files, which renameio names after the file and
// a number. Only who has the lock may.
func (p Place) tidy() {
	dir, name := filepath.Split(p.State())
	entries, err := os.ReadDir(dir)
	if err != nil {
		return // then there is nothing that we could remove
	}
	for _, e := range entries {
		number, ok := strings.CutPrefix(e.Name(), "."+name)
		if ok && number != "" && strings.Trim(number, "0123456789") == "" {
			_ = os.Remove(filepath.Join(dir, e.Name())) // it is in nobody's way
		}
	}
}

// Load returns what an earlier hotreload left behind: nil when there is nothing, or it was written before the machine
// was last started, when its pids meant other processes. An error says that the file is of no use; a server can be started all
// the same.
func (p Place) Load() (*supervisor.Adoption, error) {
	a, err := readState(p.State())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read state %s: %w", p.State(), err)
	case a.BootID != supervisor.BootID():
		return nil, nil
	}
	return a, nil
}

// maxState bounds what is read as a state file: a tree of ten thousand processes takes some 400 kB.
const maxState = 4 << 20

func readState(path string) (*supervisor.Adoption, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	// Processes are ended because this file names them.
	if err := refuseForeign(st, path); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxState))
	if err != nil {
		return nil, err
	}
	var a supervisor.Adoption
	if err := json.Unmarshal(text, &a); err != nil {
		return nil, err
	}
	if a.Master.PID <= 0 || a.Master.Start == 0 {
		return nil, errors.New("it names no master")
	}
	return &a, nil
}

// Forget removes what Save wrote: the server has ended.
func (p Place) Forget() error {
	if err := os.Remove(p.State()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget state: %w", err)
	}
	return nil
}

// PrivateDir makes and returns a directory beside the socket for files that the server is to read, such as ini files. It
// belongs to our user, and nobody else can write to it.
func (p Place) PrivateDir() (string, error) {
	dir := p.Socket + ".d"
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("make private directory: %w", err)
	}
	if err := realDirs().ours(dir); err != nil {
		return "", fmt.Errorf("private directory: %w", err)
	}
	return dir, nil
}
