package main

import (
	"fmt"
	"os"
	"time"

	"github.com/fatih/color"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/term"

	"github.com/hotreload/hotreload/config"
	"github.com/hotreload/hotreload/supervisor"
)

// reporter tells people, or what collects logs, what happens. Its methods do not block, and may be called from any
// goroutine.
type reporter interface {
	Info(text string)
	Warn(text string)
	Event(e supervisor.Event)
}

// slowOperation is how long an operation may take before it is announced.
const slowOperation = time.Second

// newReporter chooses how to speak: to a person who watches a terminal, else in log lines. The logger is for the packages
// that have something to say of their own; it comes out in the same form.
func newReporter(mode supervisor.Mode, cfg *config.Config, out *outlet) (reporter, *zap.Logger) {
	level := levelOf(cfg.Log.Level)
	terminal := term.IsTerminal(int(os.Stderr.Fd()))
	if mode == supervisor.Run || !terminal || cfg.Log.Format == "json" {
		asJSON := cfg.Log.Format == "json" || (cfg.Log.Format == "auto" && !terminal)
		log := newLogger(out, level, asJSON)
		return forMode(mode, &logReporter{log}), log
	}
	color.NoColor = os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" // stdout, which it looks at, may be a pipe
	v := &voice{out: out, glyph: signsASCII, debug: level == zap.DebugLevel, slow: slowOperation}
	if isUTF8(os.Getenv) {
		v.glyph = signs
	}
	return forMode(mode, v), zap.New(&voiceCore{level, v, nil})
}

func forMode(mode supervisor.Mode, r reporter) reporter {
	if mode == supervisor.Attach {
		return &attachedReporter{reporter: r}
	}
	return r
}

// attachedReporter says once, and not twice a second, that there is no server to be found.
type attachedReporter struct {
	reporter
	waits bool // it has been said
}

func (r *attachedReporter) Event(e supervisor.Event) {
	switch e.Kind {
	case supervisor.EventCrashed:
		if !r.waits {
			r.reporter.Event(e)
			r.reporter.Info("waiting for somebody to start it")
		}
		r.waits = true
		return
	case supervisor.EventRetry:
		return
	case supervisor.EventAdopted:
		r.reporter.Info(fmt.Sprintf("found the server: master %d", e.PID))
	default:
		r.reporter.Event(e)
	}
	r.waits = false
}

func levelOf(name string) zapcore.Level {
	level, err := zapcore.ParseLevel(name)
	if err != nil {
		return zap.InfoLevel // the configuration knows no other names
	}
	return level
}

func newLogger(out zapcore.WriteSyncer, level zapcore.Level, asJSON bool) *zap.Logger {
	enc := zap.NewProductionEncoderConfig()
	enc.TimeKey, enc.EncodeTime = "time", zapcore.RFC3339NanoTimeEncoder
	enc.EncodeDuration = zapcore.MillisDurationEncoder
	encoder := zapcore.NewJSONEncoder(enc)
	if !asJSON {
		enc.EncodeTime = zapcore.TimeEncoderOfLayout("2006-01-02 15:04:05.000")
		enc.EncodeLevel = zapcore.CapitalLevelEncoder
		enc.EncodeDuration = zapcore.StringDurationEncoder
		encoder = zapcore.NewConsoleEncoder(enc)
	}
	return zap.New(zapcore.NewCore(encoder, out, level))
}

// logReporter writes events as log lines with fields.
type logReporter struct{ log *zap.Logger }

func (r *logReporter) Info(text string) { r.log.Info(text) }
func (r *logReporter) Warn(text string) { r.log.Warn(text) }

