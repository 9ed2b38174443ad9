package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hotreload/hotreload/config"
	"github.com/hotreload/hotreload/signals"
)

// patient is what the checks look at: facts that several of them need, each gathered once, by the first that asks,
// and within factPatience. Its functions may be called from any goroutine.
type patient struct {
	mode    string      // "watch", "attach", "run"; "" for all
	blocked signals.Set // signals that hotreload was started with, blocked

	config func() (*config.Config, error)
	php    func() (phpFacts, error)
	door   func() (doorFacts, error)
	server func() (serverFacts, error)
	table  func() (signals.Table, error)
	tree   func() (treeFacts, error)
	code   func() ([]phpFile, error) // the files that configure the server
}

func newPatient(ctx context.Context, mode string, src config.Source) *patient {
	p := &patient{mode: mode}
	if own, err := signals.Self().Dispositions(); err == nil { // before php is started: a thread that forks blocks all
		p.blocked = own.Blocked
	}
	p.config = fact(ctx, func(context.Context) (*config.Config, error) { return config.Load(src) })
	p.php = fact(ctx, func(ctx context.Context) (phpFacts, error) { return gatherPHP(ctx, p) })
	p.door = fact(ctx, func(ctx context.Context) (doorFacts, error) { return gatherDoor(ctx, p.cfg()) })
	p.server = fact(ctx, func(context.Context) (serverFacts, error) { return gatherServer(p) })
	p.table = fact(ctx, func(context.Context) (signals.Table, error) { return signals.Snapshot() })
	p.tree = slowFact(ctx, treePatience, func(ctx context.Context) (treeFacts, error) { return gatherTree(ctx, p.cfg()) })
	p.code = fact(ctx, func(context.Context) ([]phpFile, error) { return serverCode(p.cfg()), nil })
	return p
}

// fact is a value that is gathered when somebody asks for it first.
func fact[T any](ctx context.Context, gather func(context.Context) (T, error)) func() (T, error) {
	return slowFact(ctx, factPatience, gather)
}

func slowFact[T any](ctx context.Context, patience time.Duration, gather func(context.Context) (T, error)) func() (T, error) {
	return sync.OnceValues(func() (T, error) { return within(ctx, patience, gather) })
}

// cfg is the configuration, for checks that are not run without one.
func (p *patient) cfg() *config.Config {
	cfg, err := p.config()
	if err != nil {
		panic("a check that needs the configuration is marked as bare: " + err.Error())
	}
	return cfg
}

// env is the environment that the server gets.
func (p *patient) env() []string { return environment(p.cfg(), nil) }

// watches reports whether `watch` is among what was asked about.
func (p *patient) watches() bool { return p.mode == "" || p.mode == config.ModeWatch }

// attaches is true for `watch --attach`.
func (p *patient) attaches() bool { return p.mode == "" || p.mode == forAttach }

// runs is true for `run`.
func (p *patient) runs() bool { return p.mode == "" || p.mode == config.ModeRun }

// phpFile is a PHP file, its comments left out.
type phpFile struct {
	name string // relative to the configuration
	code string
}

// serverCode are the files in which servers of this kind are configured, as far as they can be read.
func serverCode(cfg *config.Config) []phpFile {
	var files []string
	in := func(names ...string) {
		for _, name := range names {
			files = append(files, filepath.Join(cfg.Server.Dir, name))
		}
	}
	switch cfg.Server.Kind {
	case config.KindHyperf:
		in("config/autoload/server.php")
	case config.KindWebman:
		in("config/process.php", "config/server.php")
	case config.KindOctane:
		in("config/octane.php")
	case config.KindSwoole, config.KindWorkerman, config.KindCustom:
		if script := cfg.Script(); script != "" {
			files = []string{script}
		}
	}
	var found []phpFile
	for _, file := range files {
		if code := config.Code(file); code != "" {
			found = append(found, phpFile{relativeTo(cfg.Dir, file), code})
		}
	}
	return found
}

// relativeTo is how a person in dir would write the path.
func relativeTo(dir, path string) string {
	rel, err := filepath.Rel(dir, path)
	if err != nil || rel == ".." || strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
		return path
	}
	return rel
}

// environValue is what a process with this environment gets for name: the last of equal names counts.
func environValue(env []string, name string) (string, bool) {
	for i := len(env) - 1; i >= 0; i-- {
		if v, ok := strings.CutPrefix(env[i], name+"="); ok {
			return v, true
		}
	}
	return "", false
}

// readSmall reads a regular file of at most 256 kB. It does not wait for the writer of a FIFO.
func readSmall(file string) ([]byte, error) {
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	return io.ReadAll(io.LimitReader(f, 256<<10))
}

// plainReason is an error of the file system without the name that the line has already.
func plainReason(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}

// shellWord quotes a path for a shell, where it needs to be.
func shellWord(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+@:,%=", r)
	}
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool { return !plain(r) }) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
