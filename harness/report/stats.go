package report

import (
	"maps"
	"slices"
	"strings"

	"github.com/vosbed/vosbed/harness/verdict"
)

// mostRows is how many distributions of one metric are shown at once; more are
// folded into one line.
const mostRows = 8

// group is the statistics of one metric.
type group struct {
	Name, Unit string
	Rows       []statRow
	// Folded are the single distributions where Rows shows them together.
	Folded []statRow
}

type statRow struct {
	Label string
	Cells []string
}

// groups lays the metrics out: single numbers, and distributions by name. Those
// of interleaved pairs, and long lists, are folded.
func groups(m verdict.Metrics) (tiles []pair, out []group) {
	var now *group
	m.Each(func(name, labels string, s verdict.Stats) {
		if name == verdict.MetricAnatomy {
			return // has a table of its own
		}
		if labels == "" && (s.Plain || s.N == 1) {
			tiles = append(tiles, pair{name, verdict.Quantity(s.Median, s.Unit)})
			return
		}
		if now == nil || now.Name != name {
			out = append(out, group{Name: name, Unit: s.Unit})
			now = &out[len(out)-1]
		}
		now.Rows = append(now.Rows, statRow{labels, cells(s)})
	})
	for i := range out {
		fold(m, &out[i])
	}
	return tiles, out
}

// fold puts the distributions of a group together over the label pair, and over
// all labels when there are still too many.
func fold(m verdict.Metrics, g *group) {
	merged := make(map[string]map[string]string) // labels to show: labels to find
	paired := false
	for _, r := range g.Rows {
		rest := labelsOf(r.Label)
		if _, ok := rest["pair"]; ok {
			paired = true
			delete(rest, "pair")
		}
		merged[labelText(rest)] = rest
	}
	if !paired && len(g.Rows) <= mostRows {
		return
	}
	if len(merged) > mostRows {
		merged = map[string]map[string]string{"all": nil}
	}
	g.Folded, g.Rows = g.Rows, nil
	for _, text := range slices.Sorted(maps.Keys(merged)) {
		if s, ok := m.Find(verdict.Ref{Metric: g.Name, Labels: merged[text]}); ok {
			g.Rows = append(g.Rows, statRow{text, cells(s)})
		}
	}
}

// labelsOf reads "a=b,c=d".
func labelsOf(text string) map[string]string {
	out := make(map[string]string)
	for part := range strings.SplitSeq(text, ",") {
		if k, v, ok := strings.Cut(part, "="); ok {
			out[k] = v
		}
	}
	return out
}

func labelText(labels map[string]string) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		parts = append(parts, k+"="+labels[k])
	}
	return strings.Join(parts, ",")
}

// cells are n, min, median, p95, p99, max; of a single number only the median.
func cells(s verdict.Stats) []string {
	if s.Plain {
		return []string{human(float64(s.N)), "", quantity(s.Median, s.Unit), "", "", ""}
	}
	out := []string{human(float64(s.N))}
	for _, v := range []float64{s.Min, s.Median, s.P95, s.P99, s.Max} {
		out = append(out, quantity(v, s.Unit))
	}
	return out
}

// quantity leaves the unit to the row's head, except for bytes, whose multiple
// goes with the value.
func quantity(v float64, unit string) string {
	if unit == "B" {
		return verdict.Quantity(v, unit)
	}
	return verdict.Quantity(v, "")
}
