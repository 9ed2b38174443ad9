package config

import (
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/BurntSushi/toml"
)

// valueType says how values of one kind are read and written.
type valueType[T any] struct {
	name string
	// text turns an environment variable into what TOML would have decoded.
	text func(string) (any, *fault)
	// read checks and converts a decoded value. Relative paths are relative to
	// base.
	read func(raw any, base string) (T, []*fault)
	// show renders a value as TOML.
	show func(T) string
	// json is the value as JSON shows it; nil: the value itself.
	json func(T) any
}

func asText(s string) (any, *fault) { return s, nil }

func one[T any](read func(raw any, base string) (T, *fault)) func(any, string) (T, []*fault) {
	return func(raw any, base string) (T, []*fault) {
		v, f := read(raw, base)
		if f != nil {
			return v, []*fault{f}
		}
		return v, nil
	}
}

func readString(raw any) (string, *fault) {
	s, ok := raw.(string)
	if !ok {
		return "", wantType("a string", raw)
	}
	if strings.ContainsRune(s, 0) {
		return "", faultf("contains a NUL byte")
	}
	return s, nil
}

func enumType(values ...string) valueType[string] {
	return valueType[string]{
		name: strings.Join(values, ", "),
		text: asText,
		show: quote,
		read: one(func(raw any, _ string) (string, *fault) {
			s, f := readString(raw)
			if f != nil {
				return "", f
			}
			return s, checkEnum(s, values)
		}),
	}
}

func checkEnum(s string, values []string) *fault {
	if slices.Contains(values, s) {
		return nil
	}
	f := faultf("%q is not one of %s", s, strings.Join(values, ", "))
	if near := nearest(s, values); near != "" {
		f.meaning(quote(near))
	}
	return f
}

// pathType makes paths absolute without resolving symlinks. Empty stays empty.
func pathType() valueType[string] {
	return valueType[string]{name: "path", text: asText, show: quote, read: one(readPath)}
}

func readPath(raw any, base string) (string, *fault) {
	s, f := readString(raw)
	if f != nil || s == "" {
		return "", f
	}
	return absolute(base, s), nil
}

func absolute(base, path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(base, path)
}

func boolType() valueType[bool] {
	return valueType[bool]{
		name: "boolean",
		show: strconv.FormatBool,
		text: func(s string) (any, *fault) {
			v, err := strconv.ParseBool(s)
			if err != nil {
				return nil, faultf("%q is not true or false", s)
			}
			return v, nil
		},
		read: one(func(raw any, _ string) (bool, *fault) {
			v, ok := raw.(bool)
			if !ok {
				f := wantType("true or false", raw)
				if s, _ := raw.(string); s == "true" || s == "false" {
					f.meaning(s + " without quotes")
				}
				return false, f
			}
			return v, nil
		}),
	}
}

func countType() valueType[int] {
	return valueType[int]{
		name: "number",
		show: strconv.Itoa,
		text: func(s string) (any, *fault) {
			v, err := strconv.ParseInt(s, 10, 64)
			if err != nil {
				return nil, faultf("%q is not a number", s)
			}
			return v, nil
		},
		read: one(func(raw any, _ string) (int, *fault) {
			v, ok := raw.(int64)
			switch {
			case !ok:
				return 0, wantType("a number", raw)
			case v < 0:
				return 0, faultf("%d is negative", v)
			case v > math.MaxInt32:
				return 0, faultf("%d is too large", v)
			}
			return int(v), nil
		}),
	}
}

// positiveType is a count of at least one.
func positiveType() valueType[int] {
	t := countType()
	read := t.read
	t.read = func(raw any, base string) (int, []*fault) {
		v, faults := read(raw, base)
		if faults == nil && v == 0 {
			faults = []*fault{faultf("must be at least 1")}
		}
		return v, faults
	}
	return t
}

// durationType accepts zero only where that means something.
func durationType(zero bool) valueType[time.Duration] {
	return valueType[time.Duration]{
		name: "duration",
		text: asText,
		show: func(d time.Duration) string { return quote(formatDuration(d)) },
		json: func(d time.Duration) any { return formatDuration(d) },
		read: one(func(raw any, _ string) (time.Duration, *fault) { return readDuration(raw, zero) }),
	}
}

func readDuration(raw any, zero bool) (time.Duration, *fault) {
	switch v := raw.(type) {
	case int64, float64:
		return 0, faultf("a duration needs a unit: use \"%vs\" or \"%vms\"", v, v)
	case string:
		return parseDuration(v, zero)
	}
	return 0, wantType(`a duration such as "30s"`, raw)
}

