package php

import (
	"fmt"
	"strings"
	"testing"
)

var lintOutputs = []struct {
	name, file, output string
	line               int
	message            string
}{
	{"terminal", "a.php", "\nParse error: syntax error, unexpected token \";\" in a.php on line 3\nErrors parsing a.php\n", 3, `syntax error, unexpected token ";"`},
	{"log", "a.php", "PHP Parse error:  syntax error, unexpected end of file in a.php on line 12\n", 12, "syntax error, unexpected end of file"},
	{"log with a date", "a.php", "[22-Nov-2026 10:00:00 UTC] PHP Fatal error:  Cannot redeclare X::m() in a.php on line 2\n", 2, "Cannot redeclare X::m()"},
	{"both", "a.php", "PHP Parse error:  x in a.php on line 1\nParse error: x in a.php on line 1\n", 1, "x"},
	{"html", "a.php", "<br />\n<b>Parse error</b>:  syntax error, unexpected &quot;;&quot; in <b>a.php</b> on line <b>3</b><br />\n", 3, `syntax error, unexpected ";"`},
	{"noise", "a.php", "PHP Warning:  Module \"swoole\" is already loaded in Unknown on line 0\nXdebug: [Step Debug] Could not connect in x on line 1\nDeprecated: Optional parameter $x declared before required parameter $y is implicitly treated as a required parameter in a.php on line 2\n\nParse error: y in a.php on line 5\n", 5, "y"},
	{"blanks", "/srv/my app/a b.php", "Parse error: x in /srv/my app/a b.php on line 4\n", 4, "x"},
	{"newline", "a\nb.php", "Parse error: x in a\nb.php on line 4\n", 4, "x"},
	{"line in the name", "a on line 3.php", "Parse error: x in a on line 3.php on line 4\n", 4, "x"},
	{"in in the message", "a.php", "Fatal error: 'break' not in the 'loop' or 'switch' context in a.php on line 2\n", 2, "'break' not in the 'loop' or 'switch' context"},
	{"another way to name it", "a.php", "Parse error: x in /srv/app/a.php on line 2\n", 2, "x"},
	{"another file too", "a.php", "Fatal error: Cannot redeclare f() (previously declared in b.php:2) in a.php on line 7\n", 7, "Cannot redeclare f() (previously declared in b.php:2)"},
	{"carriage returns", "a.php", "\r\nParse error: x in a.php on line 2\r\n", 2, "x"},
	{"two lines", "a.php", "Fatal error: first\nsecond in a.php on line 2\n", 2, "first\nsecond"},
	{"memory", "a.php", "Fatal error: Allowed memory size of 2097152 bytes exhausted (tried to allocate 16384 bytes) in a.php on line 2\n", 0, ""},
	{"no error", "a.php", "No syntax errors detected in a.php\n", 0, ""},
	{"only a warning", "a.php", "Warning: x in a.php on line 2\n", 0, ""},
	{"cut off", "a.php", "Parse error: x in a.php on line ", 0, ""},
	{"a line too large", "a.php", "Parse error: x in a.php on line 99999999999999999999\n", 0, ""},
	{"nothing", "a.php", "", 0, ""},
}

func TestParseLint(t *testing.T) {
	for _, test := range lintOutputs {
		t.Run(test.name, func(t *testing.T) {
			got, ok := parseLint(test.output, test.file)
			want := Problem{File: test.file, Line: test.line, Message: test.message}
			if wanted := test.line != 0; ok != wanted || ok && got != want {
				t.Errorf("got %+v, %v; want %+v, %v", got, ok, want, wanted)
			}
		})
	}
}

func FuzzLintOutput(f *testing.F) {
	for _, test := range lintOutputs {
		f.Add(test.output, test.file)
	}
	f.Fuzz(func(t *testing.T, output, file string) {
		problem, ok := parseLint(output, file)
		if !ok {
			if problem != (Problem{}) {
				t.Errorf("a problem %+v that is none", problem)
			}
			return
		}
		if problem.File != file || problem.Line < 0 {
			t.Errorf("problem %+v for file %q", problem, file)
		}
		if strings.Count(output, "rror") == 0 {
			t.Errorf("a problem %+v without an error", problem)
		}
	})
}

func TestParseBulk(t *testing.T) {
	for _, test := range []struct {
		name, output string
		count        int
		want         string
	}{
		{"all good", "ready\n0\n1\n2\ndone\n", 3, "done next 3 bad []"},
		{"one bad", "ready\n0\n1\nbad\n2\ndone\n", 3, "done next 3 bad [1]"},
		{"ended in a file", "ready\n0\n1\n", 3, "next 2 bad [1]"},
		{"ended behind a bad one", "ready\n0\nbad\n", 3, "next 1 bad [0]"},
		{"ended in the middle of a line", "ready\n0\n1\n1", 13, "next 2 bad [1]"},
		{"no OPcache", "", 3, "next 0 bad []"},
		{"warnings", "Warning: Failed loading Zend extension 'opcache'\n\nready\n0\nnoise\n1\ndone\n", 2, "done next 2 bad []"},
		{"numbers before it is ready", "7\nready\n0\ndone\n", 1, "done next 1 bad []"},
		{"a number too large", "ready\n0\n9\ndone\n", 2, "done next 1 bad []"},
		{"done without being ready", "done\n", 2, "next 0 bad []"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := parseBulk(test.output, test.count).String(); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func (p progress) String() string {
	text := fmt.Sprintf("next %d bad %v", p.next, p.bad)
	if p.done {
		text = "done " + text
	}
	return text
}
