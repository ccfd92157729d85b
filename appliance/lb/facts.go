package lb

import (
	"net/netip"
	"time"
)

// Override is what the operator wants of one real server now; never written into
// Config. Deadline, if set, ends a drain by halting the server.
type Override struct {
	State    AdminState
	Deadline time.Time
}

// Health is what checks say of one real server.
type Health struct {
	Up      bool
	Since   time.Time // of the present state
	Last    Verdict   // of the latest check
	History []Verdict // newest last, bounded
}

// Verdict is the readable result of one check: what was sent, what came back,
// which assertion failed.
type Verdict struct {
	At        time.Time
	OK        bool
	Target    string        // resolved URL or address
	Sent      string        // request line, or "SYN", "ICMP echo"
	Status    int           // HTTP status, 0 = none
	Body      string        // first bytes of the body, printable
	Failed    string        // the assertion that failed, "" = none
	TLS       string        // version, cipher, certificate subject and expiry
	Connect   time.Duration // TCP connect
	FirstByte time.Duration // from start to first byte
	Total     time.Duration
	ViaVIP    bool // the check went to the VIP on this server
}

// PersistenceEntry is one client's tie to a server, as listed, exported and
// replicated. Ages travel between nodes, never clocks.
type PersistenceEntry struct {
	Service string
	Client  netip.Addr // masked by the service's persistence mask
	Server  string     // real server's name
	Idle    time.Duration
}

// Counter is a pair of 64-bit packet and byte counts.
type Counter struct{ Packets, Bytes uint64 }

// Plus returns the sum.
func (c Counter) Plus(o Counter) Counter {
	return Counter{c.Packets + o.Packets, c.Bytes + o.Bytes}
}

// RealCounters are the counts of one real server. Conns counts connections (or
// UDP flows) since start, ActiveConns the present ones.
type RealCounters struct {
	In, Out     Counter // Out stays zero for DR: replies bypass the balancer
	Conns       uint64
	ActiveConns uint64
	// ConnectFailed counts attempts to connect that failed (layer 7), Retried those of them
	// after which another server was tried.
	ConnectFailed, Retried uint64
}

// ServiceCounters are the counts of one virtual service.
type ServiceCounters struct {
	In, Out     Counter
	Conns       uint64
	ActiveConns uint64

	ConnectFailed, Retried uint64 // as those of the servers, summed

	Reals map[string]RealCounters
}

// ARPConflict is a foreign claim to a VIP seen on the segment: somebody else's
// MAC answers for it ("the ARP problem", guide 7.1).
type ARPConflict struct {
	VIP    netip.Addr
	MAC    string // of the claimant, "02:00:…"
	Server string // name of the real server with that MAC, "" = unknown
	Last   time.Time
	Count  uint64
}

// PairStatus is what the HA machinery observes.
type PairStatus struct {
	Role       Role
	Since      time.Time
	Term       uint64
	Reason     string // why the role last changed, in words
	PeerAlive  bool
	PeerRole   Role
	InSync     bool // the persistence table is in sync with the peer
	Lag        time.Duration
	LeaseHeld  bool
	Paths      []PathStatus
	Pings      []PingStatus
	RealTime   bool   // the sentinel runs SCHED_FIFO
	RealTimeNo string // why not, when not
	// Problems are what keeps the pair from working as it should, one sentence each
	// with what to do.
	Problems []string
}

// PathStatus is one heartbeat path.
type PathStatus struct {
	Name     string
	Up       bool
	LastSeen time.Duration // since the last authentic heartbeat
	Rejected uint64        // heartbeats with a wrong key, replayed or malformed
}

// PingStatus is one ping node.
type PingStatus struct {
	Addr netip.Addr
	Up   bool
}
