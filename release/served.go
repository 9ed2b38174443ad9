package release

import "slices"

// Served returns the release that was noted last as live and served, whatever current leads to now; false when none was, or it is gone
// or not complete.
func (s *Store) Served() (Release, bool) {
	m := s.memory()
	if len(m.History) == 0 {
		return Release{}, false
	}
	releases, err := s.list(m)
	if err != nil {
		return Release{}, false
	}
	i := slices.IndexFunc(releases, func(r Release) bool { return r.id == m.History[len(m.History)-1].id })
	if i < 0 || !releases[i].Complete {
		return Release{}, false
	}
	return releases[i], true
}
