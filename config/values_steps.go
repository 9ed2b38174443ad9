package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

const stepsKey = "deploy.steps"

// builtinSteps are the steps that need no command, in the order in which they make sense.
func builtinSteps() []string {
	return []string{StepRelease, StepShared, StepActivate, StepHealth, StepPrune}
}

// stepsType is the array of tables [[deploy.steps]].
func stepsType() valueType[[]Step] {
	return valueType[[]Step]{
		name: "array of tables",
		text: func(string) (any, *fault) { return nil, faultf("steps can only be given in the file") },
		show: showSteps,
		json: stepsJSON,
		read: func(raw any, base string) ([]Step, []*fault) { return readSteps(raw, base) },
	}
}

func readSteps(raw any, base string) ([]Step, []*fault) {
	steps, faults := readTables(raw, stepsKey, func(raw any) (Step, []*fault) { return readStep(raw, base) })
	if faults == nil && len(steps) > 0 {
		faults = checkOrder(steps)
	}
	return steps, faults
}

var stepName = regexp.MustCompile(`^[a-z0-9_-]+$`)

// maxStepName bounds a name, which is also that of the step's log file.
const maxStepName = 64

func readStep(raw any, base string) (Step, []*fault) {
	t, ok := raw.(map[string]any)
	if !ok {
		return Step{}, []*fault{wantType("a table with name", raw)}
	}
	var s Step
	faults := unknownKeys(t, "name", "run", "from", "timeout", "retries")
	read := func(name string, value func(raw any) []*fault) {
		if raw, given := t[name]; given {
			for _, f := range value(raw) {
				faults = append(faults, f.in(name))
			}
		}
	}
	read("name", func(raw any) []*fault { return into(&s.Name, one(readStepName), raw, base) })
	read("run", func(raw any) []*fault { return into(&s.Run, one(readRun), raw, base) })
	read("from", func(raw any) []*fault { return into(&s.From, one(readFrom), raw, base) })
	read("timeout", func(raw any) []*fault { return into(&s.Timeout, durationType(false).read, raw, base) })
	read("retries", func(raw any) []*fault { return into(&s.Retries, countType().read, raw, base) })
	if _, named := t["name"]; !named {
		faults = append(faults, faultf("a step needs name: one of %s, or a name of your own", strings.Join(builtinSteps(), ", ")))
	}
	if faults == nil {
		faults = checkStep(s)
	}
	return s, faults
}

func into[T any](field *T, read func(raw any, base string) (T, []*fault), raw any, base string) []*fault {
	v, faults := read(raw, base)
	*field = v
	return faults
}

func readStepName(raw any, _ string) (string, *fault) {
	s, f := readString(raw)
	switch {
	case f != nil:
		return "", f
	case !stepName.MatchString(s):
		return "", faultf("%q: want lower-case letters, digits, \"_\" and \"-\"", s)
	case len(s) > maxStepName:
		return "", faultf("%q is longer than %d characters", s, maxStepName)
	}
	return s, nil
}

func readRun(raw any, _ string) (string, *fault) {
	s, f := readString(raw)
	if f == nil && strings.TrimSpace(s) == "" {
		f = faultf("an empty command")
	}
	if list, isList := raw.([]any); isList {
		if words, faults := readList(list, "", func(s, _ string) (string, *fault) { return s, nil }); faults == nil {
			f.meaning(quote(strings.Join(words, " ")))
		}
	}
	return s, f
}

func readFrom(raw any, base string) (string, *fault) {
	s, f := readPath(raw, base)
	if f == nil && s == "" {
		f = faultf("an empty path")
	}
	return s, f
}

