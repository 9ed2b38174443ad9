package supervisor

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/hotreload/hotreload/watcher"
)

func TestMergeTakesTheLargerActionAndBothReasons(t *testing.T) {
	a := Plan{Action: Reload, Reasons: []string{"a changed"}, Files: []string{"a"}, Paths: []string{"/a"}}
	b := Plan{Action: Restart, Reasons: []string{"b changed", "a changed"}, Files: []string{"b", "a"}, Paths: []string{"/b", "/a"}}
	want := Plan{Action: Restart, Reasons: []string{"a changed", "b changed"}, Files: []string{"a", "b"}, Paths: []string{"/a", "/b"}}
	if got := a.Merge(b); !reflect.DeepEqual(got, want) {
		t.Errorf("a.Merge(b) = %+v, want %+v", got, want)
	}
	if got := (Plan{}).Merge(a); !reflect.DeepEqual(got, a) {
		t.Errorf("nothing merged with a = %+v, want a", got)
	}
	if got := a.Merge(Plan{}); !reflect.DeepEqual(got, a) {
		t.Errorf("a merged with nothing = %+v, want a", got)
	}
}

func TestDecide(t *testing.T) {
	rule := func(rel string) Need {
		switch rel {
		case "ignored.php":
			return Need{Why: "a rule", Ruled: true}
		case "task.php":
			return Need{Action: ReloadTasks}
		case "config/app.php":
			return Need{Action: Restart, Why: "rule config/**", Ruled: true}
		default:
			return Need{Action: Reload}
		}
	}
	change := func(rel string, op watcher.Op) watcher.Change {
		return watcher.Change{Path: "/p/" + rel, Rel: rel, Op: op}
	}
	tests := []struct {
		name    string
		changes []watcher.Change
		skip    func(string) bool
		want    Plan
	}{
		{"nothing", nil, nil, Plan{}},
		{"ignored", []watcher.Change{change("ignored.php", watcher.Modified)}, nil, Plan{}},
		{"one", []watcher.Change{change("a.php", watcher.Created)}, nil,
			Plan{Reload, []string{"a.php created"}, []string{"a.php"}, []string{"/p/a.php"}}},
		{"the largest wins", []watcher.Change{change("task.php", watcher.Modified), change("config/app.php", watcher.Deleted)}, nil,
			Plan{Restart, []string{"task.php changed", "config/app.php deleted (rule config/**)"},
				[]string{"task.php", "config/app.php"}, []string{"/p/task.php", "/p/config/app.php"}}},
		{"ignored beside another", []watcher.Change{change("ignored.php", watcher.Modified), change("task.php", watcher.Modified)}, nil,
			Plan{ReloadTasks, []string{"task.php changed"}, []string{"task.php"}, []string{"/p/task.php"}}},
		{"skipped", []watcher.Change{change("a.php", watcher.Modified)}, func(p string) bool { return p == "/p/a.php" }, Plan{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Decide(tt.changes, rule, tt.skip); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("Decide = %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestPreload(t *testing.T) {
	rule := func(rel string) Need {
		switch {
		case strings.HasPrefix(rel, "ruled"):
			return Need{Action: Reload, Ruled: true}
		case strings.HasPrefix(rel, "listener"):
			return Need{Action: Reload, Suspect: true}
		}
		return Need{Action: Reload}
	}
	preloaded := func(known bool, files ...string) Preloading {
		return func(path string) (bool, bool) { return slices.Contains(files, path), known }
	}
	plan := func(action Action, files ...string) Plan {
		p := Plan{Action: action, Reasons: []string{"key r"}}
		for _, f := range files {
			p.Reasons = append(p.Reasons, f+" changed")
			p.Files, p.Paths = append(p.Files, f), append(p.Paths, "/p/"+f)
		}
		return p
	}
	for _, test := range []struct {
		name    string
		plan    Plan
		known   Preloading
		action  Action
		reasons string
	}{
		{"loaded in the workers", plan(Reload, "a.php"), preloaded(true), Reload, "key r, a.php changed"},
		{"loaded in the master", plan(Reload, "a.php", "b.php"), preloaded(true, "/p/b.php"), Restart,
			"b.php was loaded before the workers forked, key r, a.php changed"},
		{"task workers inherit it, too", plan(ReloadTasks, "a.php"), preloaded(true, "/p/a.php"), Restart, "a.php was loaded before the workers forked, key r"},
		{"a rule wins", plan(Reload, "ruled.php"), preloaded(true, "/p/ruled.php"), Reload, "key r, ruled.php changed"},
		{"a restart anyway", plan(Restart, "a.php"), preloaded(true, "/p/a.php"), Restart, "key r, a.php changed"},
		{"not observed", plan(Reload, "a.php"), preloaded(false), Reload, "key r, a.php changed"},
		{"not observed, but suspected", plan(Reload, "listener.php"), preloaded(false), Restart, "listener.php is as a rule loaded before the workers fork, key r"},
		{"suspected, but observed", plan(Reload, "listener.php"), preloaded(true), Reload, "key r, listener.php changed"},
		{"a name that begins alike", plan(Reload, "a.php", "a.php.php"), preloaded(true, "/p/a.php"), Restart,
			"a.php was loaded before the workers forked, key r, a.php.php changed"},
		{"no file", plan(Reload), preloaded(true, "/p/a.php"), Reload, "key r"},
	} {
		got := test.plan.preload(rule, test.known)
		if got.Action != test.action || strings.Join(got.Reasons, ", ") != test.reasons || !slices.Equal(got.Files, test.plan.Files) {
			t.Errorf("%s: %v because of %q, want %v because of %q", test.name, got.Action, got.Reasons, test.action, test.reasons)
		}
	}
	if got := plan(Reload, "a.php").preload(nil, preloaded(true, "/p/a.php")); got.Action != Reload {
		t.Errorf("without a rule: %v", got)
	}
}

func TestActionNames(t *testing.T) {
	for a := None; a <= Restart; a++ {
		if got, err := ParseAction(a.String()); err != nil || got != a {
			t.Errorf("ParseAction(%q) = %v, %v", a, got, err)
		}
	}
	if got, err := ParseAction("ignore"); err != nil || got != None {
		t.Errorf("ParseAction(ignore) = %v, %v; want None", got, err)
	}
	if got, err := ParseAction("relaod"); err == nil {
		t.Errorf("ParseAction(relaod) = %v, want an error", got)
	}
}

func TestWhySpellsOutTheFirstReasons(t *testing.T) {
	tests := map[string][]string{
		"":                   nil,
		"a":                  {"a"},
		"a, b, c":            {"a", "b", "c"},
		"a, b, c and 2 more": {"a", "b", "c", "d", "e"},
	}
	for want, reasons := range tests {
		if got := (Plan{Reasons: reasons}).Why(); got != want {
			t.Errorf("Why(%q) = %q, want %q", reasons, got, want)
		}
	}
}
