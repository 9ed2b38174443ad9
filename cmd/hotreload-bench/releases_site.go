package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/BurntSushi/toml"

	"github.com/hotreload/hotreload/control"
	"github.com/hotreload/hotreload/supervisor"
)

// deployed is an application in releases, one of which a link named current leads to. Each release says its name in its answers.
type deployed struct {
	*site // dir is current, through the link
	name  string
	base  string // where current, and the directory of the releases, lie
	of    *app   // what the releases are copies of
	file  string // in a release: what says its name
}

// newDeployed puts an application into releases of these names, the first of which is current; when none is named there is none yet.
func (b *bench) newDeployed(name string, a *app, pidFile string, releases ...string) (*deployed, error) {
	base, err := os.MkdirTemp(b.temp, "releases-")
	if err != nil {
		return nil, err
	}
	return newDeployedIn(base, name, a, pidFile, releases...)
}

// newDeployedIn does so in an existing directory.
func newDeployedIn(base, name string, a *app, pidFile string, releases ...string) (*deployed, error) {
	file, err := filepath.Rel(a.dir, a.file)
	if err != nil {
		return nil, err
	}
	s := *a.site
	d := &deployed{site: &s, name: name, base: base, of: a, file: file}
	s.dir = filepath.Join(base, "current")
	s.pidFile = filepath.Join(s.dir, pidFile)
	for _, r := range releases {
		if err := d.add(r); err != nil {
			return nil, fmt.Errorf("release %s: %w", r, err)
		}
	}
	if len(releases) == 0 {
		return d, nil
	}
	return d, d.shell(`ln -s "releases/$1" current`, releases[0])
}

// add makes a release.
func (d *deployed) add(name string) error {
	dir := d.path(name)
	if err := copyCheckout(dir, d.of.dir); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(dir, "runtime", "logs"), 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, d.file), []byte(d.of.saved(name)), 0o644)
}

func (d *deployed) path(release string) string { return filepath.Join(d.base, "releases", release) }

// shell runs a script where current lies.
func (d *deployed) shell(script string, args ...string) error {
	cmd := exec.Command("sh", append([]string{"-euc", script, "sh"}, args...)...)
	cmd.Dir = d.base
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("sh -c %q %q: %w: %s", script, args, err, out)
	}
	return nil
}

// deployedHere are the applications that can run on this machine, in releases of these names, and why others cannot.
func (b *bench) deployedHere(ctx context.Context, releases ...string) (here []*deployed, why []string, err error) {
	swoole := example{"swoole", os.Getenv(phpWithSwoole)}
	says := func(a *app, err error, file string) (*app, error) {
		if err != nil {
			return nil, err
		}
		return a, a.says(file, "/")
	}
	plain := func(mode string) func() (*app, error) {
		return func() (*app, error) { return b.plainApp(swoole, "--mode="+mode) }
	}
	for _, candidate := range []struct {
		name    string
		problem error
		pidFile string
		make    func() (*app, error)
	}{
		{"Hyperf", errors.Join(checkout(hyperfCheckout), swoole.runs(ctx)), "runtime/hyperf.pid",
			func() (*app, error) {
				a, err := b.newHyperf(swoole.php, "SWOOLE_BASE")
				return says(a, err, "app/Controller/IndexController.php")
			}},
		{"Swoole BASE", swoole.runs(ctx), "runtime/server.pid", plain("base")},
		{"Swoole PROCESS", swoole.runs(ctx), "runtime/server.pid", plain("process")},
		{"webman", errors.Join(checkout(webmanCheckout), example{"webman", "php"}.runs(ctx)), "runtime/webman.pid",
			func() (*app, error) {
				a, err := b.newWebman(false)
				return says(a, err, "app/controller/IndexController.php")
			}},
	} {
		if candidate.problem != nil {
			why = append(why, fmt.Sprintf("%s: %s.", candidate.name, strings.ReplaceAll(candidate.problem.Error(), "\n", "; ")))
			continue
		}
		a, err := candidate.make()
		if err != nil {
			return nil, nil, err
		}
		d, err := b.newDeployed(candidate.name, a, candidate.pidFile, releases...)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", candidate.name, err)
		}
		here = append(here, d)
	}
	if len(here) > 0 {
		return here, why, nil
	}
	a, name, err := b.someApp(ctx)
	if err != nil {
		return nil, append(why, err.Error()+"."), nil
	}
	d, err := b.newDeployed(name, a, "runtime/server.pid", releases...)
	return []*deployed{d}, why, err
}

