package ha

import (
	"fmt"
	"time"

	"github.com/vosbed/vosbed/appliance/lb"
)

// State is what this node would tell its peer at now.
func (m *Machine) State(now time.Duration) State {
	return State{
		Node: m.cfg.Node, Seat: m.cfg.Seat, Role: m.role, Term: m.term,
		InSync: m.synced, Serviceable: m.usable(now), PingAge: m.pingAge(now), Intent: m.intent(now),
		Dead: m.cfg.Timers.Dead,
	}
}

func (m *Machine) pingAge(now time.Duration) time.Duration {
	if len(m.pings) == 0 {
		return NoPing
	}
	return max(0, now-m.lastPing())
}

func (m *Machine) intent(now time.Duration) Intent {
	switch {
	case m.role == lb.Active && m.handing(now):
		return IntentHandOver
	case m.role == lb.Passive && m.yielding:
		return IntentYield
	case m.role == lb.Passive && m.askUntil > 0:
		return IntentRequest
	}
	return IntentNone
}

// Role is the present role.
func (m *Machine) Role() lb.Role { return m.role }

// Owns reports whether this node should hold the addresses.
func (m *Machine) Owns() bool { return m.role.OwnsVIPs() }

// Status is the machine's view for people. Since, Rejected and the real-time
// fields are the caller's: this package knows no clock and no sockets.
func (m *Machine) Status(now time.Duration) lb.PairStatus {
	s := lb.PairStatus{
		Role: m.role, Term: m.term, Reason: m.reason, InSync: m.synced,
		PeerAlive: m.alive(now), PeerRole: m.peer.Role,
		LeaseHeld: m.role == lb.Active && m.leased && now < m.deadline,
	}
	if m.cfg.Paired && m.alive(now) && m.peer.Seat == m.cfg.Seat {
		s.Problems = append(s.Problems, fmt.Sprintf("%s is %s too, so persistence is not replicated: "+
			"make one node of the pair primary and the other secondary (node.role)", m.peer.Node, m.cfg.Seat))
	}
	for i, name := range m.cfg.Paths {
		s.Paths = append(s.Paths, lb.PathStatus{Name: name, Up: m.pathUp(i, now), LastSeen: m.pathAge(i, now)})
	}
	for i, a := range m.cfg.Pings {
		s.Pings = append(s.Pings, lb.PingStatus{Addr: a, Up: m.pingAlive(i, now)})
	}
	return s
}

func (m *Machine) pathUp(i int, now time.Duration) bool {
	return now-m.paths[i] < m.cfg.Timers.Dead
}

// pathAge of a path never heard is the time since this machine began to listen.
func (m *Machine) pathAge(i int, now time.Duration) time.Duration {
	if m.paths[i] == never {
		return now - m.lookFrom
	}
	return now - m.paths[i]
}

// snapshot is what makes a change worth reporting.
type snapshot struct {
	role, peerRole       lb.Role
	term                 uint64
	reason               string
	alive, synced, link  bool
	leased               bool
	pathsUp, pingsUp     uint64
	stalled, initialized bool
}

func (m *Machine) finish(now time.Duration) []Action {
	s := snapshot{
		role: m.role, peerRole: m.peer.Role, term: m.term, reason: m.reason,
		alive: m.alive(now), synced: m.synced, link: m.link, leased: m.leased, stalled: m.stalled, initialized: true,
	}
	for i := range m.paths {
		if m.pathUp(i, now) {
			s.pathsUp |= 1 << i
		}
	}
	for i := range m.pings {
		if m.pingAlive(i, now) {
			s.pingsUp |= 1 << i
		}
	}
	if s != m.lastSnapshot {
		m.lastSnapshot = s
		m.do(StateChanged)
	}
	return m.out
}
