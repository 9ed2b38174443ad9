package examples_test

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// startWorkerman is skipped unless HOTRELOAD_TEST_WORKERMAN names an autoloader of Workerman, or a directory with vendor/autoload.php.
func startWorkerman(t *testing.T, env ...string) *server {
	t.Helper()
	autoload := os.Getenv("HOTRELOAD_TEST_WORKERMAN")
	if autoload == "" {
		t.Skip("HOTRELOAD_TEST_WORKERMAN is not set")
	}
	if info, err := os.Stat(autoload); err == nil && info.IsDir() {
		autoload = filepath.Join(autoload, "vendor", "autoload.php")
	}
	k := prefork(t)
	dir := t.TempDir()
	port := freePort(t)
	s := &server{
		t:       t,
		output:  &output{},
		exited:  make(chan struct{}),
		address: "127.0.0.1:" + port,
		pidFile: filepath.Join(dir, "server.pid"),
		app:     filepath.Join(dir, "app"),
		begun:   filepath.Join(dir, "begun"),
	}
	if err := os.CopyFS(s.app, os.DirFS("workerman/app")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(k.php, "start.php", "start")
	cmd.Env = append(os.Environ(), append(env,
		"WORKERMAN_AUTOLOAD="+autoload, "WORKERMAN_PORT="+port, "WORKERMAN_PID_FILE="+s.pidFile,
		"WORKERMAN_APP="+s.app, "WORKERMAN_WORKERS=2")...)
	s.run(cmd, "workerman")
	s.eventually("it answers and takes signals", func() bool {
		status, _, err := get("http://" + s.address + "/health")
		return err == nil && status == http.StatusOK && s.catches(syscall.SIGIO)
	})
	return s
}

func TestWorkermanAnswers(t *testing.T) {
	t.Parallel()
	s := startWorkerman(t)
	for path, want := range map[string]string{
		"/":           "hello v1 from worker ",
		"/version":    "v1",
		"/slow?ms=20": "hello v1 from worker ",
		"/nothing":    "not found",
	} {
		if got := s.ask(path); !strings.HasPrefix(got, want) {
			t.Errorf("GET %s = %q, want %q...", path, got, want)
		}
	}
}

func TestWorkermanReload(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGUSR1, syscall.SIGUSR2} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			s := startWorkerman(t)
			old := s.leavesWhenComplete(2)
			s.save("v2")
			s.signal(sig)
			s.replaced(old, 2)
			s.eventually("the new code is served", func() bool { return s.ask("/version") == "v2" })
			if code := s.stop(syscall.SIGQUIT); code != 0 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

func (s *server) stop(sig syscall.Signal) int {
	s.t.Helper()
	s.signal(sig)
	return s.waitExit()
}
