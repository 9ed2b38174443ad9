package config

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// exampleValues are what the repository's own hotreload.toml sets, for `make run`.
var exampleValues = map[string]string{
	"server.kind":     `"swoole"`,
	"server.command":  `["php", "examples/prefork/server.php"]`,
	"server.pid_file": `"examples/prefork/runtime/server.pid"`,
	"server.ready":    `"tcp://127.0.0.1:9501"`,
	"watch.paths":     `["examples/prefork"]`,
}

const exampleHeader = `hotreload.toml of this repository: what make run uses, and an example.
Every key is here. Those that are commented out have their default; "preset" is what hotreload knows about the kind of server. Print what is in effect, and where it comes from, with: hotreload config`

// TestREADME keeps the code's table, the repository's hotreload.toml and the
// README's table equal. With -update it rewrites both files.
func TestREADME(t *testing.T) {
	golden(t, "../hotreload.toml", Template(exampleHeader, exampleValues))

	const begin, end = "<!-- config-table:begin -->\n", "<!-- config-table:end -->"
	data, err := os.ReadFile("../README.md")
	if os.IsNotExist(err) {
		t.Skip("no README.md")
	}
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(data), begin)
	table, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Skip("README.md has no markers for the table")
	}
	if *update {
		if err := os.WriteFile("../README.md", []byte(before+begin+MarkdownTable()+end+after), 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	if table != MarkdownTable() {
		t.Error("the table of README.md differs from the code: run go test ./config -run TestREADME -update")
	}
}

// TestExampleFile reads the repository's hotreload.toml by other means than
// the code that wrote it: every key once, with the default that is in effect.
func TestExampleFile(t *testing.T) {
	data, err := os.ReadFile("../hotreload.toml")
	if err != nil {
		t.Fatal(err)
	}
	dir := project(t, map[string]string{FileName: string(data)})
	c := mustLoad(t, Source{WorkDir: dir})
	if c.Server.Kind != KindSwoole || c.Watch.Paths[0] != filepath.Join(dir, "examples/prefork") {
		t.Errorf("%+v", c.Server)
	}
	var all strings.Builder
	for line := range strings.Lines(string(data)) {
		if key, ok := strings.CutPrefix(line, "#"); ok && !strings.HasPrefix(key, " ") {
			line = key
		}
		if strings.HasPrefix(line, "command = []") {
			continue
		}
		all.WriteString(line)
	}
	text := strings.ReplaceAll(all.String(), `kind = "swoole"`, `kind = "custom"`)
	text = strings.ReplaceAll(text, `current = ""`, `current = "current"`)
	text = strings.ReplaceAll(text, `dir = "."`, `dir = "current"`)
	bare := mustLoad(t, Source{WorkDir: dir, Flags: []Flag{{"--kind", "server.kind", KindCustom}, {"--current", "release.current", "current"}}})
	full := mustLoad(t, Source{WorkDir: project(t, map[string]string{FileName: text})})
	for _, e := range full.Explain() {
		if e.Key == "preset.rules" {
			continue
		}
		if !strings.HasPrefix(e.Origin, FileName) {
			t.Errorf("%s is not in the file", e.Key)
		}
	}
	full.Reload.Rules = bare.Reload.Rules // the examples are no defaults
	full.deploy.Steps = bare.deploy.Steps
	if got, want := withoutDir(full), withoutDir(bare); got != want {
		t.Errorf("defaults in the file differ from those in effect:\n%s\n%s", got, want)
	}
}

// withoutDir is the configuration's values alone.
func withoutDir(c *Config) string {
	var b strings.Builder
	for _, e := range c.Explain() {
		b.WriteString(e.Key + " = " + strings.ReplaceAll(e.TOML, c.Dir, "DIR") + "\n")
	}
	return b.String()
}

func TestOptions(t *testing.T) {
	var seen []string
	for _, o := range Options() {
		if slices.Contains(seen, o.Key) || o.Help == "" || o.Type == "" || !strings.HasSuffix(o.Help, ".") {
			t.Errorf("%+v", o)
		}
		seen = append(seen, o.Key)
		for what, text := range map[string]string{"default": o.Default, "example": o.Example} {
			raw, err := decodeTOML(text)
			if err != nil {
				t.Fatalf("%s: %s: %v", o.Key, what, err)
			}
			if o.Key == "server.command" && what == "default" {
				continue
			}
			if _, faults := findOption(o.Key).read(raw, "/x"); faults != nil {
				t.Errorf("%s: %s is wrong: %+v", o.Key, what, faults[0])
			}
		}
		if o.Default == o.Example {
			t.Errorf("%s: the example is the default", o.Key)
		}
	}
}

func TestExplain(t *testing.T) {
	dir := project(t, map[string]string{
		FileName:     "[server]\nkind = \"webman\"\ncommand = [\"php\", \"start.php\", \"start\"]\nenv = { A = \"1\" }\n[[reload.rules]]\nmatch = [\"x/**\"]\naction = \"ignore\"\n",
		"start.php":  "<?php",
		"sub/keepme": "",
	})
	c := mustLoad(t, Source{WorkDir: dir, Mode: ModeWatch, Environ: []string{"HOTRELOAD_LOG_LEVEL=debug"},
		Flags: []Flag{{"--quiet", "watch.quiet", "70ms"}}})
	golden(t, "testdata/explain.golden", strings.ReplaceAll(c.TOML(), dir, "/DIR"))
	data, err := json.MarshalIndent(c.Explain(), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/explain.json.golden", strings.ReplaceAll(string(data), dir, "/DIR")+"\n")
}

func TestExplainRelease(t *testing.T) {
	const text = `[server]
kind = "none"
[release]
current = "current"
preflight = [["php", "-v"]]
[deploy]
on_failure = ["false"]
`
	for name, steps := range map[string]string{
		"release": "",
		"deploy": "[[deploy.steps]]\nname = \"release\"\nfrom = \"build\"\n" +
			"[[deploy.steps]]\nname = \"migrate\"\nrun = \"echo \\\"x\\\"\"\ntimeout = \"60s\"\nretries = 2\n[[deploy.steps]]\nname = \"activate\"\n",
	} {
		c := mustLoad(t, Source{WorkDir: project(t, map[string]string{FileName: text + steps})})
		printed := c.TOML()
		golden(t, "testdata/explain."+name+".golden", strings.ReplaceAll(printed[strings.Index(printed, "[release]"):], c.Dir, "/DIR"))
		roundTrip(t, c)
	}
}

func TestExplainRoundTrip(t *testing.T) {
	for _, kind := range Kinds() {
		dir := project(t, map[string]string{"s.php": "<?php"})
		c := mustLoad(t, Source{WorkDir: dir, Command: []string{"php", "s.php", "a\nb \"x\" ☃ \x7f"},
			Environ: []string{"HOTRELOAD_SERVER_ENV=A=x y,B C=\t"}, Flags: []Flag{{"--kind", "server.kind", kind}}})
		roundTrip(t, c)
	}
}

// roundTrip checks that the printed configuration loads to the same one.
func roundTrip(t *testing.T, c *Config) {
	t.Helper()
	text := c.TOML()
	file := filepath.Join(c.Dir, "explained.toml")
	if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	again, err := Load(Source{WorkDir: c.Dir, Path: file})
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if got, want := withoutDir(again), withoutDir(c); got != want {
		t.Fatalf("got\n%s\nwant\n%s", got, want)
	}
}

func TestEveryKeyIsExplained(t *testing.T) {
	c := mustLoad(t, Source{WorkDir: "/"})
	for _, e := range c.Explain() {
		if e.Origin == "" {
			t.Errorf("%s comes from nowhere", e.Key)
		}
	}
	if got := slices.Sorted(maps.Keys(c.origins)); len(got) != len(table()) {
		t.Errorf("origins of %v", got)
	}
}
