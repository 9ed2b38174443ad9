package examples_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds a whole deploy.
const patience = 3 * time.Minute

// binDir holds hotreload once buildHotreload was called.
var binDir string

// buildHotreload builds it once for all tests of the recipes.
var buildHotreload = sync.OnceValue(func() error {
	out, err := exec.Command("go", "build", "-buildvcs=false", "-o", filepath.Join(binDir, "hotreload"), "../cmd/hotreload").CombinedOutput()
	if err != nil {
		return fmt.Errorf("build hotreload: %w\n%s", err, out)
	}
	return nil
})

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	var err error
	if binDir, err = os.MkdirTemp("", "hotreload-bin"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(binDir)
	return m.Run()
}

// site is a machine to which is deployed: hotreload runs a server from a first release there, with examples/deploy/hotreload.toml.
type site struct {
	t    *testing.T
	dir  string // stands for /srv/app
	home string // holds the source, and copies of the recipes
	port string
	env  []string
	out  *output // of hotreload and the server
}

// newSite starts it, where the programs that a recipe needs are installed.
func newSite(t *testing.T, programs ...string) *site {
	t.Helper()
	k := prefork(t)
	for _, program := range append(programs, "git") {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is not installed", program)
		}
	}
	if err := buildHotreload(); err != nil {
		t.Fatal(err)
	}
	root, err := os.MkdirTemp("", "hr") // short: a socket's path may have some hundred bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	s := &site{t: t, dir: filepath.Join(root, "app"), home: filepath.Join(root, "home"), port: freePort(t), out: &output{}}
	s.env = append(os.Environ(),
		"PATH="+binDir+":"+os.Getenv("PATH"), "HOME="+s.home, "XDG_RUNTIME_DIR="+root, "LC_ALL=C.UTF-8", "CI=true",
		"PREFORK_PORT="+s.port, "PREFORK_WORKERS=2", "PREFORK_TASKS=1",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@localhost", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@localhost", "GIT_CONFIG_NOSYSTEM=1")
	for _, dir := range []string{s.home, s.dir + "/releases", s.dir + "/shared/runtime/logs"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s.write(s.dir+"/shared/.env", "APP_ENV=prod\n")
	s.write(s.dir+"/hotreload.toml", s.adapt("hotreload.toml",
		`kind = "hyperf"`, `kind = "swoole"`,
		"/run/hotreload/app.sock", s.dir+"/sock",
		"127.0.0.1:9501", "127.0.0.1:"+s.port,
		`[["php", "bin/hyperf.php", "list"]]`, `[["sh", "-c", "php bin/hyperf.php list && test ! -e ../../refuse"]]`,
		"php bin/hyperf.php migrate --force", "echo migrated >migrated"))
	s.must(s.home, "git", "init", "-q", "-b", "main", "source")
	if err := os.CopyFS(s.source(), os.DirFS(k.dir)); err != nil {
		t.Fatal(err)
	}
	s.write(s.source()+"/bin/hyperf.php", entryScript)
	s.release("v1", false)
	s.must(s.dir, "cp", "-r", s.source(), "releases/20261122100000")
	s.write(s.dir+"/releases/20261122100000/REVISION", "first\n")
	s.must(s.dir, "ln", "-s", "releases/20261122100000", "current")
	s.start()
	return s
}

// entryScript has examples/prefork started as Hyperf is.
const entryScript = `<?php
[, $command] = $argv;
if ($command === 'list') {
    exit(0);
}
$argv = [$argv[0], '--pid-file=runtime/hyperf.pid'];
require __DIR__ . '/../server.php';
`

// start starts hotreload, and waits until the server serves.
func (s *site) start() {
	s.t.Helper()
	cmd := exec.Command(filepath.Join(binDir, "hotreload"), "-c", s.dir+"/hotreload.toml", "run")
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = "/", s.env, s.out, s.out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = deadline
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // what it has printed says how it ended
	}()
	s.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(patience):
			s.t.Error("hotreload does not end")
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-ended
		}
		if s.t.Failed() {
			s.t.Logf("output of hotreload:\n%s", s.out)
		}
	})
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) { // between two looks at the same fact
		if code, _ := s.run("/", "hotreload", "-c", s.dir+"/hotreload.toml", "status", "--ready"); code == 0 {
			return
		}
		if time.Now().After(end) {
			s.t.Fatal("the server does not become ready")
		}
	}
}

func (s *site) source() string { return filepath.Join(s.home, "source") }

