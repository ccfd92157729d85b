package verdict_test

import (
	"strings"
	"testing"
	"time"

	"github.com/vosbed/vosbed/harness/observe"
	"github.com/vosbed/vosbed/harness/scenario"
	"github.com/vosbed/vosbed/harness/verdict"
)

// outages is a run with a kill every ten seconds, each with a hole of so many
// milliseconds that ends at 10.x s, 20.x s and so on.
func outages(t *testing.T, holes ...int) *story {
	t.Helper()
	s := tell(t).probe(30*time.Second, 1)
	for i, hole := range holes {
		at := time.Duration(10*(i+1)) * time.Second
		s.fault(at, "kill", "lb1").gap(at-ms, at+time.Duration(hole)*ms).heal(at+6*time.Second, "kill", "lb1")
	}
	return s
}

// lateSender adds an interval in which the probe's sender was late.
func (s *story) lateSender(at time.Duration, us float64) *story {
	return s.add(at, observe.KindSeries, "p", observe.Series{Interval: 100 * ms, Values: map[string]float64{"sent": 100, "hole_ms": 1, "late_us": us}})
}

func TestNoiseExcusesOnlyWhatItTouches(t *testing.T) {
	limit := scenario.Expectation{Metric: "outage_ms{fault=kill}.max", Max: new(float64(450)), Floor: "noise_floor_ms.p99"}
	bare := scenario.Expectation{Metric: "outage_ms{fault=kill}.max", Max: new(float64(450))}
	count := scenario.Expectation{Metric: "lost.max", Max: new(float64(0)), Floor: "noise_floor_ms.p99"}
	late := func(s *story, at time.Duration, v float64) *story { return s.sample(at, observe.MetricTimerLate, v) }
	tests := []struct {
		name  string
		e     scenario.Expectation
		story *story
		want  verdict.Verdict
		says  string
	}{
		{"quiet", limit, outages(t, 300, 600), verdict.Fail, ""},
		{"late timers", limit, late(outages(t, 300, 600), 20500*ms, 150), verdict.Inconclusive, "timers were late by up to 150 ms"},
		{"late timers, no floor", bare, late(outages(t, 300, 600), 20500*ms, 150), verdict.Inconclusive, "late"},
		{"late, but the limit is kept", limit, late(outages(t, 300, 400), 20500*ms, 150), verdict.Pass, ""},
		{"a little late", limit, late(outages(t, 300, 600), 20500*ms, 90), verdict.Fail, ""},
		{"late at another time", limit, late(outages(t, 300, 600), 10500*ms, 150), verdict.Fail, ""},
		{"late in the second before", limit, late(outages(t, 600), 9500*ms, 150), verdict.Inconclusive, "late"},
		{"late long before", limit, late(outages(t, 600), 8500*ms, 150), verdict.Fail, ""},
		{"late afterwards", limit, late(outages(t, 600), 11800*ms, 150), verdict.Fail, ""},
		{"the worst is excused, another is not", limit, late(outages(t, 600, 800), 20500*ms, 150), verdict.Fail, "600 ms was observed when the machine was quiet"},
		{"both are excused", limit, late(late(outages(t, 600, 800), 20500*ms, 150), 10500*ms, 150), verdict.Inconclusive, "late"},
		{"beyond what noise explains", limit, late(outages(t, 3000), 10500*ms, 150), verdict.Fail, ""},
		{"as long as the machine stood still", limit, late(outages(t, 3000), 12500*ms, 2700), verdict.Inconclusive, "2700"},
		{"sender late", limit, outages(t, 600).lateSender(10300*ms, 120_000), verdict.Inconclusive, "late"},
		{"stolen time", limit, outages(t, 600).sample(10900*ms, "steal_pct", 30), verdict.Inconclusive, "stolen"},
		{"stolen time, no floor", bare, outages(t, 600).sample(10900*ms, "steal_pct", 30), verdict.Inconclusive, "stolen"},
		{"others took the time", limit, outages(t, 600).sample(10900*ms, observe.MetricForeign, 60), verdict.Inconclusive, "outside the lab"},
		{"others took the time, and the limit is kept", limit, outages(t, 300).sample(10900*ms, observe.MetricForeign, 60), verdict.Pass, ""},
		{"others took a little", limit, outages(t, 600).sample(10900*ms, observe.MetricForeign, 15), verdict.Fail, ""},
		{"others took most of it", limit, outages(t, 3000).sample(10900*ms, observe.MetricForeign, 60), verdict.Inconclusive, "outside the lab"},
		{"others took most of it, and far too long", limit, outages(t, 3500).sample(10900*ms, observe.MetricForeign, 60), verdict.Fail, ""},
		{"others took all of it, and far too long", limit, outages(t, 9000, 300).sample(10900*ms, observe.MetricForeign, 100), verdict.Inconclusive, "outside the lab"},
		{"stolen time elsewhere", limit, outages(t, 600).sample(15*time.Second, "steal_pct", 30), verdict.Fail, ""},
		{"floor too high", limit, outages(t, 600).probe(5*time.Second, 95), verdict.Inconclusive, "noise floor"},
		{"floor too high, and far too long", limit, outages(t, 3000).probe(5*time.Second, 95), verdict.Fail, ""},
		{"count", count, tell(t).probe(5*time.Second, 95).sample(9*time.Second, "lost", 3), verdict.Fail, ""},
		{"count of nothing", count, tell(t).probe(5*time.Second, 95).sample(9*time.Second, "lost", 0), verdict.Pass, ""},
		{"count when timers were late", count, late(tell(t).sample(9*time.Second, "lost", 3), 8*time.Second, 150), verdict.Inconclusive, "late"},
		{"count without a floor", scenario.Expectation{Metric: "lost.max", Max: new(float64(0))}, late(tell(t).sample(9*time.Second, "lost", 3), 8*time.Second, 150), verdict.Fail, ""},
		{"too early", scenario.Expectation{Metric: "x", Min: new(float64(100)), Max: new(float64(200))}, late(tell(t).timed(9*time.Second, "x", 3), 8*time.Second, 150), verdict.Fail, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := verdict.Judge([]scenario.Expectation{tt.e}, tt.story.rs).Expectations[0]
			if got.Verdict != tt.want || !strings.Contains(got.Evidence, tt.says) {
				t.Errorf("%s: %s; want %s with %q", got.Verdict, got.Evidence, tt.want, tt.says)
			}
		})
	}
}

