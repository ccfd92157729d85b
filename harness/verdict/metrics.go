package verdict

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/vosbed/vosbed/harness/observe"
)

// Metrics holds all distributions of a run.
type Metrics struct{ all map[string]*metric }

// metric is the distributions of one name, by key(labels).
type metric struct{ series map[string]*distribution }

type distribution struct {
	labels map[string]string
	unit   string
	plain  bool
	points []point
	// n overrides the number of values of a plain metric; 0 = len(points).
	n     int
	floor *float64
}

func newMetrics() Metrics { return Metrics{all: make(map[string]*metric)} }

// at returns the distribution of that name and labels, new when there is none.
func (m Metrics) at(name string, labels map[string]string) *distribution {
	mt := m.all[name]
	if mt == nil {
		mt = &metric{series: make(map[string]*distribution)}
		m.all[name] = mt
	}
	k := key(labels)
	d := mt.series[k]
	if d == nil {
		d = &distribution{labels: labels}
		mt.series[k] = d
	}
	return d
}

// plain sets a metric that is one number by nature.
func (m Metrics) plain(name string, labels map[string]string, v float64, n int) {
	d := m.at(name, labels)
	d.plain, d.n = true, n
	d.points = []point{{v, -1}}
}

func (d *distribution) add(v float64, at int) { d.points = append(d.points, point{v, at}) }

func (d *distribution) stats() Stats {
	s := describe(d.points, d.unit)
	s.Plain, s.NoiseFloor = d.plain, d.floor
	if d.plain && d.n > 0 {
		s.N = d.n
	}
	return s
}

// Names returns the names of all metrics, sorted.
func (m Metrics) Names() []string { return slices.Sorted(maps.Keys(m.all)) }

// Find returns the statistics a reference means, over all matching labels.
func (m Metrics) Find(r Ref) (Stats, bool) {
	mt := m.all[r.Metric]
	if mt == nil {
		return Stats{}, false
	}
	var merged distribution
	for _, k := range slices.Sorted(maps.Keys(mt.series)) {
		d := mt.series[k]
		if !matches(d.labels, r.Labels) || len(d.points) == 0 {
			continue
		}
		merged.points = append(merged.points, d.points...)
		merged.unit, merged.floor, merged.plain = cmp.Or(merged.unit, d.unit), d.floor, d.plain
		merged.n += cmp.Or(d.n, len(d.points))
	}
	if len(merged.points) == 0 {
		return Stats{}, false
	}
	return merged.stats(), true
}

// points returns the values a reference means.
func (m Metrics) points(r Ref) []point {
	var out []point
	if mt := m.all[r.Metric]; mt != nil {
		for _, k := range slices.Sorted(maps.Keys(mt.series)) {
			if d := mt.series[k]; matches(d.labels, r.Labels) {
				out = append(out, d.points...)
			}
		}
	}
	return out
}

func matches(have, want map[string]string) bool {
	for k, v := range want {
		if have[k] != v {
			return false
		}
	}
	return true
}

// Each calls f for every distribution, in order of name and labels.
func (m Metrics) Each(f func(name, labels string, s Stats)) {
	for _, name := range m.Names() {
		for _, k := range slices.Sorted(maps.Keys(m.all[name].series)) {
			f(name, k, m.all[name].series[k].stats())
		}
	}
}

// MarshalJSON writes metrics by name. One without labels is a number when it is
// one value, else an object of statistics. Labelled ones nest by the label's
// value, or by "a=b,c=d" where there are several labels.
func (m Metrics) MarshalJSON() ([]byte, error) {
	out := make(map[string]any, len(m.all))
	for name, mt := range m.all {
		if d, ok := mt.series[""]; ok && len(mt.series) == 1 {
			out[name] = leaf(d, true)
			continue
		}
		nested := make(map[string]any, len(mt.series))
		for k, d := range mt.series {
			nested[nestKey(k, d.labels)] = leaf(d, false)
		}
		out[name] = nested
	}
	return json.Marshal(out)
}

func leaf(d *distribution, bare bool) any {
	s := d.stats()
	if s.Plain || (bare && s.N == 1) {
		return s.Median
	}
	return s
}

func nestKey(k string, labels map[string]string) string {
	switch len(labels) {
	case 0:
		return "all"
	case 1:
		_, v, _ := strings.Cut(k, "=")
		return v
	}
	return k
}

// Compute aggregates the samples of a history and derives what needs the
// faults: outages, stalls and survival per kind of fault, what a planned switchover
// lost, the noise floor, persistence, ratios of pairs and ownership.
func Compute(history []observe.Record) Metrics {
	m, _ := compute(history)
	return m
}

func compute(history []observe.Record) (Metrics, *facts) {
	m := newMetrics()
	h := index(history)
	h.samples(m)
	h.outages(m)
	h.noise(m)
	h.stalls(m)
	h.survival(m)
	h.switches(m)
	h.persistence(m)
	h.falseDowns(m)
	h.ownership(m)
	h.anatomy(m)
	pairs(m)
	return m, h
}

