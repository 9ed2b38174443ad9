package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

// checkScan compares the scanner with the library: every key that the library
// saw has a position, and there stands its name.
func checkScan(t *testing.T, text string) {
	t.Helper()
	var v map[string]any
	md, err := toml.Decode(text, &v)
	if err != nil {
		return
	}
	marks, deep := scan(text)
	if deep >= 0 {
		return
	}
	for _, key := range md.Keys() {
		if inArray(v, key) {
			continue
		}
		var p path
		for _, name := range key {
			p = p.join(name)
		}
		m, ok := marks[p]
		if !ok {
			t.Fatalf("%q has no position in %q", key, text)
		}
		last := key[len(key)-1]
		if plain := !strings.ContainsAny(text, "\\") && last != ""; plain && !strings.Contains(text[m.key:], last) {
			t.Fatalf("%q does not stand at %d in %q", last, m.key, text)
		}
	}
}

// inArray reports whether a key leads through an array, where the library's
// keys do not say which element is meant.
func inArray(v any, key toml.Key) bool {
	for _, name := range key {
		table, ok := v.(map[string]any)
		if !ok {
			return true
		}
		v = table[name]
	}
	return false
}

func TestScan(t *testing.T) {
	for _, text := range []string{
		"", "\n", "a=1", "a = 1 # x\nb.c = 2\n", "[a]\nb=1\n[a.c]\nd=2\n[[e]]\nf=1\n[[e]]\nf=2\n[e.g]\nh=1",
		"'a b'.\"c.d\" = 1", `"a\"b" = "x]" # [c]` + "\n[d]", "a = [ # x ]\n 1, [2, '],'], {b = 1}, # y\n]\nc = 1",
		"a = {b = {c = 1}, d = [ {e = 1} ], f.g = 2}\nh = 1", "a = '''\n[x]\n'''\nb = 1", "a = \"\"\"\\\"\"\"\\\"\"\"\"\"\nb = 1",
		"a = ''''x'''''\nb = 1", "a = 1979-05-27 07:32:00Z\nb = 1", "a = {\n b = 1, # x\n}\nc = 1", "\"\" = 1", "[ a . b ]\n c . d = 1",
	} {
		checkScan(t, text)
	}
	files, _ := filepath.Glob("testdata/errors/*.toml")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		checkScan(t, string(data))
	}
}

func FuzzScan(f *testing.F) {
	f.Add("a = [1, {b = 2}]\n[c.'d']\n\"e\" = '''x'''\n[[f]]\n[[f]]\n")
	f.Fuzz(func(t *testing.T, text string) {
		if !strings.HasPrefix(text, "\ufeff") && !strings.HasPrefix(text, "\xff\xfe") && !strings.HasPrefix(text, "\xfe\xff") {
			checkScan(t, text)
		}
		scan(text) // of an invalid document: no panic, and it ends
	})
}

// FuzzLoad: whatever stands in a file, the answer is an error with a position
// or a configuration that survives being printed and read again.
func FuzzLoad(f *testing.F) {
	files, _ := filepath.Glob("testdata/errors/*.toml")
	for _, file := range append(files, "../hotreload.toml") {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		file := filepath.Join(dir, FileName)
		if err := os.WriteFile(file, data, 0o666); err != nil {
			t.Fatal(err)
		}
		c, err := Load(Source{WorkDir: dir})
		if err != nil {
			for _, e := range err.(Errors) {
				if e.Line < 1 || e.Col < 1 || e.Msg == "" || strings.ContainsRune(e.Error(), '\n') {
					t.Fatalf("%+v", *e)
				}
			}
			return
		}
		roundTrip(t, c)
	})
}

// TestDeep: what would take the library minutes is refused at once.
func TestDeep(t *testing.T) {
	const n = 10000
	for _, tc := range []struct{ name, text, want string }{
		{"arrays", "a = " + strings.Repeat("[", n) + strings.Repeat("]", n), "hotreload.toml:1:37: nested too deeply"},
		{"tables", "a = " + strings.Repeat("{a=", n) + "1" + strings.Repeat("}", n), "hotreload.toml:1:101: nested too deeply"},
		{"key", "a" + strings.Repeat(".a", n) + " = 1", "hotreload.toml:1:66: nested too deeply"},
		{"section", "[a" + strings.Repeat(".a", n) + "]", "hotreload.toml:1:67: nested too deeply"},
		{"not too deep", "a = " + strings.Repeat("[", maxDepth-1) + strings.Repeat("]", maxDepth-1), "hotreload.toml:1:1: a: unknown key"},
	} {
		_, err := Load(Source{WorkDir: project(t, map[string]string{FileName: tc.text})})
		if got := errorText(err); got != tc.want {
			t.Errorf("%s: got %s", tc.name, got)
		}
	}
}
