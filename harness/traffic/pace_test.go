package traffic

import (
	"context"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/vosbed/vosbed/harness/observe"
)

// A tick that takes long makes those after it late and shifts none of them, and the
// load says how late it was.
func TestPacerOutlivesABlockedTick(t *testing.T) {
	const rate, blocked, block = 200, 5, 30 * time.Millisecond
	out := make(chan observe.Record, 100)
	a := newAgent(Spec{Name: "web"}, out)
	p := pacer{start: monotonic(), rate: rate, count: 20}
	next := 0
	a.pace(t.Context(), p, func(n int, due int64) {
		now := monotonic()
		a.late.note(due)
		if n != next || due != p.start+int64(n)*int64(time.Second)/rate {
			t.Errorf("tick %d is due at %v, want tick %d", n, time.Duration(due-p.start), next)
		}
		if late := time.Duration(now - due); late < 0 || (n == blocked+1 && late < block-time.Second/rate) {
			t.Errorf("tick %d was %v late", n, late)
		}
		if n == blocked {
			sleepUntil(now + int64(block))
		}
		next++
	})
	if next != 20 {
		t.Errorf("%d ticks, want 20", next)
	}
	close(out)
	var worst float64
	for r := range out {
		s, err := observe.Decode[observe.Sample](r)
		if err != nil || s.Metric != metricLate || s.Labels["load"] != "web" || s.Unit != "ms" {
			t.Errorf("%+v, error %v", s, err)
		}
		worst = max(worst, s.Value)
	}
	if worst < 25 {
		t.Errorf("the load says that it was at most %v ms late, want 25 at least", worst)
	}
}

// A flow that does not take its turns keeps no other waiting.
func TestTurnsWaitForNoFlow(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s := &stream{agent: newAgent(Spec{}, make(chan observe.Record, 1000)), period: time.Millisecond}
	stuck := &watcher{s: s, turns: make(chan int64, backlog)}
	quick := &watcher{s: s, turns: make(chan int64, backlog)}
	gone := &watcher{s: s, turns: make(chan int64, backlog)} // has no session
	stuck.sending.Store(true)
	driven := make(chan struct{})
	go func() {
		defer close(driven)
		s.drive(ctx, []*watcher{stuck, quick, gone})
	}()
	var taken []int64
	err := quick.eachTurn(ctx, nil, func(due int64) error {
		if monotonic() < due {
			t.Error("a turn came early")
		}
		if taken = append(taken, due); len(taken) == 3*backlog {
			return errServerEnded
		}
		return nil
	})
	cancel()
	<-driven
	if len(taken) != 3*backlog {
		t.Errorf("%d turns, want %d: %v", len(taken), 3*backlog, err)
	}
	if stuck.missed.Load() == 0 || len(stuck.turns) != backlog || len(gone.turns) != 0 || gone.missed.Load() != 0 {
		t.Errorf("stuck flow: %d turns wait, %d missed; without a session %d and %d", len(stuck.turns), stuck.missed.Load(), len(gone.turns), gone.missed.Load())
	}
}

func TestASessionEndsItsTurns(t *testing.T) {
	s := &stream{agent: newAgent(Spec{}, make(chan observe.Record, 10)), period: time.Millisecond}
	w := &watcher{s: s, turns: make(chan int64, backlog)}
	ended := make(chan error, 1)
	ended <- context.Canceled
	err := w.eachTurn(t.Context(), ended, func(int64) error { return nil })
	if err == nil || !strings.Contains(err.Error(), errServerEnded.Error()) {
		t.Errorf("error %v, want %v", err, errServerEnded)
	}
	w.turns <- 1
	w.forget()
	w.turn(2)
	if len(w.turns) != 0 {
		t.Error("turns are left for the next session")
	}
}

// What a Spec leaves out counts too.
func TestBounds(t *testing.T) {
	many := addresses(240)
	for _, tt := range []struct {
		name string
		spec Spec
		want size // zero = refused
	}{
		{"one per client", Spec{Kind: "udp-probe", Sources: many, Rate: 100}, size{240, 100}},
		{"default rate of a probe", Spec{Kind: "udp-probe", Sources: many}, size{}},
		{"few clients", Spec{Kind: "udp-probe", Sources: addresses(2)}, size{2, 1000}},
		{"rate over flows", Spec{Kind: "tcp-stream", Flows: 100, Rate: 1001}, size{}},
		{"default rate of a stream", Spec{Kind: "tcp-stream", Flows: 2001}, size{}},
		{"crowd", Spec{Kind: "clients", Sources: many, Services: []string{"udp:1", "tcp:1"}, Rate: 0.5}, size{1, 240}},
		{"large crowd", Spec{Kind: "clients", Sources: many, Rate: 500}, size{}},
		{"open loop", Spec{Kind: "http", Sources: addresses(2), Rate: 20}, size{2, 20}},
		{"open loop of flows", Spec{Kind: "http", Sources: addresses(2), Flows: 7, Rate: 20}, size{7, 20}},
		{"closed loop", Spec{Kind: "http", Sources: addresses(2)}, size{32, 0}},
		{"players", Spec{Kind: "rtsp", Flows: MaxFlows, Rate: 1e9}, size{MaxFlows, 0}},
		{"publishers", Spec{Kind: "rtmp", Flows: 3, Publish: true}, size{3, 25}},
		{"too many publishers", Spec{Kind: "rtsp", Flows: MaxFlows, Publish: true}, size{}},
		{"transfers", Spec{Kind: "bulk", Sources: many}, size{1, 0}},
		{"too many flows", Spec{Kind: "bulk", Flows: MaxFlows + 1}, size{}},
		{"negative flows", Spec{Kind: "bulk", Flows: -1}, size{}},
		{"negative rate", Spec{Kind: "web", Rate: -1}, size{}},
		{"endless rate", Spec{Kind: "web", Rate: math.Inf(1)}, size{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := newAgent(tt.spec, nil)
			err := a.resolve(Kinds()[tt.spec.Kind])
			if written := tt.spec.Fits(); (written == nil) != (err == nil) {
				t.Errorf("a scenario is told %v, the agent %v", written, err)
			}
			unfilled := tt.spec
			unfilled.Clients, unfilled.Sources = len(unfilled.Sources), nil
			if written := unfilled.Fits(); (written == nil) != (err == nil) {
				t.Errorf("before the lab has filled the sources in a scenario is told %v, the agent %v", written, err)
			}
			if tt.want == (size{}) {
				if err == nil {
					t.Errorf("%+v was accepted", a.size)
				}
				return
			}
			if err != nil || a.size != tt.want {
				t.Errorf("%+v, error %v, want %+v", a.size, err, tt.want)
			}
		})
	}
}

func TestEveryKindHasASize(t *testing.T) {
	for name, kind := range Kinds() {
		if a := newAgent(Spec{}, nil); kind.size == nil || a.resolve(kind) != nil || a.flows() < 1 {
			t.Errorf("%s: no size without anything written", name)
		}
	}
}
