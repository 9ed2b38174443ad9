package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hotreload/hotreload/control"
	"github.com/hotreload/hotreload/release"
	"github.com/hotreload/hotreload/signals"
	"github.com/hotreload/hotreload/supervisor"
)

const (
	// chaosToken marks the processes of a site: its value is in the environment of everything that is started there.
	chaosToken = "HOTRELOAD_CHAOS"
	// chaosManifest lists the files of a release and what they must hold.
	chaosManifest = "MANIFEST"
	chaosMarker   = "REVISION"
	// chaosFiles are so many that a copy of a release takes a while.
	chaosFiles = 300
)

// chaosSite is a deployed application whose releases can be told from halves of such, with a hotreload that is started again whenever it
// has ended, as a service manager does.
type chaosSite struct {
	*deployed
	hotreload string
	config    string
	token     string
	client    *control.Client
	away      time.Duration // how long the server may be, and a process may live that should not
	version   int           // of the last release that was made

	mu      sync.Mutex
	service *process // hotreload run
	stopped bool
	ended   chan struct{} // closed when the service manager has ended
	starts  int
	broken  error    // it ended without having been killed
	killed  bool     // it was, by us
	log     *os.File // what they said: a file, so that nobody has to read it
}

// newChaosSite makes a site with three releases in an existing directory, and starts `hotreload run`.
func (b *bench) newChaosSite(ctx context.Context, base string) (*chaosSite, error) {
	a, name, err := b.someApp(ctx)
	if err != nil {
		return nil, err
	}
	d, err := newDeployedIn(base, name, a, "runtime/server.pid")
	if err != nil {
		return nil, err
	}
	s := &chaosSite{deployed: d, hotreload: b.hotreload, token: rand.Text(), away: b.scale.away}
	if s.log, err = os.CreateTemp(b.temp, "run-*.log"); err != nil {
		return nil, err
	}
	s.client = control.NewClient(control.Place{Socket: d.socket()})
	s.config, err = d.writeReleaseConfig(map[string]any{
		"server": map[string]any{
			"kind": d.kind, "command": d.command, "pid_file": d.pidFile, "env": map[string]string{chaosToken: s.token},
			"ready_timeout": "10s", "stop_timeout": "5s",
		},
		"restart": map[string]any{"drain_timeout": "1s", "backoff": map[string]any{"min": "100ms", "max": "1s"}},
		"release": map[string]any{
			"current": d.dir, "keep": 4, "ready_marker": chaosMarker, "shared": []string{"storage"}, "wait": "5s",
			"health": map[string]any{"url": "http://" + d.address + "/", "tries": 20, "interval": "100ms"},
		},
		"deploy": map[string]any{"steps": s.steps()},
	})
	if err != nil {
		return nil, err
	}
	var first string
	for range 3 {
		if first, err = s.addRelease(); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(filepath.Join(s.base, "shared", "storage"), 0o755); err != nil {
		return nil, err
	}
	if err := s.shell(`ln -s "releases/$1" current`, first); err != nil {
		return nil, err
	}
	s.serviceManager()
	if err := s.settle(ctx); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// chaosSteps are those of a deploy.
var chaosSteps = []string{"release", "shared", "check", "activate", "health", "prune"}

// steps configures them.
func (s *chaosSite) steps() (steps []map[string]string) {
	more := map[string]map[string]string{"release": {"from": s.build()}, "check": {"run": "php -l " + s.file + " && sleep 0.1"}}
	for _, name := range chaosSteps {
		step := map[string]string{"name": name}
		maps.Copy(step, more[name])
		steps = append(steps, step)
	}
	return steps
}

func (s *chaosSite) build() string { return filepath.Join(s.base, "build") }

// renew makes a new version in the directory that deploys copy.
func (s *chaosSite) renew() error {
	s.version++
	dir := s.build()
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := copyCheckout(dir, s.of.dir); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, s.file), []byte(s.of.saved(fmt.Sprintf("v%d", s.version))), 0o644); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(dir, "lib"), 0o755); err != nil {
		return err
	}
	for i := range chaosFiles {
		name := fmt.Sprintf("lib/f%d.php", i)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(codeOf(name, s.version)), 0o644); err != nil {
			return err
		}
	}
	var list bytes.Buffer
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		sum, err := sumOf(path)
		rel, _ := filepath.Rel(dir, path)
		fmt.Fprintf(&list, "%s %s\n", sum, rel)
		return err
	})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, chaosManifest), list.Bytes(), 0o644)
}

func sumOf(path string) (string, error) {
	text, err := os.ReadFile(path)
	return fmt.Sprintf("%x", sha256.Sum256(text)), err
}

// addRelease makes a release as another deploy tool would, and returns its name. It is older than those that hotreload makes.
func (s *chaosSite) addRelease() (string, error) {
	if err := s.renew(); err != nil {
		return "", err
	}
	name := fmt.Sprintf("20200101%06d", s.version)
	err := s.shell(`mkdir -p releases shared/storage; cp -a build next-release; ln -s ../../shared/storage next-release/storage
		echo "$1" >next-release/REVISION; mv -T next-release "releases/$1"`, name)
	return name, err
}

