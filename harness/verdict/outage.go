package verdict

import (
	"maps"
	"slices"
	"time"

	"github.com/vosbed/vosbed/harness/observe"
)

// Timing of the attribution of holes to faults.
const (
	// slack lets a hole begin before the fault's record: the last reply before a
	// fault is older than the fault, and the record of an injected fault may be
	// written a little after its effect.
	slack = 250 * time.Millisecond
	// settle is the time after a heal that still belongs to the fault and not
	// to the noise floor.
	settle = 3 * time.Second
	// warmUp is the beginning of a probe, when neighbours are being resolved.
	warmUp = time.Second
)

// milliseconds as a float.
func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// outages derives, per fault: outage_ms, the longest hole of any flow that began
// in the fault's window, 0 if there was none; outage_total_ms, the largest sum
// of holes of one flow; outage_flow_ms, the longest hole of each flow hit; and
// heal_outage_ms, the longest hole that began between the heal and the next
// fault. A fault without a running probe has no sample at all.
func (h *facts) outages(m Metrics) {
	for _, w := range h.faults {
		if h.probed(w.from, w.until()) {
			h.outage(m, w)
		}
		if w.healed && w.next > w.to && h.probed(w.to, w.next) {
			d := m.at("heal_outage_ms", w.labels())
			d.unit = "ms"
			longest, at := h.longest(w.aftermath())
			d.add(longest, max(at, w.at))
		}
	}
}

func (h *facts) outage(m Metrics, w window) {
	longest, at := h.longest(w)
	if at < 0 {
		at = w.at
	}
	d := m.at("outage_ms", w.labels())
	d.unit = "ms"
	d.add(longest, at)
	sums, worst := h.perFlow(w)
	total := m.at("outage_total_ms", w.labels())
	total.unit = "ms"
	var sum float64
	for _, v := range sums {
		sum = max(sum, v)
	}
	total.add(sum, at)
	flows := m.at("outage_flow_ms", w.labels())
	flows.unit = "ms"
	for _, f := range slices.Sorted(maps.Keys(worst)) {
		flows.add(worst[f], at)
	}
	if len(worst) == 0 {
		flows.add(0, at)
	}
}

// longest is the longest hole that is the fault's, with the record's index, -1 if
// there was none.
func (h *facts) longest(w window) (ms float64, at int) {
	at = -1
	for _, g := range h.gaps {
		if !w.owns(g.v.From, g.v.To) {
			continue
		}
		if v := milliseconds(g.v.Outage); at < 0 || v > ms {
			ms, at = v, g.at
		}
	}
	return ms, at
}

// perFlow sums holes and finds the longest, by load and flow.
func (h *facts) perFlow(w window) (sum, longest map[string]float64) {
	sum, longest = make(map[string]float64), make(map[string]float64)
	for _, g := range h.gaps {
		if !w.owns(g.v.From, g.v.To) {
			continue
		}
		k := g.name + "/" + number(float64(g.v.Flow))
		sum[k] += milliseconds(g.v.Outage)
		longest[k] = max(longest[k], milliseconds(g.v.Outage))
	}
	return sum, longest
}

// isProbe tells a probe's Series from those of other loads.
func isProbe(s observe.Series) bool {
	_, ok := s.Values[observe.ValueHole]
	return ok && s.Values[observe.ValueSent] > 0
}

// probed reports whether a probe was sending at some time in [from, to].
func (h *facts) probed(from, to time.Duration) bool {
	for _, s := range h.series {
		if s.t > from && s.t-s.v.Interval < to && isProbe(s.v) {
			return true
		}
	}
	return false
}

// noise derives noise_floor_ms, the longest hole of each second outside all
// faults, and notes its p99 beside outage_ms.
func (h *facts) noise(m Metrics) {
	first := make(map[string]time.Duration)
	worst := make(map[time.Duration]point)
	for _, s := range h.series {
		if !isProbe(s.v) {
			continue
		}
		if _, ok := first[s.name]; !ok {
			first[s.name] = s.t
		}
		if s.t-s.v.Interval < first[s.name]+warmUp || h.disturbed(s.t-s.v.Interval, s.t) {
			continue
		}
		sec := s.t.Truncate(time.Second)
		p, ok := worst[sec]
		if v := s.v.Values[observe.ValueHole]; !ok || v > p.v {
			worst[sec] = point{v, s.at}
		}
	}
	if len(worst) == 0 {
		return
	}
	d := m.at("noise_floor_ms", nil)
	d.unit = "ms"
	for _, sec := range slices.Sorted(maps.Keys(worst)) {
		d.points = append(d.points, worst[sec])
	}
	p99 := d.stats().P99
	for _, name := range []string{"outage_ms", "outage_total_ms", "heal_outage_ms"} {
		if mt := m.all[name]; mt != nil {
			for _, o := range mt.series {
				o.floor = &p99
			}
		}
	}
}

// disturbed reports whether a fault, or the time after its heal, touches
// [from, to].
func (h *facts) disturbed(from, to time.Duration) bool {
	for _, w := range h.faults {
		if to > w.from-slack && from < w.to+settle {
			return true
		}
	}
	return false
}
