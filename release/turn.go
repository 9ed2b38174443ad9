package release

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

// Turn is the exclusive right to change something. It ends with [Turn.Close], or with the process.
type Turn struct {
	store *Store
	file  *flock.Flock
}

// holder is what whoever has the turn writes into the lock file about itself.
type holder struct {
	PID   int       `json:"pid"`
	What  string    `json:"what"` // "hotreload release activate 8"
	Since time.Time `json:"since"`
}

// BusyError says who has the turn.
type BusyError struct {
	PID   int       // 0 when it has not written it down
	What  string    // its command
	Since time.Time // when it began
}

func (e *BusyError) Error() string {
	if e.PID == 0 {
		return "another hotreload is changing the releases"
	}
	return fmt.Sprintf("another hotreload is changing the releases: `%s`, process %d, for %s", e.What, e.PID, time.Since(e.Since).Round(time.Second))
}

const lockName = "lock"

// Acquire takes the turn, without waiting; a [*BusyError] says who has it. what is the command, for others to read. Whoever gets it
// calls [Turn.Recover] before anything else.
//
// The lock is flock(2): it ends with the process that holds it, however that ends, and is not inherited by the commands that it runs.
func (s *Store) Acquire(what string) (*Turn, error) {
	if err := os.Mkdir(s.Home(), 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("take the turn to change the releases: %w", err)
	}
	path := filepath.Join(s.Home(), lockName)
	for {
		file := flock.New(path, flock.SetFlag(os.O_CREATE|os.O_RDWR), flock.SetPermissions(0o666))
		ok, err := file.TryLock()
		if err != nil {
			return nil, fmt.Errorf("take the turn to change the releases: lock %s: %w", path, err)
		}
		if !ok {
			return nil, busy(path)
		}
		// Somebody may have removed Home since the file was opened: then the lock keeps nobody out.
		held, err := file.Stat()
		named, nameErr := os.Lstat(path)
		if err == nil && nameErr == nil && os.SameFile(held, named) {
			t := &Turn{s, file}
			t.sign(holder{os.Getpid(), what, time.Now().UTC().Truncate(time.Second)})
			return t, nil
		}
		if err := file.Unlock(); err != nil {
			return nil, fmt.Errorf("take the turn to change the releases: lock %s: %w", path, err)
		}
	}
}

// sign writes who has the turn. The lock holds without it, on a full disk too, and nobody learns then who has it.
func (t *Turn) sign(h holder) {
	if text, err := json.Marshal(h); err == nil {
		_ = os.WriteFile(t.file.Path(), append(text, '\n'), 0o666)
	}
}

// Close gives the turn to others.
func (t *Turn) Close() error {
	err := os.Truncate(t.file.Path(), 0) // the file stays: whoever waits for it has it open
	return errors.Join(err, t.file.Unlock())
}

// busy reads who has the turn. It may have got it this very moment.
func busy(path string) error {
	const tries, pause = 20, 5 * time.Millisecond
	for range tries {
		var h holder
		if json.Unmarshal(readBounded(path, 4<<10), &h) == nil && h.PID > 0 {
			return &BusyError{h.PID, h.What, h.Since}
		}
		time.Sleep(pause)
	}
	return &BusyError{}
}
