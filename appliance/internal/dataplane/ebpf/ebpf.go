// Package ebpf is the layer-4 engine in the kernel: Direct Routing (guide 7.1) by
// one tc program on the ingress and one on the egress of every interface that
// carries a VIP, attached by tcx or by classic clsact.
//
// # What is where
//
// bpf/ holds the C source by role; the compiled object is committed, so neither
// building nor running needs clang. Maps are the truth: with Options.PinDir they
// are pinned and adopted by the next process, which swaps the programs in place;
// not one packet is lost between. A layout that no longer fits is replaced, with a
// line in the log. The lease is a map of its own (package lease) and always kept.
//
// # Tables
//
// flows ties {client, VIP, ports, protocol} to a real server, persist ties {service,
// masked client} to one. Both are LRU hashes of fixed size. When one is full the
// kernel evicts the entry it thinks least used, without telling; because it evicts
// from per-CPU free lists in batches, this can strike before the last slot is
// taken. A client evicted from persist while a flow lives is put back by that flow;
// otherwise it is scheduled as new. A flow evicted from flows follows its client's entry.
// Nobody is refused for want of a place; all of it is counted under Drops, although no
// packet is dropped: flow_evicted and entry_evicted what the kernel took (since this
// process began, worked out by each sweep), flow_lost TCP packets in mid-stream of which
// neither table knew the server, table_full decisions that could not be stored at all.
// Counts for least connections and limits are therefore recomputed from the flow table
// every second by [Plane.Run].
//
// # Rules
//
// A flow stays with its server until that is down or halted. A packet without a
// flow follows its client's entry, else the scheduler; it is never refused. A
// draining server (or weight 0) keeps its flows and, if the service says so, its
// persistent clients; a TCP packet that is not a SYN counts as an existing flow
// (it lost its table entry in a failover). Idle entries end by the persistence
// timeout, idle UDP flows with them, TCP flows after Options.TCPIdle. A reset renews
// nothing and begins nothing: servers that write to clients that have gone draw them.
//
// # Checks through the VIP
//
// [Plane.DialVIA] connects to a real server by the VIP. Each server has a check address
// of its own, from 198.19.224.0/19 or fd76:6f73:6265:6400::/64, with a host route and
// a permanent neighbour on the interface. The programs turn it into the VIP on the way
// out and back on the way in (bpf/probe.h); it is never on the wire.
package ebpf

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/internal/dataplane"
	"github.com/vosbed/vosbed/appliance/internal/dataplane/ebpf/lease"
	"github.com/vosbed/vosbed/appliance/internal/plan"
	"github.com/vosbed/vosbed/appliance/lb"
)

// Attach says how the programs are hung into an interface.
type Attach string

// Attach modes. Auto takes tcx (kernel 6.6) and falls back on clsact.
const (
	AttachAuto   Attach = "auto"
	AttachTCX    Attach = "tcx"
	AttachClsact Attach = "clsact"
)

// Options configure an engine. The zero value works: unpinned, auto, defaults.
type Options struct {
	// PinDir is a directory on a bpffs that belongs to this node alone; "" pins
	// nothing, and the programs die with the process (tcx) or the interface (clsact).
	PinDir string
	Attach Attach
	Logger *slog.Logger
	// Flows, Entries and Fragments are table capacities (defaults 1<<18, 1<<18, 1<<14).
	Flows, Entries, Fragments uint32
	// TCPIdle ends a silent TCP flow (default 15 min), UDPIdle a silent UDP flow
	// (default 2 min), Closing a flow after FIN or RST (default 10 s).
	TCPIdle, UDPIdle, Closing time.Duration
	// IgnoreMACs lists MACs that may speak for the VIPs.
	IgnoreMACs func() []net.HardwareAddr
	// Peers lists addresses of the other node of a pair. The MACs at which they are
	// or have been found may speak for the VIPs too.
	Peers func() []netip.Addr
}

func (o Options) withDefaults() Options {
	set(&o.Attach, AttachAuto)
	set(&o.Flows, 1<<18)
	set(&o.Entries, 1<<18)
	set(&o.Fragments, 1<<14)
	set(&o.TCPIdle, 15*time.Minute)
	set(&o.UDPIdle, 2*time.Minute)
	set(&o.Closing, 10*time.Second)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.IgnoreMACs == nil {
		o.IgnoreMACs = func() []net.HardwareAddr { return nil }
	}
	if o.Peers == nil {
		o.Peers = func() []netip.Addr { return nil }
	}
	return o
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Plane is the engine. Its methods may be called from any goroutine; it belongs to
// the network namespace in which it was made.
type Plane struct {
	opts  Options
	log   *slog.Logger
	objs  *drObjects
	lease *lease.Lease
	nl    *netlink.Handle
	ns    netns.NsHandle
	hz    uint64
	raw   int // packet socket that only sends, -1 = none

	// mu guards all below: what the kernel is known to hold.
	mu       sync.Mutex
	table    plan.L4Table
	set      bool // all of the latest Set is done: table is what it was given
	serving  bool // table is programmed and may be attached
	kernel   image
	adopted  map[uint16]drReal // real servers that an earlier process left, by index
	services *ids
	reals    *ids
	vipSlots *ids
	// freshSlots are slots of addresses taken and not yet cleared of what an earlier
	// owner has left.
	freshSlots map[uint16]bool
	hops       hops
	ifaces     map[string]*attachment
	mode       Attach // in use, resolved from auto
	// filtersDropped: those of an earlier process have been looked for.
	filtersDropped bool
	why            string
	census         census
	// What the kernel has evicted from flows and from persist.
	lostFlows, lostEntries evictions
	watching               bool
	peers                  map[[6]byte]bool // where the peer has been found
	asked                  time.Time        // for foreign claims
}

// New loads the programs and adopts what an earlier process pinned. It attaches
// nothing (the first Set does) and starts no goroutine.
func New(opts Options) (*Plane, error) {
	p := &Plane{opts: opts.withDefaults(), ifaces: map[string]*attachment{}, hops: hops{}, peers: map[[6]byte]bool{}, raw: -1}
	p.log = p.opts.Logger
	if err := p.open(); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

func (p *Plane) open() (err error) {
	if p.hz, err = tickRate(); err != nil {
		return err
	}
	if p.ns, err = netns.Get(); err != nil {
		return fmt.Errorf("find the network namespace: %w", err)
	}
	if p.nl, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return fmt.Errorf("open netlink: %w", err)
	}
	if p.raw, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
		return fmt.Errorf("open a packet socket (CAP_NET_RAW is needed): %w", err)
	}
	if err = p.forgetChecks(); err != nil {
		return err
	}
	if p.lease, err = lease.Create(p.opts.PinDir); err != nil {
		return err
	}
	if p.objs, err = load(p.opts, p.lease.Map()); err != nil {
		return err
	}
	if err = p.adopt(); err != nil {
		return err
	}
	return p.countFromNow()
}

