package verdict

import (
	"time"

	"github.com/vosbed/vosbed/harness/observe"
)

// Phases of an outage, each counted from the fault.
const (
	// PhaseDetect: the surviving appliance decides to take over (its status says
	// since when), or the status shows the failed server out (read every 50 ms).
	PhaseDetect = "detect"
	// PhaseClaim: the first gratuitous ARP or advertisement of another node.
	PhaseClaim = "claim"
	// PhaseCarry: the first packet to a VIP that another node carries.
	PhaseCarry = "carry"
	// PhaseFirst and PhaseAll: the first and the last of the probe's flows that
	// were hit are answered again.
	PhaseFirst = "first"
	PhaseAll   = "all"
)

// Phases returns them in their usual order.
func Phases() []string {
	return []string{PhaseDetect, PhaseClaim, PhaseCarry, PhaseFirst, PhaseAll}
}

// MetricAnatomy is the time from a fault to each phase of its outage, labels
// fault and phase, in milliseconds.
const MetricAnatomy = "anatomy_ms"

// seenLate is how much later than it was a frame may be noted.
const seenLate = 50 * time.Millisecond

// anatomy derives anatomy_ms for faults that made a probe fall silent: where the
// outage went. Phases of which nothing was seen have no sample.
func (h *facts) anatomy(m Metrics) {
	for _, w := range h.faults {
		first, last, ok := h.back(w)
		if !ok {
			continue // no flow felt it
		}
		phase := func(name string, at time.Duration, record int) {
			d := m.at(MetricAnatomy, map[string]string{"fault": w.fault.Kind, "phase": name})
			d.unit = "ms"
			d.add(max(0, milliseconds(at-w.from)), record)
		}
		phase(PhaseFirst, first.t, first.at)
		phase(PhaseAll, last.t, last.at)
		if at, ok := h.detected(w); ok {
			phase(PhaseDetect, at.t, at.at)
		}
		if !h.owned(w) {
			continue
		}
		if at, ok := h.framed(w, false); ok {
			phase(PhaseClaim, at.t, at.at)
		}
		if at, ok := h.framed(w, true); ok {
			phase(PhaseCarry, at.t, at.at)
		}
	}
}

// moment is a time and the record that tells it.
type moment struct {
	t  time.Duration
	at int
}

// back is when the first and the last flow that fell silent were answered again.
// A hole that begins after another node carried packets, or ends before, is not
// the fault's doing;
// where nobody else is to carry them, holes of less than half of the longest are
// noise beside it.
func (h *facts) back(w window) (first, last moment, ok bool) {
	longest, _ := h.longest(w)
	carried, taken := moment{}, false
	if h.owned(w) {
		carried, taken = h.framed(w, true)
	}
	for _, g := range h.gaps {
		noise := milliseconds(g.v.Outage) < longest/2
		if taken {
			noise = g.v.From > carried.t || g.v.To < carried.t-seenLate
		}
		if !w.owns(g.v.From, g.v.To) || g.v.Open || noise {
			continue
		}
		end := moment{g.v.To, g.at}
		if !ok || end.t < first.t {
			first = end
		}
		if !ok || end.t > last.t {
			last = end
		}
		ok = true
	}
	return first, last, ok
}

// detected is when the fault was acted upon.
func (h *facts) detected(w window) (moment, bool) {
	for _, s := range h.spells {
		if s.from < w.from || s.from > w.next || !s.status.active() || s.node == w.fault.Target {
			continue
		}
		if w.fault.Server != 0 && h.shownOut(s, w.fault.Server) {
			return moment{s.from, s.at}, true
		}
		if w.fault.Server == 0 && s.before != nil && !s.before.active() {
			return moment{h.promoted(s, w), s.at}, true
		}
	}
	return moment{}, false
}

func (h *facts) shownOut(s spell, id uint16) bool {
	for _, sv := range s.status.Services {
		for _, r := range sv.Servers {
			if h.is(r, id) && r.State != stateServing {
				return true
			}
		}
	}
	return false
}

// promoted is since when the node has its role: as it says itself where that is
// within the fault, or else when the status was read.
func (h *facts) promoted(s spell, w window) time.Duration {
	at := h.begun.t + s.status.Pair.Since.Sub(h.begun.v.Started)
	if h.begun.v.Started.IsZero() || at < w.from || at > s.from {
		return s.from
	}
	return at
}

// framed is when another node than the fault's target first claimed a VIP, or
// carried a packet to it.
func (h *facts) framed(w window, carrier bool) (moment, bool) {
	for _, f := range h.frames {
		if f.t < w.from || f.t > w.next || f.v.Node == "" || f.v.Node == w.fault.Target {
			continue
		}
		if (f.v.Sort == observe.SortCarrier) == carrier {
			return moment{f.t, f.at}, true
		}
	}
	return moment{}, false
}
