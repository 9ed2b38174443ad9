package php

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// fpmServer is a php-fpm of the test's own.
type fpmServer struct {
	FPM
	dir string // of its socket, and of scripts: everybody can enter it
	pid int
}

// fpmBinary finds php-fpm: its name has the version in it, and it lies where users have no PATH to.
func fpmBinary(t testing.TB) string {
	t.Helper()
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/usr/local/sbin") {
		found, _ := filepath.Glob(filepath.Join(dir, "php-fpm*"))
		for _, path := range found {
			if isExecutable(path) {
				return path
			}
		}
	}
	t.Skip("php-fpm is not installed")
	return ""
}

// startFPM starts a php-fpm with one static pool of so many workers. pool are more lines of its configuration, args more arguments.
func startFPM(t *testing.T, workers int, pool []string, args ...string) *fpmServer {
	t.Helper()
	s := &fpmServer{dir: publicDir(t)}
	s.Address = FPMAddress{"unix", filepath.Join(s.dir, "fpm.sock")}
	s.Place = FPMPlace{Dir: s.dir}
	lines := append([]string{
		"[global]", "error_log = " + filepath.Join(s.dir, "log"), "daemonize = no",
		"[www]", "listen = " + s.Address.Addr, "pm = static", fmt.Sprintf("pm.max_children = %d", workers),
	}, pool...)
	if os.Getuid() == 0 {
		lines = append(lines, "user = nobody", "group = nogroup")
	}
	conf := writeFile(t, filepath.Join(s.dir, "fpm.conf"), strings.Join(lines, "\n")+"\n")
	cmd := exec.Command(fpmBinary(t), append([]string{"-n", "-y", conf, "-F", "-d", "zend_extension=opcache"}, args...)...)
	var output bytes.Buffer
	cmd.Stderr = &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.pid = cmd.Process.Pid
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		<-ended
	})
	for {
		conn, err := net.Dial("unix", s.Address.Addr)
		if err == nil {
			conn.Close()
			return s
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("php-fpm: %v: %s", err, output.String())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// publicDir is a directory that another user can enter.
func publicDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "hotreload-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}

// get runs a script of the test's.
func (s *fpmServer) get(ctx context.Context, script string) (fcgiAnswer, error) {
	c := conversation{s.FPM, &laidScript{path: script}}
	return fcgiAsk(ctx, s.Address, c.params(""))
}

func (s *fpmServer) script(t *testing.T, name, code string) string {
	return writeFile(t, filepath.Join(s.dir, name), code)
}

func deadline(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestFpmRealStatus(t *testing.T) {
	old := syscall.Umask(0o077) // the script must be readable all the same
	defer syscall.Umask(old)
	s := startFPM(t, 2, nil, "-d", "opcache.revalidate_freq=7")
	ctx := deadline(t, time.Minute)
	page := s.script(t, "page.php", "<?php echo 'hello';")
	if err := errors.Join(os.Chmod(page, 0o644), os.Chtimes(page, time.Time{}, time.Now().Add(-time.Hour))); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if a, err := s.get(ctx, page); err != nil || string(a.body) != "hello" {
			t.Fatalf("%+v, %v", a, err)
		}
	}
	for range 5 {
		c, err := s.OPcacheStatus(ctx)
		if err != nil || c.Off != nil {
			t.Fatal(err, c.Off)
		}
		if c.Master != s.pid || c.PHP == "" || c.ThreadSafe || c.StartedAt.IsZero() || !c.LastRestart.IsZero() {
			t.Errorf("%+v", c)
		}
		if !c.ValidateTimestamps || c.RevalidateFreq != 7*time.Second || c.ForceRestart != 180*time.Second {
			t.Errorf("%+v", c.OPcacheSettings)
		}
		if c.Scripts != 1 || c.Hits != 2 || c.Memory.Used == 0 || c.Memory.Free == 0 || c.Strings == nil || c.JIT == nil {
			t.Errorf("our own script must not be counted: %+v", c.OPcacheState)
		}
	}
	nothingLeft(t, s.dir)
}

func nothingLeft(t *testing.T, dir string) {
	t.Helper()
	if left, _ := filepath.Glob(filepath.Join(dir, "hotreload-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestFpmRealReset(t *testing.T) {
	s := startFPM(t, 2, nil)
	ctx := deadline(t, time.Minute)
	for i := range int64(3) {
		r, err := s.ResetOPcache(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if r.Before.ManualRestarts != i || r.After.ManualRestarts != i+1 || r.After.RestartPending || r.After.Off != nil {
			t.Errorf("%+v", r)
		}
	}
	nothingLeft(t, s.dir)
}

// A request that runs keeps the restart pending: that is no success. Once it has ended, it is.
func TestFpmRealResetPending(t *testing.T) {
	s := startFPM(t, 2, nil)
	ctx := deadline(t, time.Minute)
	started := filepath.Join(s.dir, "started")
	// The script has to be in the cache, or a request does not hold it.
	wait := s.script(t, "wait.php", "<?php touch($_GET['started'] ?? '"+started+"'); while (!file_exists('"+s.dir+"/end')) { usleep(10000); clearstatcache(); }")
	if err := errors.Join(os.Chmod(s.dir, 0o777), os.Chtimes(wait, time.Time{}, time.Now().Add(-time.Hour))); err != nil {
		t.Fatal(err)
	}
	slow := make(chan error, 1)
	go func() {
		_, err := s.get(ctx, wait)
		slow <- err
	}()
	for {
		if _, err := os.Stat(started); err == nil {
			break
		}
		<-time.After(5 * time.Millisecond)
	}
	r, err := s.ResetOPcache(deadline(t, 5*time.Second))
	if !errors.Is(err, ErrOPcacheUnverified) || !r.After.RestartPending {
		t.Fatalf("%v, %+v", err, r)
	}
	if c, err := s.OPcacheStatus(ctx); err != nil || c.Off != nil || !c.RestartPending {
		t.Errorf("a pending restart is no cache that is off: %v, %v", err, c.Off)
	}
	writeFile(t, filepath.Join(s.dir, "end"), "")
	if r, err = s.ResetOPcache(ctx); err != nil || r.After.ManualRestarts < 1 {
		t.Errorf("%v, %+v", err, r)
	}
	if err := <-slow; err != nil {
		t.Error(err)
	}
	nothingLeft(t, s.dir)
}

// What php-fpm answers where it cannot run the script, or where there is no cache: the same as the fakes do.
func TestFpmRealObstacles(t *testing.T) {
	root := os.Getuid() == 0
	for name, c := range map[string]struct {
		pool  []string
		args  []string
		setup func(s *fpmServer)
		skip  bool
		want  error // of the question, else of the cache
		say   string
	}{
		"disabled":          {args: []string{"-d", "opcache.enable=0"}, want: ErrOPcacheOff, say: "opcache.enable=0"},
		"disabled for pool": {pool: []string{"php_admin_flag[opcache.enable] = off"}, want: ErrOPcacheOff, say: "opcache.enable=0"},
		"files only": {args: []string{"-d", "opcache.file_cache=" + publicDir(t), "-d", "opcache.file_cache_only=1"},
			want: ErrOPcacheOff, say: "opcache.file_cache_only"},
		"restricted": {args: []string{"-d", "opcache.restrict_api=/srv/app"}, want: ErrOPcacheForbidden, say: "opcache.restrict_api=/srv/app"},
		"no status": {pool: []string{"php_admin_value[disable_functions] = opcache_get_status"},
			want: ErrOPcacheForbidden, say: "disable_functions has opcache_get_status"},
		"open_basedir":     {pool: []string{"php_admin_value[open_basedir] = /srv/app"}, want: ErrFPMUnseen, say: "Operation not permitted"},
		"limit_extensions": {pool: []string{"security.limit_extensions = .phtml"}, want: ErrFPMDenied, say: "security.limit_extensions"},
		"private directory": {setup: func(s *fpmServer) { s.Place.Dir = t.TempDir() }, skip: !root,
			want: ErrFPMUnseen, say: `404 "File not found." "Primary script unknown"`},
		"no prepended file": {pool: []string{"php_value[auto_prepend_file] = /nonexistent.php"}, say: "did not run to its end; the answer is 200"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.skip {
				t.Skip("needs root")
			}
			s := startFPM(t, 1, c.pool, c.args...)
			if c.setup != nil {
				c.setup(s)
			}
			ctx := deadline(t, time.Minute)
			cache, err := s.OPcacheStatus(ctx)
			if err == nil {
				err = cache.Off
			}
			if err == nil || !strings.Contains(err.Error(), c.say) || (c.want != nil && !errors.Is(err, c.want)) {
				t.Errorf("%v\nwant %v: %s", err, c.want, c.say)
			}
			if _, err := s.ResetOPcache(ctx); err == nil || (c.want != nil && !errors.Is(err, c.want)) {
				t.Errorf("reset: %v", err)
			}
			nothingLeft(t, s.dir)
		})
	}
}

// Where it is a matter of the place, another place helps.
func TestFpmRealPlaces(t *testing.T) {
	t.Run("restrict_api", func(t *testing.T) {
		allowed := publicDir(t)
		s := startFPM(t, 1, nil, "-d", "opcache.restrict_api="+allowed)
		s.Place.Dir = allowed
		resets(t, s)
	})
	t.Run("chroot", func(t *testing.T) {
		if os.Getuid() != 0 {
			t.Skip("needs root")
		}
		jail := publicDir(t)
		if err := errors.Join(os.Mkdir(filepath.Join(jail, "tmp"), 0o711), os.Chmod(filepath.Join(jail, "tmp"), 0o711)); err != nil {
			t.Fatal(err)
		}
		s := startFPM(t, 1, []string{"chroot = " + jail})
		s.Place = FPMPlace{Dir: filepath.Join(jail, "tmp"), As: "/tmp"}
		resets(t, s)
		s.Place = FPMPlace{Root: jail, Dir: "/tmp"}
		resets(t, s)
		nothingLeft(t, filepath.Join(jail, "tmp"))
	})
	t.Run("a link that leads out", func(t *testing.T) {
		jail := publicDir(t)
		if err := os.Symlink(t.TempDir(), filepath.Join(jail, "tmp")); err != nil {
			t.Fatal(err)
		}
		_, err := FPM{Place: FPMPlace{Root: jail, Dir: "/tmp"}}.OPcacheStatus(t.Context())
		if !errors.Is(err, ErrFPMScript) {
			t.Error(err)
		}
	})
}

// Whatever headers other code sends, or none that says the type: the answer is found.
func TestFpmRealHeaders(t *testing.T) {
	before := writeFile(t, filepath.Join(publicDir(t), "before.php"), "<?php header('X-Long: '.str_repeat('x', 3000)); echo str_repeat(\"a line\\n\", 3000);")
	if err := os.Chmod(before, 0o644); err != nil {
		t.Fatal(err)
	}
	s := startFPM(t, 1, []string{"php_admin_value[auto_prepend_file] = " + before}, "-d", "default_mimetype=", "-d", "expose_php=0")
	resets(t, s)
	nothingLeft(t, s.dir)
}

func resets(t *testing.T, s *fpmServer) {
	t.Helper()
	r, err := s.ResetOPcache(deadline(t, time.Minute))
	if err != nil || r.After.ManualRestarts != r.Before.ManualRestarts+1 {
		t.Errorf("%v, %+v", err, r)
	}
}

// The promise: what a request gets that starts after a verified reset is new. The cache never looks at a file again by itself.
func TestFpmRealResetUnderLoad(t *testing.T) {
	s := startFPM(t, 4, nil, "-d", "opcache.validate_timestamps=0", "-d", "opcache.file_update_protection=0")
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	write := func(version int64) string {
		return s.script(t, "version.php", fmt.Sprintf("<?php usleep(2000); echo %d;", version))
	}
	page := write(0)
	var must atomic.Int64 // no request that starts now may get an older version
	var clients sync.WaitGroup
	var answers atomic.Int64
	for range 4 {
		clients.Go(func() {
			for ctx.Err() == nil {
				want := must.Load()
				answer, err := s.get(ctx, page)
				if err != nil {
					continue // php-src issue 14471 is none of this test's
				}
				answers.Add(1)
				if got, err := strconv.ParseInt(string(answer.body), 10, 64); err == nil && got < want {
					t.Errorf("got version %d after the reset that followed version %d", got, want)
				}
			}
		})
	}
	for version := int64(1); version <= 10; version++ {
		write(version)
		if _, err := s.ResetOPcache(ctx); err != nil {
			t.Fatal(err)
		}
		must.Store(version)
		for seen := answers.Load(); answers.Load() < seen+20 && ctx.Err() == nil; {
			<-time.After(time.Millisecond)
		}
	}
	stop()
	clients.Wait()
}
