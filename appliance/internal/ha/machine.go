package ha

import (
	"slices"
	"time"

	"github.com/vosbed/vosbed/appliance/lb"
)

// Machine is one node's view of the pair. The zero value is not usable; see New.
type Machine struct {
	cfg Config
	out []Action

	role   lb.Role
	term   uint64
	since  time.Duration // of the role
	reason string
	synced bool
	// syncedSince is when synced last became true, syncedUntil when it became false.
	syncedSince, syncedUntil time.Duration

	started  bool
	stalled  bool
	lastStep time.Duration
	lastBeat time.Duration
	nextBeat time.Duration
	deadline time.Duration // of the lease, as last granted
	// former are the timers before the latest change of them: until formerUntil the
	// shorter ones hold, since the peer may not know the new ones yet.
	former      lb.HATimers
	formerUntil time.Duration

	// lookFrom is the earliest time from which silence counts, lookUntil the time
	// before which nothing is taken. A node that is starting takes all the same when
	// its peer asks: what it hears is fresh. What a thawed node hears may have waited.
	lookFrom, lookUntil time.Duration
	starting            bool
	initial             bool // no peer heard yet in this life

	peer      State
	heard     bool
	peerSince time.Duration // alive without a break since
	wasAlive  bool
	letGo     bool          // the peer was the owner and is no longer
	inherited bool          // this node was in sync when the peer was last heard as owner
	lastFresh time.Duration // when the peer was last heard with something new
	paths     []time.Duration
	vacant    time.Duration // both passive since, or never

	link      bool
	leased    bool // the kernel's lease can be renewed, or is not wanted
	pings     []pingView
	wasUsable bool

	yielding bool // tell the peer to take
	// flushUntil bounds the wait for Flushed, flushNext is when to try again by a
	// request; 0 = none.
	flushUntil   time.Duration
	flushNext    time.Duration
	handUntil    time.Duration
	askUntil     time.Duration
	askedAt      time.Duration
	pingOuts     [pingYields]time.Duration // when this node last yielded for its ping nodes
	conflict     bool
	lastSnapshot snapshot
}

// pingYields is how often a node may yield for its ping nodes within HoldDown. Every
// such yield goes to a peer that has just proved that it reaches its own, so one
// is never too many; probes that flap on both nodes must not make the pair flap.
const pingYields = 3

type pingView struct {
	last time.Duration
	up   bool
}

const never = time.Duration(-1 << 62)

// New returns a machine that waits for Start. The service link counts as up, and the
// lease as open, until an event says otherwise.
func New(cfg Config) *Machine {
	m := &Machine{link: true, leased: true, vacant: never, lastFresh: never, syncedUntil: never, peer: State{PingAge: NoPing}}
	for i := range m.pingOuts {
		m.pingOuts[i] = never
	}
	m.adopt(cfg)
	return m
}

func (m *Machine) adopt(cfg Config) {
	m.cfg = cfg
	m.cfg.Paths, m.cfg.Pings = slices.Clone(cfg.Paths), slices.Clone(cfg.Pings)
	m.paths = make([]time.Duration, len(cfg.Paths))
	for i := range m.paths {
		m.paths[i] = never
	}
	m.pings = make([]pingView, len(cfg.Pings))
	for i := range m.pings {
		m.pings[i].last = never
	}
}

// Step applies one event at the monotonic time now and returns what to do, in
// order. The slice is valid until the next call.
func (m *Machine) Step(e Event, now time.Duration) []Action {
	m.out = m.out[:0]
	if s, ok := e.(Start); ok {
		m.start(s, now)
		return m.finish(now)
	}
	if !m.started {
		return m.out
	}
	m.lastStep = now
	_, slept := e.(Slept)
	m.wakeUp(slept, now)
	m.note(e, now)
	m.judge(now)
	m.beat(now)
	return m.finish(now)
}

