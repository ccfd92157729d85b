// Package plan is the pure waist of the appliance: Compute turns what was
// written, what is observed and what the operator wants into the whole desired
// state of every actuator. It does no I/O and owns no clock.
package plan

import (
	"net/netip"
	"time"

	"github.com/vosbed/vosbed/appliance/lb"
)

// Inputs are all that a plan depends on.
type Inputs struct {
	Config    lb.Config
	Health    map[lb.RealID]bool // up; absent = not yet known = down
	Overrides map[lb.RealID]lb.Override
	Links     []Link    // this node's interfaces, for VIPs without a named one
	Now       time.Time // judges drain deadlines
	// Fallback is where the node's fallback page is; invalid = nowhere.
	Fallback netip.AddrPort
}

// Link is an interface of this node with the subnets it is in.
type Link struct {
	Name     string
	Prefixes []netip.Prefix
	Default  bool // carries the default route
}

// Plan is the whole desired state, sorted, comparable by value.
type Plan struct {
	L4     L4Table
	L7     L7Table
	VIPs   []VIP
	Probes []Probe
	// System is what the machine itself is to be.
	System lb.System
	// Reals says what follows for every real server and why, for Status.
	Reals map[lb.RealID]Decision
	// Problems are sentences an operator must read, e.g. a VIP in no subnet.
	Problems []string
	// Wake is when the plan changes by itself (a drain deadline); zero = never.
	Wake time.Time
}

// Decision is the state of one real server with its reason in words.
type Decision struct {
	State lb.ServeState
	Why   string
}

// L4Table is the whole desired state of the layer-4 engine. It is equal on the
// active and the passive node: the lease decides who serves.
type L4Table struct {
	Services []L4Service
	// OtherVIPs are addresses that the engine guards by lease and ARP watch but
	// leaves to the stack (layer-7 VIPs).
	OtherVIPs []VIP
	// Leased makes the engine drop ARP, ND and packets for all VIPs once the lease
	// has expired. Without a peer it is false.
	Leased bool
}

// L4Service is one layer-4 virtual service.
type L4Service struct {
	Name            string
	Addr            netip.Addr
	Interface       string
	Ports           lb.PortSet
	Protocols       lb.Protocols
	Scheduler       lb.Scheduler
	Persistence     lb.Persistence
	DrainPersistent bool
	Reals           []L4Real
}

// L4Real is one real server of a layer-4 service. Weight 0 takes no new clients.
type L4Real struct {
	Name               string
	Addr               netip.Addr
	Weight             int
	State              lb.ServeState
	MinConns, MaxConns int
}

// L7Table is the whole desired state of the proxy.
type L7Table struct{ Frontends []Frontend }

// Frontend is one TCP-mode layer-7 virtual service.
type Frontend struct {
	Name            string
	Addr            netip.Addr
	Ports           lb.PortSet
	Scheduler       lb.Scheduler
	Persistence     lb.Persistence
	DrainPersistent bool
	Settings        lb.ProxySettings
	Backends        []Backend
	// Fallback gets the clients that no backend takes: it is set while all of them are down
	// or halted, and invalid otherwise.
	Fallback netip.AddrPort
}

// Backend is one real server of a frontend. Port 0 = the client's port.
type Backend struct {
	Name               string
	Addr               netip.Addr
	Port               uint16
	Weight             int
	State              lb.ServeState
	MinConns, MaxConns int
}

// VIP is an address to own while active, as /32 or /128.
type VIP struct {
	Addr      netip.Addr
	Interface string
}

// Probe is one check to run.
type Probe struct {
	ID     lb.RealID
	Target netip.Addr
	// Port is the resolved port, 0 for ping.
	Port  uint16
	Check lb.HealthCheck
	// VIP is set for DR servers: the address of a through-VIP check.
	VIP netip.Addr
	// Served says that Port is one of the service's own: clients use it by the VIP.
	Served bool
	Layer  lb.Layer
}

// UnservedError is the error of an actuator that has done its part but for some addresses:
// nothing answers for them, so they must not be announced. An actuator that fails with
// any other error answers for none.
type UnservedError struct {
	Addrs []netip.Addr
	Err   error
}

// Error returns the cause.
func (u *UnservedError) Error() string { return u.Err.Error() }

// Unwrap returns the cause.
func (u *UnservedError) Unwrap() error { return u.Err }
