package watcher

// publish updates what other goroutines may read.
func (t *tree) publish() {
	if t.specialChanged {
		t.specialChanged = false
		t.publishSpecial()
	}
	s := Stats{Backend: eventBackend, Files: t.files, Dirs: t.watchedDirs, PolledDirs: t.polled}
	if t.notifier == nil {
		s.Backend = "poll"
	} else if t.polled > 0 {
		s.Backend += "+poll"
	}
	if old := t.stats.Load(); old == nil || *old != s {
		t.stats.Store(&s)
	}
}

func (t *tree) publishSpecial() {
	sp := map[string]special{}
	for path, d := range t.nodes {
		if !d.live || !d.anchor() && d.next == nil && t.byID[d.id] == d && len(d.hooks) == 0 && len(d.only) == 0 {
			continue
		}
		s := special{anchor: d.anchor(), names: map[string]struct{}{}}
		s.all = t.byID[d.id] != d || d.next != nil
		for name := range d.hooks {
			s.names[name] = struct{}{}
		}
		for name := range d.only {
			s.names[name] = struct{}{}
		}
		sp[path] = s
	}
	t.intake.special.Store(&sp)
}
