package php

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestHyperfThatStartsInAWayOfItsOwn(t *testing.T) {
	dir := t.TempDir()
	h := Hyperf{Dir: dir, State: filepath.Join(dir, "state")}
	if _, err := h.ScanForReload(t.Context(), nil); !errors.Is(err, ErrUnsupported) {
		t.Errorf("without bin/hyperf.php: %v", err)
	}
	for code, supported := range map[string]bool{
		"Hyperf\\Di\\ClassLoader::init();":                                            true,
		"ClassLoader::init( );":                                                       true,
		"ClassLoader::init(BASE_PATH . '/other');":                                    false,
		"ClassLoader::init(handler: new Hyperf\\Di\\ScanHandler\\ProcScanHandler());": false,
	} {
		writeFile(t, filepath.Join(dir, "bin/hyperf.php"), "<?php\n"+code)
		if err := h.supported(); (err == nil) != supported {
			t.Errorf("%s: %v", code, err)
		}
	}
}

func TestProxyOf(t *testing.T) {
	dir := t.TempDir()
	h := Hyperf{Dir: dir}
	file := filepath.Join(dir, "app/A.php")
	for code, want := range map[string]string{
		"<?php\ndeclare(strict_types=1);\nnamespace App\\Controller;\n\nclass IndexController extends Abstract_ {}": "App_Controller_IndexController",
		"<?php namespace App;\n/** a class that */\n#[Controller(prefix: '/x')]\nfinal readonly class B {}":         "App_B",
		"<?php\nnamespace App { abstract class C {} }":                                                              "",
		"<?php\nnamespace App {\nabstract class C {} }":                                                             "App_C",
		"<?php\nnamespace App;\nfunction f() {}":                                                                    "",
		"<?php\nclass D {}":                                                                                         "",
		"":                                                                                                          "",
	} {
		writeFile(t, file, code)
		if want != "" {
			want = filepath.Join(dir, "runtime/container/proxy", want+".proxy.php")
		}
		if have := h.ProxyOf(file); have != want {
			t.Errorf("%q: %q, want %q", code, have, want)
		}
	}
	if have := h.ProxyOf(filepath.Join(dir, "gone.php")); have != "" {
		t.Errorf("a file that is gone: %q", have)
	}
}

func TestRestartIsSaidInAFewWords(t *testing.T) {
	for _, test := range []struct {
		answer scanAnswer
		want   string
	}{
		{scanAnswer{Message: "not known"}, "not known"},
		{scanAnswer{Changed: []string{"A"}}, "the collected annotations changed: A"},
		{scanAnswer{Changed: []string{"A", "B", "C", "D"}}, "the collected annotations changed: A, B and 2 more"},
	} {
		if have := test.answer.restart(); have != test.want {
			t.Errorf("%q, want %q", have, test.want)
		}
	}
}

// realHyperf is a copy of the Hyperf application that HOTRELOAD_TEST_HYPERF names, whose master has just been started.
func realHyperf(t *testing.T) Hyperf {
	t.Helper()
	from := os.Getenv("HOTRELOAD_TEST_HYPERF")
	if from == "" {
		t.Skip("HOTRELOAD_TEST_HYPERF names no Hyperf skeleton with its vendor directory")
	}
	dir := filepath.Join(t.TempDir(), "app")
	for _, args := range [][]string{{"cp", "-al", from, dir}, {"rm", "-rf", dir + "/app", dir + "/runtime", dir + "/config"}, {"cp", "-a", from + "/app", from + "/config", dir}} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
	}
	h := Hyperf{PHP: realPHP(t), Dir: dir, State: filepath.Join(filepath.Dir(dir), "state")}
	h.PHP.Env = append(os.Environ(), CacheableOff)
	writeFile(t, filepath.Join(dir, "app/Base.php"), "<?php\nnamespace App;\nuse Hyperf\\Di\\Annotation\\Inject;\nabstract class Base { use Text; #[Inject] protected \\Psr\\Container\\ContainerInterface $c; }\n")
	writeFile(t, filepath.Join(dir, "app/Text.php"), "<?php\nnamespace App;\ntrait Text { public function text() { return 'v1'; } }\n")
	writeFile(t, filepath.Join(dir, "app/Child.php"), "<?php\nnamespace App;\nclass Child extends Base { public function hello() { return 'v1'; } }\n")
	writeFile(t, filepath.Join(dir, "app/Plain.php"), "<?php\nnamespace App;\nclass Plain { const X = 'v1'; }\n")
	if scan, err := h.ScanForRestart(t.Context(), nil); err != nil || scan != (Scan{}) {
		t.Fatalf("the first scan: %+v, %v", scan, err)
	}
	if err := h.KeepBaseline(t.Context()); err != nil {
		t.Fatal(err)
	}
	return h
}

