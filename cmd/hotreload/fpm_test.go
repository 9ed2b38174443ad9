package main

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/hotreload/hotreload/config"
	"github.com/hotreload/hotreload/supervisor"
)

func TestFPMIsNotReloadedIntoABrokenConfiguration(t *testing.T) {
	program, dir := fpmProgram(t), t.TempDir()
	for name, test := range map[string]struct {
		command   []string
		manager   string
		idle      bool // nothing serves
		nobody    bool // nothing is tested
		refused   string
		otherwise bool // an error that refuses nothing
	}{
		"sound":          {manager: "static"},
		"broken":         {manager: "statik", refused: "invalid process manager"},
		"and not in use": {manager: "statik", idle: true},
		"gone":           {command: []string{dir + "/php-fpm"}, otherwise: true},
		"a wrapper":      {command: []string{"docker-php-entrypoint", "php-fpm"}, nobody: true},
	} {
		t.Run(name, func(t *testing.T) {
			conf := dir + "/" + strings.ReplaceAll(name, " ", "-") + ".conf"
			text := "[global]\nerror_log = " + dir + "/log\n[www]\nlisten = " + dir + "/sock\npm = " + test.manager + "\npm.max_children = 1\n"
			if os.Getuid() == 0 {
				text += "user = nobody\ngroup = nogroup\n"
			}
			must(t, os.WriteFile(conf, []byte(text), 0o600))
			cfg := &config.Config{Server: config.Server{Kind: config.KindPHPFPM, Dir: dir, ReadyTimeout: time.Minute}}
			cfg.Server.Command = test.command
			if cfg.Server.Command == nil {
				cfg.Server.Command = []string{program, "-n", "-F", "-y", conf}
			}
			f := newFPMTest(cfg, (*exec.Cmd).Run)
			if test.nobody {
				if f != nil {
					t.Error("a wrapper is called with --test")
				}
				return
			}
			_, err := f.prepare(t.Context(), supervisor.Upcoming{Action: supervisor.Reload, Serving: !test.idle})
			var refusal *supervisor.Refusal
			switch is := errors.As(err, &refusal); {
			case is != (test.refused != ""), is && !strings.Contains(refusal.Message, test.refused):
				t.Errorf("error %v, want a refusal with %q", err, test.refused)
			case !is && test.otherwise != (err != nil):
				t.Errorf("error %v", err)
			}
		})
	}
}
