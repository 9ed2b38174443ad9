package php

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Why there is no OPcache to be asked about, or to be emptied.
var (
	// ErrOPcacheOff: it is not loaded, or opcache.enable is off, for php-fpm or for this pool.
	ErrOPcacheOff = errors.New("OPcache is off")
	// ErrOPcacheForbidden: opcache.restrict_api or disable_functions keep scripts from it.
	ErrOPcacheForbidden = errors.New("scripts may not use OPcache's functions")
)

// OPcache is what php-fpm says of its cache. The workers of one master share it, whatever pool they belong to.
type OPcache struct {
	PHP        string // "8.2.36"
	ThreadSafe bool   // built with ZTS

	// Host and Master tell whose cache it is: the name of the machine or container, and the process that owns the worker
	// which answered. Master is 0 where PHP could not tell.
	Host   string
	Master int

	// Off is why there is no cache: wraps ErrOPcacheOff or ErrOPcacheForbidden; nil when there is one.
	Off error

	OPcacheSettings
	OPcacheState // zero when Off
}

// OPcacheSettings are those of the pool.
type OPcacheSettings struct {
	ValidateTimestamps bool          // changed files are looked at again, every
	RevalidateFreq     time.Duration // so often; 0: at each request
	FileCache          string        // a directory with a second cache, which no reset empties
	FileCacheOnly      bool          // there is no other
	Preload            string        // a script whose files stay as they are until php-fpm is reloaded
	RestrictAPI        string        // only scripts whose path begins so may use OPcache's functions
	ForceRestart       time.Duration // a worker that keeps a restart of the cache pending for so long is killed; 0: never
}

// OPcacheState is how the cache is at this moment.
type OPcacheState struct {
	Full              bool
	RestartPending    bool // it restarts when no request uses it any more; until then every request compiles for itself
	RestartInProgress bool

	Memory  OPcacheMemory
	Strings *OPcacheStrings // nil: there is no buffer for them

	Scripts, Keys, MaxKeys  int64
	Hits, Misses, Blacklist int64
	HitRate                 float64 // percent

	StartedAt      time.Time // when the master started it; whole seconds
	LastRestart    time.Time // zero: never
	OOMRestarts    int64     // for lack of memory
	HashRestarts   int64     // for lack of keys
	ManualRestarts int64     // because somebody asked
	JIT            *OPcacheJIT
}

// OPcacheMemory is in bytes. What is wasted comes back with a restart only.
type OPcacheMemory struct {
	Used, Free, Wasted int64
	WastedPercent      float64
}

// OPcacheStrings is the buffer of interned strings, in bytes.
type OPcacheStrings struct {
	Size, Used, Free int64
	Count            int64
}

// OPcacheJIT is the compiler to machine code; its buffer is in bytes.
type OPcacheJIT struct {
	On                     bool
	BufferSize, BufferFree int64
}

// OPcacheStatus asks php-fpm once. An error says why it did not tell anything: it wraps ErrFPMGone, ErrFPMLate, ErrFPMUnseen
// or ErrFPMDenied where it is one of those, or the error of ctx. A cache that is off is no error; see OPcache.Off.
func (f FPM) OPcacheStatus(ctx context.Context) (OPcache, error) {
	var cache OPcache
	err := f.talk(func(c conversation) error {
		reply, err := c.ask(ctx, fpmStatus)
		if err == nil {
			cache = reply.opcache()
		}
		return err
	})
	return cache, err
}

// opcacheStatus is the answer of opcache_get_status.
type opcacheStatus struct {
	// Enabled is off while a restart is pending, too.
	Enabled       bool `json:"opcache_enabled"`
	FileCacheOnly bool `json:"file_cache_only"`
	Full          bool `json:"cache_full"`
	Pending       bool `json:"restart_pending"`
	InProgress    bool `json:"restart_in_progress"`
	Memory        struct {
		Used   int64   `json:"used_memory"`
		Free   int64   `json:"free_memory"`
		Wasted int64   `json:"wasted_memory"`
		Part   float64 `json:"current_wasted_percentage"`
	} `json:"memory_usage"`
	Strings *struct {
		Size  int64 `json:"buffer_size"`
		Used  int64 `json:"used_memory"`
		Free  int64 `json:"free_memory"`
		Count int64 `json:"number_of_strings"`
	} `json:"interned_strings_usage"`
	Statistics struct {
		Scripts        int64   `json:"num_cached_scripts"`
		Keys           int64   `json:"num_cached_keys"`
		MaxKeys        int64   `json:"max_cached_keys"`
		Hits           int64   `json:"hits"`
		Misses         int64   `json:"misses"`
		Blacklist      int64   `json:"blacklist_misses"`
		HitRate        float64 `json:"opcache_hit_rate"`
		StartTime      int64   `json:"start_time"`
		LastRestart    int64   `json:"last_restart_time"`
		OOMRestarts    int64   `json:"oom_restarts"`
		HashRestarts   int64   `json:"hash_restarts"`
		ManualRestarts int64   `json:"manual_restarts"`
	} `json:"opcache_statistics"`
	JIT *struct {
		On         bool  `json:"on"`
		BufferSize int64 `json:"buffer_size"`
		BufferFree int64 `json:"buffer_free"`
	} `json:"jit"`
}

