package config

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// scriptLimit bounds what is read of an application's file. An entry script
// says what it starts within its first kilobytes.
const scriptLimit = 256 << 10

// entry is the PHP script that a command runs.
type entry struct {
	file string   // absolute; empty: the command runs no script we know
	args []string // what follows it
}

var phpProgram = regexp.MustCompile(`^php(-?[0-9][0-9.]*|-swoole[0-9.]*)?$`)

// isPHP reports whether a program is the php of the command line, under the
// names that distributions give it: php, php8.2, php-8.3.
func isPHP(program string) bool { return phpProgram.MatchString(filepath.Base(program)) }

// entryOf finds the script in "php -d x=y script.php args", "env php script.php"
// and "./script.php args".
func entryOf(dir string, command []string) entry {
	command = withoutEnv(command)
	if len(command) == 0 {
		return entry{}
	}
	if !isPHP(command[0]) {
		if strings.Contains(command[0], "/") && isScript(absolute(dir, command[0])) {
			return entry{absolute(dir, command[0]), command[1:]}
		}
		return entry{}
	}
	args := command[1:]
	for i := 0; i < len(args); i++ {
		switch a := args[i]; {
		case a == "--" || a == "-r" || a == "-S" || a == "-a":
			return entry{}
		case a == "-f" || a == "-F":
			if i+1 < len(args) {
				return entry{absolute(dir, args[i+1]), args[i+2:]}
			}
		case slices.Contains([]string{"-d", "-c", "-z", "-t", "--define", "--php-ini", "--zend-extension"}, a):
			i++
		case strings.HasPrefix(a, "-") || a == "":
		default:
			return entry{absolute(dir, a), args[i+1:]}
		}
	}
	return entry{}
}

// withoutEnv drops "env A=1 B=2" in front of a command.
func withoutEnv(command []string) []string {
	if len(command) < 2 || filepath.Base(command[0]) != "env" {
		return command
	}
	rest := command[1:]
	for len(rest) > 0 && strings.Contains(rest[0], "=") {
		rest = rest[1:]
	}
	return rest
}

// isScript looks for "#!/usr/bin/env php" or "<?php" at the start of a file.
func isScript(file string) bool {
	data, err := readFile(file, scriptLimit)
	if err != nil && !errors.Is(err, errTooLarge) {
		return false
	}
	first, rest, _ := strings.Cut(string(data), "\n")
	return strings.HasPrefix(first, "<?php") ||
		strings.HasPrefix(first, "#!") && (strings.Contains(first, "php") || strings.HasPrefix(rest, "<?php"))
}

// source is the code of a script without its comments; empty when it cannot be
// read. Only the first part of a large file is looked at.
func source(file string) string {
	if file == "" {
		return ""
	}
	data, err := readFile(file, scriptLimit)
	if err != nil && !errors.Is(err, errTooLarge) {
		return ""
	}
	return stripComments(string(data))
}

// stripComments blanks comments, so that a script that only mentions
// Swoole\Server is not taken for one that is. Strings are kept, heredocs are
// taken for code; attributes (#[…]) are no comments.
func stripComments(code string) string {
	var b strings.Builder
	for i := 0; i < len(code); {
		rest := code[i:]
		switch {
		case rest[0] == '\'' || rest[0] == '"':
			n := quotedLen(rest)
			b.WriteString(rest[:n])
			i += n
		case strings.HasPrefix(rest, "/*"):
			end := strings.Index(rest[2:], "*/")
			if end < 0 {
				return b.String()
			}
			i += end + 4
		case strings.HasPrefix(rest, "//"), rest[0] == '#' && !strings.HasPrefix(rest, "#["):
			end := strings.IndexByte(rest, '\n')
			if end < 0 {
				return b.String()
			}
			i += end
		default:
			b.WriteByte(rest[0])
			i++
		}
	}
	return b.String()
}

func quotedLen(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case s[0]:
			return i + 1
		}
	}
	return len(s)
}

