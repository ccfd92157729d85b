package harness

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/vosbed/vosbed/harness/report"
)

// outages writes how long clients went without an answer, per kind of fault; empty
// when no fault was measured.
func outages(res report.Result) string {
	byFault, _ := res.Metrics["outage_ms"].(map[string]any)
	var b strings.Builder
	for _, fault := range slices.Sorted(maps.Keys(byFault)) {
		s, ok := byFault[fault].(map[string]any)
		if !ok || s["n"] == nil {
			continue
		}
		if b.Len() == 0 {
			fmt.Fprintf(&b, "\n  %-12s %6s %9s %9s %9s\n", "outage", "trials", "median", "p99", "max")
		}
		fmt.Fprintf(&b, "  %-12s %6.0f %6.0f ms %6.0f ms %6.0f ms\n", fault, s["n"], s["median"], s["p99"], s["max"])
	}
	return b.String()
}
