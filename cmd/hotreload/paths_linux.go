package main

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/hotreload/hotreload/config"
)

// portFiles are where the frameworks have what their server listens on.
var portFiles = []string{"config/autoload/server.php", "config/server.php", "config/process.php"}

// mayListenOnPath reports whether a server may listen on a unix socket, as far as its configuration and its script show. What is missed
// costs a moment of the first handover; of what is wrongly taken for such a server every unlink(2) costs some microseconds more.
func mayListenOnPath(cfg *config.Config) bool {
	named := func(text string) bool { return strings.HasPrefix(text, "unix:") }
	if cfg.Server.Ready.Scheme == "unix" || slices.ContainsFunc(cfg.Restart.Listen, named) {
		return true
	}
	var code strings.Builder
	code.WriteString(strings.Join(cfg.Server.Command, " "))
	for _, file := range portFiles {
		code.WriteString(config.Code(filepath.Join(cfg.Server.Dir, file)))
	}
	if script := cfg.Script(); script != "" {
		code.WriteString(config.Code(script))
	}
	return strings.Contains(code.String(), "SOCK_UNIX_STREAM") || strings.Contains(code.String(), "unix:/")
}