// snapshotOf is what a running server would load from, and by what Hyperf decides.
func (h Hyperf) snapshotOf(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	files, _ := filepath.Glob(h.ProxyDir() + "/*")
	for _, file := range append(files, h.ScanFile()) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.WriteString(file + string(text))
	}
	return all.String()
}

// A scan is left out only while nothing has changed since the last one, whatever the times of modification say.
func TestScanned(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "app")
	h := Hyperf{Dir: dir}
	at := func(name string) string { return filepath.Join(dir, name) }
	made := []string{scanCache, proxyDir + "/A.proxy.php"}
	for _, name := range append(made, "app/A.php", "app/B/B.php", "config/routes.php", "vendor/composer/autoload_static.php", ".env", "notes.log") {
		writeFile(t, at(name), "<?php\n")
	}
	past := time.Now().Add(-time.Hour)
	touch := func(name string) func() error {
		return func() error { return os.Chtimes(at(name), past, past) }
	}
	scan := func() { // as soon as the clock of the file system has gone on
		t.Helper()
		deadline := time.Now().Add(time.Minute)
		for writeFile(t, at("notes.log"), "scan"); !h.scanned(); {
			if time.Now().After(deadline) {
				t.Fatal("a scan after all changes is not believed")
			}
			for _, name := range made {
				writeFile(t, at(name), "<?php\n")
			}
		}
	}
	for _, test := range []struct {
		name    string
		change  func() error
		scanned bool
	}{
		{"nothing", func() error { return nil }, true},
		{"a log", touch("notes.log"), true},
		{"a file that is older than the one before", touch("app/A.php"), false},
		{"a configuration", touch("config/routes.php"), false},
		{"an environment", touch(".env"), false},
		{"a package", touch("vendor/composer/autoload_static.php"), false},
		{"a proxy that is older", touch(proxyDir + "/A.proxy.php"), false},
		{"an expired scan", touch(scanCache), false},
		{"a removed file", func() error { return os.Remove(at("app/B/B.php")) }, false},
		{"a link to code", func() error { return os.Symlink("/", at("app/B/link")) }, false},
	} {
		scan()
		if err := test.change(); err != nil {
			t.Fatal(err)
		}
		if h.scanned() != test.scanned {
			t.Errorf("%s: scanned: %v", test.name, !test.scanned)
		}
	}
	if err := os.Remove(at("app/B/link")); err != nil {
		t.Fatal(err)
	}
	scan()
	link := filepath.Join(filepath.Dir(dir), "current")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	if h.Dir = link; !h.scanned() {
		t.Error("an application behind a link is not scanned")
	}
	shared := filepath.Join(filepath.Dir(dir), "shared")
	if err := errors.Join(os.Rename(at("runtime"), shared), os.Symlink(shared, at("runtime"))); err != nil {
		t.Fatal(err)
	}
	if h.scanned() {
		t.Error("a runtime directory that releases share tells nothing")
	}
}