func TestAPlannedSwitchoverLosesWhatNeverCame(t *testing.T) {
	// Each interval sends 100; what is missing of them stands in received.
	tellOf := func(received map[time.Duration]float64) *story {
		s := tell(t)
		for at := 100 * ms; at <= 20*time.Second; at += 100 * ms {
			n, ok := received[at]
			if !ok {
				n = 100
			}
			s.add(at, observe.KindSeries, "p", observe.Series{Interval: 100 * ms, Values: map[string]float64{"sent": 100, "received": n, "hole_ms": 1}})
		}
		return s.fault(10*time.Second+50*ms, "takeover", "lb1").heal(11*time.Second, "takeover", "lb1")
	}
	for _, tt := range []struct {
		name     string
		received map[time.Duration]float64
		want     float64
	}{
		{"nothing", nil, 0},
		{"three", map[time.Duration]float64{10200 * ms: 97}, 3},
		{"late, not lost", map[time.Duration]float64{10200 * ms: 90, 10400 * ms: 110}, 0},
		{"two of them never came", map[time.Duration]float64{10200 * ms: 90, 10400 * ms: 108}, 2},
		{"under way when it began", map[time.Duration]float64{10000 * ms: 95, 10100 * ms: 104}, 1},
		{"lost by an earlier fault", map[time.Duration]float64{5000 * ms: 50}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := verdict.Compute(tellOf(tt.received).rs).Find(verdict.Ref{Metric: verdict.MetricSwitchLost, Labels: map[string]string{"fault": "takeover"}})
			if !ok || got.Max != tt.want {
				t.Errorf("%v lost (found %t), want %v", got.Max, ok, tt.want)
			}
		})
	}
	if _, ok := verdict.Compute(tell(t).fault(time.Second, "takeover", "lb1").rs).Find(verdict.Ref{Metric: verdict.MetricSwitchLost}); ok {
		t.Error("nothing was measured, and yet something was lost")
	}
}

