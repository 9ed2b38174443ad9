package supervisor

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// link stands for what current leads to.
type link struct {
	mu     sync.Mutex
	target string // "": it leads nowhere
	unfit  map[string]string
	served []string
	before string // what was served before this hotreload; "": not known
	copies int    // how often the target was replaced by another directory of its name
}

func (l *link) lead(to string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.target = to
}

// replace puts another directory under the name of the target.
func (l *link) replace() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.copies++
}

func aRelease(name string) Release {
	return Release{Name: name, Path: "/r/" + name, ID: name, Dir: "/"}
}

func (l *link) releases(action Action) *Releases {
	return &Releases{
		Current: "/current", Dir: "/r", Action: action, Wait: time.Minute,
		Resolve: func() (Release, error) {
			l.mu.Lock()
			defer l.mu.Unlock()
			if l.target == "" {
				return Release{}, errors.New("/current leads nowhere")
			}
			r := aRelease(l.target)
			r.ID += strings.Repeat("'", l.copies)
			return r, nil
		},
		Fit: func(_ context.Context, r Release, _ Occasion) error {
			if why := l.unfit[r.Name]; why != "" {
				return &Refusal{Message: why}
			}
			return nil
		},
		Served:   func(r Release) { l.served = append(l.served, r.Name) },
		Fallback: func() (Release, bool) { return aRelease(l.before), l.before != "" },
	}
}

