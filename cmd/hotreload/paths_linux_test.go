package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/hotreload/hotreload/config"
)

func TestMayListenOnPath(t *testing.T) {
	for name, test := range map[string]struct {
		file, code string
		listen     []string
		ready      string
		want       bool
	}{
		"Swoole":       {file: "s.php", code: `<?php new Swoole\Server('/run/x', 0, SWOOLE_BASE, SWOOLE_SOCK_UNIX_STREAM);`, want: true},
		"Workerman":    {file: "s.php", code: `<?php new Worker('unix:///run/x');`, want: true},
		"TCP":          {file: "s.php", code: `<?php new Swoole\Server('127.0.0.1', 80); // SWOOLE_SOCK_UNIX_STREAM`},
		"Hyperf":       {file: "config/autoload/server.php", code: `<?php return ['sock_type' => SWOOLE_SOCK_UNIX_STREAM];`, want: true},
		"webman":       {file: "config/process.php", code: `<?php return ['listen' => 'unix:///run/x'];`, want: true},
		"listen":       {listen: []string{"unix:/run/x"}, want: true},
		"listen, none": {listen: []string{"127.0.0.1:80"}},
		"ready":        {ready: "unix", want: true},
		"nothing":      {},
	} {
		t.Run(name, func(t *testing.T) {
			var cfg config.Config
			cfg.Server.Dir = t.TempDir()
			cfg.Server.Command = []string{"php", "s.php"}
			cfg.Restart.Listen, cfg.Server.Ready.Scheme = test.listen, test.ready
			if test.file != "" {
				file := filepath.Join(cfg.Server.Dir, test.file)
				if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(test.code), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			if got := mayListenOnPath(&cfg); got != test.want {
				t.Errorf("%v, want %v", got, test.want)
			}
		})
	}
}
