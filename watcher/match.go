package watcher

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// matcher decides by name alone which files count and which directories can hold such files.
//
// The patterns are walked one path segment at a time, and what they have left to say about a directory is kept in a
// scope. A file is then decided by one step, whatever its depth; matching each of 100,000 whole paths against every
// pattern (and, for the excludes, against every directory above) would cost more than listing them.
type matcher struct {
	base     string
	include  []pattern
	exclude  []pattern
	roots    map[string]*scope // by absolute path
	rootPath []string          // absolute; longest first
}

// pattern is one doublestar pattern without braces, cut at the slashes.
type pattern struct {
	segments []segment
	literals int  // segments without a wildcard
	anchored bool // does not start with **
	chars    int  // characters that are not wildcards
}

type segmentKind uint8

const (
	anyDepth segmentKind = iota // **
	literal                     // name
	suffix                      // *.ext
	glob                        // anything else
)

type segment struct {
	kind segmentKind
	text string // the name, the suffix without its star, or the glob
}

// scope is what the patterns have left to say below a directory: for each pattern a bit set of the positions reached.
// An include that an exclude has beaten has none left, nor has an exclude that has already taken something away. A scope
// never changes once it is made.
type scope struct {
	inc, exc []uint64
}

// maxSegments is bounded by the bit set; bit n stands for "matched to the end".
const maxSegments = 63

func newMatcher(base string, roots, include, exclude []string) (*matcher, error) {
	m := &matcher{base: base, roots: map[string]*scope{}}
	var err error
	if m.include, err = compile(include); err != nil {
		return nil, fmt.Errorf("include pattern %w", err)
	}
	if m.exclude, err = compile(exclude); err != nil {
		return nil, fmt.Errorf("exclude pattern %w", err)
	}
	for _, root := range roots {
		m.roots[root] = m.rootScope(root)
	}
	m.rootPath = slices.Clone(roots)
	slices.SortFunc(m.rootPath, func(a, b string) int { return len(b) - len(a) })
	return m, nil
}

var errBadPattern = errors.New("syntax error in pattern")

func compile(texts []string) ([]pattern, error) {
	var out []pattern
	for _, text := range texts {
		if !doublestar.ValidatePattern(text) {
			return nil, fmt.Errorf("%q: %w", text, errBadPattern)
		}
		if text == "" || strings.HasPrefix(text, "/") {
			return nil, fmt.Errorf("%q: must be a relative path pattern", text)
		}
		for _, plain := range expandBraces(text) {
			p, err := compileOne(plain)
			if err != nil {
				return nil, fmt.Errorf("%q: %w", text, err)
			}
			out = append(out, p)
		}
	}
	return out, nil
}

