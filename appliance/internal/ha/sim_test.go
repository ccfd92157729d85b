package ha_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/vosbed/vosbed/appliance/internal/ha"
	"github.com/vosbed/vosbed/appliance/lb"
)

// sim is a pair of machines with their kernels, a service network (one heartbeat
// path and the ping node) and a direct link (the other path). Time moves in steps
// of one millisecond, which is also the latency of a message.
type sim struct {
	now     time.Duration
	nodes   [2]*simNode
	sync    bool // the direct link works
	wire    []letter
	log     strings.Builder
	serving string
	verbose bool
	broken  string      // a rule of the lease that was broken
	drop    func() bool // random loss
}

type letter struct {
	at       time.Duration
	from, to int
	path     int
	state    ha.State
}

type simNode struct {
	name    string
	cfg     ha.Config
	m       *ha.Machine
	running bool
	frozen  bool
	badKey  bool
	svc     string // ok, cut (carrier gone), hole (silent)
	pingOK  bool
	next    time.Duration // ping probe
	inbox   []letter
	// The kernel's part: it outlives the daemon.
	vips      bool
	lease     time.Duration
	announced int
	// What the peer was told last, and when: it is patient for that long.
	told ha.State
	sent time.Duration
	life bool // a heartbeat was sent in this life
	// flush is how the main daemon answers Flush: ok, slow, behind or silent; at flushed.
	flush   string
	flushed time.Duration
	closed  bool // the kernel's lease cannot be opened
}

// flushTakes and slowFlush are the time that a flush needs.
const (
	flushTakes = 60 * time.Millisecond
	slowFlush  = time.Second
)

func timers() lb.HATimers {
	return lb.HATimers{
		Heartbeat: 100 * time.Millisecond, Dead: 300 * time.Millisecond, Lease: 250 * time.Millisecond,
		Init: time.Second, HoldDown: 5 * time.Second,
	}
}

func pingNode() netip.Addr { return netip.MustParseAddr("192.168.94.1") }

func newSim() *sim {
	s := &sim{sync: true, drop: func() bool { return false }}
	for i, name := range []string{"a", "b"} {
		s.nodes[i] = &simNode{name: name, svc: "ok", pingOK: true, flush: "ok", cfg: ha.Config{
			Node: name, Seat: lb.Seat(i), Paired: true, Paths: []string{"svc", "sync"},
			Pings: []netip.Addr{pingNode()}, Timers: timers(), Lease: true, Announce: true,
		}}
	}
	return s
}

func (s *sim) node(name string) (int, *simNode) {
	i := slices.IndexFunc(s.nodes[:], func(n *simNode) bool { return n.name == name })
	if i < 0 {
		panic("no node " + name)
	}
	return i, s.nodes[i]
}

func (s *sim) start(i int) {
	n := s.nodes[i]
	n.m, n.running, n.frozen, n.next, n.inbox = ha.New(n.cfg), true, false, s.now, nil
	n.life, n.flushed = false, 0
	if n.svc == "cut" {
		defer s.step(i, ha.ServiceLink{Up: false})
	}
	held := !n.closed && n.lease > s.now && n.lease != ha.Forever && n.vips
	s.step(i, ha.Start{LeaseHeld: held})
	s.step(i, ha.LeaseReady{OK: !n.closed})
}

func (s *sim) step(i int, e ha.Event) {
	n := s.nodes[i]
	for _, a := range n.m.Step(e, s.now) {
		s.act(i, a)
	}
}

func (s *sim) act(i int, a ha.Action) {
	n := s.nodes[i]
	switch a.Do {
	case ha.SendHeartbeat:
		n.told, n.sent, n.life = a.State, s.now, true
		s.send(i, a.State)
		s.freezable(n)
	case ha.RenewLease:
		n.write(a.Deadline)
		s.freezable(n)
	case ha.DropLease:
		n.write(0)
	case ha.TakeVIPs:
		n.vips = true
	case ha.ReleaseVIPs:
		n.vips = false
	case ha.Announce:
		n.announced++
	case ha.Flush:
		n.flushed = s.now + flushTakes
		if n.flush == "slow" {
			n.flushed = s.now + slowFlush
		}
	case ha.Log, ha.Refuse, ha.StateChanged:
	}
	s.trace(n, a)
}

