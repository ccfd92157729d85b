package verdict_test

import (
	"testing"
	"time"

	"github.com/vosbed/vosbed/harness/scenario"
	"github.com/vosbed/vosbed/harness/verdict"
)

// TestReportedIsNotJudged: the verdict of the run does not depend on it, and what was
// observed is told.
func TestReportedIsNotJudged(t *testing.T) {
	t.Parallel()
	s := tell(t).timed(time.Second, "latency_ms", 50).sample(time.Second, "stale", 0)
	limit := func(v float64) *float64 { return &v }
	judged := scenario.Expectation{Name: "j", Metric: "stale.max", Max: limit(0)}
	late := scenario.Expectation{Name: "r", Metric: "latency_ms.max", Max: limit(10), Reported: true}
	missing := scenario.Expectation{Name: "m", Metric: "unknown_ms.max", Max: limit(10), Reported: true}
	r := verdict.Judge([]scenario.Expectation{judged, late, missing}, s.rs)
	if r.Verdict != verdict.Pass {
		t.Errorf("the run is %s", r.Verdict)
	}
	for _, e := range r.Expectations[1:] {
		if e.Verdict != verdict.Reported {
			t.Errorf("%s is %s", e.Name, e.Verdict)
		}
	}
	if got := r.Expectations[1].Observed; got != "50 ms" {
		t.Errorf("observed %q", got)
	}
	judged.Max = limit(-1)
	if r := verdict.Judge([]scenario.Expectation{judged, late}, s.rs); r.Verdict != verdict.Fail {
		t.Errorf("the run is %s", r.Verdict)
	}
}
