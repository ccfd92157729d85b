package verdict_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vosbed/vosbed/harness/observe"
	"github.com/vosbed/vosbed/harness/scenario"
	"github.com/vosbed/vosbed/harness/verdict"
)

const ms = time.Millisecond

// story builds small histories.
type story struct {
	t  *testing.T
	rs []observe.Record
}

func tell(t *testing.T) *story {
	t.Helper()
	s := &story{t: t}
	return s.add(0, observe.KindRun, "", observe.Run{Scenario: "s", Started: time.Unix(1e9, 0).UTC()})
}

func (s *story) add(at time.Duration, k observe.Kind, name string, v any) *story {
	s.t.Helper()
	r, err := observe.New(at, k, name, v)
	if err != nil {
		s.t.Fatal(err)
	}
	s.rs = append(s.rs, r)
	return s
}

func (s *story) fault(at time.Duration, kind, target string) *story {
	return s.add(at, observe.KindFault, kind, observe.Fault{Kind: kind, Target: target})
}

func (s *story) heal(at time.Duration, kind, target string) *story {
	return s.add(at, observe.KindHeal, kind, observe.Fault{Kind: kind, Target: target})
}

func (s *story) gap(from, to time.Duration) *story {
	return s.add(to, observe.KindGap, "p", observe.Gap{From: from, To: to, Outage: to - from - ms, Lost: 3})
}

// probe is a probe that runs from the start with holes of hole ms.
func (s *story) probe(to time.Duration, hole float64) *story {
	for at := 100 * ms; at <= to; at += 100 * ms {
		s.add(at, observe.KindSeries, "p", observe.Series{Interval: 100 * ms, Values: map[string]float64{"sent": 100, "hole_ms": hole}})
	}
	return s
}

func (s *story) sample(at time.Duration, metric string, v float64, labels ...string) *story {
	m := map[string]string{}
	for i := 0; i+1 < len(labels); i += 2 {
		m[labels[i]] = labels[i+1]
	}
	return s.add(at, observe.KindSample, "load", observe.Sample{Metric: metric, Value: v, Labels: m})
}

// timed is a sample in milliseconds.
func (s *story) timed(at time.Duration, metric string, v float64) *story {
	return s.add(at, observe.KindSample, "load", observe.Sample{Metric: metric, Value: v, Unit: "ms"})
}

func (s *story) status(at time.Duration, node, role, ht1 string) *story {
	s.add(at, observe.KindStatus, node, map[string]any{
		"node": node, "role": role, "problems": []string{},
		"pair":     map[string]any{"lease_held": role == "active"},
		"services": []any{map[string]any{"name": "Traffic", "servers": []any{map[string]any{"name": "HT1", "state": ht1, "up": ht1 != "down"}}}},
	})
	s.rs[len(s.rs)-1].Node = node
	return s
}