// write is a renewal that reaches the kernel only where the lease is open.
func (n *simNode) write(deadline time.Duration) {
	if !n.closed {
		n.lease = deadline
	}
}

// freezable checks that a node may freeze right here, between two actions: its lease
// ends before the peer, by what it was told, starts. Where the lease cannot be written
// there are no addresses either.
func (s *sim) freezable(n *simNode) {
	if n.life && !n.closed && n.cfg.Lease && n.lease != ha.Forever && n.lease >= n.sent+n.told.Dead {
		s.broken = fmt.Sprintf("%s: at %v the lease lasts until %v, the peer told at %v waits only %v",
			n.name, s.now, n.lease, n.sent, n.told.Dead)
	}
}

func (s *sim) trace(n *simNode, a ha.Action) {
	text := a.Do.String()
	switch a.Do {
	case ha.SendHeartbeat:
		if !s.verbose {
			return
		}
		text = fmt.Sprintf("send role=%v term=%d sync=%t usable=%t ping=%v intent=%v", a.State.Role, a.State.Term,
			a.State.InSync, a.State.Serviceable, a.State.PingAge, a.State.Intent)
	case ha.RenewLease:
		if !s.verbose {
			return
		}
		text = fmt.Sprintf("renew until %v", a.Deadline)
	case ha.StateChanged:
		return
	case ha.Log, ha.Refuse:
		text = "# " + a.Reason
	case ha.DropLease, ha.TakeVIPs, ha.ReleaseVIPs, ha.Announce, ha.Flush:
	}
	s.print(n.name + ": " + text)
}

func (s *sim) print(text string) {
	fmt.Fprintf(&s.log, "    %8v %s\n", s.now, text)
}

func (s *sim) pathWorks(from, to, path int) bool {
	if path == 1 {
		return s.sync
	}
	return s.nodes[from].svc == "ok" && s.nodes[to].svc == "ok"
}

func (s *sim) send(from int, st ha.State) {
	for path := range 2 {
		if s.drop() || !s.pathWorks(from, 1-from, path) || s.nodes[from].badKey || s.nodes[1-from].badKey {
			continue
		}
		s.wire = append(s.wire, letter{s.now + time.Millisecond, from, 1 - from, path, st})
	}
}

// run moves time until d has passed.
func (s *sim) run(d time.Duration) {
	for end := s.now + d; s.now < end; {
		s.now += time.Millisecond
		s.tick()
	}
}

func (s *sim) tick() {
	var later []letter
	for _, l := range s.wire {
		switch to := s.nodes[l.to]; {
		case l.at > s.now:
			later = append(later, l)
		case to.running:
			to.inbox = append(to.inbox, l)
		}
	}
	s.wire = later
	for i, n := range s.nodes {
		if n.running && !n.frozen {
			s.live(i, n)
		}
	}
	s.observe()
}

// live is what the sentinel does when it wakes: sockets first, then time.
func (s *sim) live(i int, n *simNode) {
	inbox := n.inbox
	n.inbox = nil
	for _, l := range inbox {
		s.step(i, ha.Heartbeat{Path: l.path, Peer: l.state})
	}
	if s.now >= n.next {
		n.next = s.now + n.cfg.Timers.Heartbeat
		if n.pingOK && n.svc == "ok" && !s.drop() {
			s.step(i, ha.PingResult{Addr: pingNode(), OK: true})
		}
	}
	if n.flushed > 0 && s.now >= n.flushed {
		if n.flushed = 0; n.flush != "silent" {
			s.step(i, ha.Flushed{OK: n.flush != "behind"})
		}
	}
	if s.now >= n.m.Wake() {
		s.step(i, ha.Tick{})
	}
}

