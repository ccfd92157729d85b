package ha

import (
	"cmp"
	"fmt"
	"time"

	"github.com/vosbed/vosbed/appliance/lb"
)

// judge applies the rules to what is known at now.
func (m *Machine) judge(now time.Duration) {
	if !m.cfg.Paired || m.stalled {
		return
	}
	m.watch(now)
	if m.role == lb.Active {
		m.holding(now)
		return
	}
	m.electing(now)
}

// watch keeps the times of what has lasted.
func (m *Machine) watch(now time.Duration) {
	alive, usable := m.alive(now), m.usable(now)
	if alive && !m.wasAlive {
		m.peerSince = now
	}
	// The service network came back: heartbeats may come back with it, a moment
	// later than the ping node's answer. Look before taking.
	if usable && !m.wasUsable && !alive && !m.initial {
		m.look(now, m.dead())
	}
	if usable != m.wasUsable {
		m.nextBeat = now // the peer may be waiting for it
	}
	m.wasAlive, m.wasUsable = alive, usable
	switch {
	case m.role != lb.Passive || !alive || m.peer.Role == lb.Active:
		m.vacant = never
	case m.vacant == never:
		m.vacant = now
	}
}

// unleased is why a node does not serve whose kernel would drop everything.
const unleased = "the kernel's lease cannot be renewed here: nothing would be served"

// holding are the rules of an owner.
func (m *Machine) holding(now time.Duration) {
	if !m.alive(now) {
		m.endConflict()
		switch {
		case !m.leased:
			m.letGoNow(now, unleased)
		case !m.usable(now):
			m.letGoNow(now, "isolated: all paths are silent and the service network is unreachable")
		}
		return
	}
	switch {
	case m.peer.Role == lb.Active && m.handing(now):
		m.handOver(now)
	case !m.leased && m.peer.Serviceable:
		m.letGoNow(now, unleased)
	case !m.link && m.peer.Serviceable:
		m.letGoNow(now, "the service link lost carrier")
	case m.pingLost(now):
		copy(m.pingOuts[1:], m.pingOuts[:])
		m.pingOuts[0] = now
		m.letGoNow(now, "no ping node answers here while the peer reaches one")
	case m.peer.Role == lb.Active && m.peer.Intent == IntentHandOver:
		return // it lets go as soon as it hears that we have taken
	case m.peer.Role == lb.Active:
		m.contend(now)
	default:
		m.endConflict()
		m.switchover(now)
	}
}

// letGoNow gives the addresses up without waiting for anyone, and tells the peer.
func (m *Machine) letGoNow(now time.Duration, why string) {
	m.passive(now, why)
	m.yielding = true
	m.dropLease()
	m.send(now)
	m.do(ReleaseVIPs)
}

func (m *Machine) passive(now time.Duration, why string) {
	m.setRole(lb.Passive, now, why)
	m.flushUntil, m.handUntil, m.askUntil, m.conflict = 0, 0, 0, false
	m.letGo = false
	if m.peer.Role != lb.Active {
		m.vacant = now
	}
}

// pingLost compares the last answers of both nodes' ping nodes. When the ping node
// itself dies, the two differ by at most one period (and its phase), so more than
// one and a half periods means that it answers the peer and not us. A node yields
// for this reason once per HoldDown: flapping probes do not make a flapping pair.
func (m *Machine) pingLost(now time.Duration) bool {
	if len(m.pings) == 0 || m.pingUp(now) || m.peer.PingAge == NoPing || !m.peer.Serviceable {
		return false
	}
	if now-m.pingOuts[pingYields-1] < m.cfg.Timers.HoldDown {
		return false
	}
	theirs := m.lastFresh - m.peer.PingAge
	return theirs-m.lastPing() > m.cfg.Timers.Heartbeat*3/2
}

// contend: both nodes own the addresses.
func (m *Machine) contend(now time.Duration) {
	if !m.outlasts() {
		m.letGoNow(now, fmt.Sprintf("conflict: %s owns the addresses with term %d", m.peer.Node, m.peer.Term))
		m.yielding = false
		return
	}
	if m.conflict {
		return
	}
	m.conflict = true
	m.log("conflict: the peer owns the addresses too; this node stays")
	m.send(now)
	m.announce()
}

// outlasts decides a conflict, and both ends decide alike.
func (m *Machine) outlasts() bool {
	return cmp.Or(
		cmp.Compare(m.term, m.peer.Term),
		compareBool(m.synced, m.peer.InSync),
		-cmp.Compare(m.cfg.Seat, m.peer.Seat),
		-cmp.Compare(m.cfg.Node, m.peer.Node),
	) > 0
}

