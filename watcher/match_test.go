package watcher

import (
	"strings"
	"testing"

	"github.com/bmatcuk/doublestar/v4"
)

var (
	defaultInclude = []string{"**/*.php", "**/.env", "vendor/composer/*.php"}
	defaultExclude = []string{"**/vendor/**", "**/runtime/**", "**/node_modules/**", "**/.git/**"}
)

func TestMatchFile(t *testing.T) {
	for _, tt := range []struct {
		name             string
		include, exclude []string
		yes, no          string // paths relative to the base, separated by spaces
	}{{
		name: "defaults", include: defaultInclude, exclude: defaultExclude,
		yes: "a.php app/b.php app/x/y/z.php .env app/.env vendor/composer/autoload_real.php app/.hidden.php",
		no: "a.txt vendor/autoload.php vendor/foo/x.php vendor/composer/installed.json vendor/composer/x/y.php" +
			" vendor/foo/.env runtime/x.php app/runtime/x.php .git/x.php app/vendor/composer/x.php",
	}, {
		name:    "an include below the excluded directory, at any depth",
		include: []string{"**/vendor/composer/*.php"}, exclude: defaultExclude,
		yes: "vendor/composer/a.php pkg/one/vendor/composer/a.php",
		no:  "vendor/foo/a.php vendor/foo/vendor/composer/a.php vendor/composer/vendor/composer/x/a.php",
	}, {
		name:    "an include that does not name the excluded directory does not reach into it",
		include: []string{"resources/js/**/*.vue", "**/composer.json"}, exclude: defaultExclude,
		yes: "resources/js/a.vue resources/js/x/a.vue composer.json lib/composer.json",
		no:  "resources/js/node_modules/a.vue vendor/x/composer.json",
	}, {
		name:    "anchored beats any depth",
		include: []string{"vendor/**/*.php"}, exclude: defaultExclude,
		yes: "vendor/a.php vendor/x/a.php", no: "x/vendor/a.php vendor/x/runtime/a.php",
	}, {
		name:    "equal patterns: exclude wins",
		include: []string{"**/.env", "**/*.php"}, exclude: []string{"**/.env", "**/*.php"},
		no: ".env a.php x/.env",
	}, {
		name:    "a file by name against a wildcard",
		include: []string{"config/local.php", "**/.env"}, exclude: []string{"config/*.php", "**/.*"},
		yes: "config/local.php .env x/.env", no: "config/app.php",
	}, {
		name:    "a wildcard against a file by name",
		include: []string{"config/*.php"}, exclude: []string{"config/local.php", "app/.env"},
		yes: "config/app.php", no: "config/local.php",
	}, {
		name:    "each exclude must be beaten",
		include: []string{"vendor/composer/*.php"}, exclude: []string{"**/vendor/**", "vendor/composer/*real.php"},
		yes: "vendor/composer/a.php", no: "vendor/composer/autoload_real.php",
	}, {
		name:    "an exclude without ** takes the whole directory",
		include: []string{"**/*.php"}, exclude: []string{"storage", "lib/old/"},
		yes: "a.php x/storage/a.php lib/a.php", no: "storage/a.php storage/x/a.php lib/old/a.php",
	}, {
		name:    "braces",
		include: []string{"{app,lib/{x,y}}/**/*.{php,inc}"}, exclude: []string{"**/{tmp,cache}/**"},
		yes: "app/a.php app/x/a.inc lib/x/a.php lib/y/z/a.php", no: "lib/a.php app/tmp/a.php lib/x/cache/a.php a.php",
	}, {
		name:    "classes, escapes, question marks",
		include: []string{"[a-c]?.php", `x\*.php`, "./y.php"},
		yes:     "a1.php x*.php y.php", no: "d1.php a.php xx.php x/a1.php",
	}, {
		name:    "outside the base",
		include: []string{"**/*.php"}, exclude: []string{"**/vendor/**"},
		yes: "../shared/a.php ../shared/x/a.php", no: "../shared/vendor/a.php",
	}, {
		name: "no include, nothing counts", exclude: defaultExclude, no: "a.php .env",
	}} {
		t.Run(tt.name, func(t *testing.T) {
			m := mustMatcher(t, []string{"/srv/app", "/srv/shared"}, tt.include, tt.exclude)
			for _, p := range strings.Fields(tt.yes) {
				if !m.path(absolute(p)) {
					t.Errorf("%s is left out", p)
				}
			}
			for _, p := range strings.Fields(tt.no) {
				if m.path(absolute(p)) {
					t.Errorf("%s counts", p)
				}
			}
		})
	}
}

