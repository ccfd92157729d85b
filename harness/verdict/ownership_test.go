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

// TestPacketsUnderWay: what was sent before the other took over, or before the node was
// frozen, is not against the former owner, however late it carries it; what was sent later
// is, also where it lay before the node until that went on.
func TestPacketsUnderWay(t *testing.T) {
	const s = time.Second
	carried := func(node string, sent time.Duration) observe.Frame {
		return observe.Frame{VIP: "v", Node: node, Sort: observe.SortCarrier, Sent: sent}
	}
	for name, tt := range map[string]struct {
		kind string
		sent time.Duration // of the packet that the former owner carries at 12 s
		want float64
	}{
		"before a takeover":             {"takeover", 10290 * ms, 0},
		"after a takeover":              {"takeover", 10310 * ms, 1},
		"before a freeze":               {"freeze", 9990 * ms, 0},
		"while frozen, before takeover": {"freeze", 10100 * ms, 1},
		"no time":                       {"freeze", 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			h := tell(t).probe(20*s, 2).
				add(900*ms, observe.KindFrame, "", carried("lb1", 900*ms)).
				fault(10*s, tt.kind, "lb1").
				add(10300*ms, observe.KindFrame, "", carried("lb2", 10299*ms)).
				heal(11*s, tt.kind, "lb1").
				add(12*s, observe.KindFrame, "", carried("lb1", tt.sent))
			frames, ok := verdict.Compute(h.rs).Find(verdict.Ref{Metric: "stale_frames", Labels: map[string]string{"fault": tt.kind}})
			if !ok || frames.Max != tt.want {
				t.Errorf("%v frames (found %t), want %v", frames.Max, ok, tt.want)
			}
		})
	}
}
