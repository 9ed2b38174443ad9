package control

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Where is [Project.Locate] for whoever only wants to know: nothing is made.
func (p Project) Where() (Place, error) { return p.where(realDirs()) }

func (p Project) where(d runtimeDirs) (Place, error) { return p.choose(d, d.usable) }

// usable returns an error unless open would succeed.
func (d runtimeDirs) usable(dir string) error {
	parent := filepath.Dir(dir)
	if parent == d.getenv("XDG_RUNTIME_DIR") {
		if err := d.ours(parent); err != nil {
			return err
		}
	}
	err := d.ours(dir)
	if errors.Is(err, fs.ErrNotExist) {
		dir, err = parent, nil
	}
	if err != nil {
		return err
	}
	if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	return nil
}

// Owner is what the hotreload at this place has written down about itself. The file may be left from one that was killed.
func (p Place) Owner() (Owner, error) { return readOwner(p.Lock()) }
