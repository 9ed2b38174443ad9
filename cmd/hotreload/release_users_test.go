package main

import (
	"os"
	"slices"
	"testing"

	"github.com/hotreload/hotreload/config"
	"github.com/hotreload/hotreload/signals"
)

// Which of the processes that cannot be looked at may be the server.
func TestMayServe(t *testing.T) {
	cfg := &config.Config{Server: config.Server{Command: []string{"/opt/app/serve"}}}
	for name, test := range map[string]struct {
		comm  string
		other bool // of another user
		want  bool
	}{
		"php":                     {"php8.2", false, true},
		"another user's":          {"php8.2", true, false},
		"php-fpm runs nothing":    {"php-fpm8.2", false, false},
		"the configured command":  {"serve", false, true},
		"something else":          {"sshd", false, false},
		"RoadRunner":              {"rr", false, true},
		"a longer name":           {"rrd", false, false},
		"another user's command":  {"serve", true, false},
		"swoole-cli":              {"swoole-cli", false, true},
		"a name that php is in":   {"myphp", false, false},
		"FrankenPHP, cut to 15":   {"frankenphp-linu", false, true},
		"a name that is not ours": {"", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			info := signals.Info{Comm: test.comm, UID: os.Geteuid()}
			if test.other {
				info.UID++
			}
			if got := slices.Contains(mayServe(cfg, []signals.Info{info}), info); got != test.want {
				t.Errorf("%s: %v, want %v", test.comm, got, test.want)
			}
		})
	}
}
