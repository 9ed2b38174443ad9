package config

import (
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// mark is where a key and its value stand: byte offsets into the document.
type mark struct{ key, value int }

// path names a place in a document. Elements of arrays (and of arrays of
// tables) are named by their index.
type path string

func (p path) join(name string) path {
	return p + "\x00k" + path(name)
}

func (p path) elem(i int) path {
	return p + "\x00i" + path(strconv.Itoa(i))
}

func keyPath(key string) path {
	var p path
	for name := range strings.SplitSeq(key, ".") {
		p = p.join(name)
	}
	return p
}

// maxDepth bounds nesting, in values and in keys. The format needs four; the
// time that deep nesting takes (here and in the library) grows with its square.
const maxDepth = 32

// scanner finds out where the keys of a document stand. The toml library keeps
// positions to itself, except in its own errors, and of repeated tables it
// knows only the last. The library judges the syntax, so nothing is judged
// here; what cannot be understood ends the scan.
type scanner struct {
	text   string
	off    int
	marks  map[path]mark
	tables map[path]int // arrays of tables: number of elements so far
	depth  int          // of the value that is read
	deep   int          // offset of what is nested too deeply, or -1
}

// scan returns the position of every key, section and array element of a valid
// document, and where it is nested too deeply to be read, or -1.
func scan(text string) (marks map[path]mark, deep int) {
	s := &scanner{text: text, marks: map[path]mark{}, tables: map[path]int{}, deep: -1}
	s.document()
	return s.marks, s.deep
}

func (s *scanner) document() {
	var section path
	for {
		s.space(true)
		if s.end() {
			return
		}
		start := s.off
		if s.peek() == '[' {
			section = s.header()
		} else {
			s.pair(section)
		}
		if s.off == start {
			return
		}
	}
}

func (s *scanner) end() bool { return s.off >= len(s.text) }

func (s *scanner) peek() byte {
	if s.end() {
		return 0
	}
	return s.text[s.off]
}

func (s *scanner) accept(prefix string) bool {
	if strings.HasPrefix(s.text[s.off:], prefix) {
		s.off += len(prefix)
		return true
	}
	return false
}

// space skips blanks, and with lines also line ends and comments.
func (s *scanner) space(lines bool) {
	for !s.end() {
		switch c := s.peek(); {
		case c == ' ' || c == '\t':
			s.off++
		case lines && (c == '\n' || c == '\r'):
			s.off++
		case lines && c == '#':
			if i := strings.IndexByte(s.text[s.off:], '\n'); i >= 0 {
				s.off += i
			} else {
				s.off = len(s.text)
			}
		default:
			return
		}
	}
}

// note keeps the first position of a place: [a.b] mentions a, too.
func (s *scanner) note(p path, m mark) {
	if _, known := s.marks[p]; !known {
		s.marks[p] = m
	}
}

func (s *scanner) header() path {
	array := s.accept("[[")
	if !array {
		s.accept("[")
	}
	var section path
	names := s.key()
	for i, k := range names {
		section = section.join(k.name)
		last := i == len(names)-1
		if n := s.tables[section]; n > 0 && (!last || !array) {
			section = section.elem(n - 1)
		}
		s.note(section, mark{k.off, k.off})
		if last && array {
			n := s.tables[section]
			s.tables[section] = n + 1
			section = section.elem(n)
			s.note(section, mark{k.off, k.off})
		}
	}
	s.accept("]")
	s.accept("]")
	return section
}

func (s *scanner) pair(section path) {
	names := s.key()
	if !s.accept("=") {
		return
	}
	s.space(false)
	p := section
	for _, k := range names {
		p = p.join(k.name)
		s.note(p, mark{k.off, s.off})
	}
	s.value(p)
}

type keyPart struct {
	name string
	off  int
}

// key reads a dotted key and the blanks behind it.
func (s *scanner) key() []keyPart {
	var parts []keyPart
	for {
		s.space(false)
		off := s.off
		var name string
		switch s.peek() {
		case '"', '\'':
			s.quoted()
			name = unquote(s.text[off:s.off])
		default:
			s.bare("=.] \t\r\n")
			name = s.text[off:s.off]
		}
		parts = append(parts, keyPart{name, off})
		if len(parts) > maxDepth {
			s.giveUp()
			return parts
		}
		s.space(false)
		if s.off == off || !s.accept(".") {
			return parts
		}
	}
}

func unquote(text string) string {
	if !strings.Contains(text, `\`) || text[0] == '\'' {
		return strings.Trim(text, text[:1])
	}
	var v struct{ K string }
	if _, err := toml.Decode("K = "+text, &v); err != nil {
		return text
	}
	return v.K
}

func (s *scanner) bare(stop string) {
	for !s.end() && strings.IndexByte(stop, s.peek()) < 0 {
		s.off++
	}
}

func (s *scanner) giveUp() {
	s.deep, s.off = s.off, len(s.text)
}

func (s *scanner) value(p path) {
	if s.depth++; s.depth > maxDepth {
		s.giveUp()
	}
	defer func() { s.depth-- }()
	switch s.peek() {
	case '"', '\'':
		s.quoted()
	case '[':
		s.array(p)
	case '{':
		s.inlineTable(p)
	default:
		s.bare(",]}#\r\n")
	}
}

func (s *scanner) array(p path) {
	s.off++
	for i := 0; ; i++ {
		s.space(true)
		if s.end() || s.accept("]") {
			return
		}
		off := s.off
		elem := p.elem(i)
		s.note(elem, mark{off, off})
		s.value(elem)
		s.space(true)
		if !s.accept(",") && (s.peek() != ']' || s.off == off) {
			return
		}
	}
}

func (s *scanner) inlineTable(p path) {
	s.off++
	for {
		s.space(true)
		if s.end() || s.accept("}") {
			return
		}
		off := s.off
		s.pair(p)
		s.space(true)
		if !s.accept(",") && (s.peek() != '}' || s.off == off) {
			return
		}
	}
}

// quoted skips one of the four kinds of string.
func (s *scanner) quoted() {
	quote := s.text[s.off : s.off+1]
	multi := strings.HasPrefix(s.text[s.off:], strings.Repeat(quote, 3))
	if multi {
		s.off += 3
	} else {
		s.off++
	}
	for !s.end() {
		switch {
		case quote == `"` && s.peek() == '\\':
			s.off = min(s.off+2, len(s.text))
		case multi && s.accept(strings.Repeat(quote, 3)):
			// Up to two more quotes belong to the text: """a""""" ends in two.
			for range 2 {
				s.accept(quote)
			}
			return
		case !multi && s.accept(quote):
			return
		default:
			s.off++
		}
	}
}
