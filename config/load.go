package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Load makes the effective configuration. When it is wrong the error is an
// [Errors] that holds every problem.
func Load(src Source) (*Config, error) {
	l := &loader{src: src, cfg: &Config{origins: map[string]string{}}, values: map[string]assignment{}}
	if err := l.setWorkDir(); err != nil {
		return nil, err
	}
	l.defaults()
	l.fromFile()
	l.fromEnv()
	l.fromFlags()
	l.apply("server.kind", "server.command", "server.dir", "release.current")
	l.releaseMode()
	l.assumeCommand()
	l.preset()
	l.apply(keyNames()...)
	if l.cfg.Server.PIDFile == l.cfg.Preset.PIDFile {
		l.cfg.Preset.note(l.cfg.Preset.pidNote)
	}
	l.finish()
	if len(l.errs) > 0 {
		return nil, l.errs.sorted()
	}
	return l.cfg, nil
}

// loader gathers values, weakest source first, and every problem on the way.
type loader struct {
	src     Source
	workDir string
	doc     *document // nil: no file
	cfg     *Config
	values  map[string]assignment // key: the strongest value so far
	errs    Errors
}

// assignment is a value that waits to be applied.
type assignment struct {
	set    func(*Config)
	origin string
	at     place
}

func (l *loader) setWorkDir() error {
	l.workDir = l.src.WorkDir
	if l.workDir == "" {
		dir, err := os.Getwd()
		if err != nil {
			return fmt.Errorf("working directory: %w", err)
		}
		l.workDir = dir
	}
	if !filepath.IsAbs(l.workDir) {
		return fmt.Errorf("working directory %q: not absolute", l.workDir)
	}
	l.workDir = filepath.Clean(l.workDir)
	l.cfg.Dir = l.workDir
	return nil
}

func (l *loader) fail(at place, f *fault) {
	l.errs = append(l.errs, at.error(f))
}

// assign decodes a value and keeps it, unless it is wrong. Values that a
// stronger source overrides are checked as well: a file is right or wrong on
// its own.
func (l *loader) assign(o *option, raw any, base, origin string, where func(*fault) place) {
	set, faults := o.read(raw, base)
	for _, f := range faults {
		l.fail(where(f), f)
	}
	if faults == nil {
		l.values[o.Key] = assignment{set, origin, where(&fault{})}
	}
}

// apply sets the values of these keys; the last source that had one was the
// strongest.
func (l *loader) apply(keys ...string) {
	for _, key := range keys {
		if v, ok := l.values[key]; ok {
			v.set(l.cfg)
			l.cfg.origins[key] = v.origin
		}
	}
}

// defaults sets what the table says, for this mode, relative to the working
// directory until a file is found.
func (l *loader) defaults() {
	for _, o := range table() {
		raw, err := decodeTOML(o.Default)
		if err != nil {
			panic(fmt.Sprintf("default of %s: %v", o.Key, err)) // a test reads them all
		}
		if o.Key == "server.command" {
			continue // an empty command is an error wherever somebody writes it
		}
		set, _ := o.read(raw, l.cfg.Dir)
		set(l.cfg)
		l.cfg.origins[o.Key] = "default"
	}
	l.cfg.origins["server.command"] = "default"
	if l.src.Mode == ModeWatch {
		l.cfg.Restart.DrainTimeout = 500 * time.Millisecond
	}
	if l.src.Mode == ModeRun && l.src.PID1 {
		l.cfg.Restart.MaxFailures = 5
	}
}

func (l *loader) fromFile() {
	explicit := l.src.Path
	if explicit == "" {
		_, env := environ(l.src.Environ)
		explicit = env[EnvConfig]
	}
	file, err := find(explicit, l.workDir)
	if err == nil && file == "" {
		return
	}
	if err == nil {
		err = l.readDocument(file)
	}
	var wrong *Error
	switch {
	case errors.As(err, &wrong):
		l.errs = append(l.errs, wrong)
	case err != nil:
		l.errs = append(l.errs, &Error{File: shown(file, l.workDir), Msg: reason(err)})
	default:
		l.walk("", "", l.doc.root)
	}
}

func (l *loader) readDocument(file string) error {
	data, err := readFile(file, maxSize)
	if err != nil {
		return err
	}
	l.cfg.File, l.cfg.Dir = file, filepath.Dir(file)
	for _, key := range []string{"server.dir", "watch.paths"} { // relative defaults
		o := findOption(key)
		raw, _ := decodeTOML(o.Default)
		set, _ := o.read(raw, l.cfg.Dir)
		set(l.cfg)
	}
	l.doc, err = parse(shown(file, l.workDir), data)
	return err
}

// walk assigns what a table of the file holds, and below it.
func (l *loader) walk(prefix string, at path, values map[string]any) {
	for _, name := range l.doc.names(values, at) {
		key, here, raw := showKey(prefix, name), at.join(name), values[name]
		switch o := findOption(key); {
		case o != nil:
			l.fromDocument(o, here, raw)
		case isTable(key):
			if t, ok := raw.(map[string]any); ok {
				l.walk(key, here, t)
			} else {
				l.fail(l.doc.valueAt(here, key), wantType("a table", raw))
			}
		default:
			l.unknown(key, prefix, here, raw)
		}
	}
}