func (r fpmReply) opcache() OPcache {
	c := OPcache{PHP: r.PHP, ThreadSafe: r.ThreadSafe, Host: r.Host, Master: r.Parent, Off: r.off(), OPcacheSettings: r.settings()}
	if c.Off == nil {
		c.OPcacheState = r.Status.state()
	}
	return c
}

// off is why there is no cache.
func (r fpmReply) off() error {
	restricted := r.INI["opcache.restrict_api"]
	switch {
	case !r.Loaded:
		return fmt.Errorf("%w: php-fpm has not loaded it (zend_extension=opcache)", ErrOPcacheOff)
	case slices.Contains(r.Forbidden, "opcache_get_status"):
		return r.forbidden()
	case r.Status == nil && restricted != "" && strings.Contains(strings.Join(r.Messages, " "), "restrict"):
		return fmt.Errorf("%w: opcache.restrict_api=%s", ErrOPcacheForbidden, restricted)
	case !isOn(r.INI["opcache.enable"]):
		return fmt.Errorf("%w: opcache.enable=%s", ErrOPcacheOff, r.INI["opcache.enable"])
	case r.Status == nil:
		return fmt.Errorf("%w: php-fpm has loaded it and could not start it; its log says why", ErrOPcacheOff)
	case r.Status.FileCacheOnly:
		return fmt.Errorf("%w: opcache.file_cache_only is on, so that there is no shared cache, only %s", ErrOPcacheOff, r.INI["opcache.file_cache"])
	case !r.Status.Enabled && !r.Status.Pending && !r.Status.InProgress:
		return fmt.Errorf("%w: it was on at the start of php-fpm, and no longer is", ErrOPcacheOff)
	}
	return nil
}

func (r fpmReply) forbidden() error {
	return fmt.Errorf("%w: disable_functions has %s", ErrOPcacheForbidden, strings.Join(r.Forbidden, " and "))
}

func (r fpmReply) settings() OPcacheSettings {
	seconds := func(name string) time.Duration { return time.Duration(number(r.INI[name])) * time.Second }
	return OPcacheSettings{
		ValidateTimestamps: isOn(r.INI["opcache.validate_timestamps"]),
		RevalidateFreq:     seconds("opcache.revalidate_freq"),
		FileCache:          r.INI["opcache.file_cache"],
		FileCacheOnly:      isOn(r.INI["opcache.file_cache_only"]),
		Preload:            r.INI["opcache.preload"],
		RestrictAPI:        r.INI["opcache.restrict_api"],
		ForceRestart:       seconds("opcache.force_restart_timeout"),
	}
}

func (s *opcacheStatus) state() OPcacheState {
	n := s.Statistics
	state := OPcacheState{
		Full: s.Full, RestartPending: s.Pending, RestartInProgress: s.InProgress,
		Memory:  OPcacheMemory{s.Memory.Used, s.Memory.Free, s.Memory.Wasted, s.Memory.Part},
		Scripts: n.Scripts, Keys: n.Keys, MaxKeys: n.MaxKeys,
		Hits: n.Hits, Misses: n.Misses, Blacklist: n.Blacklist, HitRate: n.HitRate,
		StartedAt: time.Unix(n.StartTime, 0), LastRestart: unixOrZero(n.LastRestart),
		OOMRestarts: n.OOMRestarts, HashRestarts: n.HashRestarts, ManualRestarts: n.ManualRestarts,
	}
	if s.Strings != nil {
		state.Strings = &OPcacheStrings{s.Strings.Size, s.Strings.Used, s.Strings.Free, s.Strings.Count}
	}
	if s.JIT != nil {
		state.JIT = &OPcacheJIT{s.JIT.On, s.JIT.BufferSize, s.JIT.BufferFree}
	}
	return state
}

func unixOrZero(seconds int64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0)
}
