package examples_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// deployer is a way to deploy what was committed last. It returns its exit code, and what it has printed.
type deployer func() (code int, text string)

// nextSecond waits until a release that is named after the time gets another name than the one before.
func nextSecond() {
	now := time.Now()
	time.Sleep(time.Until(now.Truncate(time.Second).Add(time.Second)))
}

// tryDeploys deploys a release that works, one that does not, and one that does again.
func (s *site) tryDeploys(deploy deployer, refused int) {
	s.t.Helper()
	revision := s.release("v2", false)
	code, text := deploy()
	if code != 0 {
		s.t.Fatalf("a release that works: exit code %d\n%s", code, text)
	}
	second := s.serves("v2")
	s.complete(second, revision)

	s.release("v3", true)
	nextSecond()
	code, text = deploy()
	if code != refused || !strings.Contains(text, "no database") {
		s.t.Fatalf("a release that does not start: exit code %d, want %d and the reason\n%s", code, refused, text)
	}
	if back := s.serves("v2"); back != second {
		s.t.Errorf("current leads to %s, and not to %s as before", back, second)
	}

	revision = s.release("v4", false)
	nextSecond()
	code, text = deploy()
	if code != 0 {
		s.t.Fatalf("mended: exit code %d\n%s", code, text)
	}
	s.complete(s.serves("v4"), revision)
}

// operations checks how often the server was restarted or reloaded: once for each release that works, and where the recipe makes the
// switch, once more after it has switched back. So what the deploy was told is what came of the switch, and not of something after it.
func (s *site) operations(want int) {
	s.t.Helper()
	if got := s.status().Counters; got.Restarts+got.Reloads != want {
		s.t.Errorf("%d restarts and %d reloads, want %d together", got.Restarts, got.Reloads, want)
	}
}

func TestShellRecipe(t *testing.T) {
	t.Parallel()
	s := newSite(t, "rsync")
	script := s.recipe("shell/deploy.sh")
	s.tryDeploys(func() (int, string) { return s.run("/", "sh", script, s.source()) }, 5)

	s.operations(3)

	// Somebody else deploys: nothing is touched.
	s.write(s.dir+"/deploy.lock", "somebody\n")
	code, text := s.run("/", "sh", script, s.source())
	if code != 1 || !strings.Contains(text, "somebody") {
		t.Errorf("exit code %d beside another deploy\n%s", code, text)
	}
	if text, err := os.ReadFile(s.dir + "/deploy.lock"); err != nil || string(text) != "somebody\n" {
		t.Errorf("the other's lock: %q, %v", text, err)
	}
}

func TestShellRecipeThatActivates(t *testing.T) {
	t.Parallel()
	s := newSite(t, "rsync")
	script := s.recipe("shell/activate.sh")
	s.tryDeploys(func() (int, string) { return s.run("/", "sh", script, s.source()) }, 5)
}

// Envoyer's part, as its documentation has it: placeholders are replaced, each hook is a script for bash, and one that fails ends the
// deployment.

func TestEnvoyerHookBeforeActivation(t *testing.T) {
	t.Parallel()
	s := newSite(t, "bash")
	number := 1
	s.tryDeploys(func() (int, string) {
		number++
		release := s.newRelease(number)
		code, text := s.run("/", "bash", s.recipe("envoyer/before-activate.sh", "{{release}}", release, "{{sha}}", s.head()))
		if code == 0 {
			s.must(s.dir, "ln", "-sfn", release, "current")
		}
		return code, text
	}, 5)
	s.operations(2) // Envoyer's own switch leads to where current led already
}

func TestEnvoyerHookAfterActivation(t *testing.T) {
	t.Parallel()
	s := newSite(t, "bash")
	number := 1
	s.tryDeploys(func() (int, string) {
		number++
		release := s.newRelease(number)
		s.must(s.dir, "ln", "-sfn", release, "current")
		return s.run("/", "bash", s.recipe("envoyer/after-activate.sh", "{{release}}", release, "{{sha}}", s.head()))
	}, 5)
}

// newRelease makes a release of what was committed last, without its REVISION.
func (s *site) newRelease(number int) string {
	s.t.Helper()
	release := filepath.Join(s.dir, "releases", fmt.Sprint(20261122100000+number))
	s.must(s.dir, "cp", "-r", s.source(), release)
	s.must(release, "mkdir", "-p", "runtime")
	s.must(release, "ln", "-s", "../../shared/.env", ".env")
	s.must(release, "ln", "-s", "../../../shared/runtime/logs", "runtime/logs")
	return release
}

func (s *site) head() string {
	return strings.TrimSpace(s.must(s.source(), "git", "rev-parse", "HEAD"))
}

