package php

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// maxWrappers bounds how many wrappers FromCommand looks through: env, a shell, a script's shebang, and so on.
const maxWrappers = 8

// binaryName matches php, php8.2, php82, php-zts, php8.2-cli.
var binaryName = regexp.MustCompile(`^php[0-9.]*(-[A-Za-z0-9.]+)?$`)

// notCLI are programs with such a name that do not take php's arguments.
var notCLI = regexp.MustCompile(`^php[0-9.]*-(fpm|cgi|config)[0-9.]*$`)

// fpmName matches php-fpm, php-fpm8.2, php8.2-fpm.
var fpmName = regexp.MustCompile(`^php([0-9.]*)-fpm([0-9.]*)$`)

// FromCommand finds the php that runs command in dir with env (nil: the caller's own), looking through env,
// `sh -c`, wrappers such as nice or tini, and shebangs. For php-fpm it is the command-line php of the same version.
// When the command tells nothing, it is the php in PATH. The error is ErrNoPHP, or says which file could not be read.
func FromCommand(command []string, dir string, env []string) (PHP, error) {
	if env == nil {
		env = os.Environ()
	}
	f := finder{dir: dir, env: env}
	if path, args, ok := f.find(command, maxWrappers); ok {
		return PHP{Path: path, Args: args, Dir: dir, Env: f.env}, nil
	}
	if path, ok := f.look("php"); ok {
		return PHP{Path: path, Dir: dir, Env: f.env}, nil
	}
	return PHP{}, fmt.Errorf("find php for command %q: %w", strings.Join(command, " "), ErrNoPHP)
}

// finder follows a command to php; env grows by what the wrappers on the way set.
type finder struct {
	dir string
	env []string
}

func (f *finder) find(command []string, depth int) (path string, ini []string, ok bool) {
	if len(command) == 0 || depth == 0 {
		return "", nil, false
	}
	name := filepath.Base(command[0])
	switch {
	case isPHP(name):
		if path, ok := f.look(command[0]); ok {
			return path, iniArgs(command[1:]), true
		}
		return "", nil, false
	case fpmName.MatchString(name):
		return f.cliOf(name)
	case name == "env":
		return f.find(f.throughEnv(command[1:]), depth-1)
	case isShell(name):
		if line, ok := shellLine(command[1:]); ok {
			return f.findInLine(line, depth-1)
		}
	}
	if path, ini, ok := f.findInShebang(command, depth-1); ok {
		return path, ini, true
	}
	return f.findBehind(command[1:], depth-1)
}

// findBehind looks for a php behind a wrapper with options of its own: nice -n 5 php, tini -- php, gosu www php.
func (f *finder) findBehind(args []string, depth int) (string, []string, bool) {
	for i, arg := range args {
		name := filepath.Base(arg)
		if isPHP(name) || name == "env" || isShell(name) {
			if path, ini, ok := f.find(args[i:], depth); ok {
				return path, ini, true
			}
		}
	}
	return "", nil, false
}

// cliOf finds the command-line php beside a php-fpm.
func (f *finder) cliOf(fpm string) (string, []string, bool) {
	m := fpmName.FindStringSubmatch(fpm)
	for _, name := range []string{"php" + m[1] + m[2], "php"} {
		if path, ok := f.look(name); ok {
			return path, nil, true
		}
	}
	return "", nil, false
}

// throughEnv applies the arguments of env(1) and returns the command behind them.
func (f *finder) throughEnv(args []string) []string {
	for len(args) > 0 {
		arg := args[0]
		switch {
		case arg == "-S" || arg == "--split-string":
			if len(args) < 2 {
				return nil
			}
			args = append(splitWords(args[1]), args[2:]...)
			continue
		case strings.HasPrefix(arg, "-S"):
			args = append(splitWords(arg[2:]), args[1:]...)
			continue
		case arg == "-i" || arg == "-" || arg == "--ignore-environment":
			f.env = []string{}
		case (arg == "-u" || arg == "--unset") && len(args) > 1:
			f.env = without(f.env, args[1])
			args = args[1:]
		case (arg == "-C" || arg == "--chdir") && len(args) > 1:
			args = args[1:]
		case arg == "--":
			return args[1:]
		case strings.HasPrefix(arg, "-"):
		case isAssignment(arg):
			name, _, _ := strings.Cut(arg, "=")
			f.env = append(without(f.env, name), arg)
		default:
			return args
		}
		args = args[1:]
	}
	return nil
}

