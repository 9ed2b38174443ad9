package supervisor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hotreload/hotreload/watcher"
)

// Action is what an operation does to the server. Actions are ordered: each one makes live whatever a
// smaller one would have, so merging takes the larger and escalation takes the next one up.
type Action int

// The actions, smallest first.
const (
	None        Action = iota // nothing to do
	ReloadTasks               // task workers are replaced
	Reload                    // workers and task workers are replaced, the master stays
	Restart                   // a new master
)

var actionNames = [...]string{None: "none", ReloadTasks: "reload-tasks", Reload: "reload", Restart: "restart"}

func (a Action) String() string {
	if a < None || a > Restart {
		return fmt.Sprintf("action(%d)", int(a))
	}
	return actionNames[a]
}

// ParseAction reads the name of an action as String writes it; "ignore" is None.
func ParseAction(name string) (Action, error) {
	if name == "ignore" {
		return None, nil
	}
	if i := slices.Index(actionNames[:], name); i >= 0 {
		return Action(i), nil
	}
	return None, fmt.Errorf("unknown action %q", name)
}

// MarshalText writes the action's name.
func (a Action) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads an action's name.
func (a *Action) UnmarshalText(text []byte) (err error) {
	*a, err = ParseAction(string(text))
	return err
}

// Plan is what is to be done and why. The zero Plan does nothing.
type Plan struct {
	Action  Action
	Reasons []string // one clause each, unique, in the order in which they came
	Files   []string // the changed files the plan would make live: relative where they can be, unique
	Paths   []string // the same files by their absolute paths
}

// Merge returns the plan that does what both would: the larger action, and the reasons and files of both.
func (p Plan) Merge(q Plan) Plan {
	return Plan{
		Action:  max(p.Action, q.Action),
		Reasons: union(p.Reasons, q.Reasons),
		Files:   union(p.Files, q.Files),
		Paths:   union(p.Paths, q.Paths),
	}
}

// Why is the plan's reasons in one line, the first few spelled out.
func (p Plan) Why() string {
	const spelled = 3
	if len(p.Reasons) <= spelled {
		return strings.Join(p.Reasons, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(p.Reasons[:spelled], ", "), len(p.Reasons)-spelled)
}

// mostReasons is how many reasons an outcome spells out: a checkout of another branch has thousands.
const mostReasons = 20

func (p Plan) reasons() []string {
	if len(p.Reasons) <= mostReasons {
		return p.Reasons
	}
	return append(slices.Clone(p.Reasons[:mostReasons]), fmt.Sprintf("and %d more", len(p.Reasons)-mostReasons))
}

func union(a, b []string) []string {
	if len(b) == 0 {
		return a
	}
	seen := make(map[string]bool, len(a)+len(b))
	var out []string
	for _, s := range append(slices.Clone(a), b...) {
		if !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	return out
}

// Need is what a change to one file needs.
type Need struct {
	Action Action
	Why    string // why it needs more than a reload, "" where there is nothing to explain
	// Ruled says that a rule decided, over which nothing that was observed wins.
	Ruled bool
	// Suspect says that masters of this kind load such files before they fork. It counts where that was not observed.
	Suspect bool
}

// Rule says what a change to one file needs.
type Rule func(rel string) Need

// Decide turns a batch of changes into a plan. It is a pure function of its arguments. Files for which skip
// returns true are left out; a nil skip leaves out none.
func Decide(changes []watcher.Change, rule Rule, skip func(path string) bool) Plan {
	var plan Plan
	for _, c := range changes {
		if skip != nil && skip(c.Path) {
			continue
		}
		need := rule(c.Rel)
		if need.Action == None {
			continue
		}
		reason := fmt.Sprintf("%s %s", c.Rel, verb(c.Op))
		if need.Why != "" {
			reason += " (" + need.Why + ")"
		}
		plan.Action = max(plan.Action, need.Action)
		plan.Reasons = append(plan.Reasons, reason)
		plan.Files = append(plan.Files, c.Rel)
		plan.Paths = append(plan.Paths, c.Path)
	}
	return plan
}

// Preloading tells of a file whether the master has loaded it, or what stands for it, before it forked. known is false where that
// was not observed.
type Preloading func(path string) (loaded, known bool)

// preload raises the plan where one of its files was loaded before the workers forked: what a worker inherits, no reload replaces.
// It is a pure function of its arguments.
func (p Plan) preload(rule Rule, preloading Preloading) Plan {
	if rule == nil || p.Action == Restart || len(p.Files) != len(p.Paths) {
		return p
	}
	reasons, rest := []string{}, slices.Clone(p.Reasons)
	for i, path := range p.Paths {
		rel := p.Files[i]
		why := preloads(rule(rel), rel, path, preloading)
		if why == "" {
			continue
		}
		reasons = append(reasons, why)
		rest = slices.DeleteFunc(rest, func(reason string) bool { return strings.HasPrefix(reason, rel+" ") })
	}
	if len(reasons) == 0 {
		return p
	}
	p.Action, p.Reasons = Restart, append(reasons, rest...)
	return p
}

// preloads says of a file why no reload replaces it, "" when one does.
func preloads(need Need, rel, path string, preloading Preloading) string {
	if need.Ruled {
		return ""
	}
	switch loaded, known := preloading(path); {
	case loaded:
		return rel + " was loaded before the workers forked"
	case !known && need.Suspect:
		return rel + " is as a rule loaded before the workers fork"
	}
	return ""
}

func verb(op watcher.Op) string {
	switch op {
	case watcher.Created:
		return "created"
	case watcher.Deleted:
		return "deleted"
	default:
		return "changed"
	}
}