func TestMetricExpectations(t *testing.T) {
	kill := func(t *testing.T) *story {
		t.Helper()
		return tell(t).probe(30*time.Second, 2).
			fault(5*time.Second, "kill", "lb1").gap(4990*ms, 5300*ms).heal(8*time.Second, "kill", "lb1").
			fault(15*time.Second, "kill", "lb2").gap(14999*ms, 15401*ms).gap(16*time.Second, 16050*ms).heal(18*time.Second, "kill", "lb2")
	}
	tests := []struct {
		name     string
		story    *story
		e        scenario.Expectation
		want     verdict.Verdict
		observed string
	}{
		{"max holds", kill(t), scenario.Expectation{Metric: "outage_ms{fault=kill}.max", Max: new(float64(450)), AtLeast: 2, Floor: "noise_floor_ms.p99"}, verdict.Pass, "401 ms"},
		{"max broken", kill(t), scenario.Expectation{Metric: "outage_ms{fault=kill}.max", Max: new(float64(400))}, verdict.Fail, "401 ms"},
		{"every value", kill(t), scenario.Expectation{Metric: "outage_ms{fault=kill}", Max: new(float64(400))}, verdict.Fail, "309 to 401 ms"},
		{"median", kill(t), scenario.Expectation{Metric: "outage_ms.median", Max: new(float64(400))}, verdict.Pass, "355 ms"},
		{"sum of holes", kill(t), scenario.Expectation{Metric: "outage_total_ms{fault=kill}.max", Max: new(float64(1000))}, verdict.Pass, "450 ms"},
		{"too few samples", kill(t), scenario.Expectation{Metric: "outage_ms{fault=kill}.max", Max: new(float64(450)), AtLeast: 10}, verdict.Broken, "nothing"},
		{"no such fault", kill(t), scenario.Expectation{Metric: "outage_ms{fault=freeze}.max", Max: new(float64(450))}, verdict.Broken, "nothing"},
		{"no limit", kill(t), scenario.Expectation{Metric: "outage_ms.max"}, verdict.Broken, "nothing"},
		{"bad reference", kill(t), scenario.Expectation{Metric: "outage_ms{fault.max", Max: new(float64(1))}, verdict.Broken, "nothing"},
		{
			"noise floor too high", tell(t).probe(30*time.Second, 95).fault(5*time.Second, "kill", "a").heal(6*time.Second, "kill", "a"),
			scenario.Expectation{Metric: "outage_ms{fault=kill}.max", Max: new(float64(450)), Floor: "noise_floor_ms.p99"},
			verdict.Inconclusive, "0 ms",
		},
		{
			"late pacer", kill(t).sample(20*time.Second, "pacer_late_us", 100_000),
			scenario.Expectation{Metric: "outage_ms.max", Max: new(float64(450)), Floor: "noise_floor_ms.p99"},
			verdict.Inconclusive, "401 ms",
		},
		{
			"stolen time", kill(t).sample(20*time.Second, "steal_pct", 30),
			scenario.Expectation{Metric: "outage_ms.max", Max: new(float64(450)), Floor: "noise_floor_ms.p99"},
			verdict.Inconclusive, "401 ms",
		},
		{
			"floor not measured", tell(t).timed(1, "x", 1),
			scenario.Expectation{Metric: "x", Max: new(float64(1)), Floor: "noise_floor_ms.p99"},
			verdict.Inconclusive, "1 ms",
		},
		{
			"no probe, no outage", tell(t).fault(1*time.Second, "kill", "a").heal(2*time.Second, "kill", "a"),
			scenario.Expectation{Metric: "outage_ms{fault=kill}.max", Max: new(float64(450))},
			verdict.Broken, "nothing",
		},
		{
			"probe without hole", tell(t).probe(9*time.Second, 1).fault(3*time.Second, "cut", "a").heal(4*time.Second, "cut", "a"),
			scenario.Expectation{Metric: "outage_ms{fault=cut}.max", Max: new(float64(1))},
			verdict.Pass, "0 ms",
		},
		{"equals holds", tell(t).sample(1, "split", 0).sample(2, "split", 0), scenario.Expectation{Metric: "split", Equals: new(float64(0))}, verdict.Pass, "0"},
		{"equals for all", tell(t).sample(1, "split", 0).sample(2, "split", 1), scenario.Expectation{Metric: "split", Equals: new(float64(0))}, verdict.Fail, "0 to 1"},
		{"min", tell(t).sample(1, "up", 0.9), scenario.Expectation{Metric: "up", Min: new(float64(1))}, verdict.Fail, "0.900"},
		{"no direction", tell(t).sample(1, "up", 1), scenario.Expectation{}, verdict.Broken, "nothing"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := verdict.Judge([]scenario.Expectation{tt.e}, tt.story.rs)
			got := r.Expectations[0]
			if got.Verdict != tt.want || got.Observed != tt.observed || r.Verdict != tt.want {
				t.Errorf("%s, observed %q, overall %s (%s); want %s, %q", got.Verdict, got.Observed, r.Verdict, got.Evidence, tt.want, tt.observed)
			}
			if got.Evidence == "" {
				t.Error("no evidence")
			}
		})
	}
}

