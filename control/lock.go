package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"github.com/gofrs/flock"
)

// Owner is what a hotreload writes into its lock file about itself.
type Owner struct {
	PID     int    `json:"pid"`
	Command string `json:"command"` // "watch", "run", "reload"
	Dir     string `json:"dir"`     // the directory of the configuration
	Config  string `json:"config"`  // the configuration file
	PIDFile string `json:"pid_file"`
}

// TakenError says that a hotreload runs for this project already.
type TakenError struct {
	Owner Owner // PID is 0 when the other one has not written it down yet
	Place Place
}

func (e *TakenError) Error() string {
	if e.Owner.PID == 0 {
		return "hotreload already runs for this project"
	}
	return fmt.Sprintf("hotreload already runs for this project (pid %d)", e.Owner.PID)
}

// Lock is the right to be the hotreload of a project. It ends with [Lock.Release], or with the process.
type Lock struct {
	place Place
	file  *flock.Flock
}

// Acquire takes the lock of the project, and makes sure that no hotreload runs for it in another of the runtime directories.
// A [*TakenError] says who does.
func (p Project) Acquire(command string) (*Lock, error) { return p.acquire(command, realDirs()) }

func (p Project) acquire(command string, d runtimeDirs) (*Lock, error) {
	place, err := p.locate(d)
	if err != nil {
		return nil, err
	}
	if p.Socket == "" {
		for _, dir := range d.all() {
			if other := p.in(dir); other != place && answers(other.Socket) {
				return nil, taken(other)
			}
		}
	}
	l, err := acquire(place)
	if err != nil {
		return nil, err
	}
	owner := Owner{PID: os.Getpid(), Command: command, Dir: p.Dir, Config: p.Config, PIDFile: p.PIDFile}
	if err := l.write(owner); err != nil {
		return nil, errors.Join(err, l.Release())
	}
	return l, nil
}

// Place is where the files of the holder lie.
func (l *Lock) Place() Place { return l.place }

func acquire(place Place) (*Lock, error) {
	const flags = os.O_CREATE | os.O_RDWR | syscall.O_NOFOLLOW
	for {
		file := flock.New(place.Lock(), flock.SetFlag(flags), flock.SetPermissions(0o600))
		ok, err := file.TryLock()
		if err != nil {
			return nil, fmt.Errorf("lock %s: %w", place.Lock(), err)
		}
		if !ok {
			return nil, taken(place)
		}
		// Whoever held the lock until now may have removed the file: then what is locked is a file without a name, which keeps
		// nobody out.
		held, err := file.Stat()
		named, nameErr := os.Lstat(place.Lock())
		if err == nil && nameErr == nil && os.SameFile(held, named) {
			if err := refuseForeign(held, place.Lock()); err != nil {
				return nil, errors.Join(err, file.Unlock())
			}
			place.tidy()
			return &Lock{place, file}, nil
		}
		if err := file.Unlock(); err != nil {
			return nil, fmt.Errorf("lock %s: %w", place.Lock(), err)
		}
	}
}

// refuseForeign returns an error when a file that we are to trust belongs to another user.
func refuseForeign(st os.FileInfo, path string) error {
	if sys, ok := st.Sys().(*syscall.Stat_t); ok && int(sys.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to user %d, not to us", path, sys.Uid)
	}
	return nil
}

func (l *Lock) write(o Owner) error {
	text, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("write lock file: %w", err)
	}
	if err := os.WriteFile(l.place.Lock(), append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("write lock file: %w", err)
	}
	return nil
}

// Release gives the project up. The file goes first: a file that is removed while it is locked is noticed by whoever locks
// it next.
func (l *Lock) Release() error {
	err := os.Remove(l.place.Lock())
	return errors.Join(err, l.file.Unlock())
}

// taken names who holds the lock. It may have taken it this very moment.
func taken(place Place) error {
	const tries, pause = 20, 5 * time.Millisecond
	e := &TakenError{Place: place}
	for range tries {
		var err error
		if e.Owner, err = readOwner(place.Lock()); err == nil {
			break
		}
		time.Sleep(pause)
	}
	return e
}

func readOwner(path string) (Owner, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return Owner{}, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 64<<10))
	if err != nil {
		return Owner{}, err
	}
	var o Owner
	if err := json.Unmarshal(text, &o); err != nil {
		return Owner{}, err
	}
	if o.PID <= 0 {
		return Owner{}, errors.New("no owner in the lock file")
	}
	return o, nil
}
