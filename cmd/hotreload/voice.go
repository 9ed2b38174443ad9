package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/fatih/color"

	"github.com/hotreload/hotreload/supervisor"
)

// How hotreload speaks on a terminal.
//
// One line per event, on stderr: a sign, what was done, how long it took; behind a dot, why. Lower case, no full stop, no
// name in front, names of files as they can be clicked on. The sign says it all to whoever only glances:
//
//	✓ it worked    ↻ it worked, with a new master    ✗ it did not    ! look at this    … something is going on
//
// A failure says what failed, then what still serves. The server's own last words follow, indented, where they help. The
// server's output passes through as it is; nothing of ours is ever on stdout.
type voice struct {
	out   io.Writer
	glyph glyphs
	debug bool
	slow  time.Duration // after which an operation is announced; 0: never

	mu      sync.Mutex
	pending *time.Timer // announces the operation that runs
}

// glyphs are the signs, for terminals that know more than ASCII or not.
type glyphs struct{ ok, again, bad, look, going, dot, bar string }

var (
	signs      = glyphs{"✓", "↻", "✗", "!", "…", "·", "│"}
	signsASCII = glyphs{"+", "~", "x", "!", ".", "-", "|"}
)

// isUTF8 reports what the locale says of the terminal, as setlocale(3) would find out.
func isUTF8(getenv func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := strings.ToUpper(getenv(name)); v != "" {
			return strings.Contains(v, "UTF-8") || strings.Contains(v, "UTF8")
		}
	}
	return false
}

