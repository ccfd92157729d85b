package verdict

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vosbed/vosbed/harness/observe"
)

// stalls attributes the stalls of streams to faults: the longest per fault and
// metric, 0 when the load ran and did not stall.
func (h *facts) stalls(m Metrics) {
	names := make(map[string]bool)
	for _, s := range h.sample {
		if strings.HasSuffix(s.v.Metric, observe.SuffixStall) {
			names[s.v.Metric] = true
		}
		if stream, ok := strings.CutSuffix(s.v.Metric, observe.SuffixFlows); ok {
			names[stream+observe.SuffixStall] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		for _, w := range h.faults {
			d := m.at(name, w.labels())
			d.unit = "ms"
			v, at := h.longestStall(name, w)
			d.add(v, at)
		}
	}
}

func (h *facts) longestStall(name string, w window) (float64, int) {
	var worst float64
	at := w.at
	for _, s := range h.sample {
		if s.v.Metric != name {
			continue
		}
		begin := s.t - time.Duration(s.v.Value*float64(time.Millisecond))
		if w.owns(begin, s.t) && s.v.Value > worst {
			worst, at = s.v.Value, s.at
		}
	}
	return worst, at
}

// survival derives <stream>_survival{fault=...}: of a load's sessions that were up
// when the fault came, the share that did not die in its window.
func (h *facts) survival(m Metrics) {
	for _, total := range h.sample {
		stream, ok := strings.CutSuffix(total.v.Metric, observe.SuffixFlows)
		if !ok || total.v.Value <= 0 || m.all[stream+"_survival"] == nil {
			continue // not a load of sessions that can die
		}
		for _, w := range h.faults {
			alive := h.alive(total.name, w.from, total.v.Value)
			if alive <= 0 {
				continue
			}
			died := make(map[string]bool)
			for _, s := range h.sample {
				if s.v.Metric == stream+observe.SuffixDied && s.name == total.name && s.t >= w.from-slack && s.t <= w.to+settle && s.t < w.next {
					died[s.v.Labels["flow"]] = true
				}
			}
			m.at(stream+"_survival", w.labels()).add(1-min(float64(len(died))/alive, 1), w.at)
		}
	}
}

// alive is how many sessions of a load were open at a time, as it said last; all of
// them when it says nothing.
func (h *facts) alive(load string, at time.Duration, all float64) float64 {
	alive := all
	for _, s := range h.series {
		if open, ok := s.v.Values[observe.ValueOpen]; ok && s.name == load && s.t <= at {
			alive = open
		}
	}
	return alive
}

// pairs derives <metric>_ratio from metrics that were measured in interleaved
// pairs: labels path (direct and vip) and pair. It is the median of vip/direct
// over the pairs; <metric>_ratio_pairs is their distribution. Any further path,
// such as haproxy, gives <metric>_haproxy_ratio in the same way.
func pairs(m Metrics) {
	for _, name := range m.Names() {
		turns, paths := turnsOf(m.all[name])
		for path := range paths {
			ratios := ratiosOf(turns, path)
			if len(ratios) == 0 {
				continue
			}
			as := name + "_" + path + "_ratio"
			if path == "vip" {
				as = name + "_ratio"
			}
			m.at(as+"_pairs", nil).points = ratios
			m.plain(as, nil, describe(ratios, "").Median, len(ratios))
		}
	}
}

// turn holds what was measured in one pair, by path.
type turn map[string][]point

// turnsOf sorts a metric's points by pair and path; paths are those that are to be
// compared with direct.
func turnsOf(mt *metric) (turns map[string]turn, paths map[string]bool) {
	turns, paths = make(map[string]turn), make(map[string]bool)
	for _, d := range mt.series {
		pair, path := d.labels["pair"], d.labels["path"]
		if pair == "" || path == "" {
			continue
		}
		if turns[pair] == nil {
			turns[pair] = make(turn)
		}
		turns[pair][path] = append(turns[pair][path], d.points...)
		if path != "direct" {
			paths[path] = true
		}
	}
	return turns, paths
}

func ratiosOf(turns map[string]turn, path string) []point {
	var out []point
	for _, pair := range slices.SortedFunc(maps.Keys(turns), byNumber) {
		t := turns[pair]
		if len(t["direct"]) == 0 || len(t[path]) == 0 {
			continue
		}
		direct, other := describe(t["direct"], "").Median, describe(t[path], "")
		if direct > 0 {
			out = append(out, point{other.Median / direct, other.MinAt})
		}
	}
	return out
}

func byNumber(a, b string) int {
	x, errX := strconv.Atoi(a)
	y, errY := strconv.Atoi(b)
	if errX == nil && errY == nil {
		return x - y
	}
	return strings.Compare(a, b)
}

// ownership derives from what was seen on the segment, per fault that hit the
// owner of a VIP: takeover_ms, the time until another node claimed the VIP or
// carried its packets; stale_claims, how often the failed node claimed it after
// that, its healing included, until the next fault or until the other is no longer the
// owner; stale_frames, how often it carried packets again. A packet that was sent before
// the other took over, or before the node was frozen, does not count: it may have been
// decided on by then, and lain in a network card.
func (h *facts) ownership(m Metrics) {
	for _, w := range h.faults {
		if !h.owned(w) {
			continue
		}
		taken, until, fresh := false, w.next, w.from
		count := map[string]int{"stale_claims": 0, observe.MetricStaleFrames: 0}
		at := map[string]int{"stale_claims": w.at, observe.MetricStaleFrames: w.at}
		for _, f := range h.frames {
			if f.t < w.from || f.t > until || f.v.Node == "" {
				continue
			}
			name := "stale_claims"
			if f.v.Sort == observe.SortCarrier {
				name = observe.MetricStaleFrames
			}
			switch {
			case f.v.Node != w.fault.Target && !taken:
				taken, until = true, min(until, h.letGo(f.v.Node, f.t))
				if w.fault.Kind != "freeze" {
					fresh = f.t
				}
				d := m.at("takeover_ms", w.labels())
				d.unit = "ms"
				d.add(milliseconds(f.t-w.from), f.at)
			case f.v.Node == w.fault.Target && taken && (f.v.Sent == 0 || f.v.Sent >= fresh):
				count[name]++
				at[name] = f.at
			}
		}
		for name, n := range count {
			if taken {
				m.at(name, w.labels()).add(float64(n), at[name])
			}
		}
	}
}

// letGo is when a node that took the VIPs at a time said for the first time that it is
// not their owner any more, after it had said that it is: a later claim of the other
// is none against it.
func (h *facts) letGo(node string, at time.Duration) time.Duration {
	owner := false
	for _, s := range h.statuses {
		if s.node != node || s.t < at {
			continue
		}
		if owner && !s.v.active() {
			return s.t
		}
		owner = owner || s.v.active()
	}
	return h.end
}

// owned reports whether the fault's target was the last to claim a VIP before
// the fault.
func (h *facts) owned(w window) bool {
	owner := ""
	for _, f := range h.frames {
		if f.t < w.from && f.v.Node != "" {
			owner = f.v.Node
		}
	}
	return owner != "" && owner == w.fault.Target
}