func parseDuration(s string, zero bool) (time.Duration, *fault) {
	d, err := time.ParseDuration(s)
	if _, number := strconv.ParseFloat(s, 64); number == nil && s != "0" {
		return 0, faultf("%q needs a unit: use \"%ss\" or \"%sms\"", s, s, s)
	}
	switch {
	case err != nil:
		return 0, faultf("%q is not a duration such as \"30s\", \"500ms\" or \"1m30s\"", s)
	case d < 0:
		return 0, faultf("%q is negative", s)
	case d == 0 && !zero:
		return 0, faultf("%q: must be longer than zero", s)
	}
	return d, nil
}

// formatDuration is Duration.String without its trailing zeros: "1m", not "1m0s".
func formatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// listText reads a list from the environment: separated by commas, or a TOML
// array where an element itself holds a comma.
func listText(s string) (any, *fault) {
	s = strings.TrimSpace(s)
	if strings.HasPrefix(s, "[") {
		var v struct{ V []any }
		if _, err := toml.Decode("V = "+s, &v); err != nil {
			return nil, faultf("%q is not a TOML array", s)
		}
		return v.V, nil
	}
	list := []any{}
	for elem := range strings.SplitSeq(s, ",") {
		if elem = strings.TrimSpace(elem); elem != "" {
			list = append(list, elem)
		}
	}
	return list, nil
}

// listType is an array of strings, each checked and converted by elem.
func listType(name string, elem func(s, base string) (string, *fault)) valueType[[]string] {
	return valueType[[]string]{
		name: name,
		text: listText,
		show: quoteList,
		read: func(raw any, base string) ([]string, []*fault) { return readList(raw, base, elem) },
	}
}

func readList(raw any, base string, elem func(s, base string) (string, *fault)) ([]string, []*fault) {
	list, ok := raw.([]any)
	if !ok {
		f := wantType("an array of strings", raw)
		if s, isString := raw.(string); isString {
			f.meaning("[" + quote(s) + "]")
		}
		return nil, []*fault{f}
	}
	out := make([]string, 0, len(list))
	var faults []*fault
	for i, raw := range list {
		s, f := readString(raw)
		if f == nil {
			s, f = elem(s, base)
		}
		if f != nil {
			faults = append(faults, f.at(i))
			continue
		}
		out = append(out, s)
	}
	return out, faults
}

// envType is a table of environment variables.
func envType() valueType[map[string]string] {
	return valueType[map[string]string]{
		name: "table of strings",
		show: showEnv,
		text: func(s string) (any, *fault) {
			table := map[string]any{}
			for pair := range strings.SplitSeq(s, ",") {
				if strings.TrimSpace(pair) == "" {
					continue
				}
				name, value, ok := strings.Cut(strings.TrimSpace(pair), "=")
				if !ok {
					return nil, faultf("%q is not NAME=VALUE", pair)
				}
				table[name] = value
			}
			return table, nil
		},
		read: func(raw any, _ string) (map[string]string, []*fault) { return readEnv(raw) },
	}
}

func readEnv(raw any) (map[string]string, []*fault) {
	table, ok := raw.(map[string]any)
	if !ok {
		return nil, []*fault{wantType(`a table such as { APP_ENV = "dev" }`, raw)}
	}
	env := make(map[string]string, len(table))
	var faults []*fault
	for _, name := range slices.Sorted(maps.Keys(table)) {
		s, f := readString(table[name])
		switch {
		case name == "" || strings.ContainsAny(name, "=\x00"):
			f = faultf("not a name of an environment variable")
		case f != nil:
			if _, isString := table[name].(string); !isString {
				f.meaning(quote(fmt.Sprint(table[name])))
			}
		}
		if f != nil {
			faults = append(faults, f.in(name))
			continue
		}
		env[name] = s
	}
	return env, faults
}

func showEnv(env map[string]string) string {
	if len(env) == 0 {
		return "{}"
	}
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(env)) {
		pairs = append(pairs, toml.Key{name}.String()+" = "+quote(env[name]))
	}
	return "{ " + strings.Join(pairs, ", ") + " }"
}

func signalType() valueType[syscall.Signal] {
	return valueType[syscall.Signal]{
		name: "signal",
		text: asText,
		show: func(s syscall.Signal) string { return quote(signalName(s)) },
		json: func(s syscall.Signal) any { return signalName(s) },
		read: one(func(raw any, _ string) (syscall.Signal, *fault) {
			s, f := readString(raw)
			if f != nil {
				return 0, f
			}
			return readSignal(s)
		}),
	}
}

// quote renders a TOML basic string on one line.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range strings.ToValidUTF8(s, "\ufffd") {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func quoteList(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = quote(s)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}
