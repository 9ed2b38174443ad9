package config

import (
	"slices"
	"strings"

	"github.com/xrash/smetrics"
)

// nearest returns the candidate that name most likely means, or "". A third of
// the letters may be wrong: one in "dir", five in "max_failures".
func nearest(name string, candidates []string) string {
	best, distance := "", len(name)/3+2
	name = strings.ToLower(name)
	if len(name) < 4 {
		distance = 2
	}
	if len(name) > 64 {
		return ""
	}
	for _, c := range candidates {
		d := smetrics.WagnerFischer(name, strings.ToLower(c), 1, 1, 1)
		if d == 2 && sameLetters(name, strings.ToLower(c)) {
			d = 1 // two neighbours swapped: one slip of the fingers
		}
		if d < distance && d < len(c) {
			best, distance = c, d
		}
	}
	return best
}

func sameLetters(a, b string) bool {
	x, y := []byte(a), []byte(b)
	slices.Sort(x)
	slices.Sort(y)
	return slices.Equal(x, y)
}

// nearestKey returns the key (or the section, in brackets) that an unknown key
// most likely means. A name that is right but stands in the wrong section is
// nearer than a similar name.
func nearestKey(key string) string {
	if strings.Contains(key, `"`) {
		return "" // a quoted name is no slip
	}
	section, name := "", key
	if i := strings.LastIndexByte(key, '.'); i >= 0 {
		section, name = key[:i], key[i+1:]
	}
	var siblings, names, everywhere []string
	known := slices.Concat(keyNames(), innerTables())
	for _, k := range known {
		if rest, ok := strings.CutPrefix(k, section+"."); ok && section != "" {
			rest, _, _ = strings.Cut(rest, ".")
			siblings = append(siblings, rest)
		}
		last := k[strings.LastIndexByte(k, '.')+1:]
		if last == name {
			everywhere = append(everywhere, k)
		}
		names = append(names, last)
	}
	if near := nearest(name, siblings); near != "" {
		return section + "." + near
	}
	if len(everywhere) == 1 {
		return everywhere[0]
	}
	if section == "" {
		if near := nearest(name, sections()); near != "" {
			return "[" + near + "]"
		}
	}
	near := nearest(name, names)
	if i := slices.Index(names, near); near != "" && i == lastIndex(names, near) {
		return known[i]
	}
	return nearest(key, known)
}

// innerTables are the tables within sections: "server.signals".
func innerTables() []string {
	var out []string
	for _, k := range keyNames() {
		if i := strings.LastIndexByte(k, '.'); strings.Count(k, ".") > 1 && !slices.Contains(out, k[:i]) {
			out = append(out, k[:i])
		}
	}
	return out
}

func lastIndex(list []string, s string) int {
	for i := len(list) - 1; i >= 0; i-- {
		if list[i] == s {
			return i
		}
	}
	return -1
}