func (r *logReporter) Event(e supervisor.Event) {
	level, text := eventLine(e)
	fields := []zap.Field{zap.String("event", string(e.Kind))}
	if e.PID != 0 {
		fields = append(fields, zap.Int("master", e.PID))
	}
	if e.Took != 0 {
		fields = append(fields, zap.Float64("duration_ms", float64(e.Took.Microseconds())/1000))
	}
	if e.Wait != 0 {
		fields = append(fields, zap.Float64("wait_ms", float64(e.Wait.Microseconds())/1000))
	}
	if e.Kind == supervisor.EventChanged {
		fields = append(fields, zap.Stringer("action", e.Plan.Action), zap.Strings("reasons", e.Plan.Reasons))
	}
	if e.Outcome != nil {
		fields = append(fields, zap.Reflect("outcome", e.Outcome))
	}
	if len(e.Output) > 0 {
		fields = append(fields, zap.Strings("output", e.Output))
	}
	if ce := r.log.Check(level, text); ce != nil {
		ce.Write(fields...)
	}
}

// eventLine is an event in words for a log.
func eventLine(e supervisor.Event) (zapcore.Level, string) {
	switch e.Kind {
	case supervisor.EventStarting:
		return zap.InfoLevel, "starting " + e.Detail
	case supervisor.EventAdopted:
		return zap.InfoLevel, join("took over the server that runs", e.Detail)
	case supervisor.EventReady:
		return zap.InfoLevel, join("serving", e.Detail)
	case supervisor.EventChanged:
		return zap.InfoLevel, doing(e.Plan.Action)
	case supervisor.EventEscalated:
		return zap.WarnLevel, "doing a " + e.Plan.Action.String() + " instead: " + e.Detail
	case supervisor.EventSwitched:
		return zap.InfoLevel, "the new server serves, the old one finishes what it has"
	case supervisor.EventDone:
		if e.Outcome.Result != supervisor.Verified {
			return zap.ErrorLevel, describe(*e.Outcome)
		}
		return zap.InfoLevel, describe(*e.Outcome)
	case supervisor.EventCrashed:
		return zap.ErrorLevel, e.Detail
	case supervisor.EventRetry:
		return zap.InfoLevel, "trying again in " + took(e.Wait)
	case supervisor.EventWaiting:
		return zap.InfoLevel, "waiting for a change"
	case supervisor.EventIgnored:
		return zap.WarnLevel, "ignoring " + e.Detail + " until it changes at another time: it changed during three reloads in a row, as if the server wrote it"
	case supervisor.EventGateBroken:
		return zap.WarnLevel, "not checked: " + e.Detail
	case supervisor.EventStopping:
		return zap.InfoLevel, join("stopping", e.Detail)
	case supervisor.EventStopped:
		if e.Detail != "" {
			return zap.WarnLevel, join("stopped", e.Detail)
		}
		return zap.InfoLevel, "stopped"
	}
	return zap.WarnLevel, e.Detail
}

func join(what, why string) string {
	if why == "" {
		return what
	}
	return what + ": " + why
}

// voiceCore makes log lines of other packages sound like the rest of the terminal.
type voiceCore struct {
	zapcore.LevelEnabler
	v      *voice
	fields []zap.Field
}

// With implements zapcore.Core.
func (c *voiceCore) With(fields []zap.Field) zapcore.Core {
	return &voiceCore{c.LevelEnabler, c.v, append(c.fields[:len(c.fields):len(c.fields)], fields...)}
}

// Check implements zapcore.Core.
func (c *voiceCore) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return ce.AddCore(e, c)
	}
	return ce
}

// Write implements zapcore.Core.
func (c *voiceCore) Write(e zapcore.Entry, fields []zap.Field) error {
	enc := zapcore.NewMapObjectEncoder()
	why := ""
	for _, f := range append(c.fields[:len(c.fields):len(c.fields)], fields...) {
		f.AddTo(enc)
		why += sprintField(f.Key, enc.Fields[f.Key])
	}
	say := c.v.going
	if e.Level >= zap.WarnLevel {
		say = c.v.look
	}
	say("%s%s", e.Message, c.v.because(why))
	return nil
}

// Sync implements zapcore.Core.
func (c *voiceCore) Sync() error { return nil }

// sprintField is a field as a person reads it. An error needs no name.
func sprintField(name string, value any) string {
	if name == "error" {
		return fmt.Sprintf("%v ", value)
	}
	return fmt.Sprintf("%s=%v ", name, value)
}
