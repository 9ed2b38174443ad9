package config

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/BurntSushi/toml"
)

// document is a parsed file that still knows where everything stands.
type document struct {
	name  string // as shown to people
	text  string
	root  map[string]any
	lines []int // offsets of their first bytes
	marks map[path]mark
}

func lineStarts(text string) []int {
	starts := []int{0}
	for i := range len(text) {
		if text[i] == '\n' {
			starts = append(starts, i+1)
		}
	}
	return starts
}

// parse reads the syntax only. The error is an [*Error].
func parse(name string, data []byte) (*document, error) {
	text := string(data)
	if strings.HasPrefix(text, "\xff\xfe") || strings.HasPrefix(text, "\xfe\xff") {
		return nil, &Error{File: name, Line: 1, Col: 1, Msg: "the file is UTF-16; save it as UTF-8"}
	}
	doc := &document{name: name, text: strings.TrimPrefix(text, "\ufeff"), root: map[string]any{}}
	doc.lines = lineStarts(doc.text)
	marks, deep := scan(doc.text)
	if deep >= 0 {
		line, col := doc.lineCol(deep)
		return nil, &Error{File: name, Line: line, Col: col, Msg: "nested too deeply"}
	}
	doc.marks = marks
	if _, err := toml.Decode(doc.text, &doc.root); err != nil {
		return nil, doc.syntaxError(err)
	}
	return doc, nil
}

func (d *document) syntaxError(err error) *Error {
	var pe toml.ParseError
	if !errors.As(err, &pe) {
		return &Error{File: d.name, Msg: strings.TrimPrefix(err.Error(), "toml: ")}
	}
	line, col := d.lineCol(pe.Position.Start)
	return &Error{File: d.name, Line: line, Col: col, Msg: pe.Message}
}

// lineCol turns a byte offset into a line and a column, both from 1; columns
// count characters, as editors do.
func (d *document) lineCol(off int) (line, col int) {
	off = min(max(off, 0), len(d.text))
	line, found := slices.BinarySearch(d.lines, off)
	if found {
		line++
	}
	return line, 1 + utf8.RuneCountInString(d.text[d.lines[line-1]:off])
}

// place is where a value was given, in a form that fits into an Error.
type place struct {
	file      string
	line, col int
	key       string
}

func (p place) error(f *fault) *Error {
	return &Error{File: p.file, Line: p.line, Col: p.col, Key: p.key + f.sub, Msg: f.msg, Suggestion: f.suggestion}
}

// keyAt is the place of a key's name, valueAt that of its value.
func (d *document) keyAt(p path, key string) place {
	line, col := d.lineCol(d.marks[p].key)
	return place{d.name, line, col, key}
}

func (d *document) valueAt(p path, key string) place {
	line, col := d.lineCol(d.marks[p].value)
	return place{d.name, line, col, key}
}

// names are the keys of a table in the order of the file.
func (d *document) names(table map[string]any, at path) []string {
	return slices.SortedFunc(maps.Keys(table), func(a, b string) int {
		if c := d.marks[at.join(a)].key - d.marks[at.join(b)].key; c != 0 {
			return c
		}
		return strings.Compare(a, b)
	})
}

// typeName is the type of a decoded value in words.
func typeName(v any) string {
	switch v.(type) {
	case string:
		return "a string"
	case int64:
		return "a number"
	case float64:
		return "a number with a fraction"
	case bool:
		return "a boolean"
	case []any:
		return "an array"
	case []map[string]any:
		return "an array of tables"
	case map[string]any:
		return "a table"
	}
	return "a date or time"
}

func wantType(want string, got any) *fault {
	return faultf("want %s, have %s", want, typeName(got))
}

// showKey quotes parts of a key that are not bare.
func showKey(prefix, name string) string {
	shown := toml.Key{name}.String()
	if prefix == "" {
		return shown
	}
	return prefix + "." + shown
}