func (l *loader) unknown(key, prefix string, here path, raw any) {
	f := faultf("unknown key").meaning(nearestKey(key))
	if _, isSection := raw.(map[string]any); isSection && prefix == "" {
		f = faultf("unknown section")
		if near := nearest(key, sections()); near != "" {
			f.meaning("[" + near + "]")
		}
		key = "[" + key + "]"
	}
	l.fail(l.doc.keyAt(here, key), f)
}

func (l *loader) fromDocument(o *option, here path, raw any) {
	origin := l.originAt(here)
	l.assign(o, raw, l.cfg.Dir, origin, func(f *fault) place {
		if f.onKey {
			return l.doc.keyAt(here+f.under, o.Key)
		}
		return l.doc.valueAt(here+f.under, o.Key)
	})
	if v, ok := l.values[o.Key]; ok && (o.Key == rulesKey || o.Key == stepsKey) {
		set := v.set
		v.set = func(c *Config) {
			set(c)
			l.originOfElements(c, o.Key, here)
		}
		l.values[o.Key] = v
	}
}

// originOfElements notes where each element of an array of tables stands.
func (l *loader) originOfElements(c *Config, key string, here path) {
	switch key {
	case rulesKey:
		for i := range c.Reload.Rules {
			c.Reload.Rules[i].Origin = l.originAt(here.elem(i))
		}
	case stepsKey:
		for i := range c.deploy.Steps {
			c.deploy.Steps[i].Origin = l.originAt(here.elem(i))
		}
	}
}

// originAt is "hotreload.toml:12".
func (l *loader) originAt(p path) string {
	line, _ := l.doc.lineCol(l.doc.marks[p].key)
	return l.doc.name + ":" + strconv.Itoa(line)
}

func (l *loader) fromFlags() {
	for _, flag := range l.src.Flags {
		l.fromFlag(flag)
	}
	if len(l.src.Command) == 0 {
		return
	}
	raw := make([]any, len(l.src.Command))
	for i, arg := range l.src.Command {
		raw[i] = arg
	}
	const origin = "command line"
	l.assign(findOption("server.command"), raw, l.workDir, origin, func(*fault) place { return place{key: "command after --"} })
	if _, configured := l.values["server.dir"]; !configured && !l.hasSection("release") {
		// What was typed here was meant to run here.
		l.assign(findOption("server.dir"), ".", l.workDir, origin, func(*fault) place { return place{} })
	}
}

func (l *loader) fromFlag(flag Flag) {
	at := place{key: flag.Name}
	o := findOption(flag.Key)
	if o == nil {
		l.fail(at, faultf("overrides the unknown key %s", flag.Key))
		return
	}
	raw, f := flagValue(o, flag.Value)
	if f != nil {
		l.fail(at, f)
		return
	}
	l.assign(o, raw, l.workDir, "flag "+flag.Name, func(*fault) place { return at })
}

// flagValue turns the value of a flag into what TOML would have decoded.
func flagValue(o *option, value any) (any, *fault) {
	switch v := value.(type) {
	case string:
		return o.text(v)
	case []string:
		list := make([]any, len(v))
		for i, s := range v {
			list[i] = s
		}
		return list, nil
	case int:
		return int64(v), nil
	case time.Duration:
		return v.String(), nil
	case map[string]string:
		t := make(map[string]any, len(v))
		for k, s := range v {
			t[k] = s
		}
		return t, nil
	}
	return value, nil
}

// assumeCommand takes the usual command of the kind of server that this is where nobody gives one.
func (l *loader) assumeCommand() {
	c := l.cfg
	if len(c.Server.Command) > 0 {
		return
	}
	kind := c.Server.Kind
	if kind == "" {
		kind, _ = Recognise(c.Server.Dir, nil)
	}
	var why string
	if c.Server.Command, why = UsualCommand(c.Server.Dir, kind); why != "" {
		c.origins["server.command"] = "assumed: " + why
	}
}

// preset finds out the kind and fills in what it implies.
func (l *loader) preset() {
	c := l.cfg
	c.KindWhy = c.origins["server.kind"]
	if c.Server.Kind == "" {
		c.Server.Kind, c.KindWhy = Recognise(c.Server.Dir, c.Server.Command)
		c.origins["server.kind"] = "recognised"
		if c.Server.Kind == KindNone && c.Release != nil && !isDirectory(c.Release.Current) {
			c.KindWhy += "; release.current leads to no release yet"
		}
	}
	if !within(c.Dir, c.Server.Dir) {
		c.Watch.Paths = []string{c.Server.Dir}
		c.origins["watch.paths"] = "server.dir"
	}
	c.Preset = presetFor(c.Server.Kind, c.Dir, c.Server.Dir, c.Server.Command, l.environValue)
	from := "preset " + c.Server.Kind
	set := func(key string, differs bool) {
		if differs {
			c.origins[key] = from
		}
	}
	c.Server.PIDFile = c.Preset.PIDFile
	set("server.pid_file", c.Preset.PIDFile != "")
	if c.Server.Kind != KindCustom {
		c.Server.Signals = c.Preset.Signals
		for _, o := range signalOptions() {
			set(o.Key, true)
		}
	}
	set("watch.include", true)
	set("watch.exclude", true)
}

func within(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}

// environValue looks a variable up as the server will see it.
func (l *loader) environValue(name string) string {
	value := ""
	for _, entry := range l.src.Environ {
		if len(entry) > len(name) && entry[len(name)] == '=' && entry[:len(name)] == name {
			value = entry[len(name)+1:]
		}
	}
	return value
}