func TestEvidencePointsAtTheRecord(t *testing.T) {
	s := tell(t).probe(2*time.Second, 1).fault(time.Second, "kill", "a").gap(995*ms, 1500*ms).heal(1900*ms, "kill", "a")
	r := verdict.Judge([]scenario.Expectation{{Name: "n", Metric: "outage_ms{fault=kill}.max", Max: new(float64(100))}}, s.rs)
	got := r.Expectations[0].Records
	if len(got) != 1 || s.rs[got[0]-1].Kind != observe.KindGap {
		t.Fatalf("records %v do not point at the gap", got)
	}
}

func TestTemporalExpectations(t *testing.T) {
	s := tell(t).
		status(1*time.Second, "lb1", "active", "serving").status(1*time.Second, "lb2", "passive", "serving").
		fault(3*time.Second, "kill", "lb1").
		status(3300*ms, "lb2", "active", "serving").status(4*time.Second, "lb2", "active", "down").
		heal(6*time.Second, "kill", "lb1").
		status(7*time.Second, "lb1", "passive", "serving").status(7*time.Second, "lb2", "active", "serving").
		add(8*time.Second, observe.KindStep, "calm", observe.Span{What: "wait"}).
		status(8500*ms, "lb1", "passive", "serving").
		add(9*time.Second, observe.KindStep, "calm", observe.Span{What: "wait", End: true}).
		status(10*time.Second, "lb1", "active", "serving")
	tests := []struct {
		name string
		e    scenario.Expectation
		want verdict.Verdict
		says string
	}{
		{"takeover", scenario.Expectation{Eventually: `role == "active"`, Node: "lb2", From: "kill", Within: time.Second}, verdict.Pass, "0.300s"},
		{"takeover too late", scenario.Expectation{Eventually: `role == "active"`, Node: "lb2", From: "kill", Within: 200 * ms}, verdict.Broken, "no status"},
		{"seen but not true", scenario.Expectation{Eventually: `role == "passive"`, Node: "lb2", From: "kill", Within: 2 * time.Second}, verdict.Fail, "not true"},
		{"server down", scenario.Expectation{Eventually: `server("Traffic/HT1").state == "down"`, From: "kill", Within: 2 * time.Second}, verdict.Pass, "1.000s"},
		{"after the heal", scenario.Expectation{Eventually: `server("Traffic/HT1").up`, From: "heal:kill", Within: 2 * time.Second}, verdict.Pass, "1.000s"},
		{"unknown server", scenario.Expectation{Eventually: `server("Traffic/HT9").up`}, verdict.Broken, "no server"},
		{"never, and it happened", scenario.Expectation{Never: `role == "active"`, Node: "lb1", From: "heal:kill"}, verdict.Fail, "true on lb1"},
		{"never until", scenario.Expectation{Never: `role == "active"`, Node: "lb1", From: "heal:kill", To: "calm"}, verdict.Pass, "false in all"},
		{"always in a step", scenario.Expectation{Always: `role == "passive" && !pair.lease_held`, Node: "lb1", From: "calm", To: "calm"}, verdict.Pass, "true in all"},
		{"always counts the state before", scenario.Expectation{Always: `role == "active"`, Node: "lb2", From: "kill", To: "heal:kill"}, verdict.Fail, "false on lb2"},
		{"vacuous", scenario.Expectation{Never: `role == "standalone"`, Witness: `role == "standalone"`}, verdict.Broken, "never held"},
		{"witnessed", scenario.Expectation{Never: `len(problems) > 0`, Witness: `role == "active"`}, verdict.Pass, "false in all"},
		{"no such event", scenario.Expectation{Never: `true`, From: "flood"}, verdict.Broken, "did not happen"},
		{"bad expression", scenario.Expectation{Never: `rolle == "x"`}, verdict.Broken, "rolle"},
		{"no status at all", scenario.Expectation{Always: `true`, Node: "lb9"}, verdict.Broken, "no status of lb9"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := verdict.Judge([]scenario.Expectation{tt.e}, s.rs).Expectations[0]
			if got.Verdict != tt.want || !strings.Contains(got.Observed+got.Evidence, tt.says) {
				t.Errorf("%s: %s; %s; want %s with %q", got.Verdict, got.Observed, got.Evidence, tt.want, tt.says)
			}
		})
	}
}

