package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/hotreload/hotreload/config"
)

func completionCommand() *cli.Command {
	return &cli.Command{
		Name:  "completion",
		Usage: "print a completion script for bash, zsh or fish",
		UsageText: "hotreload completion bash|zsh|fish\n\n" +
			"bash:  source <(hotreload completion bash)\n" +
			"zsh:   source <(hotreload completion zsh)\n" +
			"fish:  hotreload completion fish | source",
		ArgsUsage: "bash|zsh|fish",
		Action: func(c *cli.Context) error {
			shells := []string{"bash", "zsh", "fish"}
			shell := c.Args().First()
			if c.Args().Len() != 1 || !slices.Contains(shells, shell) {
				return usageError("hotreload completion: say for which shell: %s", strings.Join(shells, ", "))
			}
			words := wordsOf(c.App)
			write := map[string]func(io.Writer, []commandWords) error{"bash": bashScript, "zsh": zshScript, "fish": fishScript}
			return write[shell](c.App.Writer, words)
		},
	}
}

// commandWords is what can be typed for one command. The first of a list is hotreload itself.
type commandWords struct {
	name, usage string
	flags       []flagWord
	args        []string // fixed arguments
	program     bool     // a command to start follows
}

// flagWord is one flag.
type flagWord struct {
	names  []string // "--config", "-c"
	usage  string
	takes  bool     // a value follows
	file   bool     // which is a file
	values []string // which is one of these
}

// wordsOf reads them off the app, so that no script can forget a flag.
func wordsOf(app *cli.App) []commandWords {
	all := []commandWords{{name: app.Name, flags: flagWords(app.Flags)}}
	for _, c := range app.Commands {
		if c.Hidden {
			continue
		}
		w := commandWords{name: c.Name, usage: c.Usage, flags: flagWords(c.Flags), program: strings.Contains(c.UsageText, "-- COMMAND")}
		if c.Name == "completion" {
			w.args = []string{"bash", "zsh", "fish"}
		}
		for _, sub := range c.Subcommands {
			w.args = append(w.args, sub.Name)
			w.flags = uniqueFlags([]commandWords{w, {flags: flagWords(sub.Flags)}})
		}
		all = append(all, w)
	}
	return all
}

// choices are the values of flags that have few.
func choices() map[string][]string {
	return map[string][]string{
		"kind":       config.Kinds(),
		"poll":       {"auto", "always", "never"},
		"log-level":  {"debug", "info", "warn", "error"},
		"log-format": {"auto", "console", "json"},
		"for":        {config.ModeWatch, config.ModeRun},
	}
}

func flagWords(flags []cli.Flag) []flagWord {
	var out []flagWord
	for _, f := range flags {
		doc, ok := f.(cli.DocGenerationFlag)
		if !ok {
			continue
		}
		usage := strings.ReplaceAll(doc.GetUsage(), "`", "")
		w := flagWord{usage: usage, takes: doc.TakesValue(), values: choices()[f.Names()[0]]}
		if s, ok := f.(*cli.StringFlag); ok {
			w.file = s.TakesFile
		}
		w.file = w.file || f.Names()[0] == "path"
		for _, name := range f.Names() {
			dashes := "--"
			if len(name) == 1 {
				dashes = "-"
			}
			w.names = append(w.names, dashes+name)
		}
		out = append(out, w)
	}
	return out
}

func names(flags []flagWord, keep func(flagWord) bool) []string {
	var out []string
	for _, f := range flags {
		if keep(f) {
			out = append(out, f.names...)
		}
	}
	return out
}

func bashScript(w io.Writer, all []commandWords) error {
	var b strings.Builder
	b.WriteString(`# bash completion for hotreload
_hotreload() {
    local cur prev cmd="" word i values
    cur="${COMP_WORDS[COMP_CWORD]}"
    prev="${COMP_WORDS[COMP_CWORD-1]}"
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        word="${COMP_WORDS[i]}"
        if [[ $word == -- ]]; then
            COMPREPLY=($(compgen -c -f -- "$cur"))
            return
        fi
        if [[ -z $cmd ]]; then
            case "$word" in
`)
	takers := names(all[0].flags, func(f flagWord) bool { return f.takes })
	fmt.Fprintf(&b, "            %s) ((i++)) ;;\n", strings.Join(takers, "|"))
	b.WriteString("            -*) ;;\n            *) cmd=\"$word\" ;;\n            esac\n        fi\n    done\n    case \"$prev\" in\n")
	for _, f := range uniqueFlags(all) {
		switch {
		case f.values != nil:
			fmt.Fprintf(&b, "    %s) COMPREPLY=($(compgen -W %q -- \"$cur\")); return ;;\n", strings.Join(f.names, "|"), strings.Join(f.values, " "))
		case f.file:
			fmt.Fprintf(&b, "    %s) COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n", strings.Join(f.names, "|"))
		case f.takes:
			fmt.Fprintf(&b, "    %s) return ;;\n", strings.Join(f.names, "|"))
		}
	}
	b.WriteString("    esac\n    case \"$cmd\" in\n")
	for i, c := range all {
		pattern, words := c.name, append(names(c.flags, func(flagWord) bool { return true }), "--help")
		if i == 0 {
			pattern = `""`
			for _, sub := range all[1:] {
				words = append(words, sub.name)
			}
		}
		words = append(words, c.args...)
		fmt.Fprintf(&b, "    %s) values=%q ;;\n", pattern, strings.Join(words, " "))
	}
	b.WriteString(`    esac
    if [[ $cur != -* && -n $cmd ]]; then
        values="$(printf '%s\n' $values | grep -v '^-')"
    fi
    COMPREPLY=($(compgen -W "$values" -- "$cur"))
}
complete -F _hotreload hotreload
`)
	_, err := io.WriteString(w, b.String())
	return err
}