func TestWhoIsHealedIsWatchedUntilTheNextFault(t *testing.T) {
	frame := func(s *story, at time.Duration, node, sort string) *story {
		return s.add(at, observe.KindFrame, "", observe.Frame{VIP: "v", Node: node, Sort: sort})
	}
	base := func() *story {
		s := frame(tell(t), time.Second, "lb1", "garp").fault(5*time.Second, "freeze", "lb1").heal(7*time.Second, "freeze", "lb1")
		return frame(s, 5300*ms, "lb2", "garp")
	}
	for _, tt := range []struct {
		name           string
		story          *story
		claims, frames float64
	}{
		{"silent", base(), 0, 0},
		{"claims when it is healed", frame(base(), 7500*ms, "lb1", "arp-reply"), 1, 0},
		{"carries when it is healed", frame(base(), 7500*ms, "lb1", observe.SortCarrier), 0, 1},
		{"takes over when the other fails", frame(base().fault(8*time.Second, "freeze", "lb2"), 8300*ms, "lb1", "garp"), 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := verdict.Compute(tt.story.rs)
			claims, _ := m.Find(verdict.Ref{Metric: "stale_claims", Labels: map[string]string{"fault": "freeze"}})
			frames, _ := m.Find(verdict.Ref{Metric: observe.MetricStaleFrames, Labels: map[string]string{"fault": "freeze"}})
			if claims.Max != tt.claims || frames.Max != tt.frames {
				t.Errorf("%v claims, %v frames; want %v and %v", claims.Max, frames.Max, tt.claims, tt.frames)
			}
		})
	}
}

func TestOnlySessionsThatWereUpCanDie(t *testing.T) {
	open := func(s *story, at time.Duration, n float64) *story {
		return s.add(at, observe.KindSeries, "load", observe.Series{Interval: 500 * ms, Values: map[string]float64{"open": n}})
	}
	died := func(s *story, at time.Duration, flow string) *story { return s.sample(at, "web_died", 1, "flow", flow) }
	s := open(tell(t), 4500*ms, 2).fault(5*time.Second, "kill", "lb1").heal(6*time.Second, "kill", "lb1")
	died(died(s, 5100*ms, "0"), 5100*ms, "1")
	// One of the two is not back yet: that the other dies is all there is to see.
	died(open(s, 14500*ms, 1).fault(15*time.Second, "cut", "lb2").heal(16*time.Second, "cut", "lb2"), 15100*ms, "1")
	open(s, 24500*ms, 0).fault(25*time.Second, "freeze", "lb1").heal(26*time.Second, "freeze", "lb1")
	open(s, 34500*ms, 2).fault(35*time.Second, "blackhole", "lb1").heal(36*time.Second, "blackhole", "lb1")
	s.sample(40*time.Second, "web_flows", 2).sample(40*time.Second, "web_survival", 0)
	m := verdict.Compute(s.rs)
	for fault, want := range map[string]float64{"kill": 0, "cut": 0, "freeze": -1, "blackhole": 1} {
		got, ok := m.Find(verdict.Ref{Metric: "web_survival", Labels: map[string]string{"fault": fault}})
		if ok != (want >= 0) || ok && got.Max != want {
			t.Errorf("%s: %v (found %t), want %v", fault, got.Max, ok, want)
		}
	}
}
