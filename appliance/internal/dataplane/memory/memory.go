// Package memory is the reference model of the layer-4 engines: the same semantics
// as dataplane/ebpf, in plain Go on abstract packets. Conformance and differential
// tests compare the engines with it, and `lbctl plan` prints its state.
package memory

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/vosbed/vosbed/appliance/internal/dataplane"
	"github.com/vosbed/vosbed/appliance/internal/dataplane/maglev"
	"github.com/vosbed/vosbed/appliance/internal/plan"
	"github.com/vosbed/vosbed/appliance/lb"
)

// Timeouts of the model, those of the eBPF engine by default.
const (
	tcpIdle        = 15 * time.Minute
	udpIdle        = 2 * time.Minute
	closingIdle    = 10 * time.Second
	fragmentIdle   = 30 * time.Second
	defaultTimeout = 300 * time.Second
	// refreshStep is how often, at most, an engine looks more closely at a flow.
	refreshStep = time.Second
)

// Options configure a model.
type Options struct {
	Now            func() time.Time // required
	Flows, Entries int              // capacities, default 1<<18
}

// Plane is the model. Its methods may be called from any goroutine.
type Plane struct {
	opts Options

	mu        sync.Mutex
	table     plan.L4Table
	leaseHeld bool
	services  map[string]*service
	vips      map[netip.Addr]*vip
	flows     map[flowKey]*entry
	persist   map[persistKey]*entry
	fragments map[fragmentKey]*entry
	conflicts map[conflictKey]*lb.ARPConflict
	drops     map[string]lb.Counter
}

type vip struct {
	guarded  bool
	services []*service
}

type service struct {
	spec  plan.L4Service
	reals []*backend
	ring  []uint16
	in    lb.Counter
	conns uint64
}

// real is one real server; flows and entries point at it. gone voids them.
type backend struct {
	spec    plan.L4Real
	service *service
	in      lb.Counter
	conns   uint64
	active  int64
	full    bool
	gone    bool
}

type entry struct {
	real           *backend
	seen           time.Time
	closing, loose bool
}

type flowKey struct {
	client, vip  netip.Addr
	sport, dport uint16
	kind         Kind
}

type persistKey struct {
	service string
	client  netip.Addr
}

type fragmentKey struct {
	client, vip netip.Addr
	id          uint32
	kind        Kind
}

type conflictKey struct {
	vip netip.Addr
	mac [6]byte
}

// New returns an empty model. The lease is not held.
func New(opts Options) *Plane {
	if opts.Flows == 0 {
		opts.Flows = 1 << 18
	}
	if opts.Entries == 0 {
		opts.Entries = 1 << 18
	}
	return &Plane{
		opts: opts, services: map[string]*service{}, vips: map[netip.Addr]*vip{},
		flows: map[flowKey]*entry{}, persist: map[persistKey]*entry{},
		fragments: map[fragmentKey]*entry{}, conflicts: map[conflictKey]*lb.ARPConflict{},
		drops: map[string]lb.Counter{},
	}
}

// Close does nothing: the state goes with the value.
func (p *Plane) Close() error { return nil }

// Engine returns "memory".
func (p *Plane) Engine() (name, why string) { return "memory", "reference model: forwards nothing" }

// Capabilities are those that dptest proves.
func (p *Plane) Capabilities() dataplane.Capabilities {
	return dataplane.Capabilities{
		Entries: true, Conflicts: true, Lease: true, IPv6: true, Fragments: true,
		Schedulers: []lb.Scheduler{lb.WLC, lb.Maglev},
	}
}

// SetLease gives or takes the lease.
func (p *Plane) SetLease(held bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leaseHeld = held
}

// Set takes the whole desired table. Servers that stay keep flows and entries. What
// cannot be scheduled is left out: the error is then a [plan.UnservedError].
func (p *Plane) Set(_ context.Context, table plan.L4Table) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := p.services
	p.table, p.services, p.vips = table, map[string]*service{}, map[netip.Addr]*vip{}
	var errs []error
	for _, spec := range table.Services {
		if spec.Scheduler != lb.WLC && spec.Scheduler != lb.Maglev {
			errs = append(errs, fmt.Errorf("service %s: layer 4 cannot schedule by %s: use wlc or maglev", spec.Name, spec.Scheduler))
			continue
		}
		s := p.keep(old[spec.Name], spec)
		p.services[spec.Name] = s
		v := p.vips[spec.Addr]
		if v == nil {
			v = &vip{}
			p.vips[spec.Addr] = v
		}
		v.services = append(v.services, s)
	}
	for _, o := range table.OtherVIPs {
		if p.vips[o.Addr] == nil {
			p.vips[o.Addr] = &vip{guarded: true}
		}
	}
	for name, s := range old {
		if p.services[name] == nil {
			s.forget(nil)
		}
	}
	if len(errs) > 0 {
		return &plan.UnservedError{Addrs: p.unserved(table), Err: errors.Join(errs...)}
	}
	return nil
}

func (p *Plane) unserved(table plan.L4Table) (out []netip.Addr) {
	for _, s := range table.Services {
		if p.vips[s.Addr] == nil && !slices.Contains(out, s.Addr) {
			out = append(out, s.Addr)
		}
	}
	return out
}