// uniqueFlags are all flags of all commands, each once.
func uniqueFlags(all []commandWords) []flagWord {
	var out []flagWord
	for _, c := range all {
		for _, f := range c.flags {
			if !slices.ContainsFunc(out, func(have flagWord) bool { return have.names[0] == f.names[0] }) {
				out = append(out, f)
			}
		}
	}
	return out
}

func zshScript(w io.Writer, all []commandWords) error {
	var b strings.Builder
	b.WriteString("#compdef hotreload\n# zsh completion for hotreload\n_hotreload() {\n    local context state state_descr line\n    typeset -A opt_args\n    _arguments -C \\\n")
	for _, f := range all[0].flags {
		zshFlag(&b, f)
	}
	b.WriteString("        '1:command:->command' \\\n        '*::arg:->args'\n    case $state in\n    command)\n        local -a commands=(\n")
	for _, c := range all[1:] {
		fmt.Fprintf(&b, "            %s\n", zshQuote(c.name+":"+c.usage))
	}
	b.WriteString("        )\n        _describe command commands\n        ;;\n    args)\n        case $words[1] in\n")
	for _, c := range all[1:] {
		fmt.Fprintf(&b, "        %s)\n            _arguments \\\n", c.name)
		for _, f := range c.flags {
			zshFlag(&b, f)
		}
		switch {
		case c.program:
			b.WriteString("                '*:::program:_normal'\n")
		case c.args != nil:
			fmt.Fprintf(&b, "                '1:argument:(%s)'\n", strings.Join(c.args, " "))
		default:
			b.WriteString("                '--help[show help]'\n")
		}
		b.WriteString("            ;;\n")
	}
	b.WriteString("        esac\n        ;;\n    esac\n}\nif [[ $zsh_eval_context[-1] == loadautofunc ]]; then\n    _hotreload \"$@\"\nelse\n    compdef _hotreload hotreload\nfi\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func zshFlag(b *strings.Builder, f flagWord) {
	usage := strings.NewReplacer("[", `\[`, "]", `\]`, ":", `\:`).Replace(f.usage)
	value := ""
	switch {
	case f.values != nil:
		value = ":value:(" + strings.Join(f.values, " ") + ")"
	case f.file:
		value = ":file:_files"
	case f.takes:
		value = ":value: "
	}
	for _, name := range f.names {
		fmt.Fprintf(b, "        %s \\\n", zshQuote(name+"["+usage+"]"+value))
	}
}

func zshQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func fishScript(w io.Writer, all []commandWords) error {
	var b strings.Builder
	b.WriteString("# fish completion for hotreload\ncomplete -c hotreload -f\n")
	for _, f := range all[0].flags {
		fishFlag(&b, "__fish_use_subcommand", f)
	}
	for _, c := range all[1:] {
		fmt.Fprintf(&b, "complete -c hotreload -n __fish_use_subcommand -a %s -d %s\n", c.name, fishQuote(c.usage))
		for _, f := range c.flags {
			fishFlag(&b, "__fish_seen_subcommand_from "+c.name, f)
		}
		if c.args != nil {
			fmt.Fprintf(&b, "complete -c hotreload -n %s -a %s\n", fishQuote("__fish_seen_subcommand_from "+c.name), fishQuote(strings.Join(c.args, " ")))
		}
		if c.program {
			fmt.Fprintf(&b, "complete -c hotreload -n %s -a '(__fish_complete_subcommand)'\n",
				fishQuote("__fish_seen_subcommand_from "+c.name+"; and contains -- -- (commandline -opc)"))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func fishFlag(b *strings.Builder, when string, f flagWord) {
	fmt.Fprintf(b, "complete -c hotreload -n %s", fishQuote(when))
	for _, name := range f.names {
		if long, ok := strings.CutPrefix(name, "--"); ok {
			b.WriteString(" -l " + long)
		} else {
			b.WriteString(" -s " + strings.TrimPrefix(name, "-"))
		}
	}
	switch {
	case f.values != nil:
		b.WriteString(" -x -a " + fishQuote(strings.Join(f.values, " ")))
	case f.file:
		b.WriteString(" -r -F")
	case f.takes:
		b.WriteString(" -x")
	}
	b.WriteString(" -d " + fishQuote(f.usage) + "\n")
}

func fishQuote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}