func TestEveryOccurrenceIsJudged(t *testing.T) {
	s := tell(t).
		fault(1*time.Second, "kill", "a").status(1500*ms, "lb2", "active", "serving").
		fault(5*time.Second, "kill", "a").status(5500*ms, "lb2", "passive", "serving")
	e := scenario.Expectation{Eventually: `role == "active"`, From: "kill", Within: time.Second}
	got := verdict.Judge([]scenario.Expectation{e}, s.rs).Expectations[0]
	if got.Verdict != verdict.Fail || !strings.Contains(got.Evidence, "2 windows") {
		t.Errorf("%s: %s", got.Verdict, got.Evidence)
	}
}

func TestCheckExpr(t *testing.T) {
	for text, ok := range map[string]bool{
		`role == "active"`:                                 true,
		`server("A/B").state in ["down", "halted"]`:        true,
		`any(arp_conflicts, .server == "HT1")`:             true,
		`len(services) == 2 && service("A").layer == "l4"`: true,
		`role`:          false,
		`nosuch == 1`:   false,
		`role == `:      false,
		`len(problems)`: false,
	} {
		if err := verdict.CheckExpr(text); (err == nil) != ok {
			t.Errorf("CheckExpr(%q) = %v", text, err)
		}
	}
}

func stopped(s *story) *story {
	return s.add(2, observe.KindEvent, observe.EventStopped, observe.Note{Text: "stopped early"})
}

// brokenLate ends a run after 10 s because a program was not ready.
func brokenLate(s *story) *story {
	return s.add(10*time.Second, observe.KindBroken, observe.BrokenLate, observe.Note{Text: "lbd is not ready"})
}

// failedStep adds a step inside trials that fails, from 10 s on for 10 s.
func failedStep(s *story) *story {
	for _, rec := range []struct {
		at   time.Duration
		name string
		span observe.Span
	}{
		{2 * time.Second, "until", observe.Span{What: "until x"}},
		{3 * time.Second, "until", observe.Span{What: "until x", End: true}},
		{5 * time.Second, "trials", observe.Span{What: "1 trial"}},
		{10 * time.Second, "until", observe.Span{What: "until x"}},
		{20 * time.Second, "until", observe.Span{What: "until x", End: true, Err: "not within 10s"}},
		{20 * time.Second, "trials", observe.Span{What: "1 trial", End: true, Err: "not within 10s"}},
	} {
		s.add(rec.at, observe.KindStep, rec.name, rec.span)
	}
	return s.sample(20*time.Second, "x", 1).sample(20*time.Second, "failed_steps", 1)
}

