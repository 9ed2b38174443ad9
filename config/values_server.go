package config

import (
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// kindType is one of Kinds; empty leaves it to Recognise.
func kindType() valueType[string] {
	t := enumType(Kinds()...)
	read := t.read
	t.read = func(raw any, base string) (string, []*fault) {
		if raw == "" {
			return "", nil
		}
		return read(raw, base)
	}
	return t
}

func commandType() valueType[[]string] {
	t := listType("array of strings", func(s, _ string) (string, *fault) { return s, nil })
	read := t.read
	t.read = func(raw any, base string) ([]string, []*fault) {
		if s, ok := raw.(string); ok {
			return nil, []*fault{faultf("want an array, have a string").meaning(quoteList(strings.Fields(s)))}
		}
		list, faults := read(raw, base)
		switch {
		case faults != nil:
		case len(list) == 0:
			faults = []*fault{faultf("is empty; leave the key out, or give a program and its arguments")}
		case list[0] == "":
			faults = []*fault{faultf("the program's name is empty").at(0)}
		}
		return list, faults
	}
	return t
}

func pathsType() valueType[[]string] {
	t := listType("array of paths", func(s, base string) (string, *fault) {
		if s == "" {
			return "", faultf("an empty path").meaning(`"."`)
		}
		return absolute(base, s), nil
	})
	read := t.read
	t.read = func(raw any, base string) ([]string, []*fault) {
		list, faults := read(raw, base)
		if faults == nil && len(list) == 0 {
			faults = []*fault{faultf("is empty: nothing would be watched").meaning(`["."]`)}
		}
		return list, faults
	}
	return t
}

// inherit is the element of a list of patterns that stands for the preset's.
const inherit = "..."

func patternsType() valueType[[]string] {
	return listType("array of patterns", readPattern)
}

// readPattern checks a doublestar pattern and refuses what would never match
// although it looks as if it did.
func readPattern(s, _ string) (string, *fault) {
	for strings.HasPrefix(s, "./") {
		s = strings.TrimLeft(strings.TrimPrefix(s, "./"), "/")
	}
	switch {
	case s == "":
		return "", faultf("an empty pattern")
	case !doublestar.ValidatePattern(s):
		return "", faultf("%q is not a valid pattern", s)
	case strings.HasPrefix(s, "/"):
		return "", faultf("%q: patterns are relative to the directory of %s", s, FileName).meaning(quote(strings.TrimLeft(s, "/")))
	case strings.HasPrefix(s, "!"):
		return "", faultf("%q: there is no negation; watch.include and watch.exclude are two lists", s)
	case strings.HasSuffix(s, "/"):
		return "", faultf("%q matches no file", s).meaning(quote(s + "**"))
	}
	return s, nil
}

func readyType() valueType[Ready] {
	return valueType[Ready]{
		name: "URL",
		text: asText,
		show: func(r Ready) string { return quote(r.String()) },
		json: func(r Ready) any { return r.String() },
		read: one(func(raw any, base string) (Ready, *fault) {
			s, f := readString(raw)
			if f != nil {
				return Ready{}, f
			}
			return parseReady(s, base)
		}),
	}
}

// String is the form that the configuration has: "tcp://127.0.0.1:9501".
func (r Ready) String() string {
	switch r.Scheme {
	case "tcp", "unix":
		return r.Scheme + "://" + r.Target
	case "exec":
		return "exec:" + r.Target
	case "http", "https":
		return r.Target
	}
	return r.Scheme
}

func parseReady(s, base string) (Ready, *fault) {
	if s == "" || s == "pid-file" {
		return Ready{Scheme: s}, nil
	}
	if command, ok := strings.CutPrefix(s, "exec:"); ok {
		if strings.TrimSpace(command) == "" {
			return Ready{}, faultf("exec: without a command")
		}
		return Ready{Scheme: "exec", Target: command}, nil
	}
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return Ready{}, badReady(s)
	}
	switch scheme {
	case "tcp":
		return Ready{Scheme: scheme, Target: rest}, checkHostPort(rest, false)
	case "unix":
		if rest == "" {
			return Ready{}, faultf("unix:// without a path")
		}
		return Ready{Scheme: scheme, Target: absolute(base, rest)}, nil
	case "http", "https":
		u, err := url.Parse(s)
		if err != nil || u.Hostname() == "" {
			return Ready{}, faultf("%q is not a URL with a host", s)
		}
		if _, bad := strconv.ParseUint(u.Port(), 10, 16); u.Port() != "" && bad != nil {
			return Ready{}, faultf("%q is not a port", u.Port())
		}
		return Ready{Scheme: scheme, Target: s}, nil
	}
	return Ready{}, badReady(s)
}

