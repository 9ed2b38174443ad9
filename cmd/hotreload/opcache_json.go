package main

import (
	"time"

	"github.com/hotreload/hotreload/php"
)

// cacheJSON is a pool of `opcache status --json`. What is absent is null.
type cacheJSON struct {
	Address    string        `json:"address"`
	Error      string        `json:"error"`       // why nothing is known; "" when it is
	SharedWith *string       `json:"shared_with"` // address of an earlier pool in the list with the same cache
	PHP        *phpJSON      `json:"php"`
	Enabled    bool          `json:"enabled"`
	Off        string        `json:"off"` // why it is not enabled
	Settings   *settingsJSON `json:"settings"`
	Cache      *stateJSON    `json:"cache"`
	Hints      []string      `json:"hints"`
}

type phpJSON struct {
	Version    string `json:"version"`
	ThreadSafe bool   `json:"thread_safe"`
	Master     *int   `json:"master"`
}

type settingsJSON struct {
	ValidateTimestamps bool    `json:"validate_timestamps"`
	RevalidateFreqS    float64 `json:"revalidate_freq_s"`
	FileCache          string  `json:"file_cache"`
	Preload            string  `json:"preload"`
	RestrictAPI        string  `json:"restrict_api"`
	ForceRestartS      float64 `json:"force_restart_timeout_s"`
}

type stateJSON struct {
	Full              bool         `json:"full"`
	RestartPending    bool         `json:"restart_pending"`
	RestartInProgress bool         `json:"restart_in_progress"`
	Memory            memoryJSON   `json:"memory"`
	Strings           *stringsJSON `json:"strings"`
	Scripts           int64        `json:"scripts"`
	Keys              int64        `json:"keys"`
	MaxKeys           int64        `json:"max_keys"`
	Hits              int64        `json:"hits"`
	Misses            int64        `json:"misses"`
	BlacklistMisses   int64        `json:"blacklist_misses"`
	HitRatePercent    float64      `json:"hit_rate_percent"`
	StartedAt         time.Time    `json:"started_at"`
	LastRestartAt     *time.Time   `json:"last_restart_at"`
	Restarts          restartsJSON `json:"restarts"`
	JIT               *jitJSON     `json:"jit"`
}

type memoryJSON struct {
	UsedBytes     int64   `json:"used_bytes"`
	FreeBytes     int64   `json:"free_bytes"`
	WastedBytes   int64   `json:"wasted_bytes"`
	WastedPercent float64 `json:"wasted_percent"`
}

type stringsJSON struct {
	SizeBytes int64 `json:"size_bytes"`
	UsedBytes int64 `json:"used_bytes"`
	FreeBytes int64 `json:"free_bytes"`
	Count     int64 `json:"count"`
}

type restartsJSON struct {
	OOM    int64 `json:"oom"`
	Hash   int64 `json:"hash"`
	Manual int64 `json:"manual"`
}

type jitJSON struct {
	On              bool  `json:"on"`
	BufferSizeBytes int64 `json:"buffer_size_bytes"`
	BufferFreeBytes int64 `json:"buffer_free_bytes"`
}

func (t poolCache) json() cacheJSON {
	out := cacheJSON{Address: t.pool.Address.String(), Hints: []string{}}
	if err := remedied(t.failure()); err != nil {
		out.Error = err.Error()
		out.Hints = append(out.Hints, remedyIn(err)...)
		return out
	}
	c := t.cache
	if t.sharedWith != nil {
		name := t.sharedWith.Address.String()
		out.SharedWith = &name
	}
	out.PHP = &phpJSON{Version: c.PHP, ThreadSafe: c.ThreadSafe}
	if c.Master != 0 {
		out.PHP.Master = &c.Master
	}
	out.Settings = &settingsJSON{c.ValidateTimestamps, c.RevalidateFreq.Seconds(), c.FileCache, c.Preload, c.RestrictAPI, c.ForceRestart.Seconds()}
	if c.Off != nil {
		out.Off = c.Off.Error()
		return out
	}
	out.Enabled, out.Cache = true, stateOf(c.OPcacheState)
	out.Hints = append(out.Hints, cacheHints(c)...)
	return out
}

func stateOf(c php.OPcacheState) *stateJSON {
	s := &stateJSON{
		Full: c.Full, RestartPending: c.RestartPending, RestartInProgress: c.RestartInProgress,
		Memory:  memoryJSON{c.Memory.Used, c.Memory.Free, c.Memory.Wasted, c.Memory.WastedPercent},
		Scripts: c.Scripts, Keys: c.Keys, MaxKeys: c.MaxKeys,
		Hits: c.Hits, Misses: c.Misses, BlacklistMisses: c.Blacklist, HitRatePercent: c.HitRate,
		StartedAt: c.StartedAt, Restarts: restartsJSON{c.OOMRestarts, c.HashRestarts, c.ManualRestarts},
	}
	if !c.LastRestart.IsZero() {
		s.LastRestartAt = &c.LastRestart
	}
	if c.Strings != nil {
		s.Strings = &stringsJSON{c.Strings.Size, c.Strings.Used, c.Strings.Free, c.Strings.Count}
	}
	if c.JIT != nil {
		s.JIT = &jitJSON{c.JIT.On, c.JIT.BufferSize, c.JIT.BufferFree}
	}
	return s
}

// resetJSON is a pool of `opcache reset --json`.
type resetJSON struct {
	Address        string   `json:"address"`
	Result         string   `json:"result"` // verified, refused, failed, timeout
	Error          string   `json:"error"`
	SharedWith     *string  `json:"shared_with"`
	DroppedScripts int64    `json:"dropped_scripts"`
	RestartsBefore *int64   `json:"manual_restarts_before"`
	RestartsAfter  *int64   `json:"manual_restarts_after"`
	DurationMs     float64  `json:"duration_ms"`
	Hints          []string `json:"hints"`
}
