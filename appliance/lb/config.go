package lb

import (
	"net/netip"
	"time"
)

// Config is everything that was written: the whole desired behaviour of one node.
// Node holds the settings that stay local to a node (guide 14.1.1); Cluster and
// Services are shared by the pair.
type Config struct {
	Node     Node
	Cluster  Cluster
	Services []VirtualService
}

// Node is the node-scope part: never replicated.
type Node struct {
	Name string
	// Seat is primary or secondary (guide 14.1); it decides ties only.
	Seat Seat
	// Management lists the address:port pairs of the HTTPS API (guide 9.5: 9443).
	Management []netip.AddrPort
	Access
	// Paths are the heartbeat paths to the peer, UDP 6694; empty = no peer.
	Paths []HeartbeatPath
	// Replication is this node's and the peer's TCP 7778 end; zero = no peer.
	Replication Replication
	// PingNodes are addresses on the service network that a healthy node reaches.
	PingNodes []netip.Addr
	// Authentication is who may log in besides the accounts of the node (guide 9.3).
	Authentication Authentication
	// Update is where newer versions are looked for.
	Update Update
	// System is what the machine is to be; zero = it is left alone.
	System System
}

// HeartbeatPath is one way to the peer.
type HeartbeatPath struct {
	Name        string
	Local, Peer netip.AddrPort
}

// Replication names the two ends of the persistence replication link.
type Replication struct{ Local, Peer netip.AddrPort }

// Cluster is the cluster-scope part of the high-availability settings.
type Cluster struct {
	// Paired says that this node has a peer. Without one there is no lease.
	Paired bool
	// SecretFile holds the pairing secret: at least 32 bytes, mode 0600.
	SecretFile string
	Timers     HATimers
	// Failback lets the primary take the VIPs back by itself; off by default.
	Failback bool
	// Announce sends gratuitous ARP and unsolicited NA on takeover; on by default.
	Announce bool
	// Lease guards the kernel state of a dead or frozen daemon; on by default.
	Lease bool
	// Replicate sends persistence entries to the peer; on by default.
	Replicate bool
}

// HATimers are the timing of the pair. Lease < Dead always.
type HATimers struct {
	Heartbeat time.Duration // sending period, default 100 ms
	Dead      time.Duration // silence after which the peer is dead, default 300 ms
	Lease     time.Duration // how long the kernel may serve without renewal, default 250 ms
	Init      time.Duration // wait for a peer at start before taking over, default 1 s
	HoldDown  time.Duration // least time between voluntary changes, default 5 s
}

// VirtualService is one VIP with its port set, balanced as one service.
type VirtualService struct {
	Name      string
	Addr      netip.Addr
	Ports     PortSet
	Protocols Protocols
	Layer     Layer
	Method    Method
	// Interface carries the VIP; empty means the one whose subnet holds Addr, or
	// else the one with the default route.
	Interface   string
	Scheduler   Scheduler
	Persistence Persistence
	// DrainPersistent lets a draining server keep its persistent clients until
	// their entries time out; otherwise only existing flows stay.
	DrainPersistent bool
	Check           HealthCheck
	Proxy           ProxySettings
	Reals           []RealServer
}

// Persistence ties a client to a real server across all ports and protocols of
// the service. Mask4 and Mask6 are prefix lengths (defaults 32 and 64).
type Persistence struct {
	Kind    PersistenceKind
	Timeout time.Duration // idle timeout
	Mask4   int
	Mask6   int
}

// Key returns the address under which a client's entry is kept: masked to Mask4
// or Mask6 bits; IPv4-mapped IPv6 counts as IPv4.
func (p Persistence) Key(client netip.Addr) netip.Addr {
	client = client.Unmap()
	bits := p.Mask6
	if client.Is4() {
		bits = p.Mask4
	}
	pfx, err := client.WithZone("").Prefix(bits)
	if err != nil {
		return client
	}
	return pfx.Addr()
}

// ProxySettings are the layer-7 limits and times of a TCP-mode service.
type ProxySettings struct {
	MaxConns       int           // per service, 0 = bounded by the fd budget only
	ConnectTimeout time.Duration // default 4 s
	IdleTimeout    time.Duration // both directions silent, default 5 min
	FinTimeout     time.Duration // half-closed, default 30 s
	Retries        int           // further servers tried when connecting fails, default 3
	// Fallback shows clients the node's fallback page while every real server is down or
	// halted, instead of refusing them; on by default.
	Fallback bool
}

// RealServer is one RIP of a service.
type RealServer struct {
	Name string
	Addr netip.Addr
	// Port is the server's port; 0 = the port the client used (always so for DR).
	Port   uint16
	Weight int // default 100; 0 = no new clients
	// MinConns and MaxConns: at MaxConns the server takes no new clients until it
	// has fallen to MinConns again; 0 = no limit (guide 10.2.2).
	MinConns, MaxConns int
}

// HealthCheck is the one definition used by layer 4 and layer 7 (design decision 4).
type HealthCheck struct {
	Kind   CheckKind
	Scheme Scheme // negotiate only
	// Port is resolved by package config: never 0 for negotiate and connect. AutoPort
	// says that it was left blank and follows from the service's ports.
	Port     uint16
	AutoPort bool
	Path     string // "Request to Send"
	Host     string // Host header and SNI; empty = the server's address
	Match    MatchKind
	Expect   string // "Response Expected"
	Statuses []int  // acceptable HTTP status codes, default 200
	Interval time.Duration
	Timeout  time.Duration
	Fall     int     // consecutive failures to go down
	Rise     int     // consecutive successes to come up
	Jitter   float64 // fraction of Interval, 0..0.5
	// Fast is the period used while the state is changing; 0 = Interval.
	Fast time.Duration
	// ThroughVIP also checks a DR server by its VIP (finds a missing loopback VIP).
	ThroughVIP bool
}

// RealID names one real server of one service.
type RealID struct{ Service, Real string }

// String returns "service/real".
func (r RealID) String() string { return r.Service + "/" + r.Real }
