package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hotreload/hotreload/signals"
)

// What names the checkouts of the frameworks, with vendor.
const (
	hyperfCheckout = "HOTRELOAD_BENCH_HYPERF"
	webmanCheckout = "HOTRELOAD_BENCH_WEBMAN"
)

// app is an application whose answers say their version and their worker.
type app struct {
	*site
	workers int
	idle    string        // what the command lines of processes say that answer nothing; "": there are none
	scan    time.Duration // how often the framework's own watcher looks
	file    string        // what is saved
	text    string        // its content, which says 'v1'
	path    string        // of the answers that say its version
}

// mark is what every file that is saved says once.
const mark = "'v1'"

// saved is what is saved when a version is.
func (a *app) saved(version string) string {
	return strings.Replace(a.text, mark, "'"+version+"'", 1)
}

// says makes file what is saved from now on, and path what tells.
func (a *app) says(file, path string) error {
	text, err := os.ReadFile(filepath.Join(a.dir, file))
	if err != nil {
		return err
	}
	a.file, a.text, a.path = filepath.Join(a.dir, file), string(text), path
	if strings.Count(a.text, mark) != 1 {
		return fmt.Errorf("%s does not say %s once", a.file, mark)
	}
	return nil
}

// serving are the pids of all workers; none while there are more or fewer of them than there should be.
func (a *app) serving() []int {
	master, err := signals.Lookup(a.masterPID())
	if err != nil {
		return nil
	}
	tree, err := signals.Tree(master)
	if err != nil {
		return nil
	}
	var pids []int
	for _, p := range tree {
		parent := slices.ContainsFunc(tree, func(child signals.Info) bool { return child.PPID == p.PID })
		if !parent && !a.isIdle(p.Process) {
			pids = append(pids, p.PID)
		}
	}
	if len(pids) != a.workers {
		return nil
	}
	return pids
}

func (a *app) isIdle(p signals.Process) bool {
	if a.idle == "" {
		return false
	}
	words, err := p.Cmdline()
	return err == nil && strings.Contains(strings.Join(words, " "), a.idle)
}

// newApp copies a checkout, but for what is left of its last run, and gives it a port.
func (b *bench) newApp(name, checkout string) (*app, string, error) {
	s, err := b.newSite(name)
	if err != nil {
		return nil, "", err
	}
	if err := os.Remove(s.watched); err != nil {
		return nil, "", err
	}
	if err := copyCheckout(s.dir, checkout); err != nil {
		return nil, "", fmt.Errorf("copy %s: %w", checkout, err)
	}
	port, err := freePort()
	if err != nil {
		return nil, "", err
	}
	s.watched, s.kind = s.dir, name
	s.address = net.JoinHostPort("127.0.0.1", port)
	return &app{site: s}, port, nil
}

// copyCheckout copies a project. Most of vendor is the same files under other names, where the file system can do that: nothing
// writes there but composer, into what is its own.
func copyCheckout(to, from string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		switch {
		case slices.Contains([]string{"runtime", ".git", "node_modules"}, rel):
			return filepath.SkipDir
		case d.IsDir():
			return os.MkdirAll(target, 0o755)
		case d.Type()&fs.ModeSymlink != 0:
			link, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return os.Symlink(link, target)
		case !d.Type().IsRegular():
			return nil
		case isForeign(rel) && os.Link(path, target) == nil:
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, text, 0o644)
	})
}

// isForeign: it is a file of a package, vendor/NAME/PACKAGE/..., and not composer's.
func isForeign(rel string) bool {
	parts := strings.Split(filepath.ToSlash(rel), "/")
	return len(parts) > 3 && parts[0] == "vendor" && parts[1] != "composer"
}

// edit replaces what matches in a file of a copy; everything must match.
func (a *app) edit(file string, replacements ...string) error {
	path := filepath.Join(a.dir, file)
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for i := 0; i < len(replacements); i += 2 {
		pattern := regexp.MustCompile(replacements[i])
		if !pattern.Match(text) {
			return fmt.Errorf("%s: nothing matches %s: it is not the skeleton's", path, pattern)
		}
		text = pattern.ReplaceAll(text, []byte(replacements[i+1]))
	}
	return os.WriteFile(path, text, 0o644)
}

