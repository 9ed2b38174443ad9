package php

// StaleSetting is a setting with which a worker that is forked after a file changed may not load the new code.
type StaleSetting struct {
	Setting      // Now is what a reload needs
	Fixed   bool // the command says -d or -n: no ini file can change it
}

// Stale returns what [PHP.WriteOverrides] would change, php's defaults included, and writes nothing. s are the settings of p.
func (p PHP) Stale(s Settings) []StaleSetting {
	fixed := p.fixed()
	var stale []StaleSetting
	for _, v := range overrides {
		was, known := s.INI[v.name]
		if !known || v.good(was) || v.opcache && !s.OPcache {
			continue
		}
		stale = append(stale, StaleSetting{Setting{Name: v.name, Was: was, Now: v.value}, fixed(v.name)})
	}
	return stale
}