func compileOne(text string) (pattern, error) {
	text = strings.TrimSuffix(strings.TrimPrefix(text, "./"), "/")
	parts := strings.Split(text, "/")
	if len(parts) > maxSegments {
		return pattern{}, fmt.Errorf("more than %d segments", maxSegments)
	}
	p := pattern{anchored: parts[0] != "**"}
	for _, part := range parts {
		s := segment{kind: glob, text: part}
		switch {
		case part == "":
			return pattern{}, errors.New("empty path segment")
		case part == "**":
			s.kind = anyDepth
		case !strings.ContainsAny(part, `*?[\`):
			s.kind = literal
			p.literals++
		case part[0] == '*' && !strings.ContainsAny(part[1:], `*?[\`):
			s = segment{kind: suffix, text: part[1:]}
		case !doublestar.ValidatePattern(part): // a character class with a slash in it
			return pattern{}, errBadPattern
		}
		for _, r := range part {
			if !strings.ContainsRune(`*?[]\`, r) {
				p.chars++
			}
		}
		p.segments = append(p.segments, s)
	}
	return p, nil
}

// expandBraces turns a{b,c} into ab and ac, because alternatives may contain slashes and each counts as a pattern of its
// own when it comes to which is more specific.
func expandBraces(text string) []string {
	open, depth, start := -1, 0, 0
	var options []string
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '[':
			if end := classEnd(text, i); end > 0 {
				i = end
			}
		case '{':
			if depth++; depth == 1 {
				open, start = i, i+1
			}
		case ',':
			if depth == 1 {
				options = append(options, text[start:i])
				start = i + 1
			}
		case '}':
			if depth--; depth == 0 {
				var out []string
				for _, option := range append(options, text[start:i]) {
					out = append(out, expandBraces(text[:open]+option+text[i+1:])...)
				}
				return out
			}
		}
	}
	return []string{text}
}

// classEnd returns the index of the bracket that closes the character class opened at i, or -1.
func classEnd(text string, i int) int {
	for j := i + 1; j < len(text); j++ {
		switch {
		case text[j] == '\\':
			j++
		case text[j] == ']' && j > i+1:
			return j
		}
	}
	return -1
}

// moreSpecific says whether include p names things more closely than exclude e does.
func (p *pattern) moreSpecific(e *pattern) bool {
	if p.literals != e.literals {
		return p.literals > e.literals
	}
	if p.anchored != e.anchored {
		return p.anchored
	}
	return p.chars > e.chars
}

func (s *segment) match(name string) bool {
	switch s.kind {
	case literal:
		return s.text == name
	case suffix:
		return strings.HasSuffix(name, s.text)
	}
	return doublestar.MatchUnvalidated(s.text, name)
}

// start returns the positions before the first segment of a path.
func (p *pattern) start() uint64 { return p.closure(1) }

// closure adds the positions that ** reaches by standing for nothing.
func (p *pattern) closure(at uint64) uint64 {
	for i := range p.segments {
		if at&(1<<i) != 0 && p.segments[i].kind == anyDepth {
			at |= 1 << (i + 1)
		}
	}
	return at
}

// step consumes one path segment. named holds those of the next positions that were reached by a literal segment.
func (p *pattern) step(at uint64, name string) (next, named uint64) {
	if at == 0 {
		return 0, 0
	}
	for i := range p.segments {
		if at&(1<<i) == 0 {
			continue
		}
		s := &p.segments[i]
		switch {
		case s.kind == anyDepth:
			next |= 1 << i
		case s.match(name):
			next |= 1 << (i + 1)
			if s.kind == literal {
				named |= 1 << (i + 1)
			}
		}
	}
	return p.closure(next), p.closure(named)
}

func (p *pattern) matched(at uint64) bool { return at&(1<<len(p.segments)) != 0 }

// below says whether something under the directory could still match.
func (p *pattern) below(at uint64) bool { return at&(1<<len(p.segments)-1) != 0 }

// rootScope is the scope of a root. Nothing takes away a root that was named by the user: an exclude that matches it, or
// a directory above it, starts afresh there, as if written relative to the root.
func (m *matcher) rootScope(root string) *scope {
	s := &scope{inc: make([]uint64, len(m.include)), exc: make([]uint64, len(m.exclude))}
	for i := range m.include {
		s.inc[i] = m.include[i].start()
	}
	for i := range m.exclude {
		s.exc[i] = m.exclude[i].start()
	}
	rel := m.rel(root)
	if rel == "." {
		return s
	}
	names := strings.Split(rel, "/")
	for i := range m.include {
		for _, name := range names {
			s.inc[i], _ = m.include[i].step(s.inc[i], name)
		}
	}
	for i := range m.exclude {
		p := &m.exclude[i]
		for _, name := range names {
			if s.exc[i], _ = p.step(s.exc[i], name); p.matched(s.exc[i]) {
				s.exc[i] = p.start()
				break
			}
		}
	}
	return s
}

// into returns the scope of the sub-directory name.
func (m *matcher) into(s *scope, name string) *scope {
	n := &scope{inc: make([]uint64, len(s.inc)), exc: make([]uint64, len(s.exc))}
	named := make([]uint64, len(s.inc))
	for i := range s.inc {
		n.inc[i], named[i] = m.include[i].step(s.inc[i], name)
	}
	for e := range s.exc {
		n.exc[e], _ = m.exclude[e].step(s.exc[e], name)
		if !m.exclude[e].matched(n.exc[e]) {
			continue
		}
		n.exc[e] = 0
		for i := range n.inc {
			if m.include[i].moreSpecific(&m.exclude[e]) {
				n.inc[i] &= named[i]
			} else {
				n.inc[i] = 0
			}
		}
	}
	if slices.Equal(n.inc, s.inc) && slices.Equal(n.exc, s.exc) {
		return s // by far the most frequent case: share it
	}
	return n
}

// mayHold says whether a directory with this scope, or one below it, can hold a file that counts.
func (m *matcher) mayHold(s *scope) bool {
	for i, at := range s.inc {
		if m.include[i].below(at) {
			return true
		}
	}
	return false
}

// file decides about the file name in a directory with this scope.
func (m *matcher) file(s *scope, name string) bool {
	for i, at := range s.inc {
		next, named := m.include[i].step(at, name)
		if m.include[i].matched(next) && !m.taken(s, name, &m.include[i], named) {
			return true
		}
	}
	return false
}

// taken says whether an exclude takes the file away from include p.
func (m *matcher) taken(s *scope, name string, p *pattern, named uint64) bool {
	for e, at := range s.exc {
		next, _ := m.exclude[e].step(at, name)
		if m.exclude[e].matched(next) && !(p.matched(named) && p.moreSpecific(&m.exclude[e])) {
			return true
		}
	}
	return false
}

// path decides about an absolute path, as the file that it would be.
func (m *matcher) path(path string) bool {
	if m.roots[path] != nil {
		return true
	}
	for _, root := range m.rootPath {
		rest, ok := below(root, path)
		if !ok {
			continue
		}
		s := m.roots[root]
		for {
			name, more, isDir := strings.Cut(rest, "/")
			if !isDir {
				return m.file(s, name)
			}
			s, rest = m.into(s, name), more
		}
	}
	return false
}

// rel returns path relative to the base, with slashes.
func (m *matcher) rel(path string) string {
	if rest, ok := below(m.base, path); ok {
		return filepath.ToSlash(rest)
	}
	rel, err := filepath.Rel(m.base, path)
	if err != nil { // both are absolute: cannot happen
		return path
	}
	return filepath.ToSlash(rel)
}

// below returns the part of path that is below dir.
func below(dir, path string) (string, bool) {
	if dir == "/" {
		return path[1:], len(path) > 1
	}
	if len(path) > len(dir)+1 && path[len(dir)] == '/' && path[:len(dir)] == dir {
		return path[len(dir)+1:], true
	}
	return "", false
}
