package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/hotreload/hotreload/signals"
)

// A php-fpm that nobody watches follows a switch: in the foreground by executing itself anew, in the background by doing so under
// another pid.
func TestReleaseRealFPM(t *testing.T) {
	program := fpmProgram(t)
	for name, background := range map[string]bool{"in the foreground": false, "daemonized": true} {
		t.Run(name, func(t *testing.T) {
			dir, err := os.MkdirTemp("/tmp", "hr")
			must(t, err)
			t.Cleanup(func() { os.RemoveAll(dir) })
			for _, release := range []string{"1", "2", "3"} {
				must(t, os.MkdirAll(filepath.Join(dir, "releases", release), 0o755))
			}
			conf := "[global]\npid = " + dir + "/fpm.pid\nerror_log = " + dir + "/log\n" +
				"[www]\nlisten = " + dir + "/fpm.sock\npm = static\npm.max_children = 2\n"
			if os.Getuid() == 0 {
				conf += "user = nobody\ngroup = nogroup\n"
			}
			must(t, os.WriteFile(dir+"/fpm.conf", []byte(conf), 0o600))
			must(t, os.WriteFile(dir+"/hotreload.toml", []byte("[server]\nkind = \"php-fpm\"\npid_file = \"fpm.pid\"\n[release]\ncurrent = \"current\"\n"), 0o600))
			activate := func(name string) (code int, out, errs string) {
				return hotreload(t, "-c", dir+"/hotreload.toml", "release", "activate", name)
			}
			if code, out, errs := activate("1"); code != 0 || !strings.HasPrefix(out, "release 1 is current: nothing serves it yet") {
				t.Fatalf("%d: %s%s", code, out, errs)
			}
			master := startFPM(t, program, dir, background)
			tree, err := signals.Tree(master)
			must(t, err)
			code, out, errs := activate("2")
			if code != 0 || !strings.HasPrefix(out, "release 2 is live: re") {
				t.Fatalf("%d: %s%s", code, out, errs)
			}
			for _, old := range tree[1:] {
				if old.Alive() {
					t.Errorf("worker %d from before still runs", old.PID)
				}
			}
			if !background && !master.Alive() {
				t.Error("the master is another one")
			}
			// A health check that fails has php-fpm follow back.
			t.Setenv("HOTRELOAD_RELEASE_HEALTH_URL", "http://127.0.0.1:1/")
			t.Setenv("HOTRELOAD_RELEASE_HEALTH_TRIES", "1")
			code, out, errs = activate("3")
			if code != exitRefused || !strings.Contains(errs, "release 3 is not live: health: ") || !strings.Contains(errs, "current leads to 2 again") {
				t.Fatalf("%d: %s%s", code, out, errs)
			}
		})
	}
}

// startFPM starts a php-fpm, and returns its master when that has its workers.
func startFPM(t *testing.T, program, dir string, background bool) signals.Process {
	t.Helper()
	file := dir + "/fpm.pid"
	args := []string{"-n", "-y", dir + "/fpm.conf"}
	if background {
		must(t, exec.Command(program, append(args, "-D")...).Run())
		t.Cleanup(func() {
			if j := signals.Judge(file, signals.Expectation{}); j.Verdict == signals.Master {
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				defer cancel()
				must(t, errors.Join(j.Master.Signal(syscall.SIGTERM), j.Master.Wait(ctx)))
			}
		})
	} else {
		cmd := exec.Command(program, append(args, "-F")...)
		must(t, cmd.Start())
		t.Cleanup(func() {
			cmd.Process.Signal(syscall.SIGTERM)
			cmd.Wait()
		})
	}
	var master signals.Process
	awaitFPM(t, func() error {
		j := signals.Judge(file, signals.Expectation{})
		if j.Verdict != signals.Master {
			return errors.New(j.Reason)
		}
		master = j.Master
		if tree, err := signals.Tree(master); err != nil || len(tree) < 3 {
			return errors.New("its workers are not there yet")
		}
		return nil
	})
	return master
}