// facts is a history, decoded and sorted by time once.
type facts struct {
	history  []observe.Record
	faults   []window
	gaps     []timed[observe.Gap]
	series   []timed[observe.Series]
	sample   []timed[observe.Sample]
	frames   []timed[observe.Frame]
	spells   []spell
	statuses []timed[shownStatus]
	begun    timed[observe.Run]
	servers  map[uint16]observe.Server // by id
	end      time.Duration
	// flaps are the false downs that the machine caused.
	flaps []time.Duration
	// bad are the indices of records whose value cannot be read.
	bad []int
}

// timed is a decoded record.
type timed[T any] struct {
	t    time.Duration
	at   int // index in the history
	node string
	name string
	v    T
}

// window is one fault, from the moment it was in force until it was healed, or
// until the next fault or the end of the run.
type window struct {
	name     string
	from, to time.Duration
	next     time.Duration // start of the next fault, or the end
	at       int
	healed   bool
	fault    observe.Fault
}

func index(history []observe.Record) *facts {
	h := &facts{history: history, servers: make(map[uint16]observe.Server)}
	var heals, faults []timed[observe.Fault]
	var statuses []timed[shownStatus]
	for i, r := range history {
		h.end = max(h.end, r.T)
		switch r.Kind {
		case observe.KindFault:
			faults = collect(h, faults, i)
		case observe.KindHeal:
			heals = collect(h, heals, i)
		case observe.KindGap:
			h.gaps = collect(h, h.gaps, i)
		case observe.KindSeries:
			h.series = collect(h, h.series, i)
		case observe.KindSample:
			h.sample = collect(h, h.sample, i)
		case observe.KindFrame:
			h.frames = collect(h, h.frames, i)
		case observe.KindStatus:
			statuses = collect(h, statuses, i)
		case observe.KindRun:
			if run, err := observe.Decode[observe.Run](r); err == nil {
				h.learn(run)
				h.begun = timed[observe.Run]{t: r.T, at: i, v: run}
			}
		case observe.KindStep, observe.KindEvent, observe.KindShot, observe.KindBroken:
		}
	}
	sortTimed(h.series)
	sortTimed(h.sample)
	sortTimed(h.frames)
	sortTimed(faults)
	sortTimed(heals)
	sortTimed(statuses)
	h.spells, h.statuses = spells(statuses), statuses
	h.faults = windows(faults, heals, h.end)
	h.learnFromFaults()
	return h
}

// collect decodes record i and appends it.
func collect[T any](h *facts, list []timed[T], i int) []timed[T] {
	r := h.history[i]
	v, err := observe.Decode[T](r)
	if err != nil {
		h.bad = append(h.bad, i)
		return list
	}
	return append(list, timed[T]{r.T, i, r.Node, r.Name, v})
}

func sortTimed[T any](list []timed[T]) {
	slices.SortStableFunc(list, func(a, b timed[T]) int { return cmp.Compare(a.t, b.t) })
}

// windows pairs faults with their heals: the first heal of the same name and
// target after the fault.
func windows(faults, heals []timed[observe.Fault], end time.Duration) []window {
	out := make([]window, 0, len(faults))
	for i, f := range faults {
		w := window{name: f.name, from: f.t, to: end, next: end, at: f.at, fault: f.v}
		if i+1 < len(faults) {
			w.next = faults[i+1].t
		}
		for _, h := range heals {
			if h.t >= f.t && h.name == f.name && (h.v.Target == f.v.Target || h.v.Target == "") {
				w.to, w.healed = h.t, true
				break
			}
		}
		if !w.healed {
			w.to = w.next
		}
		out = append(out, w)
	}
	return out
}

// until is the end of the time in which an effect belongs to this fault: a later
// fault takes over.
func (w window) until() time.Duration { return min(w.to, w.next) }

// owns reports whether an effect that lasted from begin to end is this fault's. A
// hole may begin a little before its fault, so one that reaches into the next
// fault is that one's.
func (w window) owns(begin, end time.Duration) bool {
	theirs := begin >= w.next-slack && end > w.next
	return begin >= w.from-slack && begin <= w.until() && end > w.from && !theirs
}

// aftermath is the time between the heal and the next fault, as a window.
func (w window) aftermath() window {
	w.from, w.to = w.to, w.next
	return w
}

// labels are those of a fault's metrics.
func (w window) labels() map[string]string { return map[string]string{"fault": w.fault.Kind} }

// samples takes over all plain samples. client_server is no measurement but
// material for persistence.
func (h *facts) samples(m Metrics) {
	for _, s := range h.sample {
		if s.v.Metric == observe.MetricClientServer {
			continue
		}
		d := m.at(s.v.Metric, s.v.Labels)
		d.unit = cmp.Or(d.unit, s.v.Unit)
		d.add(s.v.Value, s.at)
	}
}

// Value is one value of a metric with its labels.
type Value struct {
	Labels map[string]string
	Value  float64
}

// Values returns the single values of a metric, by labels and then in the order
// they were observed.
func (m Metrics) Values(name string) []Value {
	mt := m.all[name]
	if mt == nil {
		return nil
	}
	var out []Value
	for _, k := range slices.Sorted(maps.Keys(mt.series)) {
		d := mt.series[k]
		for _, p := range d.points {
			out = append(out, Value{d.labels, p.v})
		}
	}
	return out
}
