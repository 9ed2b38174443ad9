package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
)

// site is a project: a server, and a directory that is watched.
type site struct {
	dir     string // where the server starts, and hotreload.toml lies
	watched string
	kind    string // of the server, in hotreload's words
	command []string
	pidFile string
	address string // where it answers; "": it does not
}

// newSite makes a directory for a project.
func (b *bench) newSite(name string) (*site, error) {
	dir, err := os.MkdirTemp(b.temp, name+"-")
	if err != nil {
		return nil, err
	}
	s := &site{dir: dir, watched: filepath.Join(dir, "app"), pidFile: filepath.Join(dir, "server.pid")}
	return s, os.Mkdir(s.watched, 0o755)
}

func (s *site) socket() string { return filepath.Join(s.dir, "control.sock") }

// writeConfig writes the hotreload.toml of the project.
func (s *site) writeConfig(lint bool) (path string, err error) {
	type values = map[string]any
	server := values{"kind": s.kind, "command": s.command, "pid_file": s.pidFile, "ready": "pid-file"}
	if s.address != "" {
		server["ready"] = "tcp://" + s.address
	}
	reload := values{"lint": lint}
	if s.kind == "custom" {
		server["signals"] = values{"reload": "SIGUSR1", "stop": "SIGTERM"}
		reload["rules"] = []values{{"match": []string{"**"}, "action": "reload"}}
	}
	text, err := toml.Marshal(values{
		"server":  server,
		"reload":  reload,
		"watch":   values{"paths": []string{s.watched}},
		"control": values{"socket": s.socket()},
	})
	if err != nil {
		return "", err
	}
	path = filepath.Join(s.dir, "hotreload.toml")
	return path, os.WriteFile(path, text, 0o644)
}

// serve starts the server for tools that do not start it themselves, and waits until it takes signals.
func (s *site) serve(ctx context.Context) (*process, error) {
	cmd := exec.Command(s.command[0], s.command[1:]...)
	cmd.Dir = s.dir
	p, err := launch(cmd)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := p.until(ctx, func() bool { return s.masterPID() > 0 && s.answers() }); err != nil {
		p.stop()
		return nil, fmt.Errorf("start the server: %w", err)
	}
	return p, nil
}

// masterPID is what the pid file says; 0 when it says nothing yet.
func (s *site) masterPID() int {
	text, err := os.ReadFile(s.pidFile)
	if err != nil {
		return 0
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text))) // 0 while it is being written
	return pid
}

func (s *site) answers() bool {
	if s.address == "" {
		return true
	}
	c, err := net.DialTimeout("tcp", s.address, time.Second)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// targetSite is a project whose server is a target.
type targetSite struct {
	*site
	feed *feed
}

// newTargetSite makes a project whose workers load the directory load; "": the watched one.
func (b *bench) newTargetSite(name, load string) (*targetSite, error) {
	s, err := b.newSite(name)
	if err != nil {
		return nil, err
	}
	if load == "" {
		load = s.watched
	}
	f, err := openFeed(filepath.Join(s.dir, "feed"))
	if err != nil {
		return nil, err
	}
	s.kind = "custom"
	s.command = []string{b.self, roleOfTarget, "-feed", f.path, "-pid-file", s.pidFile, "-load", load}
	return &targetSite{s, f}, nil
}

// noticed saves something again and again until the target is signalled: for tools that do not say when they
// watch. It returns when it was signalled first.
func (s *targetSite) noticed(ctx context.Context, w *session, save func() error) (time.Duration, error) {
	const again = 200 * time.Millisecond
	mark := s.feed.mark()
	for {
		if err := save(); err != nil {
			return 0, err
		}
		once, cancel := context.WithTimeout(ctx, again)
		e, err := s.feed.await(once, mark, isSignal)
		cancel()
		switch {
		case err == nil:
			return e.at, nil
		case ctx.Err() != nil:
			return 0, ctx.Err()
		}
		select {
		case <-w.watcher.done:
			return 0, w.watcher.ended()
		default:
		}
	}
}
