package php

import (
	"fmt"
	"testing"
)

func TestStale(t *testing.T) {
	s := Settings{OPcache: true, INI: map[string]string{
		"opcache.validate_timestamps": "1", "opcache.revalidate_freq": "2", "opcache.file_update_protection": "2", "realpath_cache_size": "4096K",
	}}
	p := PHP{Args: []string{"-d", "opcache.revalidate_freq=2"}}
	if have, want := fmt.Sprint(p.Stale(s)), "[opcache.revalidate_freq=0 (was 2) realpath_cache_size=0 (was 4096K)]"; have != want {
		t.Errorf("stale %s, want %s", have, want)
	}
	if stale := p.Stale(s); !stale[0].Fixed || stale[1].Fixed {
		t.Errorf("fixed: %+v", stale)
	}
	s.OPcache = false
	if have, want := fmt.Sprint(PHP{}.Stale(s)), "[realpath_cache_size=0 (was 4096K)]"; have != want {
		t.Errorf("without OPcache %s, want %s", have, want)
	}
}
