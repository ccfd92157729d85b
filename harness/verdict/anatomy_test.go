package verdict_test

import (
	"math"
	"testing"
	"time"

	"github.com/vosbed/vosbed/harness/observe"
	"github.com/vosbed/vosbed/harness/verdict"
)

func TestAnatomyOfAKill(t *testing.T) {
	s := tellServers(t).probe(10*time.Second, 1).
		every(0, 4*time.Second, "lb1", "active", up()).every(0, 5*time.Second, "lb2", "passive", up()).
		add(time.Second, observe.KindFrame, "", observe.Frame{VIP: "v", Node: "lb1", Sort: "garp"}).
		fault(5*time.Second, "kill", "lb1").
		gap(5195*ms, 5246*ms).gap(5600*ms, 5700*ms).
		add(5244*ms, observe.KindFrame, "", observe.Frame{VIP: "v", Node: "lb2", Sort: "garp"}).
		add(5245*ms, observe.KindFrame, "", observe.Frame{VIP: "v", Node: "lb2", Sort: observe.SortCarrier})
	s.add(5280*ms, observe.KindStatus, "", map[string]any{"role": "active", "pair": map[string]any{"since": time.Unix(1e9, 0).UTC().Add(5240 * ms)}})
	s.rs[len(s.rs)-1].Node = "lb2"
	s.heal(8*time.Second, "kill", "lb1")
	check := func(s *story, fault string, want map[string]float64) {
		t.Helper()
		m := verdict.Compute(s.rs)
		for _, phase := range verdict.Phases() {
			got, ok := m.Find(verdict.Ref{Metric: verdict.MetricAnatomy, Labels: map[string]string{"fault": fault, "phase": phase}})
			ms, expected := want[phase]
			if ok != expected || math.Abs(got.Max-ms) > 1e-6 {
				t.Errorf("%s, %s: %v (found %t), want %v", fault, phase, got.Max, ok, ms)
			}
		}
	}
	check(s, "kill", map[string]float64{"detect": 240, "claim": 244, "carry": 245, "first": 246, "all": 246})

	server := tellServers(t).probe(10*time.Second, 1).every(0, 5*time.Second, "lb1", "active", up()).
		add(5*time.Second, observe.KindFault, "server", observe.Fault{Kind: "server", Target: "HT1", Server: 1}).
		gap(5001*ms, 5500*ms).gap(5001*ms, 5900*ms).gap(6*time.Second, 6010*ms).
		serving(5480*ms, "lb1", "active", "down", "serving", "serving")
	check(server, "server", map[string]float64{"detect": 480, "first": 500, "all": 900})
}

func TestQuantity(t *testing.T) {
	for _, tt := range []struct {
		v    float64
		unit string
		want string
	}{
		{33964415112, "B", "31.6 GiB"},
		{100, "B", "100 B"},
		{1209, "ms", "1209 ms"},
		{12345.6, "ms", "12\u202f346 ms"},
		{-1234567, "", "-1\u202f234\u202f567"},
		{51.0512, "ms", "51.05 ms"},
		{0.97561, "", "0.976"},
		{0.99996, "", "0.99996"},
		{1, "", "1"},
		{0, "", "0"},
		{2.5e6, "1/s", "2\u202f500\u202f000 1/s"},
	} {
		if got := verdict.Quantity(tt.v, tt.unit); got != tt.want {
			t.Errorf("Quantity(%v, %q) = %q, want %q", tt.v, tt.unit, got, tt.want)
		}
	}
}
