package ha

import (
	"net/netip"
	"time"

	"github.com/vosbed/vosbed/appliance/lb"
)

// Forever is the lease of a node that needs none.
const Forever = time.Duration(1<<63 - 1)

// NoPing is the PingAge of a node without ping nodes.
const NoPing = time.Duration(-1)

// Config is what a machine is built from. Times are those of [lb.HATimers].
type Config struct {
	Node   string
	Seat   lb.Seat
	Paired bool
	// Paths are the heartbeat paths' names; events name them by index. At most 64.
	Paths []string
	// Pings are the ping nodes, at most 64; empty turns the ping rule off.
	Pings    []netip.Addr
	Timers   lb.HATimers
	Failback bool
	Lease    bool
	Announce bool
}

// Intent is what a node asks of its peer.
type Intent uint8

// Intents. Yield: I have let go and cannot serve, take now. HandOver: I still
// serve, take when you can. Request: hand the addresses to me.
const (
	IntentNone Intent = iota
	IntentYield
	IntentHandOver
	IntentRequest
)

// String returns the intent in words.
func (i Intent) String() string {
	switch i {
	case IntentYield:
		return "yield"
	case IntentHandOver:
		return "hand-over"
	case IntentRequest:
		return "request"
	case IntentNone:
	}
	return "none"
}

// State is what a node tells its peer in every heartbeat.
type State struct {
	Node string
	Seat lb.Seat
	Role lb.Role
	// Term counts takeovers; a passive node reports the highest it has seen.
	Term   uint64
	InSync bool
	// Serviceable: the service link has carrier, a ping node answers, and the kernel's
	// lease can be renewed.
	Serviceable bool
	// PingAge is the time since the last answer of a ping node, or NoPing. Ages
	// travel, never clocks: the receiver subtracts it from its own time of arrival.
	PingAge time.Duration
	Intent  Intent
	// Dead is the sender's own dead time: its lease is shorter, so nobody may call it
	// dead sooner, whatever his own timers say.
	Dead time.Duration
}

// Event is something that happened to a node.
type Event interface{ event() }

// Events.
type (
	// Start begins; LeaseHeld says that the kernel's lease was still running and the
	// addresses are in place: this daemon was restarted within it. Without the
	// addresses they were handed over, and the lease is what is left of that.
	Start struct{ LeaseHeld bool }
	// Tick lets time act; deliver it at Wake or at any other time.
	Tick struct{}
	// Heartbeat is an authentic, fresh state of the peer that arrived by Path. Old
	// means that a later one came by another path: only the path's life counts.
	//
	// An Old one proves nothing about the peer: it may have been held back.
	Heartbeat struct {
		Path int
		Peer State
		Old  bool
	}
	// PingResult is one echo: an answer, or a certain failure.
	PingResult struct {
		Addr netip.Addr
		OK   bool
	}
	// ServiceLink tells whether every interface that carries VIPs has carrier.
	ServiceLink struct{ Up bool }
	// LeaseReady tells whether the kernel's lease can be renewed, or is not wanted.
	LeaseReady struct{ OK bool }
	// Synced tells whether the persistence table is in sync with the peer's.
	Synced struct{ OK bool }
	// Flushed answers Flush. OK: the peer has confirmed all that had changed by then.
	Flushed struct{ OK bool }
	// TakeOver is the operator's command to get the addresses from the peer.
	TakeOver struct{}
	// Release is the operator's command to hand the addresses to the peer.
	Release struct{}
	// Slept says that the clock stood still for a while (the machine was suspended), so
	// that nothing known is as fresh as it looks.
	Slept struct{}
	// MainStalled says that the main daemon makes no progress.
	MainStalled struct{}
	// MainAlive says that it does again.
	MainAlive struct{}
)

func (Start) event()       {}
func (Tick) event()        {}
func (Heartbeat) event()   {}
func (PingResult) event()  {}
func (ServiceLink) event() {}
func (LeaseReady) event()  {}
func (Synced) event()      {}
func (Flushed) event()     {}
func (TakeOver) event()    {}
func (Release) event()     {}
func (Slept) event()       {}
func (MainStalled) event() {}
func (MainAlive) event()   {}

// Verb is the kind of an action.
type Verb uint8

// Verbs. RenewLease carries Deadline (monotonic, Forever = not needed),
// SendHeartbeat carries State (send it on every path), Log carries Reason, Refuse
// answers a command that is not obeyed and carries Reason. Flush asks to bring the
// peer's persistence table up to date and to say so by Flushed, until Deadline.
const (
	SendHeartbeat Verb = iota
	RenewLease
	DropLease
	TakeVIPs
	ReleaseVIPs
	Announce
	Log
	Refuse
	Flush
	StateChanged
)

// String returns the verb as transcripts show it.
func (v Verb) String() string {
	return [...]string{
		"send", "renew", "drop-lease", "take-vips", "release-vips",
		"announce", "log", "refuse", "flush", "state",
	}[v]
}

// Action is one thing to do. Actions must be done in order.
type Action struct {
	Do       Verb
	Deadline time.Duration
	State    State
	Reason   string
}