// someApp is a Swoole server in PROCESS mode where that is possible, else examples/prefork.
func (b *bench) someApp(ctx context.Context) (a *app, name string, err error) {
	swoole, prefork := example{"swoole", os.Getenv(phpWithSwoole)}, example{"prefork", "php"}
	if swoole.runs(ctx) == nil {
		a, err = b.plainApp(swoole)
		return a, "Swoole PROCESS", err
	}
	if err := prefork.runs(ctx); err != nil {
		return nil, "", fmt.Errorf("examples/prefork: %w", err)
	}
	a, err = b.plainApp(prefork)
	return a, "examples/prefork", err
}

// plainApp is an example that is started by a relative path, and has its pid file beside it.
func (b *bench) plainApp(e example, options ...string) (*app, error) {
	p, err := b.newPHPSite(e)
	if err != nil {
		return nil, err
	}
	a := &app{site: p.site, workers: workers, file: p.handler, text: p.text, path: "/"}
	_, port, _ := strings.Cut(p.address, ":")
	a.command = append([]string{e.php, "server.php", "--port=" + port, fmt.Sprintf("--workers=%d", workers), "--tasks=0"}, options...)
	return a, nil
}

// following is a hotreload in release mode.
type following struct {
	*deployed
	process *process
	client  *control.Client
}

// follow starts `hotreload run`.
func (d *deployed) follow(ctx context.Context, b *bench) (*following, error) {
	config, err := d.writeReleaseConfig(nil)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(b.hotreload, "-c", config, "run")
	cmd.Dir = d.base
	f := &following{deployed: d, client: control.NewClient(control.Place{Socket: d.socket()})}
	if f.process, err = launch(cmd); err != nil {
		return nil, err
	}
	st, err := f.until(ctx, func(st supervisor.Status) bool { return st.State == supervisor.Ready })
	if err == nil && (st.Handover == nil || st.Handover.Method != "interpose") {
		err = fmt.Errorf("there is no handover: %+v\n%s", st.Handover, f.process.said)
	}
	if err != nil {
		f.process.stop()
		return nil, err
	}
	return f, nil
}

func (d *deployed) socket() string { return filepath.Join(d.base, "control.sock") }

// writeReleaseConfig writes a hotreload.toml with release mode. More sections may be given.
func (d *deployed) writeReleaseConfig(more map[string]any) (path string, err error) {
	values := map[string]any{
		"server":  map[string]any{"kind": d.kind, "command": d.command, "pid_file": d.pidFile},
		"release": map[string]any{"current": d.dir},
		"control": map[string]any{"socket": d.socket()},
		"log":     map[string]any{"format": "json"},
	}
	for name, section := range more {
		values[name] = section
	}
	text, err := toml.Marshal(values)
	if err != nil {
		return "", err
	}
	path = filepath.Join(d.base, "hotreload.toml")
	return path, os.WriteFile(path, text, 0o644)
}

// until asks hotreload for its status until that is as wanted, as long as the patience lasts.
func (f *following) until(ctx context.Context, wanted func(supervisor.Status) bool) (st supervisor.Status, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err = f.process.until(ctx, func() bool {
		var askErr error
		st, askErr = f.client.Status(ctx)
		return askErr == nil && wanted(st)
	})
	if err != nil {
		err = fmt.Errorf("it is %s %s: %w", st.State, st.Reason, err)
	}
	return st, err
}

// serves waits until the server answers by itself with a release, and returns when it had.
func (d *deployed) serves(ctx context.Context, p *process, release string) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := p.until(ctx, func() bool {
		a, err := ask(ctx, "http://"+d.address+"/")
		return err == nil && a.version == release
	})
	return time.Now(), err
}
