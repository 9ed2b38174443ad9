package release

import (
	"slices"
	"strings"
	"time"
)

// memory is what hotreload remembers about releases. It is a value: whoever changes it writes it.
type memory struct {
	// History are the releases that were live and served, the first ones first. A release may be in it several times.
	History []activation `json:"history"`
	Failed  []mark       `json:"failed"`
	// Unfinished are the releases that a deploy has begun to build.
	Unfinished []mark `json:"unfinished"`
}

// id tells a release from others, also from a later one of the same name.
type id struct {
	Name  string `json:"name"` // its path when it lies outside
	Inode uint64 `json:"inode"`
}

type activation struct {
	id
	At time.Time `json:"at"` // zero: it was live before hotreload knew of it
}

type mark struct {
	id
	At  time.Time `json:"at"`
	Why string    `json:"why"`
}

// maxHistory bounds the history. Releases that are gone leave it earlier.
const maxHistory = 200

func (m memory) failed(r id) (why string, is bool) {
	i := slices.IndexFunc(m.Failed, func(f mark) bool { return f.id == r })
	if i < 0 {
		return "", false
	}
	return m.Failed[i].Why, true
}

func (m memory) unfinished(r id) string {
	i := slices.IndexFunc(m.Unfinished, func(u mark) bool { return u.id == r })
	if i < 0 {
		return ""
	}
	return m.Unfinished[i].Why
}

// left notes that a release was live until now, if that is news. Nothing is known of how it got there.
func (m memory) left(r id) memory {
	if r.Name == "" || len(m.History) > 0 && m.History[len(m.History)-1].id == r {
		return m
	}
	m.History = append(slices.Clone(m.History), activation{id: r})
	return m
}

// servedSince reports whether a release is the last that was noted as live, and not before t.
func (m memory) servedSince(r id, t time.Time) bool {
	n := len(m.History)
	return n > 0 && m.History[n-1].id == r && !m.History[n-1].At.Before(t)
}

// served notes that a release is live and serves.
func (m memory) served(r id, at time.Time) memory {
	m.Failed = without(m.Failed, r)
	if n := len(m.History); n > 0 && m.History[n-1].id == r {
		return m
	}
	m.History = append(slices.Clone(m.History), activation{r, at})
	m.History = m.History[max(0, len(m.History)-maxHistory):]
	return m
}

// bad notes that a release does not work.
func (m memory) bad(r id, at time.Time, why string) memory {
	m.Failed = append(without(m.Failed, r), mark{r, at, why})
	return m
}

// forget removes a release that is gone.
func (m memory) forget(r id) memory {
	m.Failed, m.Unfinished = without(m.Failed, r), without(m.Unfinished, r)
	m.History = slices.DeleteFunc(slices.Clone(m.History), func(a activation) bool { return a.id == r })
	return m
}

// outside are the paths of the releases that were live and do not lie among the others.
func (m memory) outside() []string {
	var paths []string
	for _, a := range m.History {
		if strings.HasPrefix(a.Name, "/") && !slices.Contains(paths, a.Name) {
			paths = append(paths, a.Name)
		}
	}
	return paths
}

func without(marks []mark, r id) []mark {
	return slices.DeleteFunc(slices.Clone(marks), func(m mark) bool { return m.id == r })
}

const memoryName = "state.json"

// memory reads what is remembered. What cannot be read is as good as nothing: [Turn.Recover] says so, and moves it aside.
func (s *Store) memory() memory {
	var m memory
	if err := s.Load(memoryName, &m); err != nil {
		return memory{}
	}
	return m
}

func (t *Turn) remember(m memory) error { return t.Save(memoryName, m) }

// previous is the index of what a rollback goes back to, -1 when there is nothing: the last release that was live before the
// current one, is complete and has not failed. Where hotreload knows of none that was live before, it is the next older one.
func (m memory) previous(releases []Release) int {
	current := slices.IndexFunc(releases, func(r Release) bool { return r.Current })
	before := m.History
	if current >= 0 {
		for i, a := range slices.Backward(before) {
			if a.id == releases[current].id {
				before = before[:i]
				break
			}
		}
	}
	fit := func(r Release) bool { return r.Complete && !r.Failed && !r.Current }
	for _, a := range slices.Backward(before) {
		i := slices.IndexFunc(releases, func(r Release) bool { return r.id == a.id })
		if i >= 0 && fit(releases[i]) {
			return i
		}
	}
	if len(before) > 0 || current < 0 {
		return -1
	}
	if i := slices.IndexFunc(releases[current:], fit); i >= 0 {
		return current + i
	}
	return -1
}