// findInLine looks at the simple commands of a shell line, one after the other. It knows no shell syntax but quotes.
func (f *finder) findInLine(line string, depth int) (string, []string, bool) {
	for _, command := range splitCommands(line) {
		env := f.env
		command = f.throughEnv(command) // leading assignments mean the same to a shell
		for len(command) > 0 && (command[0] == "exec" || command[0] == "command") {
			command = command[1:]
		}
		if path, ini, ok := f.find(command, depth); ok {
			return path, ini, true
		}
		f.env = env
	}
	return "", nil, false
}

// findInShebang reads the first line of a script. A kernel takes at most 255 bytes of it (BINPRM_BUF_SIZE).
func (f *finder) findInShebang(command []string, depth int) (string, []string, bool) {
	path, ok := f.look(command[0])
	if !ok {
		return "", nil, false
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(f.dir, path)
	}
	file, err := os.Open(path)
	if err != nil {
		return "", nil, false
	}
	defer file.Close()
	line, _ := bufio.NewReader(io.LimitReader(file, 256)).ReadString('\n')
	rest, ok := strings.CutPrefix(line, "#!")
	if !ok {
		return "", nil, false
	}
	interpreter := strings.Fields(rest)
	if len(interpreter) == 0 || isShell(filepath.Base(interpreter[0])) {
		return "", nil, false
	}
	return f.find(append(interpreter, command...), depth)
}

// look finds an executable as execvp does: in PATH, or relative to dir when name has a slash.
func (f *finder) look(name string) (string, bool) {
	if strings.ContainsRune(name, filepath.Separator) {
		return name, isExecutable(f.inDir(name))
	}
	for _, dir := range filepath.SplitList(value(f.env, "PATH")) {
		path := filepath.Join(f.inDir(dir), name)
		if isExecutable(path) {
			return path, true
		}
	}
	return "", false
}

func (f *finder) inDir(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(f.dir, path)
}

// iniArgs returns those of php's arguments that choose its settings, up to the script or the code.
func iniArgs(args []string) []string {
	var ini []string
	for i := 0; i < len(args); i++ {
		arg := args[i]
		switch {
		case arg == "-n" || arg == "--no-php-ini":
			ini = append(ini, "-n")
		case slices.Contains([]string{"-c", "-d", "--php-ini", "--define"}, arg):
			if i+1 == len(args) {
				return ini
			}
			short := map[string]string{"--php-ini": "-c", "--define": "-d"}[arg]
			if short == "" {
				short = arg
			}
			i++
			ini = append(ini, short, args[i])
		case strings.HasPrefix(arg, "-c") || strings.HasPrefix(arg, "-d"):
			ini = append(ini, arg[:2], arg[2:])
		case arg == "-q" || arg == "-e":
		case len(arg) > 2 && strings.Trim(arg, "nqe") == "-":
			if strings.Contains(arg, "n") {
				ini = append(ini, "-n")
			}
		default:
			return ini
		}
	}
	return ini
}

func isPHP(name string) bool {
	return binaryName.MatchString(name) && !notCLI.MatchString(name)
}

func isShell(name string) bool {
	return slices.Contains([]string{"sh", "bash", "dash", "ash", "ksh", "zsh"}, name)
}

func isAssignment(word string) bool {
	name, _, ok := strings.Cut(word, "=")
	return ok && name != "" && !strings.ContainsAny(name, "/ \t-")
}

func isExecutable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
}

// value is what the last entry for name says, as getenv has it after exec.Cmd removed duplicates.
func value(env []string, name string) string {
	v, _ := lookup(env, name)
	return v
}

func lookup(env []string, name string) (string, bool) {
	for i := len(env) - 1; i >= 0; i-- {
		if v, ok := strings.CutPrefix(env[i], name+"="); ok {
			return v, true
		}
	}
	return "", false
}

func without(env []string, name string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(entry string) bool {
		return strings.HasPrefix(entry, name+"=")
	})
}
