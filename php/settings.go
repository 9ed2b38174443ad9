package php

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"
)

//go:embed settings.php
var settingsScript string

// Settings are those of a php started like the server that matter for a reload. A server may still change some of
// them at run time.
type Settings struct {
	Version    string `json:"version"`     // "8.2.36"
	VersionID  int    `json:"version_id"`  // 80236
	ThreadSafe bool   `json:"thread_safe"` // built with ZTS

	ShortOpenTag bool `json:"short_open_tag"`

	// OPcache caches compiled code in a server that is started from the command line: it is loaded, and both
	// opcache.enable and opcache.enable_cli are on.
	OPcache bool `json:"opcache"`
	// INI holds settings as php's ini_get has them, "" or "0" being off: those that decide which code a worker gets.
	// A setting that this php does not know is missing.
	INI map[string]string `json:"ini"`
	// Preload is opcache.preload: a file that is loaded once, when the master starts.
	Preload string `json:"preload"`

	// Extensions maps the loaded extensions to their versions; "" when one has none. Names are as php has them: "swoole".
	Extensions map[string]string `json:"extensions"`
	// Files are the ini files that were read, the main one first.
	Files []string `json:"files"`
}

// Settings asks php. It takes some 20 ms; the answer stays the same until an ini file or the command changes.
func (p PHP) Settings(ctx context.Context) (Settings, error) {
	cmd := p.command(ctx, p.Args, "-d", "display_errors=0", "-r", strings.TrimPrefix(settingsScript, "<?php"))
	var output, message bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &message
	if err := p.run(cmd); err != nil {
		return Settings{}, fmt.Errorf("ask %s for its settings: %w: %s", p.Path, err, lastLine(append(message.Bytes(), output.Bytes()...)))
	}
	// Extensions may print while they start. The answer is what stands between the two marks.
	_, answer, _ := strings.Cut(output.String(), "\x02")
	answer, _, _ = strings.Cut(answer, "\x03")
	var s Settings
	if err := json.Unmarshal([]byte(answer), &s); err != nil {
		return Settings{}, fmt.Errorf("ask %s for its settings: read the answer: %w", p.Path, err)
	}
	return s, nil
}
