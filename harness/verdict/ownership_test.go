package verdict_test

import (
	"testing"
	"time"

	"github.com/vosbed/vosbed/harness/observe"
	"github.com/vosbed/vosbed/harness/verdict"
)

// TestClaimsOfAnOwner: a node that failed claims the VIPs after its healing. That is
// against the other node for as long as this is the owner, and not once it has let go.
func TestClaimsOfAnOwner(t *testing.T) {
	for name, tt := range map[string]struct {
		roles []string // of lb2 at 6 s, 7 s, ...
		want  float64
	}{
		"the other owns on":                       {[]string{"active", "active", "active"}, 2},
		"the other has let go":                    {[]string{"active", "passive", "passive"}, 1},
		"the other says nothing":                  {nil, 2},
		"the other has not said so yet":           {[]string{"passive", "active", "active"}, 2},
		"the other let go after the latest claim": {[]string{"active", "active", "passive"}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			s := tell(t).probe(20*time.Second, 2).
				add(900*ms, observe.KindFrame, "", observe.Frame{VIP: "v", Node: "lb1"}).
				fault(5*time.Second, "kill", "lb1").
				add(5290*ms, observe.KindFrame, "", observe.Frame{VIP: "v", Node: "lb2"}).
				add(5400*ms, observe.KindFrame, "", observe.Frame{VIP: "v", Node: "lb1"}).
				heal(5500*ms, "kill", "lb1")
			for i, role := range tt.roles {
				s.status(time.Duration(6+i)*time.Second, "lb2", role, "up")
			}
			s.add(7500*ms, observe.KindFrame, "", observe.Frame{VIP: "v", Node: "lb1"})
			claims, ok := verdict.Compute(s.rs).Find(verdict.Ref{Metric: "stale_claims", Labels: map[string]string{"fault": "kill"}})
			if !ok || claims.Max != tt.want {
				t.Errorf("%v claims (found %t), want %v", claims.Max, ok, tt.want)
			}
		})
	}
}

// TestFramesInFlight: what an emulated network card held when the other took over is not
// against the former owner, and what it carries later is.
func TestFramesInFlight(t *testing.T) {
	frame := func(node, sort string) observe.Frame { return observe.Frame{VIP: "v", Node: node, Sort: sort} }
	for name, tt := range map[string]struct {
		flight time.Duration
		want   float64
	}{
		"a process": {0, 2},
		"emulated":  {100 * ms, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := tell(t).add(0, observe.KindRun, "", observe.Run{Scenario: "s", InFlight: tt.flight}).probe(20*time.Second, 2).
				add(900*ms, observe.KindFrame, "", frame("lb1", observe.SortCarrier)).
				fault(5*time.Second, "takeover", "lb1").
				add(5290*ms, observe.KindFrame, "", frame("lb2", observe.SortCarrier)).
				add(5330*ms, observe.KindFrame, "", frame("lb1", observe.SortCarrier)).
				add(5500*ms, observe.KindFrame, "", frame("lb1", observe.SortCarrier)).
				heal(7*time.Second, "takeover", "lb1").
				add(9*time.Second, observe.KindFrame, "", frame("lb2", observe.SortCarrier)).
				fault(10*time.Second, "freeze", "lb2").
				add(11*time.Second, observe.KindFrame, "", frame("lb1", observe.SortCarrier)).
				heal(15*time.Second, "freeze", "lb2").
				add(15040*ms, observe.KindFrame, "", frame("lb2", observe.SortCarrier)).
				add(15200*ms, observe.KindFrame, "", frame("lb2", observe.SortCarrier))
			for _, fault := range []string{"takeover", "freeze"} {
				frames, ok := verdict.Compute(s.rs).Find(verdict.Ref{Metric: "stale_frames", Labels: map[string]string{"fault": fault}})
				if !ok || frames.Max != tt.want {
					t.Errorf("%s: %v frames (found %t), want %v", fault, frames.Max, ok, tt.want)
				}
			}
		})
	}
}
