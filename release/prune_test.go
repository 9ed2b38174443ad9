package release

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestSurplus(t *testing.T) {
	for name, test := range map[string]struct {
		releases string // the newest first; "*" current, "^" previous, "!" failed, "?" not complete, "/" elsewhere, "@" a link
		keep     int
		want     string
	}{
		"the newest stay":                       {"5* 4^ 3 2 1", 3, "2 1"},
		"all stay":                              {"5* 4^ 3", 5, ""},
		"current stays, old as it is":           {"5 4 3 2^ 1*", 2, "5 4 3"},
		"current and previous count":            {"5* 4 3 2 1^", 3, "3 2"},
		"never fewer than current and previous": {"5* 4^ 3", 1, "3"},
		"failed ones go first":                  {"5! 4* 3^ 2 1!", 3, "5 1"},
		"failed ones stay if there is room":     {"5! 4* 3^ 1!", 3, "1"},
		"under way":                             {"6? 5* 4^ 3", 2, "3"},
		"under way, and nothing works":          {"2? 1?", 1, ""},
		"abandoned":                             {"5* 4? 3^ 2", 3, "4"},
		"abandoned long ago, with room":         {"5* 4? 3^ 2", 4, ""},
		"failed and under way":                  {"6!? 5* 4^", 2, ""},
		"elsewhere and links":                   {"9/ 8@ 5* 4^ 3 2/ 1@", 2, "3"},
		"none":                                  {"", 5, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var releases []Release
			for word := range strings.FieldsSeq(test.releases) {
				is := func(sign string) bool { return strings.Contains(word, sign) }
				releases = append(releases, Release{
					Name: strings.TrimRight(word, "*^!?/@"), Current: is("*"), Previous: is("^"), Failed: is("!"), Complete: !is("?"), Outside: is("/"), Link: is("@"),
				})
			}
			var have []string
			for _, r := range surplus(releases, test.keep) {
				have = append(have, r.Name)
			}
			if strings.Join(have, " ") != test.want {
				t.Errorf("have %v, want %s", have, test.want)
			}
		})
	}
}

// many adds releases 4 to 7 and makes the last one live.
func many(t *testing.T) (dir string, s *Store) {
	t.Helper()
	dir, s = newSite(t)
	for i, name := range []string{"4", "5", "6", "7"} {
		addRelease(t, dir, name, time.Now().Add(time.Duration(i)*time.Second))
	}
	if err := s.do(nil, func(t *Turn, serve Apply) error { return t.Activate(ctx, "7", serve) }); err != nil {
		t.Fatal(err)
	}
	wantSummary(t, s, "7(current) 6 5 4 3 2(previous) 1")
	return dir, s
}

func prune(t *testing.T, s *Store, keep int) Pruned {
	t.Helper()
	pruned, err := turn(t, s).Prune(ctx, keep)
	if err != nil {
		t.Fatal(err)
	}
	return pruned
}

func TestPrune(t *testing.T) {
	dir, s := many(t)
	write(t, s.LogDir("1")+"/build.log", "x")
	write(t, s.LogDir("7")+"/build.log", "x")
	for path, text := range map[string]string{"a file": "", ".hidden/x": "", ".trash-old/x": "", ".trash-/x": ""} {
		write(t, dir+"/releases/"+path, text)
	}
	pruned := prune(t, s, 3)
	if got := strings.Join(pruned.Removed, " "); got != " old 1 3 4 5" || len(pruned.Kept) > 0 {
		t.Errorf("removed %q, kept %v", got, pruned.Kept)
	}
	wantSummary(t, s, "7(current) 6 2(previous)")
	if got := names(t, dir+"/releases"); got != ".hidden 2 6 7 a file" {
		t.Errorf("left: %s", got)
	}
	if isDir(s.LogDir("1")) || !isDir(s.LogDir("7")) {
		t.Error("the logs of a release go with it, and no others")
	}
	if m := s.memory(); slices.ContainsFunc(m.History, func(a activation) bool { return a.Name == "1" }) {
		t.Errorf("release 1 is still remembered: %+v", m)
	}
}

func TestPruneFollowsNoLinks(t *testing.T) {
	dir, s := many(t)
	write(t, dir+"/shared/storage/precious", "x")
	symlink(t, "../../shared/storage", dir+"/releases/1/storage")
	symlink(t, dir+"/shared", dir+"/releases/1/src/shared")
	symlink(t, "../7", dir+"/releases/1/latest")
	prune(t, s, 6)
	if exists(dir + "/releases/1") {
		t.Error("release 1 is still there")
	}
	wantSound(t, s, "after the prune")
	if !exists(dir + "/shared/storage/precious") {
		t.Error("what is shared was removed through a link")
	}
}

