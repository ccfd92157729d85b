// Package rates turns counters of services and servers into rates of the latest time. It is
// pure but for its lock: times come with the counters, and its memory is bounded by what is
// configured. A counter that began anew, as one does after a restart, makes no rate.
package rates

import (
	"sync"
	"time"

	"github.com/vosbed/vosbed/appliance/lb"
)

// Flow is what passes in a second.
type Flow struct{ Conns, PacketsIn, PacketsOut, BytesIn, BytesOut float64 }

// Rate is the latest measure, and what the measures of the whole time come to.
type Rate struct{ Now, Avg, Max Flow }

// values is a flow as it is kept.
type values [5]float64

func (v values) flow() Flow { return Flow{v[0], v[1], v[2], v[3], v[4]} }

// reading is one state of the counters.
type reading [5]uint64

func readingOf(conns uint64, in, out lb.Counter) reading {
	return reading{conns, in.Packets, out.Packets, in.Bytes, out.Bytes}
}

// line is one service or server.
type line struct {
	last  reading
	seen  uint64 // the turn in which it was there last
	kept  []values
	spans []float64 // seconds of each of them
	at    int       // where the next one goes, once all are kept
}

// Tracker keeps some measures of each service and server. It is safe for concurrent use.
type Tracker struct {
	every time.Duration
	keep  int

	mu    sync.Mutex
	last  time.Time
	turn  uint64
	lines map[lb.RealID]*line
}

// New returns a tracker of measures that are at least so long, of which it keeps so many.
func New(every time.Duration, keep int) *Tracker {
	return &Tracker{every: every, keep: max(keep, 1), lines: map[lb.RealID]*line{}}
}

// Add takes the counters of a moment. One that is too close to the moment before adds
// nothing; a clock that was put back begins anew.
func (t *Tracker) Add(at time.Time, services []lb.ServiceStatus) {
	t.mu.Lock()
	defer t.mu.Unlock()
	span := at.Sub(t.last)
	if !t.last.IsZero() && span >= 0 && span < t.every {
		return
	}
	seconds := span.Seconds()
	if t.last.IsZero() || span < 0 {
		seconds = 0
	}
	t.last = at
	t.turn++
	for i := range services {
		s := &services[i]
		t.add(lb.RealID{Service: s.Name}, readingOf(s.Counters.Conns, s.Counters.In, s.Counters.Out), seconds)
		for j := range s.Reals {
			r := &s.Reals[j]
			t.add(lb.RealID{Service: s.Name, Real: r.Name}, readingOf(r.Counters.Conns, r.Counters.In, r.Counters.Out), seconds)
		}
	}
	for id, l := range t.lines {
		if l.seen != t.turn {
			delete(t.lines, id)
		}
	}
}

func (t *Tracker) add(id lb.RealID, now reading, seconds float64) {
	l, ok := t.lines[id]
	if !ok {
		t.lines[id] = &line{last: now, seen: t.turn}
		return
	}
	last := l.last
	l.last, l.seen = now, t.turn
	if seconds == 0 {
		return
	}
	var v values
	for i := range now {
		if now[i] < last[i] {
			return
		}
		v[i] = float64(now[i]-last[i]) / seconds
	}
	if len(l.kept) < t.keep {
		l.kept, l.spans = append(l.kept, v), append(l.spans, seconds)
		return
	}
	l.kept[l.at], l.spans[l.at] = v, seconds
	l.at = (l.at + 1) % t.keep
}

// Rates are the rates of all services (those with an empty Real) and servers that have
// been measured.
func (t *Tracker) Rates() map[lb.RealID]Rate {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make(map[lb.RealID]Rate, len(t.lines))
	for id, l := range t.lines {
		if len(l.kept) > 0 {
			out[id] = l.rate()
		}
	}
	return out
}

func (l *line) rate() Rate {
	newest := (l.at + len(l.kept) - 1) % len(l.kept)
	var avg, most values
	total := 0.0
	for i, v := range l.kept {
		total += l.spans[i]
		for k := range v {
			avg[k] += v[k] * l.spans[i]
			most[k] = max(most[k], v[k])
		}
	}
	for k := range avg {
		avg[k] /= total
	}
	return Rate{Now: l.kept[newest].flow(), Avg: avg.flow(), Max: most.flow()}
}
