package config

import (
	"net/url"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// insideType is a file of a release, relative to it; empty stays empty.
func insideType() valueType[string] {
	return valueType[string]{name: "relative path", text: asText, show: quote, read: one(func(raw any, _ string) (string, *fault) {
		s, f := readString(raw)
		if f != nil || s == "" {
			return "", f
		}
		return s, checkInside(s)
	})}
}

// checkInside wants a clean path that stays within the release it is relative to.
func checkInside(s string) *fault {
	clean := filepath.Clean(s)
	switch {
	case s == "":
		return faultf("an empty path")
	case filepath.IsAbs(s):
		return faultf("%q: want a path relative to a release", s).meaning(quote(strings.TrimLeft(clean, "/")))
	case !filepath.IsLocal(s):
		return faultf("%q leads out of a release", s)
	case clean == ".":
		return faultf("%q is the release itself", s)
	case clean != s:
		return faultf("%q is not a clean path", s).meaning(quote(clean))
	}
	return nil
}

// sharedType is a list of paths within a release, none within another.
func sharedType() valueType[[]string] {
	t := listType("array of relative paths", func(s, _ string) (string, *fault) { return s, checkInside(s) })
	read := t.read
	t.read = func(raw any, base string) ([]string, []*fault) {
		list, faults := read(raw, base)
		if faults != nil {
			return nil, faults
		}
		for i, s := range list {
			for j, other := range list {
				if s == other && j < i {
					faults = append(faults, faultf("%q is there twice", s).at(i))
				} else if s != other && within("/"+other, "/"+s) {
					faults = append(faults, faultf("%q lies inside of %q, which is shared already", s, other).at(i))
				}
			}
		}
		return list, faults
	}
	return t
}

// lockType keeps relative paths: they are relative to the directory of
// release.current, which another key says.
func lockType() valueType[[]string] {
	return listType("array of paths", func(s, _ string) (string, *fault) {
		if s == "" {
			return "", faultf("an empty path")
		}
		return filepath.Clean(s), nil
	})
}

// onFailureType is a list of shell commands.
func onFailureType() valueType[[]string] {
	return listType("array of shell commands", func(s, _ string) (string, *fault) {
		if strings.TrimSpace(s) == "" {
			return "", faultf("an empty command")
		}
		return s, nil
	})
}

func healthURLType() valueType[string] {
	return valueType[string]{name: "http(s) URL", text: asText, show: quote, read: one(func(raw any, _ string) (string, *fault) {
		s, f := readString(raw)
		if f != nil || s == "" {
			return "", f
		}
		return s, checkHealthURL(s)
	})}
}

func checkHealthURL(s string) *fault {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		f := faultf("%q is not an http(s) URL with a host", s)
		if host, _, _ := strings.Cut(s, "/"); checkHostPort(host, false) == nil {
			f.meaning(quote("http://" + s))
		}
		return f
	}
	if _, bad := strconv.ParseUint(u.Port(), 10, 16); u.Port() != "" && bad != nil {
		return faultf("%q is not a port", u.Port())
	}
	return nil
}

// preflightType is a list of commands, each a program and its arguments.
func preflightType() valueType[[][]string] {
	return valueType[[][]string]{
		name: "array of arrays of strings",
		text: preflightText,
		show: showPreflight,
		read: func(raw any, base string) ([][]string, []*fault) { return readPreflight(raw, base) },
	}
}

func preflightText(s string) (any, *fault) {
	var v struct{ V []any }
	if _, err := toml.Decode("V = "+s, &v); err != nil {
		return nil, faultf("%q is not a TOML array", s)
	}
	return v.V, nil
}

func readPreflight(raw any, base string) ([][]string, []*fault) {
	list, ok := raw.([]any)
	if !ok {
		f := wantType("an array of commands", raw)
		if s, isString := raw.(string); isString {
			f.meaning("[" + quoteList(strings.Fields(s)) + "]")
		}
		return nil, []*fault{f}
	}
	commands := make([][]string, 0, len(list))
	var faults []*fault
	for i, raw := range list {
		if s, isString := raw.(string); isString {
			return nil, []*fault{flatPreflight(list, s).at(i)}
		}
		argv, fs := commandType().read(raw, base)
		for _, f := range fs {
			faults = append(faults, f.at(i))
		}
		commands = append(commands, argv)
	}
	return commands, faults
}

// flatPreflight answers to ["php", "-l", "x.php"], one command where a list of them belongs.
func flatPreflight(list []any, first string) *fault {
	f := faultf("want a command, an array of strings, have a string")
	words, faults := readList(list, "", func(s, _ string) (string, *fault) { return s, nil })
	if len(list) == 1 {
		words = strings.Fields(first)
	}
	if faults == nil {
		f.meaning("[" + quoteList(words) + "]")
	}
	return f
}

func showPreflight(commands [][]string) string {
	parts := make([]string, len(commands))
	for i, argv := range commands {
		parts[i] = quoteList(argv)
	}
	return "[" + strings.Join(parts, ", ") + "]"
}