// checkStep checks that a step has what its name asks for, and nothing that would be ignored.
func checkStep(s Step) []*fault {
	builtin := slices.Contains(builtinSteps(), s.Name)
	switch {
	case s.Name == "on_failure": // its log has this name
		return []*fault{faultf("%q is no step; it stands in [deploy]", s.Name).in("name")}
	case !builtin && s.Run == "":
		f := faultf("step %q needs run; built in are %s", s.Name, strings.Join(builtinSteps(), ", "))
		if near := nearest(s.Name, builtinSteps()); near != "" {
			f.meaning(quote(near))
		}
		return []*fault{f}
	case s.From != "" && s.Name != StepRelease:
		return []*fault{faultf("only step %q copies from a directory", StepRelease).in("from")}
	case s.From != "" && s.Run != "":
		return []*fault{faultf("step %q copies a directory or runs your command, not both", s.Name).in("run")}
	case builtin && s.Run != "" && s.Name != StepRelease:
		return []*fault{faultf("step %q is built in; give yours another name", s.Name).in("run")}
	case s.Run == "" && s.Timeout != 0:
		return []*fault{faultf("step %q runs no command", s.Name).in("timeout")}
	case s.Run == "" && s.Retries != 0:
		return []*fault{faultf("step %q runs no command", s.Name).in("retries")}
	}
	return nil
}

// after are the steps that are useless, or harmful, unless another one came before.
var after = []struct{ step, before, why string }{
	{StepShared, StepRelease, "there is no release yet"},
	{StepActivate, StepRelease, "there is no release yet"},
	{StepHealth, StepActivate, "what would answer is the old release"},
}

// checkOrder checks the steps as a whole.
func checkOrder(steps []Step) []*fault {
	at := map[string]int{}
	var faults []*fault
	for i, s := range steps {
		if first, twice := at[s.Name]; twice {
			faults = append(faults, faultf("%q is also the name of step %d; --start-from would not know which", s.Name, first+1).in("name").at(i))
			continue
		}
		at[s.Name] = i
	}
	if _, ok := at[StepRelease]; !ok {
		return append(faults, faultf("there is no step %q, so nothing to deploy", StepRelease))
	}
	for _, rule := range after {
		i, there := at[rule.step]
		if !there {
			continue
		}
		if j, ok := at[rule.before]; !ok || j > i {
			faults = append(faults, faultf("%q must come after step %q: %s", rule.step, rule.before, rule.why).in("name").at(i))
		}
	}
	if shared, ok := at[StepShared]; ok {
		if live, ok := at[StepActivate]; ok && live < shared {
			faults = append(faults, faultf("%q must come before step %q: the release would be served without", StepShared, StepActivate).in("name").at(shared))
		}
	}
	return faults
}

func showSteps(steps []Step) string {
	parts := make([]string, len(steps))
	for i, s := range steps {
		parts[i] = "{ " + strings.Join(s.pairs(), ", ") + " }"
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

// pairs are the keys of a step and their values, as TOML.
func (s Step) pairs() []string {
	pairs := []string{"name = " + quote(s.Name)}
	if s.Run != "" {
		pairs = append(pairs, "run = "+quote(s.Run))
	}
	if s.From != "" {
		pairs = append(pairs, "from = "+quote(s.From))
	}
	if s.Timeout != 0 {
		pairs = append(pairs, "timeout = "+quote(formatDuration(s.Timeout)))
	}
	if s.Retries != 0 {
		pairs = append(pairs, fmt.Sprintf("retries = %d", s.Retries))
	}
	return pairs
}

// stepJSON is a step in the output of `hotreload config --json`.
type stepJSON struct {
	Name    string  `json:"name"`
	Run     string  `json:"run"`
	From    string  `json:"from"`
	Timeout *string `json:"timeout"` // null: none
	Retries int     `json:"retries"`
	Origin  string  `json:"origin"`
}

func stepsJSON(steps []Step) any {
	out := make([]stepJSON, len(steps))
	for i, s := range steps {
		out[i] = stepJSON{s.Name, s.Run, s.From, durationJSON(s.Timeout), s.Retries, s.Origin}
	}
	return out
}

func durationJSON(d time.Duration) *string {
	if d == 0 {
		return nil
	}
	s := formatDuration(d)
	return &s
}
