package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Error is one problem of the configuration.
type Error struct {
	// File is the file as seen from the working directory; empty when the
	// value came from the environment or the command line.
	File string
	// Line and Col count from 1, Col in characters; 0: there is no position.
	Line, Col int
	// Key is what is wrong: "server.pid_file", "[release]", "--kind",
	// "HOTRELOAD_SERVER_KIND". Empty for a syntax error.
	Key string
	// Msg says what is wrong with it.
	Msg string
	// Suggestion is what would be right, as it can be typed; may be empty.
	Suggestion string
}

// Error renders one line, whatever the file or its name contains:
// "hotreload.toml:12:3: server.pid_fle: unknown key; did you mean server.pid_file?".
func (e *Error) Error() string {
	var b strings.Builder
	if e.File != "" {
		b.WriteString(e.File)
		if e.Line > 0 {
			fmt.Fprintf(&b, ":%d:%d", e.Line, e.Col)
		}
		b.WriteString(": ")
	}
	if e.Key != "" {
		b.WriteString(e.Key + ": ")
	}
	b.WriteString(e.Msg)
	if e.Suggestion != "" {
		b.WriteString("; did you mean " + e.Suggestion + "?")
	}
	return escapeControls(b.String())
}

// escapeControls keeps text from a file from breaking a line or steering a
// terminal.
func escapeControls(s string) string {
	if !strings.ContainsFunc(s, unicode.IsControl) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if unicode.IsControl(r) {
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// Errors is every problem that was found: those of the file in its order, then
// the environment's, then the command line's.
type Errors []*Error

// Error renders one problem a line.
func (es Errors) Error() string {
	lines := make([]string, len(es))
	for i, e := range es {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.As find the first [*Error].
func (es Errors) Unwrap() []error {
	all := make([]error, len(es))
	for i, e := range es {
		all[i] = e
	}
	return all
}

// sorted puts problems of the file first, by position, and keeps the order of
// discovery for the rest.
func (es Errors) sorted() Errors {
	slices.SortStableFunc(es, func(a, b *Error) int {
		if (a.File == "") != (b.File == "") {
			if a.File == "" {
				return 1
			}
			return -1
		}
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
	return es
}

// fault is a problem of one value, before it is known where the value stands.
type fault struct {
	under      path // where within the value
	onKey      bool // the name there is wrong, not what it is set to
	sub        string
	msg        string
	suggestion string
}

func faultf(format string, args ...any) *fault {
	return &fault{msg: fmt.Sprintf(format, args...)}
}

func (f *fault) meaning(suggestion string) *fault {
	f.suggestion = suggestion
	return f
}

// at moves the fault into an element of the value.
func (f *fault) at(elem int) *fault {
	f.under = path("").elem(elem) + f.under
	return f
}

// in moves the fault into a key of the value.
func (f *fault) in(name string) *fault {
	f.under = path("").join(name) + f.under
	f.sub = "." + showKey("", name) + f.sub
	return f
}
