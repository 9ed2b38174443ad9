package config

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestFind(t *testing.T) {
	const text = "[server]\nkind = \"none\"\n"
	for _, tc := range []struct {
		name  string
		setup func(t *testing.T, dir string)
		path  string
		want  string // file, relative to the project
		err   string
	}{
		{"here", put("a/b/"+FileName, text), "", "a/b/" + FileName, ""},
		{"in a parent", put(FileName, text), "", FileName, ""},
		{"the nearest", both(put(FileName, text), put("a/"+FileName, text)), "", "a/" + FileName, ""},
		{"none", func(*testing.T, string) {}, "", "", ""},
		{"a directory of that name", both(put(FileName, text), put("a/b/"+FileName+"/x", "")), "", FileName, ""},
		{"explicit", put("other.toml", text), "../../other.toml", "other.toml", ""},
		{"explicit directory", put("d/x", ""), "../../d", "", "../../d: not a regular file"},
		{"empty", put("a/b/"+FileName, ""), "", "a/b/" + FileName, ""},
		{"blank", put("a/b/"+FileName, "\ufeff\r\n \r\n# x"), "", "a/b/" + FileName, ""},
		{"too large", put("a/b/"+FileName, strings.Repeat("# x\n", 3<<20)), "", "", "hotreload.toml: too large: more than 64 KiB"},
		{"link to nowhere", link("a/b/"+FileName, "/nowhere/x.toml"), "", "", "hotreload.toml: is a link to /nowhere/x.toml, which is not there"},
		{"link", both(put("real.toml", text), link("a/b/"+FileName, "../../real.toml")), "", "a/b/" + FileName, ""},
		{"FIFO", func(t *testing.T, dir string) {
			if err := syscall.Mkfifo(filepath.Join(dir, "a/b", FileName), 0o666); err != nil {
				t.Fatal(err)
			}
		}, "", "", "hotreload.toml: not a regular file"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := project(t, map[string]string{"a/b/keep": ""})
			tc.setup(t, dir)
			c, err := Load(Source{WorkDir: filepath.Join(dir, "a/b"), Path: tc.path})
			if got := errorText(err); got != tc.err {
				t.Fatalf("got %q, want %q", got, tc.err)
			}
			if err != nil {
				return
			}
			want := tc.want
			if want != "" {
				want = filepath.Join(dir, want)
			}
			if c.File != want {
				t.Errorf("got %q, want %q", c.File, want)
			}
		})
	}
}

func TestUnreadable(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root reads everything")
	}
	dir := project(t, map[string]string{FileName: ""})
	if err := os.Chmod(filepath.Join(dir, FileName), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(Source{WorkDir: dir}); errorText(err) != "hotreload.toml: permission denied" {
		t.Error(err)
	}
}

// TestPlanted: a file that anybody could have put above the working directory
// would have its command run with our rights.
func TestPlanted(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("giving a file to another user needs root")
	}
	dir := project(t, map[string]string{FileName: "[server]\ncommand = [\"evil\"]\n", "sub/x": ""})
	file := filepath.Join(dir, FileName)
	if err := os.Chown(file, 4242, 4242); err != nil {
		t.Skip(err)
	}
	// Root runs what lies in a directory of another user's, as with a mounted
	// project in a container, but not what lies in one that is open to all.
	if c := mustLoad(t, Source{WorkDir: filepath.Join(dir, "sub")}); c.File != file {
		t.Error("a project of another user is not found")
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if c := mustLoad(t, Source{WorkDir: filepath.Join(dir, "sub")}); c.File != "" {
		t.Error("a planted file is used")
	}
	if c := mustLoad(t, Source{WorkDir: dir}); c.File != file {
		t.Error("the working directory's own file is not found")
	}
}

func put(name, text string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

func link(name, target string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

func both(a, b func(*testing.T, string)) func(*testing.T, string) {
	return func(t *testing.T, dir string) { a(t, dir); b(t, dir) }
}