// release commits a version, or one whose workers do not start, and returns the commit.
func (s *site) release(version string, broken bool) string {
	s.t.Helper()
	text, err := os.ReadFile("prefork/app/handler.php")
	if err != nil {
		s.t.Fatal(err)
	}
	code := strings.Replace(string(text), "'v1'", "'"+version+"'", 1)
	if broken {
		code += "\nthrow new \\RuntimeException('no database');\n"
	}
	s.write(s.source()+"/app/handler.php", code)
	s.must(s.source(), "git", "add", "-A")
	s.must(s.source(), "git", "commit", "-q", "--allow-empty", "-m", version)
	return strings.TrimSpace(s.must(s.source(), "git", "rev-parse", "HEAD"))
}

// adapt returns the text of a recipe with some of its text replaced, each of which must be there; and with this machine's /srv/app.
func (s *site) adapt(file string, oldnew ...string) string {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join("deploy", file))
	if err != nil {
		s.t.Fatal(err)
	}
	recipe := string(text)
	for i := 0; i < len(oldnew); i += 2 {
		if !strings.Contains(recipe, oldnew[i]) {
			s.t.Fatalf("deploy/%s: there is no %q", file, oldnew[i])
		}
		recipe = strings.ReplaceAll(recipe, oldnew[i], oldnew[i+1])
	}
	return strings.ReplaceAll(recipe, "/srv/app", s.dir)
}

// recipe writes what adapt returns to a file of the same name, and returns its path.
func (s *site) recipe(file string, oldnew ...string) string {
	s.t.Helper()
	path := filepath.Join(s.home, "recipe", file)
	s.write(path, s.adapt(file, oldnew...))
	return path
}

func (s *site) write(path, text string) {
	s.t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		s.t.Fatal(err)
	}
}

// run returns the exit code of a program, and what it has printed.
func (s *site) run(dir, program string, args ...string) (int, string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if program == "hotreload" {
		program = filepath.Join(binDir, program)
	}
	cmd := exec.CommandContext(ctx, program, args...)
	var text bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, s.env, &text, &text
	cmd.WaitDelay = deadline
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || ctx.Err() != nil) {
		s.t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, &text)
	}
	return cmd.ProcessState.ExitCode(), text.String()
}

// must is run for what must succeed.
func (s *site) must(dir, program string, args ...string) string {
	s.t.Helper()
	code, text := s.run(dir, program, args...)
	if code != 0 {
		s.t.Fatalf("%s %s: exit code %d\n%s", program, strings.Join(args, " "), code, text)
	}
	return text
}

// serves checks that all is well: the server answers with a version, from the release that current leads to, and no lock was left. It
// returns the path of that release.
func (s *site) serves(version string) string {
	s.t.Helper()
	_, body, err := get("http://127.0.0.1:" + s.port + "/version")
	if err != nil || strings.TrimSpace(body) != version {
		s.t.Errorf("the server answers %q, %v; want %s", body, err, version)
	}
	st := s.status()
	current, err := filepath.EvalSymlinks(s.dir + "/current")
	if err != nil || st.Release.Path != current {
		s.t.Errorf("current leads to %q (%v), and served is %q", current, err, st.Release.Path)
	}
	if st.State != "ready" {
		s.t.Errorf("state %q: %s", st.State, st.Reason)
	}
	for _, lock := range []string{"deploy.lock", ".dep/deploy.lock"} {
		if _, err := os.Lstat(filepath.Join(s.dir, lock)); !errors.Is(err, os.ErrNotExist) {
			s.t.Errorf("%s was left behind", lock)
		}
	}
	return current
}

// complete checks what a recipe puts into a release besides the code.
func (s *site) complete(release, revision string) {
	s.t.Helper()
	if text, err := os.ReadFile(release + "/REVISION"); err != nil || strings.TrimSpace(string(text)) != revision {
		s.t.Errorf("REVISION holds %q, %v; want %s", text, err, revision)
	}
	for _, shared := range []string{".env", "runtime/logs"} {
		if to, err := filepath.EvalSymlinks(filepath.Join(release, shared)); err != nil || to != filepath.Join(s.dir, "shared", shared) {
			s.t.Errorf("%s leads to %q, %v", shared, to, err)
		}
	}
}

type siteStatus struct {
	State, Reason string
	Release       struct{ Path string }
	Counters      struct{ Reloads, Restarts, Refused int }
}

func (s *site) status() siteStatus {
	s.t.Helper()
	var st siteStatus
	text := s.must("/", "hotreload", "-c", s.dir+"/hotreload.toml", "status", "--json")
	if err := json.Unmarshal([]byte(text), &st); err != nil {
		s.t.Fatalf("%v in %s", err, text)
	}
	return st
}
