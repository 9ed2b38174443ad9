package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/fcgi"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hotreload/hotreload/signals"
)

// fakeCache is an OPcache that the pools of one master share.
type fakeCache struct {
	mu      sync.Mutex
	master  int
	resets  int // calls of opcache_reset()
	scripts int
	zts     bool
	pending bool // for ever
	enabled string
}

// pool starts a pool with this cache, and returns its address.
func (c *fakeCache) pool(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "hr") // short: a socket's path may have some hundred bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "fpm.sock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go fcgi.Serve(l, c)
	return l.Addr().String()
}

// ServeHTTP is the script.
func (c *fakeCache) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	restarts := c.resets
	if c.pending {
		restarts = 0
	}
	reset := "null"
	if fcgi.ProcessEnv(r)["HOTRELOAD_ACTION"] == "reset" && !c.zts {
		c.resets++
		reset = "true"
	}
	fmt.Fprintf(w, "\x02"+`{"php":"8.2.36","thread_safe":%v,"host":"here","parent":%d,"loaded":true,"forbidden":[],
		"ini":{"opcache.enable":%q,"opcache.validate_timestamps":"0"},"reset":%s,"messages":[],
		"status":{"opcache_enabled":true,"cache_full":true,"restart_pending":%v,"restart_in_progress":false,
		"memory_usage":{"used_memory":1000000,"free_memory":2000000,"wasted_memory":0,"current_wasted_percentage":0},
		"opcache_statistics":{"num_cached_scripts":%d,"num_cached_keys":8,"max_cached_keys":100,"start_time":1000,"manual_restarts":%d}}}`+"\x03",
		c.zts, c.master, c.enabled, reset, c.pending && c.resets > 0, c.scripts, restarts)
}

// opcache runs a command in this process.
func opcache(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	return hotreload(t, append([]string{"opcache"}, args...)...)
}

// hotreload runs a command in this process.
func hotreload(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	app := newApp()
	app.Writer, app.ErrWriter = &out, &errs
	err := app.RunContext(t.Context(), append([]string{"hotreload"}, args...))
	complain(&errs, err)
	return exitCode(err), out.String(), errs.String()
}

// with are the arguments for these pools. What looks like a flag is one.
func with(command string, pools ...string) []string {
	args := []string{command}
	for _, p := range pools {
		if !strings.HasPrefix(p, "--") {
			p = "--fastcgi=" + p
		}
		args = append(args, p)
	}
	return args
}

func TestOpcacheSharedCache(t *testing.T) {
	shared, other := &fakeCache{master: 11, scripts: 7, enabled: "1"}, &fakeCache{master: 12, scripts: 1, enabled: "1"}
	unknown := &fakeCache{master: 0, enabled: "1"} // PHP could not tell who its master is
	pools := []string{shared.pool(t), shared.pool(t), other.pool(t), unknown.pool(t), unknown.pool(t)}

	code, out, errs := opcache(t, with("status", pools...)...)
	if code != 0 || errs != "" || strings.Count(out, "PHP ") != 4 || !strings.Contains(out, "OPcache  that of unix:"+pools[0]+"\n") {
		t.Errorf("%d\n%s\n%s", code, out, errs)
	}
	for _, line := range []string{
		"pool      unix:" + pools[0], "PHP       8.2.36, master 11", "memory    1.0 MB used, 2.0 MB free",
		"scripts   7 scripts, 8 of 100 keys", "changes   never seen (opcache.validate_timestamps=0)",
		"note      it is full, and what is not in it is compiled at each request: raise opcache.memory_consumption",
	} {
		if !strings.Contains(out, line) {
			t.Errorf("no %q in\n%s", line, out)
		}
	}

	code, out, errs = opcache(t, with("reset", pools...)...)
	if code != 0 || shared.resets != 1 || other.resets != 1 || unknown.resets != 1 {
		t.Errorf("%d; reset %d, %d and %d times", code, shared.resets, other.resets, unknown.resets)
	}
	if strings.Count(errs, "issue 14471") != 1 {
		t.Errorf("warned: %s", errs)
	}
	for _, line := range []string{
		"emptied the OPcache of unix:" + pools[0] + " in ", "; it held 7 scripts\n",
		"unix:" + pools[1] + " shares the OPcache of unix:" + pools[0] + "\n",
		"emptied the OPcache of unix:" + pools[2] + " in ", "; it held 1 script\n",
		"the OPcache of unix:" + pools[4] + " was emptied with that of an earlier pool, or by somebody else\n",
	} {
		if !strings.Contains(out, line) {
			t.Errorf("no %q in\n%s", line, out)
		}
	}
}

