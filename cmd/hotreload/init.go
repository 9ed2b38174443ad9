package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/google/renameio/v2"
	"github.com/urfave/cli/v2"

	"github.com/hotreload/hotreload/config"
)

func initCommand() *cli.Command {
	return &cli.Command{
		Name:      "init",
		Usage:     "look at the project and write a commented " + config.FileName,
		UsageText: "hotreload init [--force] [-- COMMAND ARG...]",
		Flags:     []cli.Flag{&cli.BoolFlag{Name: "force", Usage: "overwrite the file that is there"}},
		Action: func(c *cli.Context) error {
			dir, err := os.Getwd()
			if err != nil {
				return fmt.Errorf("working directory: %w", err)
			}
			return initialise(c.App.Writer, dir, c.Args().Slice(), c.Bool("force"))
		},
	}
}

// guess is what init assumes about a project.
type guess struct {
	kind, why  string
	command    []string // empty: unknown
	commandWhy string
}

func initialise(w io.Writer, dir string, command []string, force bool) error {
	file := filepath.Join(dir, config.FileName)
	if _, err := os.Lstat(file); err == nil && !force {
		return hinted(fmt.Errorf("%s exists already", config.FileName), "--force overwrites it")
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("look for %s: %w", config.FileName, err)
	}
	g := guessFor(dir, command)
	if err := renameio.WriteFile(file, []byte(config.Template(g.header(), g.values())), 0o644); err != nil {
		return fmt.Errorf("write %s: %w", config.FileName, err)
	}
	cfg, err := config.Load(config.Source{Path: file, WorkDir: dir, Mode: config.ModeWatch})
	if err != nil {
		return fmt.Errorf("read back what was written: %w", err)
	}
	return g.tell(w, cfg)
}

// guessFor recognises the project, and the command that its kind is usually started with.
func guessFor(dir string, command []string) guess {
	g := guess{command: command, commandWhy: "the command line"}
	if len(command) == 0 {
		g.kind, g.why = config.Recognise(dir, nil)
		g.command, g.commandWhy = config.UsualCommand(dir, g.kind)
	}
	if len(g.command) > 0 {
		// The script that is started knows better than composer.json.
		if kind, why := config.Recognise(dir, g.command); kind != config.KindNone || g.kind == "" {
			g.kind, g.why = kind, why
		}
	}
	return g
}

func (g guess) header() string {
	text := "hotreload watch: save a file, and every worker serves it.\n" +
		"Keys that are commented out have the value that is shown. Paths are relative to this file.\n\n" +
		fmt.Sprintf("kind: %s (%s)", g.kind, g.why)
	if len(g.command) == 0 {
		return text + "\ncommand: not found out; fill it in"
	}
	return text + fmt.Sprintf("\ncommand: %s (%s)", strings.Join(g.command, " "), g.commandWhy)
}

// values are the keys that the file sets.
func (g guess) values() map[string]string {
	v := map[string]string{}
	if g.kind != config.KindNone || len(g.command) > 0 { // else it is left to be recognised from the command
		v["server.kind"] = strconv.Quote(g.kind)
	}
	if len(g.command) > 0 {
		words := make([]string, len(g.command))
		for i, word := range g.command {
			words[i] = tomlString(word)
		}
		v["server.command"] = "[" + strings.Join(words, ", ") + "]"
	}
	return v
}

// tomlString quotes as TOML does; \x and \u differ from Go.
func tomlString(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < 0x20 || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String() + `"`
}

// tell says what was assumed, and what comes next.
func (g guess) tell(w io.Writer, cfg *config.Config) error {
	lines := []string{
		"wrote " + config.FileName,
		fmt.Sprintf("  kind      %s (%s)", g.kind, g.why),
	}
	next := "next: hotreload watch"
	if len(g.command) > 0 {
		lines = append(lines, fmt.Sprintf("  command   %s (%s)", strings.Join(g.command, " "), g.commandWhy))
	} else {
		lines = append(lines, "  command   not found out")
		next = "next: fill in command under [server], then hotreload watch (or try: hotreload watch -- php server.php)"
	}
	if cfg.Server.PIDFile != "" {
		lines = append(lines, fmt.Sprintf("  pid file  %s (%s)", cfg.Server.PIDFile, cfg.Origin("server.pid_file")))
	}
	for _, note := range cfg.Preset.Notes {
		lines = append(lines, "  note      "+note)
	}
	_, err := fmt.Fprintln(w, strings.Join(append(lines, next), "\n"))
	return err
}