// Reconfigure replaces the configuration of a running machine. The role is kept
// where it can be: a node that gains a peer stays the owner and starts to renew
// its lease, one that loses its peer owns the addresses for good.
func (m *Machine) Reconfigure(cfg Config, now time.Duration) []Action {
	m.out = m.out[:0]
	wasPaired := m.cfg.Paired
	if m.started {
		// This may be the first word after a freeze.
		m.wakeUp(false, now)
		m.retime(cfg.Timers, now)
	}
	if !slices.Equal(cfg.Paths, m.cfg.Paths) || !slices.Equal(cfg.Pings, m.cfg.Pings) {
		m.adopt(cfg)
		m.look(now, max(m.dead(), cfg.Timers.Dead))
		m.lastFresh = never
		for i := range m.pings { // they have Dead to answer
			m.pings[i] = pingView{last: now, up: true}
		}
	}
	m.cfg.Timers, m.cfg.Failback, m.cfg.Lease, m.cfg.Announce = cfg.Timers, cfg.Failback, cfg.Lease, cfg.Announce
	m.cfg.Node, m.cfg.Seat, m.cfg.Paired = cfg.Node, cfg.Seat, cfg.Paired
	if !m.started {
		return m.out
	}
	switch {
	case !cfg.Paired && m.role != lb.Standalone:
		m.standAlone(now)
	case cfg.Paired && !wasPaired:
		m.setRole(lb.Active, now, "a peer was configured: this node stays the owner")
		m.look(now, cfg.Timers.Init)
		m.lastBeat = now
	}
	m.lastStep, m.nextBeat = now, now
	m.judge(now)
	m.beat(now)
	return m.finish(now)
}

// retime prepares a change of timers, which the peer learns by the next heartbeats.
// A lease that becomes shorter does so before the shorter dead time is told; one
// that becomes longer waits until the longer one has been told at the old pace.
func (m *Machine) retime(next lb.HATimers, now time.Duration) {
	if next == m.cfg.Timers || !m.cfg.Paired {
		return
	}
	if m.role == lb.Active && next.Lease < m.cfg.Timers.Lease && m.cfg.Lease {
		m.deadline = min(m.deadline, now+next.Lease)
		m.out = append(m.out, Action{Do: RenewLease, Deadline: m.deadline})
	}
	m.former, m.formerUntil = m.cfg.Timers, now+m.cfg.Timers.Dead
}

// period and lease are those in force at a time.
func (m *Machine) period(now time.Duration) time.Duration {
	if now < m.formerUntil {
		return min(m.former.Heartbeat, m.cfg.Timers.Heartbeat)
	}
	return m.cfg.Timers.Heartbeat
}

func (m *Machine) lease(now time.Duration) time.Duration {
	if now < m.formerUntil {
		return min(m.former.Lease, m.cfg.Timers.Lease)
	}
	return m.cfg.Timers.Lease
}

// Wake is the next time at which time itself changes something.
func (m *Machine) Wake() time.Duration {
	if !m.started || !m.cfg.Paired {
		return Forever
	}
	w := m.nextBeat
	for _, at := range [...]time.Duration{m.lookUntil, m.silentFrom() + m.patience(), m.flushUntil, m.handUntil, m.vacancyEnds()} {
		if at > m.lastStep && at < w {
			w = at
		}
	}
	for _, p := range m.pings {
		if at := p.last + m.pingPatience(m.lastStep); p.up && at > m.lastStep && at < w {
			w = at
		}
	}
	return w
}

func (m *Machine) start(s Start, now time.Duration) {
	m.started, m.initial, m.starting = true, true, true
	m.since, m.lastStep, m.lastBeat, m.nextBeat = now, now, now, now
	m.lookFrom, m.lookUntil = now, now+m.cfg.Timers.Init
	for i := range m.pings {
		// A node that resumes has Dead to find its ping nodes again.
		m.pings[i] = pingView{last: now, up: s.LeaseHeld}
	}
	switch {
	case !m.cfg.Paired:
		m.standAlone(now)
	case s.LeaseHeld:
		m.deadline = now + m.cfg.Timers.Lease
		m.wasUsable = true
		m.setRole(lb.Active, now, "restarted within the lease")
		m.do(TakeVIPs)
		m.announce()
	default:
		m.reason = "started: waiting for the peer"
		m.dropLease()
		m.do(ReleaseVIPs)
		m.log(m.reason)
	}
	m.beat(now)
}

