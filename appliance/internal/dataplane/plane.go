// Package dataplane is the layer-4 port of the appliance: what an engine must do
// and the optional faces it may have. Engines live below it, one folder each, and
// prove what they declare in the conformance suite dptest.
package dataplane

import (
	"context"
	"net/netip"

	"github.com/vosbed/vosbed/appliance/internal/plan"
	"github.com/vosbed/vosbed/appliance/lb"
)

// Plane is a layer-4 engine. Set takes the whole desired table, may be repeated
// (an equal second Set does nothing) and changes only the difference. A service that
// cannot be programmed takes nothing from the others: Set leaves it out and returns a
// [plan.UnservedError] that names it. Close
// releases handles and leaves the kernel state in place: it outlives the daemon.
type Plane interface {
	Set(ctx context.Context, table plan.L4Table) error
	Counters(ctx context.Context) (Counters, error)
	Close() error
}

// Counters is one reading of an engine. Drops is keyed by reason, snake_case:
// "port_not_served", "lease_expired", "no_server", "fragment_unknown", "malformed".
//
// Four reasons say what full tables have cost although no packet was dropped:
// "table_full" (a decision that could not be stored), "flow_lost" (a TCP packet in
// mid-stream of which neither table knew the server: it was scheduled as new),
// "flow_evicted" and "entry_evicted" (flows and clients that had to make room; their
// Packets count entries).
type Counters struct {
	Services map[string]lb.ServiceCounters
	Drops    map[string]lb.Counter
	// MACs are the resolved link addresses of real servers, by RIP.
	MACs map[netip.Addr]string
	// Flows and Entries are the present sizes of the flow and persistence tables,
	// Capacity* their fixed limits.
	Flows, FlowCapacity, Entries, EntryCapacity uint64
}

// Lister is the optional face of an engine whose persistence table can be read.
type Lister interface {
	Export(ctx context.Context) ([]lb.PersistenceEntry, error)
}

// Entries is the optional face of an engine whose persistence table can be read
// and written. Import keeps the younger of two entries for one client.
type Entries interface {
	Lister
	Import(ctx context.Context, entries []lb.PersistenceEntry) error
	// Clear removes the entries that match; zero fields match everything. It
	// returns how many went.
	Clear(ctx context.Context, sel Selector) (int, error)
}

// Stream is the optional face of an engine that reports new and refreshed
// entries. Watch calls fn (never concurrently) until ctx ends; entries may be
// reported more than once, and a sweep repairs lost ones.
type Stream interface {
	Watch(ctx context.Context, fn func([]lb.PersistenceEntry)) error
}

// Selector picks persistence entries.
type Selector struct {
	Service string
	Client  netip.Addr
	Server  string
}

// Conflicts is the optional face of an engine that sees foreign claims to VIPs.
type Conflicts interface {
	Conflicts(ctx context.Context) ([]lb.ARPConflict, error)
}

// Capabilities is what an engine declares and dptest proves.
type Capabilities struct {
	Entries, Stream, Conflicts, Lease, IPv6, Fragments, Adopt bool
	Schedulers                                                []lb.Scheduler
}

// Declarer tells an engine's name, why it was chosen, and its capabilities.
type Declarer interface {
	Engine() (name, why string)
	Capabilities() Capabilities
}