func TestOpcacheExitCodes(t *testing.T) {
	good := (&fakeCache{master: 1, enabled: "1"}).pool(t)
	zts := (&fakeCache{master: 2, enabled: "1", zts: true}).pool(t)
	stuck := &fakeCache{master: 3, enabled: "1", pending: true}
	stuck1, stuck2 := stuck.pool(t), stuck.pool(t)
	off := (&fakeCache{master: 4, enabled: "0"}).pool(t)
	for name, c := range map[string]struct {
		args   []string
		code   int
		out    string
		errs   string
		errors int // lines that begin with hotreload: and an address
	}{
		"status of a thread-safe one": {with("status", zts), 0, "PHP       8.2.36, thread safe, master 2", "", 0},
		"status of one that is off":   {with("status", off), 0, "OPcache  off: opcache.enable=0", "", 0},
		"some of them":                {with("status", "/gone.sock", good), 3, "pool      unix:" + good, "/gone.sock: no php-fpm listens there", 1},
		"thread safe":                 {with("reset", zts), 5, "", "refused: this PHP is thread safe", 1},
		"off":                         {with("reset", off), 1, "", "OPcache is off: opcache.enable=0\n  there is nothing to empty", 1},
		"pending":                     {with("reset", stuck1, "--timeout=200ms"), 4, "", "not verified: the reset is scheduled, and waits", 1},
		"pending, two pools": {with("reset", stuck1, stuck2, "--timeout=200ms"), 4, "",
			stuck2 + ": shares its OPcache with unix:" + stuck1 + ": not verified", 2},
		"several reasons": {with("reset", good, zts, off), 1, "emptied the OPcache of unix:" + good, zts + ": refused", 2},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errs := opcache(t, c.args...)
			if code != c.code || !strings.Contains(out, c.out) || !strings.Contains(errs, c.errs) || strings.Count(errs, "hotreload: unix:") != c.errors {
				t.Errorf("code %d, want %d\n%s\n%s", code, c.code, out, errs)
			}
			if c.out == "" && out != "" {
				t.Errorf("printed %s", out)
			}
		})
	}
	if stuck.resets == 0 {
		t.Error("was not asked")
	}
}

func TestOpcacheJSON(t *testing.T) {
	cache := &fakeCache{master: 5, scripts: 3, enabled: "1"}
	pool, twin := cache.pool(t), cache.pool(t)
	zts := (&fakeCache{master: 2, enabled: "1", zts: true}).pool(t)

	code, out, _ := opcache(t, with("status", pool, twin, "/gone.sock", "--json")...)
	var states []map[string]any
	if err := json.Unmarshal([]byte(out), &states); err != nil || code != 3 || len(states) != 3 {
		t.Fatalf("%d, %v: %s", code, err, out)
	}
	if states[0]["shared_with"] != nil || states[1]["shared_with"] != "unix:"+pool || states[2]["cache"] != nil || states[2]["error"] == "" {
		t.Error(out)
	}
	for _, key := range []string{"address", "error", "shared_with", "php", "enabled", "off", "settings", "cache", "hints"} {
		for _, state := range states {
			if _, has := state[key]; !has {
				t.Errorf("%s is missing in %v", key, state)
			}
		}
	}

	code, out, errs := opcache(t, with("reset", pool, twin, zts, "--json")...)
	var resets []resetJSON
	if err := json.Unmarshal([]byte(out), &resets); err != nil || code != 5 || len(resets) != 3 {
		t.Fatalf("%d, %v: %s", code, err, out)
	}
	first, second, third := resets[0], resets[1], resets[2]
	if first.Result != "verified" || first.DroppedScripts != 3 || *first.RestartsBefore != 0 || *first.RestartsAfter != 1 || first.DurationMs == 0 {
		t.Errorf("%+v", first)
	}
	if second.Result != "verified" || *second.SharedWith != first.Address || second.RestartsBefore != nil {
		t.Errorf("%+v", second)
	}
	if third.Result != "refused" || !strings.Contains(third.Error, "thread safe") || len(third.Hints) != 1 {
		t.Errorf("%+v", third)
	}
	if strings.Contains(errs, zts) {
		t.Errorf("said twice: %s", errs)
	}
}

