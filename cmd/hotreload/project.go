package main

import (
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/hotreload/hotreload/config"
	"github.com/hotreload/hotreload/control"
)

// override is a flag that stands for a key of the configuration.
type override struct {
	key  string
	flag cli.Flag
	// value is what the key becomes; nil: the flag's own value.
	value func(c *cli.Context) any
}

// identityFlags say which server is meant.
func identityFlags() []override {
	return []override{
		{key: "server.kind", flag: &cli.StringFlag{Name: "kind", Usage: "the `KIND` of server: " + strings.Join(config.Kinds(), ", ") + " (default: recognised)"}},
		{key: "server.pid_file", flag: &cli.StringFlag{Name: "pid-file", Usage: "the `FILE` in which the server writes its pid", TakesFile: true}},
	}
}

// serverFlags are those of the commands that start a server.
func serverFlags() []override {
	return append(identityFlags(),
		override{key: "server.dir", flag: &cli.StringFlag{Name: "dir", Usage: "start the server in `DIR`", TakesFile: true}},
		override{key: "server.ready", flag: &cli.StringFlag{Name: "ready", Usage: "the server is ready when `URL` answers: tcp://, unix://, http(s)://, exec:COMMAND, pid-file"}},
		override{key: "server.ready_timeout", flag: &cli.StringFlag{Name: "ready-timeout", Usage: "a start may take `DURATION`"}},
		override{key: "server.stop_timeout", flag: &cli.StringFlag{Name: "stop-timeout", Usage: "a stop may take `DURATION`, then all that is left is killed"}},
		override{key: "reload.timeout", flag: &cli.StringFlag{Name: "reload-timeout", Usage: "a reload not verified within `DURATION` becomes a restart"}},
		override{key: "log.level", flag: &cli.StringFlag{Name: "log-level", Usage: "`LEVEL`: debug, info, warn, error"}},
		override{key: "log.format", flag: &cli.StringFlag{Name: "log-format", Usage: "`FORMAT`: auto, console, json"}},
	)
}

func listFlag(name, usage string) cli.Flag {
	return &cli.StringSliceFlag{Name: name, Usage: usage}
}

func list(name string) func(*cli.Context) any {
	return func(c *cli.Context) any { return c.StringSlice(name) }
}

// flagsOf are the command line's side of overrides, with those that every command has.
func flagsOf(overrides []override, more ...cli.Flag) []cli.Flag {
	flags := more
	for _, o := range overrides {
		flags = append(flags, o.flag)
	}
	return append(flags, globalFlags()...)
}

// source is what the configuration of a command is made from.
func source(c *cli.Context, mode string, overrides []override) config.Source {
	src := config.Source{Environ: os.Environ(), Mode: mode, PID1: os.Getpid() == 1}
	src.Path, _ = chosen(c, "config")
	if socket, ok := chosen(c, "socket"); ok {
		src.Flags = append(src.Flags, config.Flag{Name: "--socket", Key: "control.socket", Value: socket})
	}
	for _, o := range overrides {
		name := o.flag.Names()[0]
		if !c.IsSet(name) {
			continue
		}
		var value any = c.String(name)
		if o.value != nil {
			value = o.value(c)
		}
		src.Flags = append(src.Flags, config.Flag{Name: "--" + name, Key: o.key, Value: value})
	}
	return src
}

// projectOf is how the configuration is told from another's.
func projectOf(cfg *config.Config) control.Project {
	file := cfg.Server.PIDFile
	if cfg.Release != nil {
		file = cfg.Release.Current // the pid file is another one in each release
	}
	return control.Project{
		Socket: cfg.Control.Socket, PIDFile: file,
		Dir: cfg.Dir, Config: cfg.File, Command: cfg.Server.Command,
	}
}
