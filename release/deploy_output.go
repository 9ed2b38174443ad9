package release

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// shownLines is how many last lines of a failed step are shown again.
const shownLines = 12

// longestLine is where a line is cut in two that has no end.
const longestLine = 8 << 10

// stepOutput takes the output of a step: into its log, to whoever watches, and into memory the last lines. A log that cannot be written
// does not stop a deploy.
type stepOutput struct {
	path   string // of the log
	report func(line string)

	log    *os.File
	logErr error
	line   []byte // without its end so far
	lines  []string
}

// Write never fails: the command that writes must not be held up.
func (o *stepOutput) Write(p []byte) (int, error) {
	if o.open() {
		_, o.logErr = o.log.Write(p)
	}
	for rest := p; len(rest) > 0; {
		end := bytes.IndexByte(rest, '\n')
		if end < 0 {
			o.line, rest = append(o.line, rest...), nil
		} else {
			o.line, rest = append(o.line, rest[:end]...), rest[end+1:]
		}
		if end >= 0 || len(o.line) > longestLine {
			o.flush()
		}
	}
	return len(p), nil
}

// open makes the log with the first output; it reports whether there is one. Output of earlier tries stays.
func (o *stepOutput) open() bool {
	if o.log == nil && o.logErr == nil {
		if o.logErr = os.MkdirAll(filepath.Dir(o.path), 0o777); o.logErr == nil {
			// A command may print what is not for everybody's eyes.
			o.log, o.logErr = os.OpenFile(o.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		}
	}
	return o.logErr == nil
}

// begin notes in the log which command the output that follows is of.
func (o *stepOutput) begin(line string) {
	if o.open() {
		_, o.logErr = fmt.Fprintf(o.log, "# %s\n$ %s\n", time.Now().Format(time.RFC3339), line)
	}
}

// flush ends a line. Of one that was drawn several times over, as progress bars are, it takes the last state.
func (o *stepOutput) flush() {
	text := strings.TrimRight(string(o.line), "\r")
	text = text[strings.LastIndexByte(text, '\r')+1:]
	o.line = o.line[:0]
	o.lines = append(o.lines, text)
	if n := len(o.lines) - shownLines; n > 0 {
		o.lines = slices.Delete(o.lines, 0, n)
	}
	o.report(text)
}

func (o *stepOutput) last() []string { return slices.Clone(o.lines) }

// file is the path of the log, "" when there is none.
func (o *stepOutput) file() string {
	if o.log == nil {
		return ""
	}
	return o.path
}

// close returns why the log is not complete.
func (o *stepOutput) close() error {
	if len(o.line) > 0 {
		o.flush()
	}
	if o.log == nil {
		return o.logErr
	}
	return errors.Join(o.logErr, o.log.Close())
}