func badReady(s string) *fault {
	f := faultf("%q is not tcp://HOST:PORT, unix://PATH, http(s)://…, exec:COMMAND or pid-file", s)
	if scheme, rest, ok := strings.Cut(s, "://"); ok {
		if near := nearest(scheme, []string{"tcp", "unix", "http", "https"}); near != "" {
			f.meaning(quote(near + "://" + rest))
		}
		return f
	}
	switch {
	case checkHostPort("127.0.0.1:"+s, false) == nil:
		f.meaning(quote("tcp://127.0.0.1:" + s))
	case checkHostPort(s, false) == nil:
		f.meaning(quote("tcp://" + s))
	case strings.HasPrefix(s, "/"):
		f.meaning(quote("unix://" + s))
	case nearest(s, []string{"pid-file"}) != "":
		f.meaning(`"pid-file"`)
	}
	return f
}

// checkHostPort checks an address; an empty host means all of the machine's,
// which one can bind but not connect to.
func checkHostPort(s string, bind bool) *fault {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return faultf("%q is not HOST:PORT", s)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return faultf("%q is not a port between 1 and 65535", port)
	}
	if host == "" && !bind {
		return faultf("%q has no host", s).meaning(quote("127.0.0.1:" + port))
	}
	if strings.ContainsAny(host, " /\t\n") {
		return faultf("%q is not a host", host)
	}
	return nil
}

func statusType() valueType[[]StatusRange] {
	show := func(ranges []StatusRange) string {
		parts := make([]string, len(ranges))
		for i, r := range ranges {
			parts[i] = r.String()
		}
		return strings.Join(parts, ",")
	}
	return valueType[[]StatusRange]{
		name: "statuses",
		text: asText,
		show: func(r []StatusRange) string { return quote(show(r)) },
		json: func(r []StatusRange) any { return show(r) },
		read: one(func(raw any, _ string) ([]StatusRange, *fault) {
			if n, ok := raw.(int64); ok {
				return nil, faultf("want a string, have a number").meaning(quote(strconv.FormatInt(n, 10)))
			}
			s, f := readString(raw)
			if f != nil {
				return nil, f
			}
			return parseStatuses(s)
		}),
	}
}

// Contains reports whether the status lies in the range.
func (r StatusRange) Contains(status int) bool { return r.Min <= status && status <= r.Max }

// String is the form that the configuration has: "200" or "200-499".
func (r StatusRange) String() string {
	if r.Min == r.Max {
		return strconv.Itoa(r.Min)
	}
	return fmt.Sprintf("%d-%d", r.Min, r.Max)
}

func parseStatuses(s string) ([]StatusRange, *fault) {
	var ranges []StatusRange
	for part := range strings.SplitSeq(s, ",") {
		low, high, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			high = low
		}
		r := StatusRange{readStatus(low), readStatus(high)}
		switch {
		case r.Min == 0 || r.Max == 0:
			return nil, faultf("%q is not a status or a range such as \"200-499\" or \"200,204,300-399\"", part)
		case r.Min > r.Max:
			return nil, faultf("%q runs backwards", part).meaning(quote(strings.TrimSpace(high) + "-" + strings.TrimSpace(low)))
		}
		ranges = append(ranges, r)
	}
	return ranges, nil
}

func readStatus(s string) int {
	n, err := strconv.Atoi(strings.TrimSpace(s))
	if err != nil || n < 100 || n > 599 {
		return 0
	}
	return n
}

// listenType is "auto" (nil) or a list of addresses.
func listenType() valueType[[]string] {
	t := listType("auto, or array of addresses", readAddress)
	t.text = func(s string) (any, *fault) {
		if s == "auto" {
			return s, nil
		}
		return listText(s)
	}
	read := t.read
	t.read = func(raw any, base string) ([]string, []*fault) {
		if raw == "auto" {
			return nil, nil
		}
		list, faults := read(raw, base)
		if faults == nil && len(list) == 0 {
			faults = []*fault{faultf("is empty").meaning(`"auto"`)}
		}
		return list, faults
	}
	t.show = func(list []string) string {
		if list == nil {
			return `"auto"`
		}
		return quoteList(list)
	}
	t.json = func(list []string) any {
		if list == nil {
			return "auto"
		}
		return list
	}
	return t
}

func readAddress(s, base string) (string, *fault) {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		path = strings.TrimPrefix(path, "//")
		if path == "" {
			return "", faultf("unix: without a path")
		}
		return "unix:" + absolute(base, path), nil
	}
	if filepath.IsAbs(s) {
		return "", faultf("%q is not HOST:PORT", s).meaning(quote("unix:" + s))
	}
	return s, checkHostPort(s, true)
}