// TestReleases plays switches of the link, and looks at what was done, what is served, and what is said of it.
func TestReleases(t *testing.T) {
	broken := &bootError{what: "it ended", exit: Exit{Known: true, Status: 255}}
	for _, test := range []struct {
		name   string
		action Action // what a switch needs
		hands  bool
		broken []string          // releases that do not start
		sick   []string          // that start, and are not well
		unfit  map[string]string // that must not be started
		stays  bool              // a reload does not load another release
		before string
		start  string
		play   func(r *rig, l *link)
		calls  []string
		serves string
		state  State
		reason string // a part of it
		result Result // of the last operation
		error  string // a part of it
	}{
		{name: "a switch is a handover", hands: true, start: "7", play: func(r *rig, l *link) { l.lead("8"); r.ask(None) },
			calls: []string{"boot 7", "handover", "boot 8"}, serves: "8", state: Ready, result: Verified},
		{name: "or a stop and a start", start: "7", play: func(r *rig, l *link) { l.lead("8"); r.ask(None) },
			calls: []string{"boot 7", "end", "boot 8"}, serves: "8", state: Ready, result: Verified},
		{name: "the same target again is nothing", hands: true, start: "7", play: func(r *rig, l *link) { r.ask(None) },
			calls: []string{"boot 7"}, serves: "7", state: Ready},
		{name: "a reload that finds another release is a switch", hands: true, start: "7", play: func(r *rig, l *link) { l.lead("8"); r.ask(Reload) },
			calls: []string{"boot 7", "handover", "boot 8"}, serves: "8", state: Ready, result: Verified},
		{name: "a reload of the same release replaces workers", hands: true, start: "7", play: func(r *rig, l *link) { r.ask(Reload) },
			calls: []string{"boot 7", "reload"}, serves: "7", state: Ready, result: Verified},
		{name: "what is not fit is not started", hands: true, start: "7", unfit: map[string]string{"8": "REVISION is missing"},
			play:  func(r *rig, l *link) { l.lead("8"); r.ask(None) },
			calls: []string{"boot 7"}, serves: "7", state: Degraded, reason: "release 8: REVISION is missing; release 7 serves on", result: Refused, error: "REVISION"},
		{name: "what does not start beside the old one leaves it alone", hands: true, start: "7", broken: []string{"8"},
			play:  func(r *rig, l *link) { l.lead("8"); r.ask(None) },
			calls: []string{"boot 7", "handover", "boot 8"}, serves: "7", state: Degraded, reason: "it ended", result: Refused, error: "it ended"},
		{name: "what is not well beside the old one leaves it alone", hands: true, start: "7", sick: []string{"8"},
			play:  func(r *rig, l *link) { l.lead("8"); r.ask(None) },
			calls: []string{"boot 7", "handover", "boot 8"}, serves: "7", state: Degraded, reason: "answers 500", result: Refused, error: "answers 500"},
		{name: "the old one is started again when the new one does not start", start: "7", broken: []string{"8"},
			play:  func(r *rig, l *link) { l.lead("8"); r.ask(None) },
			calls: []string{"boot 7", "end", "boot 8", "boot 7"}, serves: "7", state: Degraded, reason: "release 7 was started again", result: Refused, error: "release 8: it ended"},
		{name: "or is not well", start: "7", sick: []string{"8"}, play: func(r *rig, l *link) { l.lead("8"); r.ask(None) },
			calls: []string{"boot 7", "end", "boot 8", "end", "boot 7"}, serves: "7", state: Degraded, reason: "release 7 was started again", result: Refused, error: "answers 500"},
		{name: "a switch back makes it ready", hands: true, start: "7", broken: []string{"8"},
			play:  func(r *rig, l *link) { l.lead("8"); r.ask(None); l.lead("7"); r.ask(None) },
			calls: []string{"boot 7", "handover", "boot 8"}, serves: "7", state: Ready, result: Refused, error: "it ended"},
		{name: "two switches at once end at the last", hands: true, start: "7",
			play: func(r *rig, l *link) {
				r.d.bootTime = time.Second
				l.lead("8")
				r.ask(None)
				l.lead("9")
				r.ask(None)
				elapse(3 * time.Second)
			},
			calls: []string{"boot 7", "handover", "boot 8", "handover", "boot 9"}, serves: "9", state: Ready, result: Verified},
		{name: "there and back during the switch", hands: true, start: "7",
			play: func(r *rig, l *link) {
				r.d.bootTime = time.Second
				l.lead("8")
				r.ask(None)
				l.lead("7")
				r.ask(None)
				elapse(3 * time.Second)
			},
			calls: []string{"boot 7", "handover", "boot 8", "handover", "boot 7"}, serves: "7", state: Ready, result: Verified},
		{name: "a gap is waited for", hands: true, start: "7",
			play:  func(r *rig, l *link) { l.lead(""); r.ask(Reload); l.lead("8"); elapse(time.Second) },
			calls: []string{"boot 7", "handover", "boot 8"}, serves: "8", state: Ready, result: Verified},
		{name: "a link that leads nowhere changes nothing", hands: true, start: "7",
			play:  func(r *rig, l *link) { l.lead(""); r.ask(Reload); elapse(2 * time.Second) },
			calls: []string{"boot 7"}, serves: "7", state: Degraded, reason: "leads nowhere; release 7 serves on", result: Refused, error: "leads nowhere"},
		{name: "a worker reload where that loads the new release", action: Reload, hands: true, start: "7", play: func(r *rig, l *link) { l.lead("8"); r.ask(None) },
			calls: []string{"boot 7", "reload into 8"}, serves: "8", state: Ready, result: Verified},
		{name: "a restart where it does not", action: Reload, hands: true, start: "7", stays: true, play: func(r *rig, l *link) { l.lead("8"); r.ask(None) },
			calls: []string{"boot 7", "reload into 8", "handover", "boot 8"}, serves: "8", state: Ready, result: Verified},
		{name: "a worker reload into what is not well", action: Reload, hands: true, start: "7", sick: []string{"8"}, play: func(r *rig, l *link) { l.lead("8"); r.ask(None) },
			calls: []string{"boot 7", "reload into 8"}, serves: "8", state: Degraded, reason: "release 8 is served, but not well", result: Failed, error: "answers 500"},
		{name: "after a crash the refused release is not tried first", hands: true, start: "7", broken: []string{"8"},
			play:  func(r *rig, l *link) { l.lead("8"); r.ask(None); r.d.die(1); elapse(3 * time.Second) },
			calls: []string{"boot 7", "handover", "boot 8", "end", "boot 7"}, serves: "7", state: Degraded, reason: "release 8 was refused; release 7 serves", result: Refused, error: "release 8 was refused"},
		{name: "after a crash a request tries the refused release again", hands: true, start: "7", broken: []string{"8"},
			play: func(r *rig, l *link) {
				l.lead("8")
				r.ask(None)
				delete(r.d.broken, "8")
				r.d.die(1)
				elapse(time.Millisecond)
				r.ask(Reload)
			},
			calls: []string{"boot 7", "handover", "boot 8", "end", "boot 8"}, serves: "8", state: Ready, result: Verified},
		{name: "what does not start is not live because another one was started for it", hands: true, start: "7", broken: []string{"8"},
			play:  func(r *rig, l *link) { r.d.die(1); elapse(time.Millisecond); l.lead("8"); r.ask(Reload) },
			calls: []string{"boot 7", "end", "boot 8", "boot 7"}, serves: "7", state: Degraded, reason: "it ended; release 7 serves", result: Refused, error: "it ended; release 7 serves"},
		{name: "nor is what is not well", hands: true, start: "7", sick: []string{"8"},
			play:  func(r *rig, l *link) { r.d.die(1); elapse(time.Millisecond); l.lead("8"); r.ask(Reload) },
			calls: []string{"boot 7", "end", "boot 8", "end", "boot 7"}, serves: "7", state: Degraded, reason: "answers 500; release 7 serves", result: Refused, error: "answers 500"},
		{name: "nor is a link that leads nowhere", hands: true, start: "7",
			play: func(r *rig, l *link) {
				r.d.die(1)
				elapse(time.Millisecond)
				l.lead("")
				r.ask(Reload)
				elapse(2 * time.Second)
				l.lead("7")
				r.ask(None)
			},
			calls: []string{"boot 7", "end", "boot 7"}, serves: "7", state: Ready, result: Refused, error: "leads nowhere; release 7 serves"},
		{name: "what serves and is not well is not restarted well", start: "7", sick: []string{"7"}, play: func(r *rig, l *link) { r.ask(Restart) },
			calls: []string{"boot 7", "end", "boot 7"}, serves: "7", state: Degraded, reason: "release 7 serves, but is not well", result: Failed, error: "answers 500"},
		{name: "after a crash the current release is started", hands: true, start: "7", play: func(r *rig, l *link) { r.d.die(1); elapse(3 * time.Second) },
			calls: []string{"boot 7", "end", "boot 7"}, serves: "7", state: Ready, result: Verified},
		{name: "what was served before this start steps in", start: "8", before: "7", broken: []string{"8"}, play: func(r *rig, l *link) {},
			calls: []string{"boot 8", "boot 7"}, serves: "7", state: Degraded, reason: "release 7 serves"},
		{name: "also when the current one is not fit", start: "8", before: "7", unfit: map[string]string{"8": "REVISION is missing"}, play: func(r *rig, l *link) {},
			calls: []string{"boot 7"}, serves: "7", state: Degraded, reason: "REVISION is missing"},
		{name: "the first release is waited for", play: func(r *rig, l *link) { elapse(30 * time.Second); l.lead("7"); elapse(time.Second) },
			calls: []string{"boot 7"}, serves: "7", state: Ready},
		{name: "but not where there is another to serve", before: "7", play: func(r *rig, l *link) { elapse(2 * time.Second) },
			calls: []string{"boot 7"}, serves: "7", state: Degraded, reason: "leads nowhere; release 7 serves"},
		{name: "a refused release is tried again on request", hands: true, start: "7", unfit: map[string]string{"8": "REVISION is missing"},
			play:  func(r *rig, l *link) { l.lead("8"); r.ask(None); delete(l.unfit, "8"); r.ask(Reload) },
			calls: []string{"boot 7", "handover", "boot 8"}, serves: "8", state: Ready, result: Verified},
		{name: "a restart that was asked for and refused is not owed to another release", hands: true, start: "7", broken: []string{"8"},
			play:  func(r *rig, l *link) { l.lead("8"); r.ask(Restart); l.lead("7"); r.ask(None) },
			calls: []string{"boot 7", "handover", "boot 8"}, serves: "7", state: Ready, result: Refused, error: "it ended"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &link{target: test.start, unfit: test.unfit, before: test.before}
				d := &fakeDriver{hands: test.hands, broken: map[string]error{}, sick: map[string]error{}}
				for _, name := range test.broken {
					d.broken[name] = broken
				}
				for _, name := range test.sick {
					d.sick[name] = errors.New("it answers 500")
				}
				if test.stays {
					d.stays = &cannotReload{"the new workers still run in release 7"}
				}
				r := newRig(t, d, func(o *Options) {
					o.Mode, o.Batches, o.Rule = Run, nil, nil
					o.Releases = l.releases(max(test.action, Reload))
					if test.action == None {
						o.Releases.Action = Restart
					}
				})
				test.play(r, l)
				r.wantCalls(test.calls...)
				st := r.status()
				if st.Release == nil || st.Release.Name != test.serves || st.Release.Current != "/current" {
					t.Errorf("serves %+v, want %s", st.Release, test.serves)
				}
				if st.State != test.state || !strings.Contains(st.Reason, test.reason) || test.reason == "" && st.Reason != "" {
					t.Errorf("state %s (%s), want %s (%s)", st.State, st.Reason, test.state, test.reason)
				}
				if test.result != "" && (st.Last == nil || st.Last.Result != test.result || !strings.Contains(st.Last.Error, test.error)) {
					t.Errorf("outcome %+v, want %s (%s)", st.Last, test.result, test.error)
				}
				if st.State == Ready && st.Owed != "" || test.state == Degraded && test.result == Refused && st.Owed == "" {
					t.Errorf("owed %q in state %s", st.Owed, st.State)
				}
				if !slices.Contains(l.served, test.serves) {
					t.Errorf("told of %q, not of %s", l.served, test.serves)
				}
				r.stop()
				synctest.Wait()
			})
		})
	}
}