// Close releases handles and removes the ways of checks ([Plane.DialVIA]). Pinned
// maps, links and clsact filters go on working.
func (p *Plane) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, a := range p.ifaces {
		errs = append(errs, a.close())
	}
	p.ifaces = map[string]*attachment{}
	if p.objs != nil {
		errs = append(errs, p.objs.Close())
	}
	if p.lease != nil {
		errs = append(errs, p.lease.Close())
	}
	if p.nl != nil {
		errs = append(errs, p.forgetChecks())
		p.nl.Close()
	}
	if p.raw >= 0 {
		errs = append(errs, unix.Close(p.raw))
	}
	if p.ns.IsOpen() {
		errs = append(errs, p.ns.Close())
	}
	p.objs, p.lease, p.nl, p.raw = nil, nil, nil, -1
	return errors.Join(errs...)
}

// Engine names the attach mode in use and says why.
func (p *Plane) Engine() (name, why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mode == "" {
		return string(p.opts.Attach), "nothing attached yet"
	}
	return string(p.mode), p.why
}

// Capabilities lists what dptest proves for this engine.
func (p *Plane) Capabilities() dataplane.Capabilities {
	return dataplane.Capabilities{
		Entries: true, Stream: true, Conflicts: true, Lease: true, IPv6: true, Fragments: true, Adopt: true,
		Schedulers: []lb.Scheduler{lb.WLC, lb.Maglev},
	}
}

// Set programs the whole table: real servers and services first, VIPs last, then
// the interfaces. An equal second Set does nothing; a failed one is repeated whole.
//
// What cannot be programmed is left out, the rest is done: the error is then a
// [plan.UnservedError] with the addresses that nothing here answers for.
func (p *Plane) Set(_ context.Context, table plan.L4Table) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.objs == nil {
		return errors.New("the layer-4 engine is closed")
	}
	if p.set && reflect.DeepEqual(p.table, table) {
		return nil
	}
	p.set, p.serving = false, false
	admitted, errs := admit(cloned(table))
	left, err := p.program(admitted)
	if err != nil {
		return err
	}
	p.serving = true
	down, err := p.attachAll(p.table)
	if err = errors.Join(append(append(errs, left...), err)...); err != nil {
		return &plan.UnservedError{Addrs: unserved(table, p.table, down), Err: err}
	}
	p.set = true
	return nil
}

// unserved lists the addresses of a table of which nothing was programmed, or whose
// interface the programs do not hang in.
func unserved(table, programmed plan.L4Table, down map[string]bool) []netip.Addr {
	good := map[netip.Addr]bool{}
	for _, v := range addresses(programmed) {
		if !down[v.Interface] {
			good[v.Addr] = true
		}
	}
	var out []netip.Addr
	for _, v := range addresses(table) {
		if !good[v.Addr] && !slices.Contains(out, v.Addr) {
			out = append(out, v.Addr)
		}
	}
	return out
}

func addresses(t plan.L4Table) []plan.VIP {
	var out []plan.VIP
	for _, s := range t.Services {
		out = append(out, plan.VIP{Addr: s.Addr, Interface: s.Interface})
	}
	return append(out, t.OtherVIPs...)
}

// cloned keeps the caller's later changes out of what is compared.
func cloned(t plan.L4Table) plan.L4Table {
	t.Services, t.OtherVIPs = slices.Clone(t.Services), slices.Clone(t.OtherVIPs)
	for i := range t.Services {
		t.Services[i].Reals = slices.Clone(t.Services[i].Reals)
		t.Services[i].Ports = slices.Clone(t.Services[i].Ports)
	}
	return t
}

// Interface checks: what this engine promises.
var (
	_ dataplane.Plane     = (*Plane)(nil)
	_ dataplane.Entries   = (*Plane)(nil)
	_ dataplane.Stream    = (*Plane)(nil)
	_ dataplane.Conflicts = (*Plane)(nil)
	_ dataplane.Declarer  = (*Plane)(nil)
)
