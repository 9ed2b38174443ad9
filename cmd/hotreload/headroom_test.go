package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestHeadroom(t *testing.T) {
	root := t.TempDir()
	write := func(dir, max, current, stat string) {
		t.Helper()
		dir = filepath.Join(root, dir)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string]string{"memory.max": max, "memory.current": current, "memory.stat": stat} {
			if text == "" {
				continue
			}
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	write("", "", "", "") // the root has none of these
	write("slice", "104857600", "73400320", "")
	write("slice/unit", "max", "20971520", "")
	write("cached", "104857600", "104857600", "anon 5\ninactive_file 94371840\nactive_file 1")
	write("odd", "what", "", "")
	for _, test := range []struct {
		path string
		need int64
		ok   bool
	}{
		{"/slice", 10 << 20, true}, {"/slice", 40 << 20, false},
		{"/slice/unit", 10 << 20, true}, {"/slice/unit", 40 << 20, false}, // the limit of the one above counts
		{"/cached", 40 << 20, true}, {"/cached", 100 << 20, false},
		{"/odd", 1 << 40, true}, {"/missing", 1 << 40, true}, {"/", 1 << 40, true},
	} {
		why := headroomIn(root, test.path, test.need)
		if (why == "") != test.ok || !test.ok && !strings.Contains(why, "the limit is 104.9 MB") {
			t.Errorf("%s, %d: %q", test.path, test.need, why)
		}
	}
	_ = headroom(1) // whatever this machine has
}