// whole says what a release lacks that should be complete.
func whole(dir string) error {
	list, err := os.ReadFile(filepath.Join(dir, chaosManifest))
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, chaosMarker)); err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSpace(string(list)), "\n")
	if len(lines) < chaosFiles {
		return fmt.Errorf("%s lists %d files", chaosManifest, len(lines))
	}
	for _, line := range lines {
		want, file, _ := strings.Cut(line, " ")
		if got, err := sumOf(filepath.Join(dir, file)); err != nil || got != want {
			return fmt.Errorf("%s is not what it should be: %w", file, errors.Join(err, errors.New("another content")))
		}
	}
	if _, err := os.ReadDir(filepath.Join(dir, "storage")); err != nil {
		return fmt.Errorf("what is shared: %w", err)
	}
	return nil
}

// versionIn is what the workers of a release say.
func (s *chaosSite) versionIn(dir string) (string, error) {
	text, err := os.ReadFile(filepath.Join(dir, s.file))
	if err != nil {
		return "", err
	}
	_, rest, _ := strings.Cut(string(text), "return '")
	version, _, found := strings.Cut(rest, "'")
	if !found {
		return "", fmt.Errorf("%s says no version", dir)
	}
	return version, nil
}

// serviceManager starts `hotreload run`, and again a moment after it has ended.
func (s *chaosSite) serviceManager() {
	s.ended = make(chan struct{})
	go func() {
		defer close(s.ended)
		for {
			cmd := s.cmd("run")
			cmd.Stdout, cmd.Stderr = s.log, s.log
			p, err := launch(cmd)
			s.mu.Lock()
			if err != nil {
				s.broken = errors.Join(s.broken, err)
				s.mu.Unlock()
				return
			}
			s.service, s.killed = p, false
			s.starts++
			stopped := s.stopped
			s.mu.Unlock()
			if stopped {
				p.stop()
				return
			}
			<-p.done
			s.mu.Lock()
			if !s.killed && !s.stopped {
				s.broken = errors.Join(s.broken, fmt.Errorf("hotreload run ended by itself: %v", p.cmd.ProcessState))
			}
			stopped = s.stopped
			s.mu.Unlock()
			if stopped {
				return
			}
			time.Sleep(100 * time.Millisecond) // RestartSec of systemd
		}
	}()
}

// close ends hotreload and the server, and reports what is left.
func (s *chaosSite) close() error {
	s.mu.Lock()
	s.stopped = true
	p := s.service
	s.mu.Unlock()
	if p != nil {
		p.stop()
	}
	<-s.ended
	err := s.gone(s.away, func(all []signals.Info) []signals.Info { return all })
	for _, info := range s.processes() {
		_ = info.Signal(syscall.SIGKILL)
	}
	return errors.Join(err, s.log.Close())
}

// cmd is a hotreload.
func (s *chaosSite) cmd(args ...string) *exec.Cmd {
	cmd := exec.Command(s.hotreload, append([]string{"-c", s.config}, args...)...)
	cmd.Dir = s.base
	cmd.Env = append(os.Environ(), chaosToken+"="+s.token)
	return cmd
}

// status asks hotreload; an error is a hotreload that is not there.
func (s *chaosSite) status(ctx context.Context) (supervisor.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return s.client.Status(ctx)
}

// releases are what `hotreload release list` says.
func (s *chaosSite) releases() ([]release.Release, error) {
	out, err := s.cmd("release", "list", "--json").Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return nil, fmt.Errorf("hotreload release list: %w", err)
	}
	var list []release.Release
	return list, json.Unmarshal(out, &list)
}

// processes are all that belong to the site: by their environment, which some overwrite, by where they run, by what they are called, or by
// where their output goes.
func (s *chaosSite) processes() []signals.Info {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var ours []signals.Info
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		p, err := signals.Lookup(pid)
		if err != nil || !s.owns(p) {
			continue
		}
		if info, err := p.Info(); err == nil {
			ours = append(ours, info)
		}
	}
	return ours
}

func (s *chaosSite) owns(p signals.Process) bool {
	environ, _ := p.Environ()
	if slices.Contains(environ, chaosToken+"="+s.token) {
		return true
	}
	words, _ := p.Cmdline()
	if strings.Contains(strings.Join(words, " "), s.base+"/") {
		return true
	}
	cwd, _ := p.Cwd()
	output, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/2", p.PID))
	return strings.HasPrefix(cwd+"/", s.base+"/") || output == s.log.Name()
}

// gone waits until there are no processes but those that may live.
func (s *chaosSite) gone(within time.Duration, strangers func([]signals.Info) []signals.Info) error {
	for end := time.Now().Add(within); ; time.Sleep(20 * time.Millisecond) {
		left := strangers(s.processes())
		if len(left) == 0 {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("processes are left: %s", strings.Join(describeProcesses(left), "; "))
		}
	}
}

func describeProcesses(infos []signals.Info) []string {
	var lines []string
	for _, info := range infos {
		words, _ := info.Cmdline()
		cwd, _ := info.Cwd()
		lines = append(lines, fmt.Sprintf("%d, child of %d, in %s: %s", info.PID, info.PPID, cwd, strings.Join(words, " ")))
	}
	return lines
}
