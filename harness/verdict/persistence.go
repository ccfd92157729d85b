package verdict

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/vosbed/vosbed/harness/observe"
)

// Reasons that excuse a client's move away from a server.
const (
	// reasonFault: a fault had taken the server out.
	reasonFault = "fault"
	// reasonNotServing: the appliance itself had taken it out (health check,
	// drain, halt), as the status of the node that was active says.
	reasonNotServing = "not_serving"
)

// Times of the attribution of moves.
const (
	// beforeLast is how long before its last answer a server may have been out
	// for a move to follow from it: connections that exist are answered on.
	beforeLast = time.Second
	// unknownLast stands for the time since the last answer in histories that
	// do not tell it.
	unknownLast = 5 * time.Second
)

// move is a change of the server that answers a client.
type move struct {
	t    time.Duration // first answer of the new server
	last time.Duration // last answer of the old one
	at   int
	from uint16
	vip  netip.Addr // invalid when the history does not tell it
}

// life is what was seen of one client of one load.
type life struct {
	first time.Duration
	load  string
	moves []move
	// excuses are the reasons that excuse each of the moves, "" for none.
	excuses []string
}

// persistence derives persistence_ratio: of the clients that were answered, the
// share that stayed with their server while it was up, over all services. A
// client all of whose moves are excused counts neither way:
// persistence_excused{reason=fault|not_serving} counts such moves, of all
// clients. The ratio is given in all, per load, and per kind of fault for the
// time from each fault to the next.
func (h *facts) persistence(m Metrics) {
	lives := h.lives()
	if len(lives) == 0 {
		return
	}
	byLoad := map[string][]*life{}
	for _, l := range lives {
		byLoad[l.load] = append(byLoad[l.load], l)
	}
	ratio(m, "persistence_ratio", nil, count(lives, 0, h.end+1))
	for load, of := range byLoad {
		ratio(m, "persistence_ratio_load", map[string]string{"load": load}, count(of, 0, h.end+1))
	}
	m.plain("persistence_clients", nil, float64(len(lives)), len(lives))
	excused(m, lives)
	for _, w := range h.faults {
		before := slices.DeleteFunc(slices.Clone(lives), func(l *life) bool { return l.first >= w.from })
		d := count(before, w.from, w.next)
		if d.kept+d.broken == 0 {
			continue
		}
		m.at("persistence_ratio_trial", w.labels()).add(d.ratio(), max(d.at, w.at))
	}
}

// tally counts clients.
type tally struct{ kept, broken, at int }

func (t tally) ratio() float64 { return float64(t.kept) / float64(t.kept+t.broken) }

func ratio(m Metrics, name string, labels map[string]string, t tally) {
	if t.kept+t.broken == 0 {
		return
	}
	m.plain(name, labels, t.ratio(), t.kept+t.broken)
	if t.at >= 0 {
		m.at(name, labels).points[0].at = t.at
	}
}

func excused(m Metrics, lives []*life) {
	moves, by := 0, map[string]int{}
	at := map[string]int{reasonFault: -1, reasonNotServing: -1}
	for _, l := range lives {
		moves += len(l.moves)
		for i, reason := range l.excuses {
			by[reason]++
			at[reason] = l.moves[i].at
		}
	}
	for _, reason := range []string{reasonFault, reasonNotServing} {
		labels := map[string]string{"reason": reason}
		m.plain("persistence_excused", labels, float64(by[reason]), moves)
		m.at("persistence_excused", labels).points[0].at = at[reason]
	}
}

// count judges the moves in [from, to): a client with one move that nothing
// excuses has lost its persistence.
func count(lives []*life, from, to time.Duration) tally {
	t := tally{at: -1}
	for _, l := range lives {
		bad, moved := -1, false
		for i, mv := range l.moves {
			if mv.t < from || mv.t >= to {
				continue
			}
			moved = true
			if l.excuses[i] == "" && bad < 0 {
				bad = mv.at
			}
		}
		switch {
		case bad >= 0:
			t.broken++
			t.at = max(t.at, bad)
		case !moved:
			t.kept++
		}
	}
	return t
}

// excuse says why a client had to leave its server, "" when it had not: a fault hit
// the server between its last answer and the first one of another.
func (h *facts) excuse(mv move) string {
	for _, w := range h.faults {
		if w.fault.Server != 0 && w.fault.Server == mv.from && w.from-slack <= mv.t && (mv.t <= w.to+settle || mv.last <= w.to) {
			return reasonFault
		}
	}
	if h.wasOut(mv) {
		return reasonNotServing
	}
	return ""
}

// lives follows every client over all its services: the server it is at is the
// one that answered last, whichever the service.
func (h *facts) lives() []*life {
	byClient := make(map[string]*life)
	at := make(map[string]uint16) // client: server
	for _, s := range h.sample {
		if s.v.Metric != observe.MetricClientServer {
			continue
		}
		k := s.name + "\x00" + s.v.Labels["vip"] + "\x00" + s.v.Labels["client"]
		server := uint16(s.v.Value)
		l := byClient[k]
		if l == nil {
			byClient[k] = &life{first: s.t, load: s.name}
			at[k] = server
			continue
		}
		if server == at[k] {
			continue
		}
		mv := h.moved(s, at[k])
		l.moves, l.excuses = append(l.moves, mv), append(l.excuses, h.excuse(mv))
		at[k] = server
	}
	out := make([]*life, 0, len(byClient))
	for _, k := range slices.Sorted(maps.Keys(byClient)) {
		out = append(out, byClient[k])
	}
	return out
}

// moved reads the move that a sample tells.
func (h *facts) moved(s timed[observe.Sample], from uint16) move {
	mv := move{t: s.t, last: max(0, s.t-unknownLast), at: s.at, from: from}
	if ms, err := strconv.ParseInt(s.v.Labels[observe.LabelLast], 10, 64); err == nil {
		mv.last = min(time.Duration(ms)*time.Millisecond, s.t)
	}
	mv.vip, _ = netip.ParseAddr(s.v.Labels["vip"])
	return mv
}
