package watcher

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/sys/unix"
)

// TestStress does thousands of random things to a tree while it is watched by a consumer that is busy at times. The
// batches, replayed, must give the tree as it is in the end, and each must fit what was reported before it.
func TestStress(t *testing.T) {
	for _, tt := range []struct {
		name string
		poll PollMode
		ops  int
		seed uint64
	}{
		{"events", PollAuto, 4000, 1},
		{"events-2", PollAuto, 4000, 2},
		{"polls", PollAlways, 1500, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir, err := filepath.EvalSymlinks(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			w := startWatcher(t, Options{Base: dir, Paths: []string{dir}, Include: defaultInclude, Exclude: defaultExclude,
				Quiet: 2 * time.Millisecond, MaxWait: 30 * time.Millisecond, Poll: tt.poll, PollInterval: 5 * time.Millisecond}, testEnv())
			random := rand.New(rand.NewPCG(tt.seed, 0))
			done := make(chan struct{})
			go func() {
				defer close(done)
				for i := range tt.ops {
					randomOperation(random, dir, i)
				}
			}()
			r := replay{T: t, dir: dir, files: map[string]bool{}}
			pause := rand.New(rand.NewPCG(tt.seed, 1))
			for running := true; running; {
				select {
				case b := <-w.Batches():
					r.apply(b)
					inTree(w, func(tr *tree) { checkTree(t, tr) })
					time.Sleep(time.Duration(pause.IntN(20)) * time.Millisecond) // this consumer has something to do
				case <-done:
					running = false
				}
			}
			for i := range 3 {
				r.until(w, fmt.Sprintf("%s/last%d.php", dir, i))
			}
			r.finish(w)
			want := readTree(t, dir)
			for path := range r.files {
				if _, ok := want[path]; !ok {
					t.Errorf("%s is gone and was not reported", path)
				}
			}
			for path := range want {
				if !r.files[path] {
					t.Errorf("%s was not reported", path)
				}
			}
			// The content that was last reported is the one that is there.
			inTree(w, func(tr *tree) {
				for _, d := range tr.nodes {
					for _, f := range d.files {
						if text, ok := want[d.join(f.name)]; ok && (!f.known || f.hash != xxhash.Sum64String(text)) {
							t.Errorf("%s: another content was reported", d.join(f.name))
						}
						delete(want, d.join(f.name))
					}
				}
				if len(tr.ghosts) > 0 || tr.pending != 0 || tr.files != len(r.files) {
					t.Errorf("%d ghosts, %d pending, %d files counted, %d there", len(tr.ghosts), tr.pending, tr.files, len(r.files))
				}
				for path, d := range tr.nodes {
					if d.idle() {
						t.Errorf("%s is still in the tree", path)
					}
				}
			})
			for path := range want {
				t.Errorf("%s is not known", path)
			}
		})
	}
}

// checkTree checks what must hold between any two steps of the loop.
func checkTree(t *testing.T, tr *tree) {
	one := func(d *dir) bool { return tr.nodes[d.path] == d }
	for d := range tr.marked {
		if !one(d) {
			t.Errorf("%s is marked and not in the tree", d.path)
		}
	}
	for d := range tr.dirs {
		if !one(d) {
			t.Errorf("%s is queued and not in the tree", d.path)
		}
	}
	for _, d := range tr.byID {
		for ; d != nil; d = d.next {
			if !one(d) || !d.live {
				t.Errorf("%s has an identity and is not in the tree, or not alive", d.path)
			}
		}
	}
	for _, d := range tr.nodes {
		if d.parent != nil && (!one(d.parent) || d.parent.children[d.name] != d) {
			t.Errorf("%s is not below its parent", d.path)
		}
		for _, child := range d.children {
			if !one(child) || child.parent != d {
				t.Errorf("%s is not in the tree", child.path)
			}
		}
		if !d.live && len(d.marks) == 0 && len(d.files) > 0 && len(tr.dirs) == 0 {
			t.Errorf("%s is gone, has files, and nobody will look", d.path)
		}
	}
}

// inTree runs f in the goroutine that owns the tree.
func inTree(w *Watcher, f func(*tree)) {
	done := make(chan struct{})
	w.calls <- func() { f(w.tree); close(done) }
	<-done
}

// replay keeps what a consumer would know.
type replay struct {
	*testing.T
	dir   string
	files map[string]bool
}

func (r *replay) apply(b Batch) {
	for _, c := range b.Changes {
		if known := r.files[c.Path]; known != (c.Op != Created) {
			r.Errorf("%s: %v, known before: %v", c.Path, c.Op, known)
		}
		if r.files[c.Path] = true; c.Op == Deleted {
			delete(r.files, c.Path)
		}
	}
}

// until changes the file and reads batches until it is reported.
func (r *replay) until(w *Watcher, path string) {
	if err := os.WriteFile(path, []byte("last"), 0o644); err != nil {
		r.Fatal(err)
	}
	deadline := time.After(patience)
	for {
		select {
		case b := <-w.Batches():
			r.apply(b)
			if r.files[path] {
				return
			}
		case <-deadline:
			r.Fatal("the last change is not reported")
		}
	}
}

// finish reads batches until nothing is owed. A file that is gone is given some time before it is reported.
func (r *replay) finish(w *Watcher) {
	for owed := true; owed; {
		select {
		case b := <-w.Batches():
			r.apply(b)
		case <-time.After(time.Millisecond):
			inTree(w, func(t *tree) { owed = len(t.marked) > 0 })
		}
	}
}

func readTree(t *testing.T, dir string) map[string]string {
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".php") {
			return err
		}
		text, err := os.ReadFile(path)
		files[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// randomOperation does one thing in a tree of few names, so that they meet often. Most may fail.
func randomOperation(r *rand.Rand, dir string, n int) {
	place := func() string {
		p := dir
		for range r.IntN(4) {
			p = filepath.Join(p, string(rune('a'+r.IntN(3))))
		}
		return p
	}
	file := func() string { return filepath.Join(place(), fmt.Sprintf("f%d.php", r.IntN(4))) }
	switch r.IntN(12) {
	case 0, 1, 2:
		_ = os.WriteFile(file(), fmt.Append(nil, n), 0o644)
	case 3:
		p := place()
		_ = os.MkdirAll(p, 0o755)
		_ = os.WriteFile(p+"/new.php", fmt.Append(nil, n), 0o644)
	case 4:
		_ = os.MkdirAll(place(), 0o755)
	case 5:
		_ = os.Rename(file(), file())
	case 6:
		tmp := file() + ".tmp"
		if os.WriteFile(tmp, fmt.Append(nil, n), 0o644) == nil {
			_ = os.Rename(tmp, strings.TrimSuffix(tmp, ".tmp"))
		}
	case 7:
		if p := place(); p != dir {
			_ = os.RemoveAll(p)
		}
	case 8, 9:
		if from, to := place(), place(); from != dir && to != dir {
			if r.IntN(2) == 0 {
				_ = os.RemoveAll(to)
			}
			_ = unix.Rename(from, to) // os.Rename does not replace an empty directory
		}
	case 10:
		_ = os.Remove(file())
	case 11:
		_ = os.Chtimes(file(), time.Unix(int64(n), 0), time.Unix(int64(n), 0))
	}
}