// fpmProgram is a php-fpm.
func fpmProgram(t *testing.T) string {
	t.Helper()
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/usr/local/sbin") {
		if found, _ := filepath.Glob(filepath.Join(dir, "php-fpm*")); len(found) > 0 {
			return found[0]
		}
	}
	t.Skip("php-fpm is not installed")
	return ""
}

// A php-fpm with two pools, found by its pid file; as root with a third one that has a root directory of its own.
func TestOpcacheRealFPM(t *testing.T) {
	program := fpmProgram(t)
	dir, err := os.MkdirTemp("/tmp", "hr")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	conf := "[global]\ndaemonize = no\nerror_log = " + dir + "/log\npid = " + dir + "/fpm.pid\n"
	jailed := os.Getuid() == 0 && runtime.GOOS == "linux"
	for _, name := range []string{"one", "two"} {
		conf += "[" + name + "]\nlisten = " + dir + "/" + name + ".sock\npm = static\npm.max_children = 1\n"
		if os.Getuid() == 0 {
			conf += "user = nobody\ngroup = nogroup\n"
		}
	}
	if jailed {
		if err := os.MkdirAll(dir+"/jail/tmp", 0o755); err != nil {
			t.Fatal(err)
		}
		conf += "[jail]\nlisten = " + dir + "/jail.sock\npm = static\npm.max_children = 1\nuser = nobody\ngroup = nogroup\nchroot = " + dir + "/jail\n"
	}
	if err := os.WriteFile(dir+"/fpm.conf", []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-n", "-y", dir+"/fpm.conf", "-F", "-d", "zend_extension=opcache")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	})
	awaitFPM(t, func() error {
		_, err := signals.ReadPIDFile(dir + "/fpm.pid")
		return err
	})
	awaitFPM(t, func() error {
		conn, err := net.Dial("unix", dir+"/two.sock")
		if err == nil {
			err = conn.Close()
		}
		return err
	})

	args := []string{"--kind", "php-fpm", "--pid-file", dir + "/fpm.pid"}
	code, out, errs := opcache(t, append([]string{"status"}, args...)...)
	if code != 0 || errs != "" || !strings.Contains(out, fmt.Sprintf("master %d\n", cmd.Process.Pid)) || !strings.Contains(out, "OPcache  that of unix:"+dir) {
		t.Errorf("%d\n%s\n%s", code, out, errs)
	}
	code, out, errs = opcache(t, append([]string{"reset"}, args...)...)
	if code != 0 || strings.Count(out, "emptied the OPcache of unix:"+dir) != 1 || strings.Count(out, "shares the OPcache of unix:"+dir) != 1 {
		t.Errorf("%d\n%s\n%s", code, out, errs)
	}
	if jailed {
		if code, out, errs = opcache(t, "reset", "--fastcgi", dir+"/jail.sock"); code != 0 || !strings.HasPrefix(out, "emptied the OPcache of unix:"+dir+"/jail.sock in ") {
			t.Errorf("%d\n%s\n%s", code, out, errs)
		}
		if left, _ := os.ReadDir(dir + "/jail/tmp"); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}

// awaitFPM tries until it works.
func awaitFPM(t *testing.T, try func() error) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		<-time.After(10 * time.Millisecond)
	}
}