func TestScanForReload(t *testing.T) {
	h := realHyperf(t)
	edit := func(name, from, to string) string {
		t.Helper()
		file := filepath.Join(h.Dir, name)
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, file, strings.ReplaceAll(string(text), from, to))
		return file
	}
	scan := func(files ...string) Scan {
		t.Helper()
		s, err := h.ScanForReload(t.Context(), files)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	proxy := func(class string) string {
		text, _ := os.ReadFile(filepath.Join(h.ProxyDir(), class+".proxy.php"))
		return string(text)
	}

	t.Run("a body, twice within a second", func(t *testing.T) {
		for _, v := range []string{"v2", "v3", "v4"} {
			file := edit("app/Child.php", proxyVersion(proxy("App_Child")), v)
			if s := scan(file); s != (Scan{}) || !strings.Contains(proxy("App_Child"), v) {
				t.Fatalf("%+v, the proxy is\n%s", s, proxy("App_Child"))
			}
		}
	})
	t.Run("a file with an older time", func(t *testing.T) {
		file := edit("app/Child.php", "v4", "v5")
		old := time.Now().Add(-24 * time.Hour)
		if err := os.Chtimes(file, old, old); err != nil {
			t.Fatal(err)
		}
		if s := scan(file); s != (Scan{}) || !strings.Contains(proxy("App_Child"), "v5") {
			t.Errorf("%+v, the proxy is\n%s", s, proxy("App_Child"))
		}
	})
	t.Run("the constructor of a parent, which the proxy of its child copies", func(t *testing.T) {
		before := proxy("App_Child")
		file := edit("app/Base.php", "use Text;", "use Text; public function __construct(protected int $number = 7) {}")
		if s := scan(file); s != (Scan{}) || proxy("App_Child") == before && !strings.Contains(before, "__construct") {
			t.Errorf("%+v, the proxy is\n%s", s, proxy("App_Child"))
		}
	})
	t.Run("an attribute in a parent is one of its child", func(t *testing.T) {
		before := h.snapshotOf(t)
		file := edit("app/Text.php", "public function", "#[\\Hyperf\\Di\\Annotation\\Inject] protected \\Psr\\Container\\ContainerInterface $more; public function")
		s := scan(file)
		if !strings.Contains(s.Restart, "annotations changed: App\\Base") || h.snapshotOf(t) != before {
			t.Errorf("%+v", s)
		}
		edit("app/Text.php", "#[\\Hyperf\\Di\\Annotation\\Inject] protected \\Psr\\Container\\ContainerInterface $more; ", "")
		if s := scan(file); s != (Scan{}) {
			t.Errorf("taken back: %+v", s)
		}
	})
	t.Run("a class that comes, and goes", func(t *testing.T) {
		file := writeFile(t, filepath.Join(h.Dir, "app/NewOne.php"), "<?php\nnamespace App;\nclass NewOne {}\n")
		if s := scan(file); s != (Scan{}) {
			t.Errorf("it came: %+v", s)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		if s := scan(file); s != (Scan{}) {
			t.Errorf("it went: %+v", s)
		}
	})
	t.Run("an annotated class that comes", func(t *testing.T) {
		file := writeFile(t, filepath.Join(h.Dir, "app/NewOne.php"), "<?php\nnamespace App;\n#[\\Hyperf\\HttpServer\\Annotation\\AutoController]\nclass NewOne {}\n")
		if s := scan(file); !strings.Contains(s.Restart, "App\\NewOne") {
			t.Errorf("%+v", s)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("a class that Hyperf never found", func(t *testing.T) {
		file := writeFile(t, filepath.Join(h.Dir, "app/Misnamed.php"), "<?php\nnamespace App;\nclass Other {}\n")
		if s := scan(file); s != (Scan{}) {
			t.Errorf("%+v", s)
		}
	})
	t.Run("an aspect's own code", func(t *testing.T) {
		file := writeFile(t, filepath.Join(h.Dir, "app/Around.php"), aspect("App\\Child"))
		if s := scan(file); !strings.Contains(s.Restart, "annotations changed") {
			t.Errorf("it came: %+v", s)
		}
		restart := func() {
			t.Helper()
			if s, err := h.ScanForRestart(t.Context(), nil); err != nil || s != (Scan{}) {
				t.Fatalf("a restart: %+v, %v", s, err)
			}
			if err := h.KeepBaseline(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		restart()
		if s := scan(edit("app/Around.php", "return", "$around = true; return")); s != (Scan{}) {
			t.Errorf("its body: %+v", s)
		}
		if s := scan(edit("app/Around.php", "::hello", "::text")); !strings.Contains(s.Restart, "annotations changed") {
			t.Errorf("its classes: %+v", s)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		restart()
	})
	t.Run("an attribute that is not there", func(t *testing.T) {
		before := h.snapshotOf(t)
		file := edit("app/Child.php", "class Child", "#[Missing]\nclass Child")
		s := scan(file)
		if s.Problem == nil || !strings.Contains(s.Problem.Message, "Missing") || h.snapshotOf(t) != before {
			t.Errorf("%+v", s)
		}
		if s, err := h.ScanForRestart(t.Context(), nil); err != nil || s.Problem == nil || !strings.Contains(s.Problem.Message, "Missing") {
			t.Errorf("before a restart: %+v, %v", s, err)
		}
		edit("app/Child.php", "#[Missing]\n", "")
	})
	t.Run("a fatal error of inheritance", func(t *testing.T) {
		before := h.snapshotOf(t)
		file := edit("app/Base.php", "abstract class Base {", "abstract class Base { abstract public function hello(int $must): array;")
		s := scan(file)
		if s.Problem == nil || !strings.Contains(s.Problem.Message, "must be compatible") || h.snapshotOf(t) != before {
			t.Errorf("%+v", s)
		}
		edit("app/Base.php", " abstract public function hello(int $must): array;", "")
	})
	t.Run("a parent that is gone", func(t *testing.T) {
		before := h.snapshotOf(t)
		file := filepath.Join(h.Dir, "app/Base.php")
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		s := scan(file)
		if s.Problem == nil || !strings.Contains(s.Problem.Message, `App\Base`) || h.snapshotOf(t) != before {
			t.Errorf("%+v", s)
		}
		writeFile(t, file, string(text))
	})
	t.Run("files without a class", func(t *testing.T) {
		file := writeFile(t, filepath.Join(h.Dir, "app/helper.php"), "<?php\nfunction helper() {}\n")
		if s := scan(file, filepath.Join(h.Dir, "test/bootstrap.php")); s != (Scan{}) {
			t.Errorf("%+v", s)
		}
	})
	t.Run("nobody knows what has changed", func(t *testing.T) {
		edit("app/Child.php", proxyVersion(proxy("App_Child")), "v9")
		if s, err := h.ScanForReload(t.Context(), nil); err != nil || s != (Scan{}) || !strings.Contains(proxy("App_Child"), "v9") {
			t.Errorf("%+v, %v", s, err)
		}
	})
	t.Run("somebody else has scanned since", func(t *testing.T) {
		edit("app/Child.php", "class Child", "#[\\Hyperf\\HttpServer\\Annotation\\AutoController]\nclass Child")
		cmd := h.PHP.command(t.Context(), nil, "bin/hyperf.php", "list")
		cmd.Dir = h.Dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if s := scan(filepath.Join(h.Dir, "app/Child.php")); !strings.Contains(s.Restart, "App\\Child") {
			t.Errorf("%+v", s)
		}
	})
	left, _ := filepath.Glob(h.Dir + "/runtime/container/hotreload-*")
	if len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// proxyVersion is the version that a proxy returns.
func proxyVersion(code string) string {
	_, rest, _ := strings.Cut(code, "'v")
	version, _, _ := strings.Cut(rest, "'")
	return "v" + version
}

func aspect(class string) string {
	return "<?php\nnamespace App;\n#[\\Hyperf\\Di\\Annotation\\Aspect]\nclass Around extends \\Hyperf\\Di\\Aop\\AbstractAspect {\n" +
		"public array $classes = ['" + class + "::hello'];\n" +
		"public function process(\\Hyperf\\Di\\Aop\\ProceedingJoinPoint $p) { return $p->process(); } }\n"
}

// The master that was noted is told by its pid file. Without a note, what the last scan has left counts only if it is not younger.
func TestBaselineOfAnotherMaster(t *testing.T) {
	h := realHyperf(t)
	h.PIDFile = filepath.Join(h.Dir, "runtime/hyperf.pid")
	child := filepath.Join(h.Dir, "app/Child.php")
	if s, err := h.ScanForReload(t.Context(), nil); err != nil || s.Restart != "" {
		t.Fatalf("no pid file: %+v, %v", s, err)
	}
	start := func(after time.Duration) {
		t.Helper()
		writeFile(t, h.PIDFile, "1")
		at := modTime(t, h.ScanFile()).Add(after)
		if err := os.Chtimes(h.PIDFile, at, at); err != nil {
			t.Fatal(err)
		}
	}
	start(-time.Second)
	if s, err := h.ScanForReload(t.Context(), []string{child}); err != nil || !strings.Contains(s.Restart, "not known") {
		t.Errorf("a scan after the master's start: %+v, %v", s, err)
	}
	start(time.Second)
	if s, err := h.ScanForReload(t.Context(), []string{child}); err != nil || s.Restart != "" {
		t.Errorf("a scan before the master's start: %+v, %v", s, err)
	}
	notes, _ := filepath.Glob(h.State + "/baseline*")
	if len(notes) != 1 {
		t.Errorf("there are %q", notes)
	}
}

func TestScanThatIsEnded(t *testing.T) {
	h := realHyperf(t)
	before := h.snapshotOf(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if s, err := h.ScanForRestart(ctx, []string{"app/Base.php"}); err == nil {
		t.Errorf("%+v", s)
	}
	if h.snapshotOf(t) != before {
		t.Error("it changed what is live")
	}
}