// endConflict announces again once the other owner has gone: neighbours may have
// learned its address last.
func (m *Machine) endConflict() {
	if !m.conflict {
		return
	}
	m.conflict = false
	m.log("the conflict is over")
	m.announce()
}

// electing are the rules of a node that owns nothing.
func (m *Machine) electing(now time.Duration) {
	if m.peer.Role == lb.Active {
		m.yielding = false
	}
	looking := now < m.lookUntil
	if looking && !m.starting {
		return
	}
	alive, usable := m.alive(now), m.usable(now)
	asked := usable && !m.yielding && m.peer.Role != lb.Active && m.peer.Intent == IntentYield
	switch {
	case alive && asked:
		m.take(now, "the peer yields")
	case alive && m.peer.Role == lb.Active:
		m.besideOwner(now)
	case looking:
		return
	case !alive && usable:
		m.take(now, m.silence())
	case !alive:
		return // isolated
	case usable && m.letGo && (m.synced || m.inherited):
		m.take(now, "the peer owned the addresses and no longer does")
	case now >= m.vacancyEnds() && m.outranks(now):
		m.take(now, "nobody owns the addresses")
	}
}

func (m *Machine) silence() string {
	if !m.heard {
		return "no peer was heard at start"
	}
	return fmt.Sprintf("the peer is silent on all paths for %v", m.dead())
}

// vacancyEnds is when a vacancy may be filled: after Dead by a node in sync, after
// Init by any other, so that synchronisation gets its chance.
func (m *Machine) vacancyEnds() time.Duration {
	if m.vacant == never {
		return Forever
	}
	if m.synced {
		return m.vacant + m.cfg.Timers.Dead
	}
	return m.vacant + max(m.cfg.Timers.Init, m.cfg.Timers.Dead)
}

// outranks decides who fills a vacancy, and both ends decide alike.
func (m *Machine) outranks(now time.Duration) bool {
	return cmp.Or(
		compareBool(m.usable(now), m.peer.Serviceable),
		compareBool(m.synced, m.peer.InSync),
		-cmp.Compare(m.cfg.Seat, m.peer.Seat),
		-cmp.Compare(m.cfg.Node, m.peer.Node),
	) > 0
}

// take owns the addresses: lease, addresses, announcements, and, by the beat that
// follows at once, word to the peer and the whole lease. Until that word has left the
// lease is the one that the last heartbeat stands for: a freeze in between must not
// leave a lease that outlives the peer's patience.
func (m *Machine) take(now time.Duration, why string) {
	m.term = max(m.term, m.peer.Term) + 1
	m.setRole(lb.Active, now, why)
	m.yielding, m.letGo, m.askUntil, m.flushUntil, m.handUntil = false, false, 0, 0, 0
	m.vacant = never
	m.renew(m.lastBeat)
	m.do(TakeVIPs)
	m.announce()
	m.nextBeat = now
	m.conflict = false
}

// alive: the peer was heard on some path within Dead.
func (m *Machine) alive(now time.Duration) bool {
	return m.heard && now-m.silentFrom() < m.dead()
}

// dead is the silence after which the peer is dead: at least the peer's own dead
// time, because its lease is only shorter than that.
func (m *Machine) dead() time.Duration { return max(m.cfg.Timers.Dead, m.peer.Dead) }

// silentFrom is the time from which the peer's silence counts.
func (m *Machine) silentFrom() time.Duration { return max(m.lookFrom, m.lastFresh) }

func (m *Machine) patience() time.Duration {
	if m.initial {
		return m.cfg.Timers.Init
	}
	return m.dead()
}

// usable: the service network can be used from here, and the kernel would serve it.
func (m *Machine) usable(now time.Duration) bool {
	return m.leased && m.link && (len(m.pings) == 0 || m.pingUp(now))
}

func (m *Machine) pingUp(now time.Duration) bool {
	for i := range m.pings {
		if m.pingAlive(i, now) {
			return true
		}
	}
	return false
}

func (m *Machine) pingAlive(i int, now time.Duration) bool {
	return m.pings[i].up && now-m.pings[i].last < m.pingPatience(now)
}

// pingPatience is Dead; just after a change the answers to slower probes still count.
func (m *Machine) pingPatience(now time.Duration) time.Duration {
	if now < m.formerUntil {
		return max(m.former.Dead, m.cfg.Timers.Dead)
	}
	return m.cfg.Timers.Dead
}

func (m *Machine) lastPing() time.Duration {
	last := never
	for _, p := range m.pings {
		last = max(last, p.last)
	}
	return last
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}
