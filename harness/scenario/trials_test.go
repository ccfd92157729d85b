package scenario_test

import (
	"testing"
	"time"

	"github.com/vosbed/vosbed/harness/scenario"
)

const repeated = `
name: t
timeout: 5m
loads:
  probe: {kind: udp-probe, from: clients, to: "${vip.traffic}:60000"}
  once: {kind: verify, from: clients, to: "${vip.traffic}:60000", services: ["udp:60000"]}
steps:
  - {name: ready, until: {expr: 'role == "active"', within: 1s}}
  - start: [probe]
  - trials: {name: kill, count: 10, steps: [{fault: {kind: kill, target: lb1}}, {name: back, heal: kill}, {run: once}]}
  - trials: {name: cut, count: 5, steps: [{fault: {kind: cut, target: lb1}}, {heal: cut}, {run: once}]}
expect:
  - {name: kill, metric: "outage_ms{fault=kill}.max", max: 1, samples: 10}
  - {name: cut, metric: "outage_ms{a=b, fault=cut}.max", max: 1, samples: 5}
  - {name: all, metric: reachable.min, min: 1, samples: 15}
  - {name: once, metric: x, max: 1, samples: 1}
  - {name: any, metric: y, max: 1}
mutants:
  - {name: one, change: {}, only: [kill], must_fail: kill}
  - {name: three, change: {}, only: [cut], trials: 3, must_fail: cut}
  - {name: none, change: {}, only: [], must_fail: "steps: ready"}
  - {name: every, change: {}, must_fail: "steps: back"}
`

func trialsOf(t *testing.T, s *scenario.Scenario) map[string]int {
	t.Helper()
	out := map[string]int{}
	for _, st := range s.Steps {
		if st.Trials != nil {
			out[st.Trials.Name] = st.Trials.Count
		}
	}
	return out
}

func samplesOf(s *scenario.Scenario) []int {
	var out []int
	for _, e := range s.Expect {
		out = append(out, e.AtLeast)
	}
	return out
}

func TestWhatDependsOnTheNumberOfTrialsFollowsIt(t *testing.T) {
	for _, tt := range []struct {
		trials  int
		samples [5]int
		timeout time.Duration
		load    time.Duration // of the probe
	}{
		{2, [5]int{2, 2, 4, 1, 0}, 5 * time.Minute, 0},
		{10, [5]int{10, 10, 15, 1, 0}, 400 * time.Second, 400 * time.Second},
		{30, [5]int{30, 30, 15, 1, 0}, 20 * time.Minute, 20 * time.Minute},
		{1000, [5]int{1000, 1000, 15, 1, 0}, time.Hour, time.Hour},
	} {
		s, err := load(t, repeated)
		if err != nil {
			t.Fatal(scenario.Render(err))
		}
		s.SetTrials(tt.trials)
		if n := trialsOf(t, s); n["kill"] != tt.trials || n["cut"] != tt.trials {
			t.Errorf("%d trials: %v", tt.trials, n)
		}
		if got := [5]int(samplesOf(s)); got != tt.samples {
			t.Errorf("%d trials: samples %v, want %v", tt.trials, got, tt.samples)
		}
		if s.Timeout != tt.timeout || s.Loads["probe"].Duration != tt.load || s.Loads["once"].Duration != 0 {
			t.Errorf("%d trials: timeout %s, probe %s, once %s", tt.trials, s.Timeout, s.Loads["probe"].Duration, s.Loads["once"].Duration)
		}
	}
}

func TestAMutantNeedsTheSamplesOfItsTrials(t *testing.T) {
	s, err := load(t, repeated)
	if err != nil {
		t.Fatal(scenario.Render(err))
	}
	for _, tt := range []struct {
		mutant    string
		kill, cut int // trials
		samples   [3]int
	}{
		{"one", 1, 0, [3]int{1, 0, 1}},
		{"three", 0, 3, [3]int{0, 3, 3}},
		{"none", 0, 0, [3]int{0, 0, 0}},
		{"every", 1, 1, [3]int{1, 1, 2}},
	} {
		m, _, err := s.Mutate(tt.mutant)
		if err != nil {
			t.Fatal(err)
		}
		n := trialsOf(t, m)
		if got := [3]int(samplesOf(m)[:3]); got != tt.samples || n["kill"] != tt.kill || n["cut"] != tt.cut {
			t.Errorf("%s: trials %v, samples %v; want %v", tt.mutant, n, got, tt)
		}
	}
	if n := samplesOf(s)[0]; n != 10 || trialsOf(t, s)["kill"] != 10 {
		t.Error("a mutant changed the scenario itself")
	}
}
