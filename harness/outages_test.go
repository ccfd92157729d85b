package harness

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vosbed/vosbed/harness/report"
)

func TestOutagesAreATable(t *testing.T) {
	var res report.Result
	const text = `{"metrics": {"outage_ms": {"kill": {"n": 25, "min": 40, "median": 51.2, "p99": 94, "max": 94.4}, "cut": {"n": 5, "median": 0, "p99": 8, "max": 8}}}}`
	if err := json.Unmarshal([]byte(text), &res); err != nil {
		t.Fatal(err)
	}
	want := "\n" +
		"  outage       trials    median       p99       max\n" +
		"  cut               5      0 ms      8 ms      8 ms\n" +
		"  kill             25     51 ms     94 ms     94 ms\n"
	if d := cmp.Diff(want, outages(res)); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if got := outages(report.Result{}); got != "" {
		t.Errorf("without faults: %q", got)
	}
}
