package verdict

import (
	"net/netip"
	"slices"
	"time"

	"github.com/vosbed/vosbed/harness/observe"
)

// Bounds of what status records tell.
const (
	// statusLasts is how long a status is believed without a newer one: they
	// are recorded on change and once a second.
	statusLasts = 2 * time.Second
	// noisyTimer is the lateness of a 10 ms timer, in milliseconds, from which
	// on the machine itself may have made a health check late: it delays each of
	// the several turns a check takes.
	noisyTimer = 50
	// noiseReach is how long before a server went down the lateness counts: a
	// fall takes some checks, each with its timeout.
	noiseReach = 8 * time.Second
)

// Causes of a false down.
const (
	causeMachine = "machine"
	causeUnknown = "unknown"
)

// shownStatus is the part of a status that tells which servers are used.
type shownStatus struct {
	Role string `json:"role"`
	Pair struct {
		Since time.Time `json:"since"`
	} `json:"pair"`
	Services []shownService `json:"services"`
}

type shownService struct {
	Name    string        `json:"name"`
	Address string        `json:"address"`
	Servers []shownServer `json:"servers"`
}

type shownServer struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	State   string `json:"state"`
	UpSince string `json:"up_since"`
}

// stateServing is the state of a server that takes clients.
const stateServing = "serving"

// active reports whether the node handles the VIPs.
func (s shownStatus) active() bool { return s.Role == "active" || s.Role == "standalone" }

// find returns a server of a service, the zero value when there is none.
func (s shownStatus) find(service, server string) shownServer {
	for _, sv := range s.Services {
		for _, r := range sv.Servers {
			if sv.Name == service && r.Name == server {
				return r
			}
		}
	}
	return shownServer{}
}

// spell is the time in which a node had a status: until its next one.
type spell struct {
	from, to time.Duration
	at       int
	node     string
	status   shownStatus
	// before is the node's status until then, nil for the first.
	before *shownStatus
}

// spells are all of them, in order of time.
func spells(statuses []timed[shownStatus]) []spell {
	out := make([]spell, 0, len(statuses))
	latest := make(map[string]int) // by node
	for _, s := range statuses {
		next := spell{from: s.t, to: s.t + statusLasts, at: s.at, node: s.node, status: s.v}
		if i, ok := latest[s.node]; ok {
			out[i].to = min(out[i].to, s.t)
			next.before = &out[i].status
		}
		latest[s.node] = len(out)
		out = append(out, next)
	}
	return out
}

// wasOut reports whether the appliance that was active had taken the server out
// that a client left, between shortly before its last answer and the first one
// of another.
func (h *facts) wasOut(mv move) bool {
	for _, s := range h.spells {
		if s.status.active() && s.to >= mv.last-beforeLast && s.from <= mv.t && h.outIn(s, mv) {
			return true
		}
	}
	return false
}

func (h *facts) outIn(s spell, mv move) bool {
	for _, sv := range s.status.serving(mv.vip) {
		for _, r := range sv.Servers {
			if h.is(r, mv.from) && (r.State != stateServing || s.flapped(sv.Name, r)) {
				return true
			}
		}
	}
	return false
}

// serving returns the services at a VIP; all when none is known to be there.
func (s shownStatus) serving(vip netip.Addr) []shownService {
	var out []shownService
	for _, sv := range s.Services {
		if a, err := netip.ParseAddr(sv.Address); err == nil && a == vip {
			out = append(out, sv)
		}
	}
	if len(out) == 0 {
		return s.Services
	}
	return out
}

// flapped reports whether a server was down between two readings of the status:
// it is up, but not since the time it was.
func (s spell) flapped(service string, r shownServer) bool {
	if s.before == nil || !s.before.active() {
		return false
	}
	was := s.before.find(service, r.Name)
	return was.State == stateServing && was.UpSince != "" && was.UpSince != r.UpSince
}

// is reports whether a server of a status is the one with that id.
func (h *facts) is(r shownServer, id uint16) bool {
	known, ok := h.servers[id]
	return ok && (known.Name == r.Name || slices.Contains(known.Addresses, r.Address))
}

// learn notes which servers the ids mean: from the record of the run, and in
// histories without it from the faults.
func (h *facts) learn(run observe.Run) {
	for _, s := range run.Servers {
		h.servers[s.ID] = s
	}
}

func (h *facts) learnFromFaults() {
	for _, w := range h.faults {
		if _, known := h.servers[w.fault.Server]; !known && w.fault.Server != 0 {
			h.servers[w.fault.Server] = observe.Server{ID: w.fault.Server, Name: w.fault.Target}
		}
	}
}

// falseDowns derives false_downs{cause=machine|unknown}: how often an active
// appliance saw a server go down that no fault had hit, and that was not itself
// hit. The cause is the machine when its timers were late by noisyTimer in the
// seconds before, or others took its CPU time: then a health check may have failed
// for want of that. Others accuse the product.
func (h *facts) falseDowns(m Metrics) {
	if len(h.spells) == 0 {
		return
	}
	n := map[string]int{causeMachine: 0, causeUnknown: 0}
	at := map[string]int{causeMachine: -1, causeUnknown: -1}
	for _, s := range h.spells {
		if s.before == nil || !s.before.active() || !s.status.active() || h.hit(s.node, 0, s.from) {
			continue
		}
		down := h.newlyDown(s)
		if down == 0 {
			continue
		}
		cause := causeUnknown
		if h.busy(max(0, s.from-noiseReach), s.from, noisyTimer) != "" {
			cause = causeMachine
			h.flaps = append(h.flaps, s.from)
		}
		n[cause] += down
		at[cause] = s.at
	}
	for cause, count := range n {
		labels := map[string]string{"cause": cause}
		m.plain("false_downs", labels, float64(count), len(h.spells))
		m.at("false_downs", labels).points[0].at = at[cause]
	}
}

// newlyDown counts the servers that a status shows down for the first time and
// without a fault.
func (h *facts) newlyDown(s spell) int {
	n := 0
	for _, sv := range s.status.Services {
		for _, r := range sv.Servers {
			if r.State == "down" && s.before.find(sv.Name, r.Name).State == stateServing && !h.hit(r.Name, h.id(r), s.from) {
				n++
			}
		}
	}
	return n
}

// id is the marker's id of a server, 0 when it is not known.
func (h *facts) id(r shownServer) uint16 {
	for id := range h.servers {
		if h.is(r, id) {
			return id
		}
	}
	return 0
}

// hit reports whether a fault on that node, or on the server of that id, was in
// force or had just been healed.
func (h *facts) hit(node string, id uint16, t time.Duration) bool {
	return slices.ContainsFunc(h.faults, func(w window) bool {
		mine := w.fault.Target == node || (id != 0 && w.fault.Server == id)
		return mine && w.from-slack <= t && t <= w.to+settle
	})
}