func (m *Machine) standAlone(now time.Duration) {
	m.flushUntil, m.handUntil, m.askUntil = 0, 0, 0
	m.setRole(lb.Standalone, now, "no peer is configured")
	m.out = append(m.out, Action{Do: RenewLease, Deadline: Forever})
	m.do(TakeVIPs)
	m.announce()
}

// Overslept reports whether a step at now would find that this node was frozen: until
// it is made, nothing that the machine says about now is true.
func (m *Machine) Overslept(now time.Duration) bool {
	return m.started && m.cfg.Paired && now-m.lastBeat > m.Trust()
}

// Trust is how long after its latest beat this node may go on as if it had not paused:
// its lease, which is shorter than the patience of a peer that hears it. An owner whose
// peer was dead at that beat has longer: a peer that appeared since then looks for Dead,
// or waits for Init, before it takes. Without this a slow take-over on a busy machine
// would count as a freeze, and cost another Dead.
func (m *Machine) Trust() time.Duration {
	lease := m.lease(m.lastBeat)
	if m.role != lb.Active || m.alive(m.lastBeat) || m.lastBeat < m.formerUntil {
		return lease
	}
	patience := min(m.cfg.Timers.Dead, m.cfg.Timers.Init)
	if m.peer.Dead > 0 {
		patience = min(patience, m.peer.Dead)
	}
	return max(lease, patience)
}

// wakeUp notices that this node was frozen: it was not stepped for Trust, so the
// kernel has stopped serving and the peer may own the addresses. A node that slept
// while its clock stood still is told so.
func (m *Machine) wakeUp(slept bool, now time.Duration) {
	if !m.cfg.Paired || !slept && !m.Overslept(now) {
		return
	}
	m.look(now, m.dead())
	m.lastBeat, m.nextBeat = now, now
	if m.role == lb.Active {
		m.letGoNow(now, "was frozen past the lease: looking again before anything else")
		m.yielding = false
	} else {
		m.log("was frozen: the peer's silence counts from now")
	}
}

// look restarts the judgement of the peer's silence and forbids taking for d.
func (m *Machine) look(now, d time.Duration) {
	m.lookFrom, m.lookUntil, m.starting = now, max(m.lookUntil, now+d), false
}

func (m *Machine) note(e Event, now time.Duration) {
	switch e := e.(type) {
	case Heartbeat:
		m.hear(e, now)
	case PingResult:
		m.ping(e, now)
	case ServiceLink:
		m.link = e.Up
	case Synced:
		m.noteSync(e.OK, now)
	case LeaseReady:
		if e.OK && !m.leased && m.role == lb.Passive {
			m.dropLease() // what it holds is of another life
		}
		m.leased = e.OK
	case Flushed:
		m.flushed(e.OK, now)
	case TakeOver:
		m.commandTake(now)
	case Release:
		m.commandRelease(now)
	case MainStalled:
		m.stall(now)
	case MainAlive:
		m.unstall(now)
	}
}

func (m *Machine) noteSync(ok bool, now time.Duration) {
	switch {
	case ok && !m.synced:
		m.syncedSince, m.nextBeat = now, now
	case !ok && m.synced:
		m.syncedUntil = now
	}
	m.synced = ok
}