// dep is Deployer, as a program for php.
func dep(t *testing.T) string {
	t.Helper()
	path := os.Getenv("HOTRELOAD_TEST_DEPLOYER")
	if path == "" {
		var err error
		if path, err = exec.LookPath("dep"); err != nil {
			t.Skip("Deployer is not installed, and HOTRELOAD_TEST_DEPLOYER does not name its bin/dep")
		}
	}
	return path
}

const (
	vendorsWork = "bin/composer=/bin/true"
	vendorsFail = "bin/composer=/bin/false"
)

func TestDeployerRecipe(t *testing.T) {
	t.Parallel()
	dep := dep(t)
	s := newSite(t)
	recipe := s.recipe("deployer/deploy.php", "git@example.com:acme/app.git", s.source(), "host('app.example.com')", "localhost()")
	run := func(args ...string) (int, string) {
		return s.run(s.home, "php", append([]string{dep, "-f", recipe}, args...)...)
	}
	s.tryDeploys(func() (int, string) { return run("deploy", "-o", vendorsWork) }, 5)
	s.operations(3)
	fourth := s.serves("v4")

	// A deploy that fails before the switch leaves half a release. Neither now nor later does anything go back to that.
	s.release("v5", false)
	if code, text := run("deploy", "-o", vendorsFail); code != 1 {
		t.Errorf("exit code %d of a deploy whose vendors fail\n%s", code, text)
	}
	if now := s.serves("v4"); now != fourth {
		t.Errorf("current leads to %s, and not to %s as before", now, fourth)
	}
	s.release("v6", true)
	if code, text := run("deploy", "-o", vendorsWork); code != 5 {
		t.Errorf("exit code %d of a release that does not start\n%s", code, text)
	}
	s.serves("v4")
	s.release("v7", false)
	if code, text := run("deploy", "-o", vendorsWork); code != 0 {
		t.Errorf("exit code %d of a release that works\n%s", code, text)
	}
	s.serves("v7")
	if code, text := run("rollback"); code != 0 {
		t.Errorf("exit code %d of a rollback\n%s", code, text)
	}
	s.serves("v4")
}

// One of two hosts refuses: both serve what they did before.
func TestDeployerRecipeOnTwoHosts(t *testing.T) {
	t.Parallel()
	dep := dep(t)
	one, two := newSite(t), newSite(t)
	recipe := one.recipe("deployer/deploy.php",
		"git@example.com:acme/app.git", one.source(), "host('app.example.com')", "localhost('one', 'two')",
		"->set('deploy_path', '/srv/app')", "->set('deploy_path', fn () => ['one' => '"+one.dir+"', 'two' => '"+two.dir+"'][currentHost()->getAlias()])")
	run := func(args ...string) (int, string) {
		return one.run(one.home, "php", append([]string{dep, "-f", recipe}, args...)...)
	}
	one.release("v2", false)
	if code, text := run("deploy", "all", "-o", vendorsWork); code != 0 {
		t.Fatalf("exit code %d\n%s", code, text)
	}
	one.serves("v2")
	two.serves("v2")

	two.write(two.dir+"/refuse", "")
	one.release("v3", false)
	if code, text := run("deploy", "all", "-o", vendorsWork); code != 5 {
		t.Errorf("exit code %d where one of two refuses\n%s", code, text)
	}
	one.serves("v2")
	two.serves("v2")

	// The same in a rollback, whose target served once.
	if code, text := run("rollback", "all"); code != 5 {
		t.Errorf("exit code %d of a rollback where one of two refuses\n%s", code, text)
	}
	one.serves("v2")
	two.serves("v2")
	if err := os.Remove(two.dir + "/refuse"); err != nil {
		t.Fatal(err)
	}
	one.release("v4", false)
	if code, text := run("deploy", "all", "-o", vendorsWork); code != 0 {
		t.Errorf("exit code %d\n%s", code, text)
	}
	one.serves("v4")
	two.serves("v4")
}

func TestCapistranoRecipe(t *testing.T) {
	t.Parallel()
	s := newSite(t, "cap")
	dir := filepath.Dir(s.recipe("capistrano/Capfile"))
	s.recipe("capistrano/config/deploy.rb", "git@example.com:acme/app.git", s.source())
	s.recipe("capistrano/config/deploy/production.rb", `server "app.example.com", user: "app"`, "server :local")
	s.recipe("capistrano/lib/capistrano/tasks/hotreload.rake")
	run := func(args ...string) (int, string) {
		return s.run(dir, "cap", append([]string{"production"}, args...)...)
	}
	s.tryDeploys(func() (int, string) { return run("deploy") }, 1)
	s.operations(3)

	if code, text := run("deploy:rollback"); code != 0 {
		t.Errorf("exit code %d of a rollback\n%s", code, text)
	}
	s.serves("v2")
}
