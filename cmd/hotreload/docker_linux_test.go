package main

import (
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

const dockerExample = "../../examples/docker"

// instructions are those of the last stage of a Dockerfile, by their names.
func instructions(t *testing.T) map[string]string {
	t.Helper()
	lines := strings.ReplaceAll(readExample(t, "Dockerfile"), "\\\n", " ")
	found := map[string]string{}
	for line := range strings.Lines(lines) {
		name, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch {
		case name == "" || strings.HasPrefix(name, "#"):
		case name == "FROM":
			found = map[string]string{}
		default:
			found[name] = strings.TrimSpace(rest)
		}
	}
	return found
}

func readExample(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dockerExample, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// argv is a command in the form that no shell reads.
func argv(t *testing.T, text string) (args []string) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &args); err != nil || len(args) == 0 {
		t.Fatalf("%s: %v", text, err)
	}
	return args
}

// The image runs as the Dockerfile says, hardened as the files for Compose and Kubernetes say, and every command in them works in it.
func TestDockerfile(t *testing.T) {
	t.Parallel()
	a := newApplication(t, "")
	with := instructions(t)
	if user := with["USER"]; user == "" || user == "root" {
		t.Errorf("the user is %q", user)
	}
	if with["STOPSIGNAL"] != "SIGTERM" {
		t.Errorf("STOPSIGNAL is %q", with["STOPSIGNAL"])
	}
	server, err := url.Parse(a.url)
	if err != nil {
		t.Fatal(err)
	}
	a.nobody, a.readOnly = true, true
	a.env = []string{"PREFORK_PORT=" + server.Port()}
	for _, m := range regexp.MustCompile(`(HOTRELOAD_\w+)(?:: |, value: )(\w+)`).FindAllStringSubmatch(readExample(t, "compose.yaml"), -1) {
		a.env = append(a.env, m[1]+"="+m[2])
	}
	if len(a.env) != 3 {
		t.Fatalf("the environment is %q", a.env)
	}
	command := slices.Concat(argv(t, with["ENTRYPOINT"]), argv(t, with["CMD"]))
	if command[0] != "hotreload" {
		t.Fatalf("the first process is %q", command)
	}
	c := a.start(t, command[1:]...)
	c.ready()
	if !a.answers() {
		t.Error("the server does not answer")
	}
	_, health, found := strings.Cut(with["HEALTHCHECK"], "CMD ")
	if !found {
		t.Fatalf("HEALTHCHECK is %q", with["HEALTHCHECK"])
	}
	probes := append(regexp.MustCompile(`\["hotreload".*?\]`).FindAllString(readExample(t, "kubernetes.yaml"), -1), health)
	if len(probes) != 3 {
		t.Errorf("probes: %q", probes)
	}
	for _, probe := range probes {
		if out, code := c.exec(argv(t, probe)...); code != exitOK {
			t.Errorf("%s: exit code %d, %s", probe, code, out)
		}
	}
	c.kill(syscall.SIGTERM)
	c.until("it is not ready any more", func() bool {
		_, code := c.exec(argv(t, health)...)
		return code == exitFailed
	})
	if !a.answers() {
		t.Error("the server was stopped before anybody could notice")
	}
	time.Sleep(atOnce) // a second wish is one that comes later than this
	c.kill(syscall.SIGTERM)
	c.exits()
}

// Whoever would kill waits longer than a graceful stop takes.
func TestGraceOfContainers(t *testing.T) {
	seconds := func(text, pattern string) time.Duration {
		t.Helper()
		m := regexp.MustCompile(pattern).FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("no %s", pattern)
		}
		d, err := time.ParseDuration(strings.TrimSuffix(m[1], "s") + "s")
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	for name, grace := range map[string]string{
		"compose.yaml":    `stop_grace_period: (\w+)`,
		"kubernetes.yaml": `terminationGracePeriodSeconds: (\w+)`,
	} {
		text := readExample(t, name)
		needs := seconds(text, `DRAIN_DELAY(?:: |, value: )(\w+)`) + seconds(text, `STOP_TIMEOUT(?:: |, value: )(\w+)`)
		if has := seconds(text, grace); has <= needs {
			t.Errorf("%s: it is killed after %s, and a graceful stop may take %s", name, has, needs)
		}
	}
}
