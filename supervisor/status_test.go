package supervisor

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// Load balancers and probes go by it: it is true as long as somebody answers, and false before nobody does.
func TestReadyInEveryState(t *testing.T) {
	want := func(r *rig, state State, ready bool) {
		r.t.Helper()
		synctest.Wait()
		if st := r.status(); st.State != state || st.Ready != ready {
			r.t.Errorf("state = %s, ready = %t; want %s, %t", st.State, st.Ready, state, ready)
		}
	}
	slow := func() *fakeDriver {
		return &fakeDriver{bootTime: time.Second, reloadTime: time.Second, endTime: time.Second}
	}
	run := func(o *Options) {
		o.Mode, o.Server.DrainDelay = Run, time.Second
	}
	tests := map[string]func(r *rig){
		"start": func(r *rig) {
			want(r, Starting, false)
			elapse(time.Second)
			want(r, Ready, true)
		},
		"reload": func(r *rig) {
			elapse(time.Second)
			reply := r.ask(Reload)
			want(r, Reloading, true)
			<-reply
			want(r, Ready, true)
		},
		"restart by handover": func(r *rig) {
			r.d.hands = true
			elapse(time.Second)
			reply := r.ask(Restart)
			want(r, Restarting, true)
			<-reply
			want(r, Ready, true)
		},
		"restart by stop and start": func(r *rig) {
			elapse(time.Second)
			reply := r.ask(Restart)
			want(r, Restarting, false)
			elapse(time.Second)
			want(r, Restarting, false) // it starts
			<-reply
			want(r, Ready, true)
		},
		"reload whose workers cannot start": func(r *rig) {
			r.d.reloadErr = &crashLoop{deaths: 9}
			elapse(time.Second)
			r.ask(Reload)
			want(r, Reloading, true)
			elapse(time.Second)
			want(r, Reloading, false) // it is ended
			elapse(time.Second)
			want(r, Crashed, false)
		},
		"refusal": func(r *rig) {
			elapse(time.Second)
			r.d.startErr = errNotVerified
			<-r.ask(Restart)
			want(r, Degraded, true)
		},
		"crash": func(r *rig) {
			elapse(time.Second)
			r.d.die(1)
			want(r, Crashed, false)
			elapse(time.Second) // nothing of it is left
			want(r, Crashed, false)
			elapse(200 * time.Millisecond) // the backoff
			want(r, Starting, false)
			elapse(time.Second)
			want(r, Ready, true)
		},
		"drain delay and stop": func(r *rig) {
			elapse(time.Second)
			r.stop()
			want(r, Stopped, false)
			elapse(time.Second)
			want(r, Stopped, false)
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, slow(), run)
				test(r)
				_ = r.end()
			})
		})
	}
}

// Whoever asks through the socket is not the program, which says that it was asked to stop by itself.
func TestAStopThatIsAskedForIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, &fakeDriver{}, nil)
		if err := r.s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-r.result; err != nil {
			t.Error(err)
		}
		kinds := []EventKind{}
		for _, e := range r.events {
			kinds = append(kinds, e.Kind)
		}
		if n := len(kinds); n < 2 || kinds[n-2] != EventStopping || kinds[n-1] != EventStopped {
			t.Errorf("events = %v, want them to end with stopping, stopped", kinds)
		}
	})
}
