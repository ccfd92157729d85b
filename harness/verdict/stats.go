package verdict

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Stats is one distribution. Percentiles are by nearest rank, so that each is a
// value that was observed; the median of an even number is the mean of the two
// in the middle.
type Stats struct {
	N      int     `json:"n"`
	Min    float64 `json:"min"`
	Median float64 `json:"median"`
	P95    float64 `json:"p95"`
	P99    float64 `json:"p99"`
	Max    float64 `json:"max"`
	Mean   float64 `json:"mean"`
	// NoiseFloor is the noise floor's p99 in the same unit, where one applies.
	NoiseFloor *float64 `json:"noise_floor,omitempty"`
	Unit       string   `json:"unit,omitempty"`
	// Plain marks a value that is one number by nature, such as a ratio; it is
	// Median, and N what it was made of.
	Plain bool `json:"-"`
	// Records are the 0-based indices of the records with the least and the
	// greatest value, for evidence; -1 when unknown.
	MinAt, MaxAt int `json:"-"`
}

// point is one value and the record it came from.
type point struct {
	v  float64
	at int
}

// describe makes the statistics of points, of which there is at least one.
func describe(points []point, unit string) Stats {
	sorted := slices.Clone(points)
	slices.SortStableFunc(sorted, func(a, b point) int {
		switch {
		case a.v < b.v:
			return -1
		case a.v > b.v:
			return 1
		}
		return 0
	})
	n := len(sorted)
	s := Stats{
		N: n, Unit: unit,
		Min: sorted[0].v, Max: sorted[n-1].v, MinAt: sorted[0].at, MaxAt: sorted[n-1].at,
		P95: sorted[rank(n, 0.95)].v, P99: sorted[rank(n, 0.99)].v,
		Median: (sorted[(n-1)/2].v + sorted[n/2].v) / 2,
	}
	for _, p := range sorted {
		s.Mean += p.v / float64(n)
	}
	return s
}

// rank is the 0-based nearest rank of quantile q among n values.
func rank(n int, q float64) int { return max(int(math.Ceil(q*float64(n)))-1, 0) }

// stat returns a statistic by name.
func (s Stats) stat(name string) (float64, error) {
	switch name {
	case "n":
		return float64(s.N), nil
	case "min":
		return s.Min, nil
	case "median":
		return s.Median, nil
	case "p95":
		return s.P95, nil
	case "p99":
		return s.P99, nil
	case "max":
		return s.Max, nil
	case "mean":
		return s.Mean, nil
	}
	return 0, fmt.Errorf("unknown statistic %q: use n, min, median, p95, p99, max or mean", name)
}

// Ref names a statistic of a metric, for example
// "outage_ms{fault=kill}.max". Without labels all distributions of the metric
// are meant together, and labels that are not given match any value. Without a
// statistic every single value is meant.
type Ref struct {
	Metric string
	Labels map[string]string
	Stat   string
}

// ParseRef reads a reference and checks its form.
func ParseRef(text string) (Ref, error) {
	r := Ref{Metric: text}
	bad := func(why string) (Ref, error) {
		return Ref{}, fmt.Errorf("metric %q: %s; write metric{label=value}.max", text, why)
	}
	head, rest, braces := strings.Cut(text, "{")
	if braces {
		inside, tail, closed := strings.Cut(rest, "}")
		if !closed {
			return bad("no closing brace")
		}
		labels, err := parseLabels(inside)
		if err != nil {
			return bad(err.Error())
		}
		r.Metric, r.Labels, rest = head, labels, tail
	} else if i := strings.LastIndexByte(text, '.'); i >= 0 {
		r.Metric, rest = text[:i], text[i:]
	} else {
		rest = ""
	}
	if r.Metric == "" || strings.ContainsAny(r.Metric, " \t}=,") {
		return bad("no proper name")
	}
	if rest == "" {
		return r, nil
	}
	stat, ok := strings.CutPrefix(rest, ".")
	if !ok {
		return bad("a statistic follows after a dot")
	}
	r.Stat = stat
	if _, err := (Stats{}).stat(stat); err != nil {
		return bad(err.Error())
	}
	return r, nil
}

func parseLabels(text string) (map[string]string, error) {
	labels := make(map[string]string)
	for part := range strings.SplitSeq(text, ",") {
		k, v, ok := strings.Cut(part, "=")
		k, v = strings.TrimSpace(k), strings.Trim(strings.TrimSpace(v), `"`)
		if !ok || k == "" || v == "" {
			return nil, fmt.Errorf("label %q is not name=value", part)
		}
		labels[k] = v
	}
	return labels, nil
}

// key is the canonical text of labels: sorted, "a=b,c=d".
func key(labels map[string]string) string {
	var b strings.Builder
	for i, k := range slices.Sorted(maps.Keys(labels)) {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(k + "=" + labels[k])
	}
	return b.String()
}

// number writes a value for people: up to four significant digits, whole
// numbers whole.
func number(v float64) string {
	if v == math.Trunc(v) && math.Abs(v) < 1e15 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	if math.Abs(v) >= 1000 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}

// Quantity writes a value with its unit for people: bytes in binary multiples,
// fractions with three decimals, thousands apart from 10 000 on.
func Quantity(v float64, unit string) string {
	switch {
	case unit == "B" && math.Abs(v) >= 1024:
		return bytesText(v)
	case unit != "":
		return grouped(v) + " " + unit
	case math.Abs(v) < 10 && v != math.Trunc(v):
		return fraction(v)
	}
	return grouped(v)
}

// fraction has three decimals, unless they would hide what is left to the next
// whole number.
func fraction(v float64) string {
	text := strconv.FormatFloat(v, 'f', 3, 64)
	if strings.HasSuffix(text, ".000") {
		return strconv.FormatFloat(v, 'g', 6, 64)
	}
	return text
}

func bytesText(v float64) string {
	i := -1
	for ; math.Abs(v) >= 1024 && i < 4; i++ {
		v /= 1024
	}
	return strconv.FormatFloat(v, 'f', 1, 64) + " " + []string{"KiB", "MiB", "GiB", "TiB", "PiB"}[i]
}

// grouped is number with narrow spaces between thousands.
func grouped(v float64) string {
	text := number(v)
	if math.Abs(v) < 10000 || strings.ContainsAny(text, "e.") {
		return text
	}
	var b strings.Builder
	for i, c := range text {
		if i > 0 && (len(text)-i)%3 == 0 && text[i-1] != '-' {
			b.WriteRune('\u202f')
		}
		b.WriteRune(c)
	}
	return b.String()
}
