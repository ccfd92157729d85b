package ha

import (
	"time"

	"github.com/vosbed/vosbed/appliance/lb"
)

// What nodes with slow timers are waited for grows with them: nodes are given slow timers
// because they are slow.
const (
	// A take-over request is repeated for ten heartbeats, but a second at least, before it
	// is given up.
	requestBeats    = 10
	requestPatience = time.Second
	// An owner waits for two and a half heartbeats, but 250 ms at least, for its peer to be
	// up to date before an offer.
	flushHalfBeats = 5
	flushPatience  = 250 * time.Millisecond
)

func (m *Machine) commandTake(now time.Duration) {
	switch {
	case m.role.OwnsVIPs():
		m.refuse("take-over refused: this node owns the addresses already")
	case !m.alive(now):
		m.refuse("take-over refused: the peer is silent, rules decide alone")
	case !m.synced:
		m.refuse("take-over refused: the peer's persistence table has not all arrived here yet")
	case !m.leased:
		m.refuse("take-over refused: " + unleased)
	case !m.usable(now):
		m.refuse("take-over refused: this node cannot use the service network (link down, or no ping node answers)")
	default:
		m.ask(now, "take-over by command: asking the peer")
	}
}

func (m *Machine) ask(now time.Duration, why string) {
	m.askUntil, m.askedAt = now+max(requestPatience, requestBeats*m.cfg.Timers.Heartbeat), now
	m.nextBeat = now
	m.log(why)
}

func (m *Machine) commandRelease(now time.Duration) {
	switch {
	case m.role != lb.Active:
		m.refuse("release refused: this node is not active in a pair")
	case !m.peerReady(now):
		m.refuse("release refused: the peer is silent, not in sync or cannot use the service network")
	case m.flushUntil == 0 && !m.handing(now):
		m.prepare(now, "release by command: bringing the peer up to date")
	}
}

// prepare begins a switchover: what the peer does not know yet goes first. The offer
// follows when it has confirmed.
func (m *Machine) prepare(now time.Duration, why string) {
	m.flushUntil = now + max(flushPatience, flushHalfBeats*m.cfg.Timers.Heartbeat/2)
	m.log(why)
	m.out = append(m.out, Action{Do: Flush, Deadline: m.flushUntil})
}

func (m *Machine) flushed(ok bool, now time.Duration) {
	if m.flushUntil == 0 || now >= m.flushUntil {
		return
	}
	if !ok || !m.peerReady(now) {
		m.notOffered(now)
		return
	}
	m.flushUntil = 0
	m.handUntil = now + m.cfg.Timers.Dead
	m.nextBeat = now
	m.log("offering the addresses to the peer")
}

// notOffered ends a switchover that did not begin. The peer may go on asking: it is
// heeded again, but not at once.
func (m *Machine) notOffered(now time.Duration) {
	m.flushUntil, m.flushNext = 0, now+m.cfg.Timers.Dead
	m.log("the peer is not up to date: this node stays the owner")
}

// switchover starts and ends offers.
func (m *Machine) switchover(now time.Duration) {
	switch {
	case m.flushUntil > 0 && now >= m.flushUntil:
		m.notOffered(now)
	case m.handUntil > 0 && now >= m.handUntil:
		m.handUntil = 0
		m.nextBeat = now
		m.log("the peer did not take the addresses: this node stays the owner")
	case m.peer.Intent != IntentRequest || m.flushUntil > 0 || m.handUntil > 0 || now < m.flushNext:
		return
	case m.peerReady(now):
		m.prepare(now, "the peer asks for the addresses: bringing it up to date")
	}
}

func (m *Machine) handing(now time.Duration) bool { return m.handUntil > 0 && now < m.handUntil }

// handOver ends a planned switchover: the peer owns and has announced. The lease
// is left to run out.
func (m *Machine) handOver(now time.Duration) {
	m.passive(now, "handed over to the peer")
	m.do(ReleaseVIPs)
	m.send(now)
}

// besideOwner: the peer serves. Accept an offer, or ask for one.
func (m *Machine) besideOwner(now time.Duration) {
	ready := m.synced && m.usable(now)
	switch {
	case m.peer.Intent == IntentHandOver && ready:
		m.take(now, "planned switchover")
	case m.askUntil > 0 && now >= m.askUntil:
		m.askUntil = 0
		m.log("the peer did not hand over")
	case m.askUntil == 0 && ready && m.failbackDue(now):
		m.ask(now, "failback: asking the peer")
	}
}

func (m *Machine) failbackDue(now time.Duration) bool {
	if !m.cfg.Failback || m.cfg.Seat != lb.Primary {
		return false
	}
	quiet := max(m.since, m.syncedSince, m.peerSince, m.askedAt)
	return now-quiet >= m.cfg.Timers.HoldDown
}

func (m *Machine) peerReady(now time.Duration) bool {
	return m.alive(now) && m.peer.InSync && m.peer.Serviceable
}