func (v *voice) sayf(sign string, paint *color.Color, format string, args ...any) {
	text := strings.Join(strings.Fields(strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", " "+v.glyph.dot+" ")), " ")
	what, why, found := strings.Cut(text, " "+v.glyph.dot+" ")
	line := paint.Sprint(sign) + " " + what
	if found {
		line += " " + color.New(color.Faint).Sprint(v.glyph.dot+" "+why)
	}
	fmt.Fprintln(v.out, line)
}

func (v *voice) ok(format string, args ...any) {
	v.sayf(v.glyph.ok, color.New(color.FgGreen), format, args...)
}
func (v *voice) bad(format string, args ...any) {
	v.sayf(v.glyph.bad, color.New(color.FgRed, color.Bold), format, args...)
}
func (v *voice) look(format string, args ...any) {
	v.sayf(v.glyph.look, color.New(color.FgYellow), format, args...)
}
func (v *voice) going(format string, args ...any) {
	v.sayf(v.glyph.going, color.New(color.Faint), format, args...)
}

// because is the second half of a line, empty when there is no reason to give.
func (v *voice) because(why string) string {
	if why == "" {
		return ""
	}
	return " " + v.glyph.dot + " " + why
}

// Info, Warn and Event make a voice a reporter.
func (v *voice) Info(text string) { v.going("%s", text) }

// Warn says something that a person should look at.
func (v *voice) Warn(text string) { v.look("%s", text) }

// Event puts an event of the supervisor into words.
func (v *voice) Event(e supervisor.Event) {
	switch e.Kind {
	case supervisor.EventStarting:
		v.going("starting %s", e.Detail)
	case supervisor.EventAdopted:
		v.ok("took over the server that runs%s", v.because(whose(e)))
	case supervisor.EventReady:
		v.ok("serving after %s%s", took(e.Took), v.because(whose(e)))
	case supervisor.EventChanged:
		v.announce(e.Plan)
	case supervisor.EventEscalated:
		v.look("doing a %s instead%s", e.Plan.Action, v.because(e.Detail))
	case supervisor.EventDone:
		v.quiet()
		v.outcome(*e.Outcome)
		v.quote(e.Output)
	case supervisor.EventCrashed:
		v.bad("%s", v.split(e.Detail))
		v.quote(e.Output)
	case supervisor.EventRetry:
		v.going("trying again in %s", took(e.Wait))
	case supervisor.EventWaiting:
		v.going("waiting for a change")
	case supervisor.EventIgnored:
		v.look("ignoring %s until it changes at another time%s", e.Detail, v.because("it changed during three reloads in a row, as if the server wrote it"))
	case supervisor.EventNote:
		v.look("%s", v.split(e.Detail))
	case supervisor.EventGateBroken:
		v.look("not checked%s", v.because(e.Detail))
	case supervisor.EventStopping:
		v.going("stopping%s", v.because(e.Detail))
	case supervisor.EventStopped:
		v.quiet()
		if e.Detail != "" {
			v.look("stopped%s", v.because(e.Detail))
			return
		}
		v.ok("stopped")
	}
}

// whose names the master, and in release mode what it serves.
func whose(e supervisor.Event) string {
	master := fmt.Sprintf("master %d", e.PID)
	if e.Detail != "" {
		return e.Detail + ", " + master
	}
	return master
}

// outcome says how an operation ended.
func (v *voice) outcome(o supervisor.Outcome) {
	text := v.split(describe(o))
	switch {
	case o.Result != supervisor.Verified:
		v.bad("%s", text)
	case o.Action == supervisor.Restart:
		v.sayf(v.glyph.again, color.New(color.FgGreen), "%s", text)
	default:
		v.ok("%s", text)
	}
}

// split puts the dot of the line where a message goes on: "…; the old code still serves".
func (v *voice) split(text string) string {
	return strings.Replace(text, "; ", " "+v.glyph.dot+" ", 1)
}

// announce says what is being done, if it takes long enough for anybody to wonder.
func (v *voice) announce(p supervisor.Plan) {
	v.quiet()
	if v.debug {
		v.going("%s%s", doing(p.Action), v.because(p.Why()))
		return
	}
	if v.slow == 0 {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.pending = time.AfterFunc(v.slow, func() { v.going("%s%s", doing(p.Action), v.because(p.Why())) })
}

// quiet takes back what has not been announced yet.
func (v *voice) quiet() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.pending != nil {
		v.pending.Stop()
		v.pending = nil
	}
}

// quotedLines is how many of the server's last lines are shown.
const quotedLines = 12

// quote shows the server's last words.
func (v *voice) quote(lines []string) {
	if n := len(lines) - quotedLines; n > 0 {
		lines = lines[n:]
	}
	bar := color.New(color.Faint).Sprint(v.glyph.bar)
	for _, line := range lines {
		fmt.Fprintln(v.out, "  "+bar+" "+strings.TrimRight(line, "\r\n"))
	}
}

// describe is an outcome in one line: what was done and why, or what failed.
func describe(o supervisor.Outcome) string {
	why := supervisor.Plan{Reasons: o.Reasons}.Why()
	if why != "" {
		why = "; " + why
	}
	switch {
	case o.Result == supervisor.Refused:
		return o.Error
	case o.Result != supervisor.Verified:
		return fmt.Sprintf("%s failed: %s", o.Action, o.Error)
	case o.Action == supervisor.Restart:
		ended := ""
		if o.ConnectionsIdle > 0 {
			ended += ", " + count(o.ConnectionsIdle, "idle connection") + " closed"
		}
		if o.ConnectionsCut > 0 {
			ended += ", " + count(o.ConnectionsCut, "connection") + " in use cut"
		}
		return fmt.Sprintf("restarted in %s%s%s", took(o.Duration()), ended, why)
	case o.Action == supervisor.ReloadTasks:
		return fmt.Sprintf("reloaded %s in %s%s", count(len(o.NewWorkers), "task worker"), took(o.Duration()), why)
	default:
		return fmt.Sprintf("reloaded %s in %s%s", count(len(o.NewWorkers), "worker"), took(o.Duration()), why)
	}
}

func doing(a supervisor.Action) string {
	switch a {
	case supervisor.Restart:
		return "restarting"
	case supervisor.ReloadTasks:
		return "reloading the task workers"
	default:
		return "reloading"
	}
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// took is a duration as a person reads it.
func took(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	default:
		return d.Round(time.Second).String()
	}
}