func TestMatchDescends(t *testing.T) {
	for _, tt := range []struct {
		name             string
		include, exclude []string
		yes, no          string
	}{{
		name: "defaults", include: defaultInclude, exclude: defaultExclude,
		yes: "app app/x/y vendor vendor/composer",
		no:  "vendor/foo vendor/composer/x runtime .git node_modules app/vendor app/runtime/x",
	}, {
		name:    "only where an include can match",
		include: []string{"app/**/*.php", "config/*.php"},
		yes:     "app app/x/y config", no: "tests config/x",
	}, {
		name:    "any vendor/composer does not open the rest of vendor",
		include: []string{"**/vendor/composer/*.php"}, exclude: defaultExclude,
		yes: "pkg vendor pkg/vendor pkg/vendor/composer", no: "vendor/foo vendor/foo/vendor",
	}} {
		t.Run(tt.name, func(t *testing.T) {
			m := mustMatcher(t, []string{"/srv/app"}, tt.include, tt.exclude)
			holds := func(p string) bool {
				s := m.roots["/srv/app"]
				for name := range strings.SplitSeq(p, "/") {
					s = m.into(s, name)
				}
				return m.mayHold(s)
			}
			for _, p := range strings.Fields(tt.yes) {
				if !holds(p) {
					t.Errorf("%s is not descended into", p)
				}
			}
			for _, p := range strings.Fields(tt.no) {
				if holds(p) {
					t.Errorf("%s is descended into", p)
				}
			}
		})
	}
}

func TestMatchRoots(t *testing.T) {
	m := mustMatcher(t, []string{"/srv/app", "/srv/app/vendor/my", "/srv/app/vendor/one.txt"}, defaultInclude, defaultExclude)
	for path, want := range map[string]bool{
		"/srv/app/vendor/my/a.php":        true, // the root was asked for
		"/srv/app/vendor/my/vendor/a.php": false,
		"/srv/app/vendor/my/.git/a.php":   false,
		"/srv/app/vendor/other/a.php":     false,
		"/srv/app/vendor/one.txt":         true, // and so was the file
		"/srv/other/a.php":                false,
	} {
		if got := m.path(path); got != want {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
}

func TestMatchRefuses(t *testing.T) {
	for _, bad := range []string{"", "/etc/*.php", "a[", "{a", "a//b", strings.Repeat("a/", 64) + "b"} {
		if _, err := newMatcher("/srv/app", nil, []string{bad}, nil); err == nil {
			t.Errorf("include %q was accepted", bad)
		} else if !strings.Contains(err.Error(), "include pattern") {
			t.Errorf("include %q: %v", bad, err)
		}
	}
}

// TestMatchAgainstDoublestar holds the stepwise matching against the library's matching of whole paths.
func TestMatchAgainstDoublestar(t *testing.T) {
	patterns := []string{"**", "**/*.php", "*.php", "app/**", "app/**/x/*.php", "**/x/**/y.php", "a/*/c.php", "**/**/*.php",
		"app/{a,b/c}/*.php", "**/[xy]*", "app/a**b.php", "*/**/*", "a\\*b/*.php", "{**/x,y}/z.php"}
	paths := []string{"a.php", "app", "app/a.php", "app/x/y.php", "app/q/x/r.php", "x/y.php", "q/x/w/y.php", "a/b/c.php", "a/c.php",
		"app/a/z.php", "app/b/c/z.php", "app/b/z.php", "xx", "q/yes", "app/ab.php", "app/aXXb.php", "a*b/c.php", "y/z.php", "p/x/z.php"}
	for _, pattern := range patterns {
		m := mustMatcher(t, []string{"/srv/app"}, []string{pattern}, nil)
		for _, path := range paths {
			want, err := doublestar.Match(pattern, path)
			if err != nil {
				t.Fatal(err)
			}
			if got := m.path("/srv/app/" + path); got != want {
				t.Errorf("%s on %s: %v, doublestar says %v", pattern, path, got, want)
			}
		}
	}
}

func mustMatcher(t *testing.T, roots, include, exclude []string) *matcher {
	t.Helper()
	m, err := newMatcher("/srv/app", roots, include, exclude)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func absolute(rel string) string {
	if rest, ok := strings.CutPrefix(rel, "../"); ok {
		return "/srv/" + rest
	}
	return "/srv/app/" + rel
}