// hintIn looks for 'name' => PATH or $x->set's variants in a file and works the
// path out when it is a constant. Where it is not, the note says so.
func hintIn(file, app string, names ...string) (path, note string) {
	code := source(file)
	for _, name := range names {
		re := regexp.MustCompile(regexp.QuoteMeta(name) + `['"]?\s*\]?\s*=>?\s*([^,;\]\n]+)`)
		m := re.FindStringSubmatch(code)
		if m == nil {
			continue
		}
		if p, ok := constantPath(m[1], file, app); ok {
			return p, ""
		}
		return "", "pid file: " + filepath.Base(file) + " computes it (" + strings.TrimSpace(m[1]) + "); set server.pid_file"
	}
	return "", ""
}

var pathTerm = regexp.MustCompile(`^(?:'([^'\\]*)'|"([^"\\$]*)"|(__DIR__)|(BASE_PATH|base_path\(\))|(runtime_path\(\))|dirname\(\s*(__DIR__|__FILE__)\s*\)|runtime_path\(\s*['"]([^'"$\\]*)['"]\s*\)|base_path\(\s*['"]([^'"$\\]*)['"]\s*\))\s*`)

// constantPath evaluates a PHP expression made of literals, __DIR__ and the
// path helpers of the frameworks.
func constantPath(expr, file, app string) (string, bool) {
	expr = strings.TrimSpace(expr)
	var b strings.Builder
	for {
		m := pathTerm.FindStringSubmatch(expr)
		if m == nil {
			return "", false
		}
		switch {
		case m[3] != "" || m[6] == "__FILE__":
			b.WriteString(filepath.Dir(file))
		case m[6] == "__DIR__":
			b.WriteString(filepath.Dir(filepath.Dir(file)))
		case m[4] != "":
			b.WriteString(app)
		case m[5] != "":
			b.WriteString(filepath.Join(app, "runtime"))
		case m[7] != "":
			b.WriteString(filepath.Join(app, "runtime", m[7]))
		case m[8] != "":
			b.WriteString(filepath.Join(app, m[8]))
		default:
			b.WriteString(m[1] + m[2])
		}
		expr = expr[len(m[0]):]
		if expr == "" || expr == ")" {
			break
		}
		if expr[0] != '.' {
			return "", false
		}
		expr = strings.TrimSpace(expr[1:])
	}
	if b.Len() == 0 {
		return "", false
	}
	return absolute(app, b.String()), true
}

// workermanPIDFile follows Workerman's Worker::init: what the script sets, else
// the place of older versions if that file is there, else (5.2 and later)
// workerman.SCRIPT.pid beside the script.
func workermanPIDFile(script, app string) (file, note string) {
	if script == "" {
		return "", "pid file: the command runs no script that names it; set server.pid_file"
	}
	if file, note = hintIn(script, app, "::$pidFile"); file != "" || note != "" {
		return file, note
	}
	if resolved, err := filepath.EvalSymlinks(script); err == nil {
		script = resolved // as PHP's backtrace names it
	}
	vendor := filepath.Join(app, "vendor/workerman")
	old := filepath.Join(vendor, strings.ReplaceAll(script, "/", "_")+".pid")
	if isRegular(old) {
		return old, ""
	}
	for _, worker := range []string{"workerman/src/Worker.php", "workerman/Worker.php"} {
		data, err := readFile(filepath.Join(vendor, worker), 1<<20)
		switch {
		case err != nil:
		case strings.Contains(string(data), "workerman.%s.pid"):
			return filepath.Join(filepath.Dir(script), "workerman."+filepath.Base(script)+".pid"), ""
		default:
			return old, ""
		}
	}
	return "", "pid file: Workerman was not found in vendor, and its versions differ; set server.pid_file"
}

func isRegular(file string) bool {
	info, err := os.Stat(file)
	return err == nil && info.Mode().IsRegular()
}

func isDirectory(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