// keep makes the service of a spec from what there was.
func (p *Plane) keep(s *service, spec plan.L4Service) *service {
	if s == nil {
		s = &service{}
	}
	s.spec = spec
	var (
		reals, back []*backend
		backends    []maglev.Backend
	)
	for i, r := range spec.Reals {
		have := s.find(r)
		away := have.dead()
		have.spec = r
		if away && !have.dead() {
			back = append(back, have)
		}
		reals = append(reals, have)
		if have.open() {
			backends = append(backends, maglev.Backend{Name: r.Name + "\x00" + r.Addr.String(), ID: uint16(i), Weight: r.Weight})
		}
	}
	s.forget(reals)
	s.reals, s.ring = reals, nil
	for _, r := range back {
		p.forgetMoved(r)
	}
	if spec.Scheduler == lb.Maglev {
		s.ring = maglev.Table(backends)
	}
	return s
}

// forgetMoved removes the flows of a server that is back, where their client was moved to
// another one meanwhile.
func (p *Plane) forgetMoved(r *backend) {
	for k, e := range p.flows {
		if e.real != r || !r.service.persistent() {
			continue
		}
		at := r.service.key(k.client)
		if tie := p.persist[at]; tie != nil && tie.real != r && !tie.real.dead() && p.idle(tie) <= r.service.timeout() {
			delete(p.flows, k)
		}
	}
}

func (s *service) find(spec plan.L4Real) *backend {
	for _, r := range s.reals {
		if r.spec.Name == spec.Name && r.spec.Addr == spec.Addr {
			return r
		}
	}
	return &backend{service: s}
}

// forget voids the servers that are not kept.
func (s *service) forget(kept []*backend) {
	keep := map[*backend]bool{}
	for _, r := range kept {
		keep[r] = true
	}
	for _, r := range s.reals {
		r.gone = !keep[r]
	}
}

func (r *backend) open() bool { return !r.gone && r.spec.State == lb.Serving && r.spec.Weight > 0 }

// draining: existing flows stay.
func (r *backend) draining() bool {
	return !r.gone && !r.open() && (r.spec.State == lb.Serving || r.spec.State == lb.Draining)
}

func (r *backend) dead() bool { return !r.open() && !r.draining() }

// Counters reads what has been counted.
func (p *Plane) Counters(context.Context) (dataplane.Counters, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := dataplane.Counters{
		Services: map[string]lb.ServiceCounters{}, Drops: maps.Clone(p.drops), MACs: map[netip.Addr]string{},
		FlowCapacity: uint64(p.opts.Flows), EntryCapacity: uint64(p.opts.Entries),
	}
	active := p.active()
	for _, n := range active {
		c.Flows += n.all
	}
	for k, e := range p.persist {
		if p.binds(k, e) {
			c.Entries++
		}
	}
	for name, s := range p.services {
		out := lb.ServiceCounters{In: s.in, Conns: s.conns, Reals: map[string]lb.RealCounters{}}
		for _, r := range s.reals {
			out.Reals[r.spec.Name] = lb.RealCounters{In: r.in, Conns: r.conns, ActiveConns: active[r].open}
			out.ActiveConns += active[r].open
		}
		c.Services[name] = out
	}
	return c, nil
}

// Sweep removes what is idle and corrects the connection counts.
func (p *Plane) Sweep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for k, e := range p.flows {
		if !p.lives(k, e) {
			delete(p.flows, k)
		}
	}
	for k, e := range p.persist {
		if !p.stands(k, e) {
			delete(p.persist, k)
		}
	}
	active := p.active()
	for _, s := range p.services {
		for _, r := range s.reals {
			r.correct(int64(active[r].open))
		}
	}
}

func (r *backend) correct(conns int64) {
	r.active = conns
	switch {
	case r.spec.MaxConns == 0:
		r.full = false
	case conns >= int64(r.spec.MaxConns):
		r.full = true
	case conns <= r.resumeAt():
		r.full = false
	}
}

func (r *backend) resumeAt() int64 {
	if r.spec.MinConns > 0 {
		return int64(r.spec.MinConns)
	}
	return int64(r.spec.MaxConns) - 1
}

// census counts the living flows of one server.
type census struct{ all, open uint64 }

func (p *Plane) active() map[*backend]census {
	out := map[*backend]census{}
	for k, e := range p.flows {
		if !p.lives(k, e) {
			continue
		}
		n := out[e.real]
		n.all++
		if !e.closing {
			n.open++
		}
		out[e.real] = n
	}
	return out
}

// lives tells whether a flow counts.
func (p *Plane) lives(k flowKey, e *entry) bool { return !e.real.dead() && p.idle(e) <= e.timeout(k) }

// binds tells whether an entry ties its client now.
func (p *Plane) binds(k persistKey, e *entry) bool { return !e.real.dead() && p.stands(k, e) }

// stands tells whether it may again: that of a server that is down does.
func (p *Plane) stands(k persistKey, e *entry) bool {
	s := p.services[k.service]
	return s != nil && !e.real.gone && p.idle(e) <= s.timeout()
}

func (e *entry) timeout(k flowKey) time.Duration {
	switch {
	case e.closing:
		return closingIdle
	case k.kind == UDP:
		return min(udpIdle, e.real.service.timeout())
	default:
		return tcpIdle
	}
}

func (p *Plane) idle(e *entry) time.Duration { return p.opts.Now().Sub(e.seen) }

func (s *service) timeout() time.Duration {
	if s.spec.Persistence.Timeout > 0 {
		return s.spec.Persistence.Timeout
	}
	return defaultTimeout
}