func TestPruneReadOnlyDirectories(t *testing.T) {
	dir, s := many(t)
	openUp(t, dir)
	for _, path := range []string{"src", "."} {
		if err := os.Chmod(filepath.Join(dir, "releases/1", path), 0o555); err != nil {
			t.Fatal(err)
		}
	}
	if os.Geteuid() == 0 {
		if out, err := exec.Command("chown", "-R", "65534:65534", dir).CombinedOutput(); err != nil {
			t.Fatal(string(out))
		}
	}
	out, err := command(t, "unprivileged", dir, "prune").Output()
	if err != nil || strings.TrimSpace(string(out)) != "<nil>" {
		t.Fatalf("%s, %v", out, err)
	}
	wantSummary(t, s, "7(current) 2(previous)")
}

func TestPruneKeepsWhatIsUsed(t *testing.T) {
	dir, s := many(t)
	used := map[string]string{dir + "/releases/3": "process 12 (php)"}
	s.opt.Users = func(dirs []string) (map[string]string, error) { return used, nil }
	pruned := prune(t, s, 3)
	if got := fmt.Sprint(pruned.Removed, pruned.Kept); got != "[1 4 5] [{3 in use by process 12 (php)}]" {
		t.Errorf("%s", got)
	}
	wantSummary(t, s, "7(current) 6 3 2(previous)")
}

// Somebody who came between the look and the removal gets the release back.
func TestPruneLooksAgain(t *testing.T) {
	dir, s := many(t)
	s.opt.Users = func(dirs []string) (map[string]string, error) {
		if len(dirs) == 1 && dirs[0] == dir+"/releases/"+trashPrefix+"1" {
			return map[string]string{dirs[0]: "process 12 (php)"}, nil
		}
		return nil, nil
	}
	pruned := prune(t, s, 6)
	if got := fmt.Sprint(pruned.Removed, pruned.Kept); got != "[] [{1 in use by process 12 (php)}]" {
		t.Errorf("%s", got)
	}
	wantSummary(t, s, "7(current) 6 5 4 3 2(previous) 1")
}

// Another tool may switch to a release at any moment.
func TestPruneAndSomebodySwitches(t *testing.T) {
	for _, step := range []string{"trash", "trashed"} {
		t.Run(step, func(t *testing.T) {
			dir, s := many(t)
			s.at = func(at string) error {
				if at == step {
					return errors.Join(os.Remove(dir+"/current"), os.Symlink("releases/1", dir+"/current"))
				}
				return nil
			}
			pruned := prune(t, s, 6)
			if got := fmt.Sprint(pruned.Removed, pruned.Kept); got != "[] [{1 it has become current}]" {
				t.Errorf("%s", got)
			}
			wantSound(t, s, "after the prune")
		})
	}
}

func TestPruneWhenUsersAreUnknown(t *testing.T) {
	dir, s := many(t)
	s.opt.Users = func([]string) (map[string]string, error) { return nil, errors.ErrUnsupported }
	pruned, err := turn(t, s).Prune(ctx, 3)
	if !errors.Is(err, errors.ErrUnsupported) || len(pruned.Removed) > 0 {
		t.Errorf("%+v, %v", pruned, err)
	}
	if got := names(t, dir+"/releases"); got != "1 2 3 4 5 6 7" {
		t.Errorf("left: %s", got)
	}
}

// A release that cannot be removed is reported, is no release any more, and the others are removed.
func TestPruneGoesOn(t *testing.T) {
	dir, s := many(t)
	s.at = func(at string) error {
		if at == "trash" && !exists(dir+"/releases/1") || at == "remove" && exists(dir+"/releases/"+trashPrefix+"3") {
			return syscall.EIO
		}
		return nil
	}
	held := turn(t, s)
	pruned, err := held.Prune(ctx, 3)
	if got := strings.Join(pruned.Removed, " "); got != "1" || !errors.Is(err, syscall.EIO) {
		t.Errorf("removed %s, %v", got, err)
	}
	wantError(t, err, "remove release 3")
	s.at = nil
	pruned, err = held.Prune(ctx, 3)
	if got := strings.Join(pruned.Removed, " "); got != "3 4 5" || err != nil || exists(dir+"/releases/"+trashPrefix+"3") {
		t.Errorf("the next call removed %s, %v", got, err)
	}
}

func TestPruneCrossesNoMounts(t *testing.T) {
	dir, s := many(t)
	write(t, dir+"/data/precious", "x")
	at := dir + "/releases/1/with space"
	write(t, at+"/x", "")
	bind(t, dir+"/data", at)
	pruned := prune(t, s, 5)
	if got := fmt.Sprint(pruned.Removed, pruned.Kept); got != "[3] [{1 something is mounted on "+at+"}]" {
		t.Errorf("%s", got)
	}
	if !exists(dir + "/data/precious") {
		t.Error("what is mounted was removed")
	}
}
