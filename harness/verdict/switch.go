package verdict

import (
	"maps"
	"slices"
	"time"

	"github.com/vosbed/vosbed/harness/observe"
)

// MetricSwitchLost is how many datagrams of a probe were lost by a planned
// switchover, label fault (takeover or release).
const MetricSwitchLost = "switch_lost"

// planned are the kinds of faults that are commands to change the owner.
func planned() []string { return []string{"takeover", "release"} }

// calm is the time before a planned switchover in which nothing else is lost.
const calm = time.Second

// switches derives switch_lost from what each probe had sent and not received
// back: after the switchover, less before it. That is what was lost and what was
// under way, so the least of some intervals is taken, and what arrived late is
// none of it.
func (h *facts) switches(m Metrics) {
	for _, w := range h.faults {
		if !slices.Contains(planned(), w.fault.Kind) {
			continue
		}
		lost, at := 0.0, -1
		of := h.missing()
		for _, load := range slices.Sorted(maps.Keys(of)) {
			before, _, known := least(of[load], w.from-calm, w.from)
			after, index, seen := least(of[load], w.to, w.next)
			if known && seen && (at < 0 || after-before > lost) {
				lost, at = max(0, after-before), index
			}
		}
		if at >= 0 {
			m.at(MetricSwitchLost, w.labels()).add(lost, at)
		}
	}
}

// missing is how many datagrams each probe missed at the end of each interval.
func (h *facts) missing() map[string][]timed[float64] {
	out, sum := make(map[string][]timed[float64]), make(map[string]float64)
	for _, s := range h.series {
		if _, ok := s.v.Values[observe.ValueHole]; ok {
			sum[s.name] += s.v.Values[observe.ValueSent] - s.v.Values[observe.ValueReceived]
			out[s.name] = append(out[s.name], timed[float64]{t: s.t, at: s.at, v: sum[s.name]})
		}
	}
	return out
}

// least is the least value within a time, and its record.
func least(of []timed[float64], from, to time.Duration) (v float64, at int, ok bool) {
	for _, s := range of {
		if s.t >= from && s.t <= to && (!ok || s.v < v) {
			v, at, ok = s.v, s.at, true
		}
	}
	return v, at, ok
}