func TestOverall(t *testing.T) {
	pass := scenario.Expectation{Name: "p", Metric: "x", Max: new(float64(1))}
	fail := scenario.Expectation{Name: "f", Metric: "x", Max: new(float64(0))}
	missing := scenario.Expectation{Name: "b", Metric: "y", Max: new(float64(0))}
	steps := scenario.Expectation{Name: scenario.Steps, Metric: "failed_steps.max", Max: new(float64(0))}
	noisy := scenario.Expectation{Name: "i", Metric: "x", Max: new(float64(1)), Floor: "y.p99"}
	tests := []struct {
		name  string
		story *story
		e     []scenario.Expectation
		want  verdict.Verdict
	}{
		{"pass", tell(t).sample(1, "x", 1), []scenario.Expectation{pass, pass}, verdict.Pass},
		{"one fails", tell(t).sample(1, "x", 1), []scenario.Expectation{pass, noisy, fail}, verdict.Fail},
		{"noise", tell(t).timed(1, "x", 1), []scenario.Expectation{pass, noisy}, verdict.Inconclusive},
		{"nothing to judge one by", tell(t).sample(1, "x", 1), []scenario.Expectation{missing, pass}, verdict.Broken},
		{"what fails is not hidden by what is missing", tell(t).sample(1, "x", 1), []scenario.Expectation{missing, fail}, verdict.Fail},
		{"lab failed, and something else", tell(t).sample(1, "x", 1).add(2, observe.KindBroken, "lab", observe.Note{Text: "oops"}), []scenario.Expectation{fail}, verdict.Broken},
		{"stopped before it was measured", stopped(tell(t).sample(1, "x", 1)), []scenario.Expectation{missing, pass}, verdict.Inconclusive},
		{"stopped before it came true", stopped(tell(t).sample(1, "x", 1)), []scenario.Expectation{{Name: "m", Metric: "x", Min: new(float64(2))}}, verdict.Inconclusive},
		{"stopped when it had failed for good", stopped(tell(t).sample(1, "x", 1)), []scenario.Expectation{missing, fail}, verdict.Fail},
		{"lab failed", tell(t).sample(1, "x", 1).add(2, observe.KindBroken, "lab", observe.Note{Text: "oops"}), []scenario.Expectation{pass}, verdict.Broken},
		{"unreadable record", tell(t).sample(1, "x", 1).add(2, observe.KindGap, "p", "text"), []scenario.Expectation{pass}, verdict.Broken},
		{"nothing expected", tell(t), nil, verdict.Broken},
		{"programs were not ready on a machine that stood still", brokenLate(tell(t).sample(5*time.Second, observe.MetricTimerLate, 4000)), []scenario.Expectation{missing}, verdict.Inconclusive},
		{"programs were not ready on a machine that had time", brokenLate(tell(t).sample(5*time.Second, observe.MetricTimerLate, 300)), []scenario.Expectation{missing}, verdict.Broken},
		{"and something else broke", brokenLate(tell(t).sample(5*time.Second, observe.MetricTimerLate, 4000)).add(9, observe.KindBroken, "probe", observe.Note{}), []scenario.Expectation{missing}, verdict.Broken},
		{"a step failed when the machine stood still", failedStep(tell(t).sample(18*time.Second, observe.MetricTimerLate, 4000)), []scenario.Expectation{steps, missing, pass}, verdict.Inconclusive},
		{"a step failed on a machine that stood still before", failedStep(tell(t).sample(9*time.Second, observe.MetricTimerLate, 4000)), []scenario.Expectation{steps, missing}, verdict.Fail},
		{"a step failed, and what fails for good", failedStep(tell(t).sample(18*time.Second, observe.MetricTimerLate, 4000)), []scenario.Expectation{steps, fail}, verdict.Fail},
		{"a step failed", failedStep(tell(t)), []scenario.Expectation{steps, missing}, verdict.Fail},
		{"no run record", &story{t: t}, []scenario.Expectation{pass}, verdict.Broken},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := verdict.Judge(tt.e, tt.story.rs).Verdict; got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

func TestDerivedMetricsAndResultJSON(t *testing.T) {
	s := tell(t).probe(20*time.Second, 2).
		add(900*ms, observe.KindFrame, "", observe.Frame{VIP: "v", Node: "lb1"}).
		fault(5*time.Second, "kill", "lb1").gap(4999*ms, 5310*ms).
		add(5290*ms, observe.KindFrame, "", observe.Frame{VIP: "v", Node: "lb2"}).
		add(5400*ms, observe.KindFrame, "", observe.Frame{VIP: "v", Node: "lb1"}).
		sample(6*time.Second, "rtsp_stall_ms", 900).sample(5500*ms, "rtsp_died", 1, "flow", "3").
		heal(8*time.Second, "kill", "lb1").
		sample(19*time.Second, "rtsp_flows", 10).sample(19*time.Second, "rtsp_survival", 0.9).sample(19*time.Second, "http_flows", 1)
	for i, d := range []float64{1000, 2000, 4000} {
		pair := string(rune('1' + i))
		s.sample(time.Second, "dr_goodput", d, "path", "direct", "pair", pair)
		s.sample(time.Second, "dr_goodput", d*[]float64{0.8, 0.9, 0.7}[i], "path", "vip", "pair", pair)
	}
	m := verdict.Compute(s.rs)
	for ref, want := range map[string]float64{
		"takeover_ms{fault=kill}.max": 290, "stale_claims{fault=kill}.max": 1, "rtsp_stall_ms{fault=kill}.max": 900,
		"rtsp_survival{fault=kill}.min": 0.9, "dr_goodput_ratio.median": 0.8, "dr_goodput_ratio.n": 3, "noise_floor_ms.p99": 2,
		"heal_outage_ms{fault=kill}.max": 0, "http_stall_ms{fault=kill}.max": 0,
	} {
		r, err := verdict.ParseRef(ref)
		if err != nil {
			t.Fatal(err)
		}
		st, ok := m.Find(r)
		got := map[string]float64{"max": st.Max, "min": st.Min, "median": st.Median, "n": float64(st.N), "p99": st.P99}[r.Stat]
		if !ok || math.Abs(got-want) > 1e-9 {
			t.Errorf("%s = %v (found %t), want %v", ref, got, ok, want)
		}
	}
	raw, err := json.Marshal(verdict.Judge(nil, s.rs))
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Scenario string `json:"scenario"`
		Metrics  struct {
			Outage map[string]map[string]float64 `json:"outage_ms"`
			DR     float64                       `json:"dr_goodput_ratio"`
		} `json:"metrics"`
	}
	if err := json.Unmarshal(bytesWithoutUnits(raw), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]float64{"n": 1, "min": 310, "median": 310, "p95": 310, "p99": 310, "max": 310, "mean": 310, "noise_floor": 2}
	if diff := cmp.Diff(want, got.Metrics.Outage["kill"]); diff != "" || got.Metrics.DR != 0.8 || got.Scenario != "s" {
		t.Errorf("%s\n%s", diff, raw)
	}
}

// bytesWithoutUnits drops the one text field of statistics.
func bytesWithoutUnits(raw []byte) []byte {
	return []byte(strings.ReplaceAll(string(raw), `,"unit":"ms"`, ""))
}

func TestLaterFaultTakesOver(t *testing.T) {
	s := tell(t).probe(20*time.Second, 1).
		fault(2*time.Second, "kill-server", "ht1").gap(1999*ms, 2100*ms).
		fault(8*time.Second, "kill", "lb1").gap(7999*ms, 8400*ms).
		heal(12*time.Second, "kill", "lb1").heal(13*time.Second, "kill-server", "ht1")
	m := verdict.Compute(s.rs)
	server, _ := m.Find(verdict.Ref{Metric: "outage_ms", Labels: map[string]string{"fault": "kill-server"}})
	lb, _ := m.Find(verdict.Ref{Metric: "outage_ms", Labels: map[string]string{"fault": "kill"}})
	if server.Max != 100 || lb.Max != 400 {
		t.Errorf("kill-server %v, kill %v; want 100 and 400", server.Max, lb.Max)
	}
}

func TestParseRef(t *testing.T) {
	tests := []struct {
		in   string
		want verdict.Ref
		ok   bool
	}{
		{"a", verdict.Ref{Metric: "a"}, true},
		{"a.max", verdict.Ref{Metric: "a", Stat: "max"}, true},
		{`a{x=1, y="b.c"}`, verdict.Ref{Metric: "a", Labels: map[string]string{"x": "1", "y": "b.c"}}, true},
		{"a{x=1}.p99", verdict.Ref{Metric: "a", Labels: map[string]string{"x": "1"}, Stat: "p99"}, true},
		{"a.avg", verdict.Ref{}, false},
		{"a{x}", verdict.Ref{}, false},
		{"a{x=1}max", verdict.Ref{}, false},
		{"a{x=1", verdict.Ref{}, false},
		{"", verdict.Ref{}, false},
		{"a b", verdict.Ref{}, false},
	}
	for _, tt := range tests {
		got, err := verdict.ParseRef(tt.in)
		if diff := cmp.Diff(tt.want, got); diff != "" || (err == nil) != tt.ok {
			t.Errorf("ParseRef(%q): %v %s", tt.in, err, diff)
		}
	}
}

func FuzzParseRef(fz *testing.F) {
	fz.Add("a{b=c}.max")
	fz.Fuzz(func(t *testing.T, text string) {
		r, err := verdict.ParseRef(text)
		if err == nil && r.Metric == "" {
			t.Errorf("%q has no metric", text)
		}
	})
}