func (m *Machine) hear(e Heartbeat, now time.Duration) {
	if !m.cfg.Paired || e.Path < 0 || e.Path >= len(m.paths) {
		return
	}
	if m.initial {
		m.initial = false
		m.firstWord(e.Peer, now)
	}
	m.paths[e.Path] = now
	if e.Old {
		return
	}
	m.lastFresh = now
	// A node that is looking after a freeze leaves it to the order of ranks: the peer
	// may have been frozen with it, and both would take.
	looking := now < m.lookUntil && !m.starting
	m.letGo = e.Peer.Role != lb.Active && (m.letGo || m.heard && m.peer.Role == lb.Active && !looking)
	m.peer, m.heard = e.Peer, true
	if e.Peer.Role == lb.Active {
		// The link of the tables may end a moment before the owner's last heartbeat is
		// read: both die together.
		m.inherited = m.synced || now-m.syncedUntil < m.dead()
	}
	// Owners count their own takeovers; everybody else remembers the highest.
	if m.role != lb.Active || e.Peer.Role != lb.Active {
		m.term = max(m.term, e.Peer.Term)
	}
}

// firstWord ends the wait for a peer early. At a cold start the secondary waits all
// of Init: a primary whose ping node has not answered yet is not a worse owner.
func (m *Machine) firstWord(p State, now time.Duration) {
	if m.cfg.Seat == lb.Primary || p.Role == lb.Active {
		m.lookUntil = min(m.lookUntil, now+max(m.cfg.Timers.Dead, p.Dead))
	}
}

func (m *Machine) ping(e PingResult, now time.Duration) {
	for i, a := range m.cfg.Pings {
		if a != e.Addr {
			continue
		}
		m.pings[i].up = e.OK
		if e.OK {
			m.pings[i].last = now
		}
	}
}

// stall: the main daemon does nothing any more. One last word lets the peer take
// at once, then this node is silent.
func (m *Machine) stall(now time.Duration) {
	if m.stalled || !m.cfg.Paired {
		return
	}
	if m.role == lb.Active {
		m.letGoNow(now, "the main daemon stalled: silent until it moves again")
	}
	m.stalled, m.yielding = true, false
}

func (m *Machine) unstall(now time.Duration) {
	if !m.stalled {
		return
	}
	m.stalled = false
	m.look(now, m.dead())
	m.nextBeat = now
	m.log("the main daemon moves again")
}

// beat sends the heartbeat and renews the lease when they are due. The heartbeat
// goes first: see the package comment.
func (m *Machine) beat(now time.Duration) {
	if !m.cfg.Paired || now < m.nextBeat {
		return
	}
	m.lastBeat = now
	m.nextBeat += m.period(now)
	if m.nextBeat <= now || m.nextBeat > now+m.period(now) {
		m.nextBeat = now + m.period(now)
	}
	if m.stalled {
		return
	}
	m.send(now)
	if m.role == lb.Active {
		m.renew(now)
	}
}

// renew grants the lease of a heartbeat that left at beat.
func (m *Machine) renew(beat time.Duration) {
	m.deadline = beat + m.lease(beat)
	d := m.deadline
	if !m.cfg.Lease {
		d = Forever
	}
	m.out = append(m.out, Action{Do: RenewLease, Deadline: d})
}

// dropLease ends the kernel's service at once. A pair without the lease leaves it
// alone for good.
func (m *Machine) dropLease() {
	if !m.cfg.Lease {
		m.out = append(m.out, Action{Do: RenewLease, Deadline: Forever})
		return
	}
	m.do(DropLease)
}

func (m *Machine) send(now time.Duration) {
	m.out = append(m.out, Action{Do: SendHeartbeat, State: m.State(now)})
}

func (m *Machine) do(v Verb) { m.out = append(m.out, Action{Do: v}) }

func (m *Machine) log(reason string) { m.out = append(m.out, Action{Do: Log, Reason: reason}) }

func (m *Machine) announce() {
	if m.cfg.Announce {
		m.do(Announce)
	}
}

func (m *Machine) refuse(reason string) {
	m.out = append(m.out, Action{Do: Refuse, Reason: reason})
}

func (m *Machine) setRole(r lb.Role, now time.Duration, why string) {
	m.role, m.since, m.reason = r, now, why
	m.log(why)
}
