package watcher

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// history is every target that there was, in order.
type history struct {
	mu   sync.Mutex
	link string
	all  []string
}

// note looks where the link leads. With fresh it may be another directory under the same name.
func (h *history) note(fresh bool) {
	target, err := filepath.EvalSymlinks(h.link)
	if err != nil {
		return // a gap
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if fresh || len(h.all) == 0 || h.all[len(h.all)-1] != target {
		h.all = append(h.all, target)
	}
}

func (h *history) last() string { return h.all[len(h.all)-1] }

// TestSwitchStress switches in random ways at random moments. What is reported is what was there, in the order in which it
// was there, and what is reported last is what is there in the end.
func TestSwitchStress(t *testing.T) {
	for _, tt := range []struct {
		name string
		poll PollMode
		seed uint64
		busy time.Duration // how long the consumer is busy with a target, at most
	}{
		{"events", PollNever, 1, 0},
		{"events-busy", PollNever, 2, 10 * time.Millisecond},
		{"polls", PollAlways, 3, 0},
		{"polls-busy", PollAlways, 4, 10 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := newDeploy(t, tt.poll)
			random := rand.New(rand.NewPCG(tt.seed, 0))
			h := &history{link: d.opt.Path}
			h.note(true)
			if tt.busy > 0 {
				pause := rand.New(rand.NewPCG(tt.seed, 1))
				d.consume = func() { time.Sleep(time.Duration(pause.Int64N(int64(tt.busy)))) }
			}
			d.watch()
			var got []string
			caughtUp := func() bool {
				for {
					select {
					case target := <-d.got:
						got = append(got, target)
					default:
						return len(got) > 0 && got[len(got)-1] == h.last()
					}
				}
			}
			s := switcher{d, h, random, 10}
			for i := range 500 {
				s.step()
				if i%10 == 9 { // and from time to time nothing comes after that would have it looked at
					waitFor(t, "the last target", caughtUp)
				} else {
					time.Sleep(time.Duration(random.Int64N(int64(3 * time.Millisecond)))) // the random moments
				}
			}
			waitFor(t, "the last target", caughtUp)
			d.looked()
			if !caughtUp() {
				t.Errorf("last reported %s, and there is %s", got[len(got)-1], h.last())
			}
			at := 0
			for i, target := range got {
				for at < len(h.all) && h.all[at] != target {
					at++
				}
				if at == len(h.all) {
					t.Fatalf("report %d of %d, %s, was not there, or not after %q", i, len(got), target, got[max(0, i-3):i])
				}
				at++
			}
			t.Logf("%d targets, %d reported", len(h.all), len(got))
		})
	}
}

// switcher switches the link of a deploy.
type switcher struct {
	*deploy
	*history
	random *rand.Rand
	n      int // the last release made
}

func (s *switcher) step() {
	s.Helper()
	here, err := filepath.EvalSymlinks(s.path("app"))
	if err != nil {
		s.Fatal(err)
	}
	target := s.history.last()
	s.n++
	next := fmt.Sprintf("releases/%d", s.n)
	act := func(pairs ...string) {
		s.do(pairs...)
		s.note(false)
	}
	switch s.random.IntN(12) {
	case 0, 1: // as Deployer, Capistrano and Envoyer do
		act("mkdir", here+"/"+next)
		act("relink "+next, "app/current")
	case 2:
		act("mkdir", here+"/"+next)
		act("rm", "app/current")
		act("ln "+next, "app/current")
	case 3:
		act("mkdir", here+"/"+next)
		act("rm", "app/current")
		time.Sleep(time.Duration(s.random.Int64N(int64(4 * time.Millisecond))))
		act("ln "+next, "app/current")
	case 4:
		act("mkdir", here+"/"+next)
		other := map[string]string{s.path("mnt/x/app"): "mnt/y/app", s.path("mnt/y/app"): "mnt/x/app"}[here]
		act("relink "+next, other+"/current", "mkdir", other+"/"+next)
		act("relink "+other, "app")
	case 5: // there and back again
		act("mkdir", here+"/"+next)
		act("relink "+next, "app/current")
		act("relink "+target, "app/current")
	case 6:
		act("relink "+target, "app/current")
	case 7:
		act("rm", target)
		s.do("mkdir", target)
		s.note(true)
	case 8:
		act("mv "+target, "away")
		act("mv away", target)
	case 9:
		act("relink "+next, "app/current")
		act("mkdir", here+"/"+next)
	case 10: // as a ConfigMap
		act("mkdir", here+"/"+next)
		if dest, _ := os.Readlink(here + "/current"); dest != "..data" {
			act("relink "+target, here+"/..data")
			act("relink ..data", "app/current")
		}
		act("relink "+next, here+"/..data")
	case 11:
		s.do("mkdir", "new", "mvT new", target)
		s.note(true)
	}
}
