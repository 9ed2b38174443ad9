package config

import (
	"maps"
	"slices"
	"strings"
)

const rulesKey = "reload.rules"

// rulesType is the array of tables [[reload.rules]].
func rulesType() valueType[[]Rule] {
	return valueType[[]Rule]{
		name: "array of tables",
		text: func(string) (any, *fault) { return nil, faultf("rules can only be given in the file") },
		show: showRules,
		json: rulesJSON,
		read: func(raw any, _ string) ([]Rule, []*fault) { return readRules(raw) },
	}
}

func readRules(raw any) ([]Rule, []*fault) { return readTables(raw, rulesKey, readRule) }

// readTables reads an array of tables, each by read.
func readTables[T any](raw any, key string, read func(raw any) (T, []*fault)) ([]T, []*fault) {
	var list []any
	switch v := raw.(type) {
	case []any:
		list = v
	case []map[string]any:
		for _, t := range v {
			list = append(list, t)
		}
	default:
		return nil, []*fault{wantType("an array of tables", raw).meaning("[[" + key + "]]")}
	}
	var out []T
	var faults []*fault
	for i, raw := range list {
		v, fs := read(raw)
		for _, f := range fs {
			faults = append(faults, f.at(i))
		}
		out = append(out, v)
	}
	return out, faults
}

// unknownKeys has a fault for each key of a table that is not one of known.
func unknownKeys(t map[string]any, known ...string) []*fault {
	var faults []*fault
	for _, name := range slices.Sorted(maps.Keys(t)) {
		if slices.Contains(known, name) {
			continue
		}
		f := faultf("unknown key").in(name)
		if near := nearest(name, known); near != "" {
			f.meaning(near)
		}
		f.onKey = true
		faults = append(faults, f)
	}
	return faults
}

func readRule(raw any) (Rule, []*fault) {
	t, ok := raw.(map[string]any)
	if !ok {
		return Rule{}, []*fault{wantType("a table with match and action", raw)}
	}
	var r Rule
	faults := unknownKeys(t, "match", "action")
	if raw, ok := t["match"]; !ok {
		faults = append(faults, faultf("a rule needs match, an array of patterns"))
	} else {
		list, fs := patternsType().read(raw, "")
		if len(list) == 0 && fs == nil {
			fs = []*fault{faultf("is empty: the rule would never match")}
		}
		for _, f := range fs {
			faults = append(faults, f.in("match"))
		}
		r.Match = list
	}
	if raw, ok := t["action"]; !ok {
		faults = append(faults, faultf("a rule needs action: %s", strings.Join(actions(), ", ")))
	} else {
		action, fs := enumType(actions()...).read(raw, "")
		for _, f := range fs {
			faults = append(faults, f.in("action"))
		}
		r.Action = action
	}
	return r, faults
}

func showRules(rules []Rule) string {
	parts := make([]string, len(rules))
	for i, r := range rules {
		parts[i] = "{ match = " + quoteList(r.Match) + ", action = " + quote(r.Action) + " }"
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

// ruleJSON is a rule in the output of `hotreload config --json`.
type ruleJSON struct {
	Match  []string `json:"match"`
	Action string   `json:"action"`
	Origin string   `json:"origin"`
}

func rulesJSON(rules []Rule) any {
	out := make([]ruleJSON, len(rules))
	for i, r := range rules {
		out[i] = ruleJSON(r)
	}
	return out
}
