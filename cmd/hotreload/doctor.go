package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/fatih/color"
	"github.com/urfave/cli/v2"

	"github.com/hotreload/hotreload/config"
)

// forAttach is `hotreload watch --attach`, beside config.ModeWatch and config.ModeRun.
const forAttach = "attach"

func doctorCommand() *cli.Command {
	flags := watchFlags()
	return &cli.Command{
		Name:      "doctor",
		Usage:     "check everything that makes reloads fail silently; it starts no server, and changes nothing",
		UsageText: "hotreload doctor [flags] [-- COMMAND ARG...]",
		Flags: flagsOf(flags, jsonFlag(),
			&cli.StringFlag{Name: "for", Usage: "as `COMMAND` would find it: watch, attach (watch --attach) or run (default: all; what differs is said)"}),
		Action: func(c *cli.Context) error {
			mode := c.String("for")
			if !slices.Contains([]string{"", config.ModeWatch, forAttach, config.ModeRun}, mode) {
				return usageError("hotreload doctor: --for is watch, attach or run, not %q", mode)
			}
			src := source(c, config.ModeWatch, flags)
			if mode == config.ModeRun {
				src.Mode = config.ModeRun
			}
			src.Command = c.Args().Slice()
			r := diagnosis{For: mode, Findings: []finding{}}
			if !c.Bool("json") {
				r.out = c.App.Writer
			}
			examineAll(c.Context, newPatient(c.Context, mode, src), checks(), r.add)
			return r.conclude(c.App.Writer)
		},
	}
}

// diagnosis gathers what the checks find, in their order.
type diagnosis struct {
	For      string    `json:"for"` // "watch", "attach", "run"; "" for all
	Failed   int       `json:"failed"`
	Warnings int       `json:"warnings"`
	Findings []finding `json:"findings"`

	out io.Writer // where each finding is printed at once; nil: nowhere
}

func (d *diagnosis) add(f finding) {
	f = f.printable()
	d.Findings = append(d.Findings, f)
	switch f.Grade {
	case gradeFail:
		d.Failed++
	case gradeWarn:
		d.Warnings++
	}
	if d.out != nil {
		f.write(d.out)
	}
}

// conclude says how it looks altogether; the error is nil unless something fails.
func (d *diagnosis) conclude(w io.Writer) error {
	var err error
	if d.out == nil {
		err = json.NewEncoder(w).Encode(d)
	} else {
		_, err = fmt.Fprintln(w, d.summary())
	}
	if err == nil && d.Failed > 0 {
		err = coded(exitFailed, nil)
	}
	return err
}

func (d *diagnosis) summary() string {
	if d.Failed+d.Warnings == 0 {
		return "nothing that would make a reload fail silently was found"
	}
	return fmt.Sprintf("%d failed, %s", d.Failed, count(d.Warnings, "warning"))
}

// grade is how serious a finding is.
type grade string

// The grades. A doctor that finds a failure exits with 1.
const (
	gradeOK   grade = "ok"
	gradeWarn grade = "warn" // works, but not as one might think
	gradeFail grade = "fail" // reloads fail, or seem to succeed and do not
)

// finding is one line: what was found, and what to do about it.
type finding struct {
	Check  string `json:"check"`
	Grade  grade  `json:"grade"`
	Found  string `json:"found"`
	Remedy string `json:"remedy"` // a command, or a key to set; "" when there is nothing to do, or Found says it
}

func fine(format string, args ...any) finding {
	return finding{Grade: gradeOK, Found: fmt.Sprintf(format, args...)}
}

func warning(format string, args ...any) finding {
	return finding{Grade: gradeWarn, Found: fmt.Sprintf(format, args...)}
}

func failure(format string, args ...any) finding {
	return finding{Grade: gradeFail, Found: fmt.Sprintf(format, args...)}
}

// graded is a finding whose grade is worked out first.
func graded(g grade, format string, args ...any) finding {
	return finding{Grade: g, Found: fmt.Sprintf(format, args...)}
}

// remedy adds what to do.
func (f finding) remedy(format string, args ...any) finding {
	f.Remedy = fmt.Sprintf(format, args...)
	return f
}

// printable makes two lines of it, whatever the names of files and processes hold: they are anybody's.
func (f finding) printable() finding {
	f.Found, f.Remedy = visible(f.Found), visible(f.Remedy)
	return f
}

// visible replaces what would break a line or steer a terminal.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return '\ufffd'
		}
		return r
	}, strings.ToValidUTF8(strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' }), "; "), "\ufffd"))
}

var gradeColors = map[grade]*color.Color{
	gradeOK: color.New(color.FgGreen), gradeWarn: color.New(color.FgYellow), gradeFail: color.New(color.FgRed, color.Bold),
}

// write prints the finding, and its remedy in a line of its own, where it can be copied.
func (f finding) write(w io.Writer) {
	fmt.Fprintf(w, "%s %-*s %s\n", gradeColors[f.Grade].Sprintf("%-4s", f.Grade), checkWidth, f.Check, f.Found)
	if f.Remedy != "" {
		fmt.Fprintf(w, "%*s %s\n", 4+1+checkWidth, "->", f.Remedy)
	}
}
