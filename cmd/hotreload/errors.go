package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/hotreload/hotreload/config"
	"github.com/hotreload/hotreload/control"
	"github.com/hotreload/hotreload/supervisor"
)

// Exit codes. `run` may also end with the server's own.
const (
	exitOK          = 0
	exitFailed      = 1 // the message says what failed, and what still runs
	exitUsage       = 2 // usage or configuration
	exitNobody      = 3 // nothing to talk to
	exitNotVerified = 4 // not verified within the timeout
	exitRefused     = 5 // the new code did not pass the gate; the previous code still serves
)

// codedError gives an error the exit code that it means.
type codedError struct {
	code int
	err  error // nil: there is nothing left to say
}

func (e *codedError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *codedError) Unwrap() error { return e.err }

func coded(code int, err error) error { return &codedError{code, err} }

// usageError is a command line that cannot be understood.
func usageError(format string, args ...any) error {
	return coded(exitUsage, fmt.Errorf(format, args...))
}

// hintedError is an error that comes with what to do next.
type hintedError struct {
	err  error
	hint string
}

func (e *hintedError) Error() string { return e.err.Error() }
func (e *hintedError) Unwrap() error { return e.err }

func hinted(err error, format string, args ...any) error {
	return &hintedError{err, fmt.Sprintf(format, args...)}
}

// exitCode is the exit code that an error means.
func exitCode(err error) int {
	var code *codedError
	var server *supervisor.ExitError
	var wrong *config.Error
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &code):
		return code.code
	case errors.As(err, &server):
		return max(server.Code, exitFailed) // that it ended was not asked for
	case errors.As(err, &wrong):
		return exitUsage
	case errors.Is(err, control.ErrNotRunning):
		return exitNobody
	}
	return exitFailed
}

// complain is the last that a failed command says: each problem in a line, and what to do.
func complain(w io.Writer, err error) {
	if err == nil || err.Error() == "" {
		return
	}
	var wrong *config.Error
	isConfig := errors.As(err, &wrong)
	for line := range strings.Lines(err.Error()) {
		line = strings.TrimRight(line, "\n")
		// FILE:LINE:COLUMN stays at the start, where editors look for it.
		if !(isConfig && wrong.File != "") && !strings.HasPrefix(line, "hotreload ") && !strings.HasPrefix(line, "hotreload: ") {
			line = "hotreload: " + line
		}
		fmt.Fprintln(w, line)
	}
	var hint *hintedError
	if errors.As(err, &hint) {
		fmt.Fprintln(w, "  "+hint.hint)
	}
}