// TestReleaseJoins: who asks for a release that is being made live already is answered by that.
func TestReleaseJoins(t *testing.T) {
	for _, test := range []struct {
		name   string
		broken bool
		after  func(*link) // what happens before somebody asks; nil: nothing
		ask    Request
		calls  []string
		result Result
	}{
		{"another directory of that name", false, (*link).replace, Request{Release: "/r/8", Reason: "activate"},
			[]string{"boot 7", "handover", "boot 8", "handover", "boot 8"}, Verified},
		{"the same release", false, nil, Request{Release: "/r/8", Reason: "activate"}, []string{"boot 7", "handover", "boot 8"}, Verified},
		{"which does not start", true, nil, Request{Release: "/r/8", Reason: "activate"}, []string{"boot 7", "handover", "boot 8"}, Refused},
		{"a reload wants workers that are younger than the question", false, nil, Request{Action: Reload, Reason: "hook"},
			[]string{"boot 7", "handover", "boot 8", "reload"}, Verified},
		{"whatever is current", false, nil, Request{}, []string{"boot 7", "handover", "boot 8"}, Verified},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &link{target: "7"}
				d := &fakeDriver{hands: true}
				r := newRig(t, d, func(o *Options) { o.Mode, o.Batches, o.Rule, o.Releases = Run, nil, nil, l.releases(Restart) })
				d.bootTime = time.Second
				if test.broken {
					d.broken = map[string]error{"8": &bootError{what: "it ended"}}
				}
				l.lead("8")
				switched := r.do(Request{Release: "/r/8"})
				if test.after != nil {
					test.after(l)
				}
				asked := r.do(test.ask)
				elapse(5 * time.Second)
				if first := <-switched; first.err != nil || first.outcome.Action != Restart {
					t.Errorf("the switch: %+v", first)
				}
				if a := <-asked; a.err != nil || a.outcome.Result != test.result {
					t.Errorf("who asked: %+v, want %s", a, test.result)
				}
				r.wantCalls(test.calls...)
				r.stop()
				synctest.Wait()
			})
		})
	}
}
