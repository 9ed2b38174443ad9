package main

import (
	"fmt"

	"github.com/hotreload/hotreload/php"
)

// cacheHints are what a person should know, or do, about a cache as it is.
func cacheHints(c php.OPcache) []string {
	if c.Off != nil {
		return nil
	}
	var hints []string
	say := func(when bool, format string, args ...any) {
		if when {
			hints = append(hints, fmt.Sprintf(format, args...))
		}
	}
	say(c.RestartPending, "until the requests that run have ended, every other request compiles all that it needs")
	keys := c.HashRestarts > 0 || c.MaxKeys > 0 && c.Keys >= c.MaxKeys
	say(c.Full && keys, "it is full, and what is not in it is compiled at each request: raise opcache.max_accelerated_files")
	say(c.Full && !keys, "it is full, and what is not in it is compiled at each request: raise opcache.memory_consumption")
	say(!c.Full && c.HashRestarts > 0, "it had to drop everything for lack of keys: raise opcache.max_accelerated_files")
	say(!c.Full && c.OOMRestarts > 0, "it had to drop everything for lack of memory: raise opcache.memory_consumption")
	say(c.Strings != nil && c.Strings.Free*100 < c.Strings.Size, "the buffer of strings is full, so each worker keeps its own: raise opcache.interned_strings_buffer")
	say(!c.ValidateTimestamps, "after a deploy run `hotreload opcache reset` or `hotreload reload`: no changed file is seen otherwise")
	hints = append(hints, beyondReset(c)...)
	return hints
}

// beyondReset is old code that a reset leaves where it is.
func beyondReset(c php.OPcache) []string {
	var hints []string
	if c.FileCache != "" && !c.ValidateTimestamps {
		hints = append(hints, fmt.Sprintf("a reset leaves opcache.file_cache=%s as it is, from where old code comes back: empty that, too", c.FileCache))
	}
	if c.Preload != "" {
		hints = append(hints, fmt.Sprintf("what opcache.preload=%s loaded stays through a reset: `hotreload reload` loads it anew", c.Preload))
	}
	return hints
}