// serves: the kernel answers and forwards, whatever the daemon does.
func (s *sim) serves(i int) bool {
	n := s.nodes[i]
	return n.vips && n.lease > s.now && n.svc == "ok"
}

func (s *sim) observe() {
	var who []string
	for i, n := range s.nodes {
		if s.serves(i) {
			who = append(who, n.name)
		}
	}
	now := strings.Join(who, "+")
	if now == "" {
		now = "nobody"
	}
	if now != s.serving {
		s.serving = now
		s.print("serving: " + now)
	}
}

// command applies one line of a transcript.
func (s *sim) command(line string) error {
	f := strings.Fields(line)
	switch {
	case f[0] == "run":
		d, err := time.ParseDuration(f[1])
		if err != nil {
			return err
		}
		s.run(d)
	case f[0] == "sync":
		s.sync = f[1] == "up"
	case f[0] == "verbose":
		s.verbose = f[1] == "on"
	case f[0] == "print":
		for _, n := range s.nodes {
			if n.m == nil {
				continue
			}
			s.print(fmt.Sprintf("%s: role=%v announced=%d", n.name, n.m.Role(), n.announced))
		}
	case len(f) >= 2:
		return s.nodeCommand(f)
	default:
		return fmt.Errorf("unknown command %q", line)
	}
	return nil
}

func (s *sim) nodeCommand(f []string) error {
	i, n := s.node(f[0])
	switch f[1] {
	case "start":
		s.start(i)
	case "kill":
		n.running = false
	case "freeze":
		n.frozen = true
	case "thaw":
		n.frozen = false
	case "svc":
		n.svc = f[2]
		if n.running {
			s.step(i, ha.ServiceLink{Up: f[2] != "cut"})
		}
	case "ping":
		n.pingOK = f[2] == "up"
	case "synced":
		s.step(i, ha.Synced{OK: f[2] == "yes"})
	case "lease":
		n.closed = f[2] != "open"
		s.step(i, ha.LeaseReady{OK: !n.closed})
	case "flush":
		n.flush = f[2]
	case "takeover":
		s.step(i, ha.TakeOver{})
	case "release":
		s.step(i, ha.Release{})
	case "stall":
		s.step(i, ha.MainStalled{})
	case "unstall":
		s.step(i, ha.MainAlive{})
	case "slept":
		s.step(i, ha.Slept{})
	case "key":
		n.badKey = f[2] == "wrong"
	case "set":
		return n.set(f[2:])
	case "reconfigure":
		for _, a := range n.m.Reconfigure(n.cfg, s.now) {
			s.act(i, a)
		}
	default:
		return fmt.Errorf("unknown command %q", strings.Join(f, " "))
	}
	return nil
}

func (n *simNode) set(f []string) error {
	on := f[1] == "on"
	switch f[0] {
	case "failback":
		n.cfg.Failback = on
	case "lease":
		n.cfg.Lease = on
	case "announce":
		n.cfg.Announce = on
	case "pings":
		n.cfg.Pings = nil
		if on {
			n.cfg.Pings = []netip.Addr{pingNode()}
		}
	case "paired":
		n.cfg.Paired = on
	case "timers":
		n.cfg.Timers = timers()
		switch ti := &n.cfg.Timers; f[1] {
		case "fast":
			ti.Heartbeat, ti.Dead, ti.Lease = 10*time.Millisecond, 30*time.Millisecond, 25*time.Millisecond
		case "slow":
			ti.Heartbeat, ti.Dead, ti.Lease, ti.Init = time.Second, 3*time.Second, 2500*time.Millisecond, 10*time.Second
		}
	default:
		return fmt.Errorf("unknown setting %q", f[0])
	}
	return nil
}
