package scenario_test

import (
	"testing"
	"time"

	"github.com/vosbed/vosbed/harness/scenario"
	"github.com/vosbed/vosbed/harness/traffic"
)

func TestSlowStretchesTime(t *testing.T) {
	t.Parallel()
	zero := 0.0
	s := &scenario.Scenario{
		Timeout: time.Minute,
		Loads: map[string]traffic.Spec{
			"probe": {Rate: 500, Timeout: time.Second},
			"crowd": {Rate: 1},
			"once":  {},
		},
		Steps: []scenario.Step{
			{Start: []string{"probe", "crowd"}},
			{Wait: time.Second},
			{Trials: &scenario.Trials{Count: 3, Phase: 100 * time.Millisecond, Settle: time.Second, Steps: []scenario.Step{
				{Until: &scenario.Until{Within: 2 * time.Second}},
			}}},
			{Parallel: []scenario.Step{{Admin: &scenario.Admin{Deadline: time.Second}}}},
		},
		Expect: []scenario.Expectation{
			{Metric: "outage_ms{fault=kill}.max", Max: &zero},
			{Metric: "stale_claims.max", Max: &zero, AtLeast: 3},
			{Eventually: "true", Within: time.Second},
		},
	}
	before := s.Steps
	s.Slow(10)
	if before[1].Wait != time.Second || before[2].Trials.Settle != time.Second {
		t.Error("the steps of the original changed")
	}
	tr, until := s.Steps[2].Trials, s.Steps[2].Trials.Steps[0].Until
	for what, got := range map[string][2]time.Duration{
		"timeout":  {s.Timeout, 10 * time.Minute},
		"wait":     {s.Steps[1].Wait, 10 * time.Second},
		"phase":    {tr.Phase, time.Second},
		"settle":   {tr.Settle, 10 * time.Second},
		"within":   {until.Within, 20 * time.Second},
		"deadline": {s.Steps[3].Parallel[0].Admin.Deadline, 10 * time.Second},
		"load":     {s.Loads["probe"].Timeout, 10 * time.Second},
		"life":     {s.Loads["crowd"].Duration, 10 * time.Minute},
		"once":     {s.Loads["once"].Duration, 0},
		"window":   {s.Expect[2].Within, 10 * time.Second},
	} {
		if got[0] != got[1] {
			t.Errorf("%s: %s, want %s", what, got[0], got[1])
		}
	}
	if r := s.Loads["probe"].Rate; r != 50 {
		t.Errorf("probe at %g per second", r)
	}
	if r := s.Loads["crowd"].Rate; r != 1 {
		t.Errorf("crowd at %g per second", r)
	}
	if s.Loads["once"].Rate != 0 || tr.Count != 3 || s.Expect[1].AtLeast != 3 {
		t.Error("what is no time changed")
	}
	if !s.Expect[0].Reported || s.Expect[1].Reported || s.Expect[2].Reported {
		t.Errorf("%+v", s.Expect)
	}
}

// TestWhatIsJudgedOfFailover: ownership, persistence and survival are judged of slow
// appliances, and times are not.
func TestWhatIsJudgedOfFailover(t *testing.T) {
	t.Parallel()
	s, err := scenario.Load("../../scenarios", "failover")
	if err != nil {
		t.Fatal(err)
	}
	s.Slow(10)
	want := map[string]bool{
		"old-owner-silent": true, "one-owner": true, "neighbour-served": true, "persistence": true,
		"nobody-taken-out": true, "nobody-sent-away": true, "rtmp-lives": true, "rtsp-lives": true,
		"reset-by-kill": true, "reset-by-freeze": true, "reset-by-cut": true, "reset-by-blackhole": true,
		"undisturbed": false, "server-failure": false, "kill": false, "freeze": false, "cut": false, "blackhole": false,
		"healed": false, "failback": false, "proxied-return": false, "new-sessions": false,
	}
	for _, e := range s.Expect {
		if judged, known := want[e.Name]; !known || judged == e.Reported {
			t.Errorf("%s: reported %v, known %v", e.Name, e.Reported, known)
		}
	}
	if _, err := s.Text(); err != nil {
		t.Error(err)
	}
}

func TestTellsTime(t *testing.T) {
	t.Parallel()
	for metric, want := range map[string]bool{
		"outage_ms{fault=kill}.max": true, "http_latency_us{q=p99}": true, "dr_goodput_ratio": true, "switch_lost.max": true,
		"persistence_ratio": false, "rtmp_survival.min": false, "stale_claims.max": false, "failed_steps.max": false, "": false,
	} {
		if got := scenario.TellsTime(metric); got != want {
			t.Errorf("%s: %v", metric, got)
		}
	}
}

func TestSlowConfiguration(t *testing.T) {
	t.Parallel()
	o, err := scenario.ParseOverlay("test", []byte(`
cluster: {heartbeat: 100ms, dead: 300ms, lease: 250ms, init: 1s, hold_down: 5s, paired: true}
services:
  - {name: a, check: {interval: 500ms, timeout: 2s, fast: 100ms, fall: 3}}
  - {name: b, persistence: {timeout: 5m}}
  - {name: c, check: {interval: soon}}
`))
	if err != nil {
		t.Fatal(err)
	}
	got, err := o.Slow(10).YAML()
	if err != nil {
		t.Fatal(err)
	}
	want := `cluster:
    dead: 3s
    heartbeat: 1s
    hold_down: 5s
    init: 10s
    lease: 2.5s
    paired: true
services:
    - check:
        fall: 3
        fast: 1s
        interval: 5s
        timeout: 20s
      name: a
    - name: b
      persistence:
        timeout: 5m
    - check:
        interval: soon
      name: c
`
	if string(got) != want {
		t.Errorf("%s", got)
	}
	if text, _ := o.YAML(); string(text) == want {
		t.Error("the original changed")
	}
}
