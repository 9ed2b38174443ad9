package control

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Find returns the place of the hotreload that runs for this project, or an error that wraps [ErrNotRunning].
//
// A hotreload that was started with other flags than the client has (its pid file came from `-- php server.php`, say) has
// another name; so the one that runs for the same configuration, or else the nearest directory, will do. When there are several
// of those the error is an [*AmbiguousError].
func (p Project) Find() (Place, error) { return p.find(realDirs()) }

func (p Project) find(d runtimeDirs) (Place, error) {
	if p.Socket != "" {
		if answers(p.Socket) {
			return Place{p.Socket}, nil
		}
		return Place{}, fmt.Errorf("%w on %s", ErrNotRunning, p.Socket)
	}
	dirs := d.all()
	for _, dir := range dirs {
		if place := p.in(dir); answers(place.Socket) {
			return place, nil
		}
	}
	if p.Exact {
		return Place{}, ErrNotRunning
	}
	return p.nearest(dirs)
}

// AmbiguousError says that several hotreloads run for one project.
type AmbiguousError struct{ Places []Place }

func (e *AmbiguousError) Error() string {
	sockets := make([]string, len(e.Places))
	for i, p := range e.Places {
		sockets[i] = p.Socket
	}
	return "several hotreloads run here; choose one with --socket: " + strings.Join(sockets, ", ")
}

// nearest looks at everything that runs.
func (p Project) nearest(dirs []string) (Place, error) {
	var found []Place
	closest := 0
	for _, dir := range dirs {
		locks, _ := filepath.Glob(filepath.Join(globEscape(dir), "*.sock.lock"))
		for _, lock := range locks {
			place := Place{strings.TrimSuffix(lock, ".lock")}
			owner, err := readOwner(lock)
			if err != nil {
				continue
			}
			near := p.nearness(owner)
			if near < closest || near == 0 || !answers(place.Socket) {
				continue
			}
			if near > closest {
				found, closest = nil, near
			}
			found = append(found, place)
		}
	}
	switch len(found) {
	case 0:
		return Place{}, ErrNotRunning
	case 1:
		return found[0], nil
	}
	slices.SortFunc(found, func(a, b Place) int { return strings.Compare(a.Socket, b.Socket) })
	return Place{}, &AmbiguousError{found}
}

// nearness is 0 when o is another project's, else the larger the closer its directory is.
func (p Project) nearness(o Owner) int {
	if p.Config != "" || o.Config != "" {
		if p.Config == "" || o.Config == "" || resolve(p.Config) != resolve(o.Config) {
			return 0
		}
		return 1
	}
	dir, above := resolve(p.Dir), resolve(o.Dir)
	rel, err := filepath.Rel(above, dir)
	if err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
		return 0
	}
	return 1 + len(above)
}

// answers reports whether somebody listens on a socket.
func answers(socket string) bool {
	c, err := net.DialTimeout("unix", socket, time.Second)
	if err != nil {
		// Whoever may not open it, or finds its queue full, has found somebody all the same.
		return errors.Is(err, os.ErrPermission) || errors.Is(err, os.ErrDeadlineExceeded)
	}
	c.Close()
	return true
}

// globEscape makes a path a pattern for itself.
func globEscape(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}
