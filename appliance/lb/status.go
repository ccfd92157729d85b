package lb

import (
	"net/netip"
	"time"
)

// Status is what follows from everything: immutable, published as one value.
// Pages, API and support read only this.
type Status struct {
	Node      string
	Seat      Seat
	Revision  string // content hash of the running Config
	At        time.Time
	Pending   PendingStatus
	Pair      PairStatus
	Dataplane DataplaneStatus
	Proxy     ProxyStatus
	Services  []ServiceStatus
	Conflicts []ARPConflict
	// CertificateEnd is when the certificate of the WebUI expires, zero = not known.
	CertificateEnd time.Time
	// Problems are failing actuators and other things an operator must know, one
	// sentence each with what to do.
	Problems []string
}

// DataplaneStatus says which engine runs and why.
type DataplaneStatus struct {
	Engine string // "tcx", "clsact", "memory"
	Why    string
	Drops  map[string]Counter // by reason
	// Flows and Entries are the present sizes of the flow and persistence tables,
	// the capacities their fixed limits.
	Flows, FlowCapacity, Entries, EntryCapacity uint64
}

// ProxyStatus is layer 7 as a whole.
type ProxyStatus struct {
	// Sessions are the present ones, Capacity what the descriptors allow.
	Sessions, Capacity uint64
	// Refused counts by reason what was refused or cut since the daemon started:
	// no_server, servers_full, service_full, fd_budget, not_served, connect_failed,
	// idle_timeout, server_cut.
	Refused map[string]uint64
	// Entries is the present size of the proxy's persistence table, Evicted counts
	// entries that made room for others.
	Entries, EntryCapacity, Evicted uint64
}

// ServiceStatus is one virtual service as an operator sees it.
type ServiceStatus struct {
	Name      string
	Addr      netip.Addr
	Ports     PortSet
	Protocols Protocols
	Layer     Layer
	Method    Method
	MaxConns  int // of a layer-7 service, 0 = bounded by the descriptors only
	Counters  ServiceCounters
	// Fallback says that clients get the fallback page: no real server takes them.
	Fallback bool
	Reals    []RealStatus
}

// RealStatus is one real server as an operator sees it.
type RealStatus struct {
	Name     string
	Addr     netip.Addr
	Port     uint16
	Weight   int
	MaxConns int // 0 = no limit
	State    ServeState
	Why      string // "healthy", "check failed: …", "halted by operator"
	Admin    AdminState
	Deadline time.Time // of a drain, zero = none
	Health   Health
	Counters RealCounters
	MAC      string // resolved link address (DR), "" = unresolved
}