// write adds files to a copy.
func (a *app) write(files map[string]string) error {
	for file, text := range files {
		path := filepath.Join(a.dir, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// newHyperf is the skeleton, in one of Swoole's modes, with a controller that has something injected, and a class that has nothing.
func (b *bench) newHyperf(php, mode string) (*app, error) {
	a, port, err := b.newApp("hyperf", os.Getenv(hyperfCheckout))
	if err != nil {
		return nil, err
	}
	a.workers, a.scan = workers, 2*time.Second
	a.command = []string{php, "bin/hyperf.php", "start"}
	a.pidFile = filepath.Join(a.dir, "runtime", "hyperf.pid")
	env, err := os.ReadFile(filepath.Join(a.dir, ".env"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	err = a.write(map[string]string{
		".env": string(env) + "\nBENCH_VERSION='v1'\n",
		"app/Service/Plain.php": `<?php

declare(strict_types=1);

namespace App\Service;

class Plain
{
    public function version(): string
    {
        return 'v1';
    }
}
`,
		"app/Controller/IndexController.php": `<?php

declare(strict_types=1);

namespace App\Controller;

use App\Service\Plain;
use Hyperf\Di\Annotation\Inject;

use function Hyperf\Support\env;

class IndexController extends AbstractController
{
    #[Inject]
    protected Plain $plain;

    public function index()
    {
        return $this->says('v1');
    }

    public function plain()
    {
        return $this->says($this->plain->version());
    }

    public function env()
    {
        return $this->says(env('BENCH_VERSION'));
    }

    private function says(string $version)
    {
        return $this->response->raw("hello {$version} from worker " . getmypid() . "\n");
    }
}
`,
		"config/routes.php": `<?php

declare(strict_types=1);

use Hyperf\HttpServer\Router\Router;

Router::get('/', 'App\Controller\IndexController@index');
Router::get('/plain', 'App\Controller\IndexController@plain');
Router::get('/env', 'App\Controller\IndexController@env');
`,
	})
	if err != nil {
		return nil, err
	}
	return a, a.edit("config/autoload/server.php",
		`'mode' => \w+`, "'mode' => "+mode,
		`'host' => '[^']*'`, "'host' => '127.0.0.1'",
		`'port' => \d+`, "'port' => "+port,
		`OPTION_WORKER_NUM => [^,]+`, fmt.Sprintf("OPTION_WORKER_NUM => %d", workers))
}

// newWebman is the skeleton with eight workers, with or without its own monitor at work.
func (b *bench) newWebman(monitor bool) (*app, error) {
	a, port, err := b.newApp("webman", os.Getenv(webmanCheckout))
	if err != nil {
		return nil, err
	}
	a.workers, a.scan, a.idle = 8, time.Second, "process  monitor"
	a.command = []string{"php", "start.php", "start"}
	a.pidFile = filepath.Join(a.dir, "runtime", "webman.pid")
	err = a.write(map[string]string{
		"app/controller/IndexController.php": `<?php

namespace app\controller;

use support\Request;

class IndexController
{
    public function index(Request $request)
    {
        return 'hello ' . 'v1' . ' from worker ' . getmypid() . "\n";
    }
}
`,
		"runtime/logs/.gitignore": "*\n",
	})
	if err != nil {
		return nil, err
	}
	return a, a.edit("config/process.php",
		`'listen' => '[^']*'`, "'listen' => 'http://127.0.0.1:"+port+"'",
		`'count' => [^,]+`, fmt.Sprintf("'count' => %d", a.workers),
		`'enable_file_monitor' => .*`, fmt.Sprintf("'enable_file_monitor' => %t,", monitor))
}

// newSwoole is examples/swoole, without task workers.
func (b *bench) newSwoole(e example) (*app, error) {
	p, err := b.newPHPSite(e, "--tasks=0")
	if err != nil {
		return nil, err
	}
	return &app{site: p.site, workers: workers}, nil
}
