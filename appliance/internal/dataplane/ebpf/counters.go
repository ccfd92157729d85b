package ebpf

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/cilium/ebpf"

	"github.com/vosbed/vosbed/appliance/internal/dataplane"
	"github.com/vosbed/vosbed/appliance/internal/plan"
	"github.com/vosbed/vosbed/appliance/lb"
)

// dropReasons are the names of enum drop, in its order (bpf/consts.h). table_full
// counts decisions that could not be stored: their packets went through.
//
// Three more reasons drop nothing either (see the package comment): flow_lost,
// flow_evicted and entry_evicted.
func dropReasons() []string {
	return []string{
		"malformed", "lease_expired", "port_not_served", "no_server", "no_route",
		"fragment_unknown", "icmp_unknown", "not_unicast", "table_full",
		"check_address",
	}
}

// Counters reads everything that is counted. Table sizes and present connections
// are those of the latest sweep, or counted now if that is too long ago.
func (p *Plane) Counters(ctx context.Context) (dataplane.Counters, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.objs == nil {
		return dataplane.Counters{}, errClosed
	}
	c := dataplane.Counters{
		Services: map[string]lb.ServiceCounters{}, Drops: map[string]lb.Counter{}, MACs: map[netip.Addr]string{},
		FlowCapacity: uint64(p.objs.Flows.MaxEntries()), EntryCapacity: uint64(p.objs.Persist.MaxEntries()),
	}
	now, err := p.freshCensus()
	if err != nil {
		return c, err
	}
	c.Flows, c.Entries = now.flows, now.entries
	for i, reason := range dropReasons() {
		var sum drCounter
		sum, err = total(p.objs.Drops, uint32(i))
		if err != nil {
			return c, err
		}
		c.Drops[reason] = lb.Counter{Packets: sum.Packets, Bytes: sum.Bytes}
	}
	if err = p.losses(c.Drops); err != nil {
		return c, err
	}
	for a, h := range p.hops {
		if h.resolved() {
			c.MACs[a] = net.HardwareAddr(h.mac[:]).String()
		}
	}
	for _, s := range p.table.Services {
		if c.Services[s.Name], err = p.serviceCounters(s, now); err != nil {
			return c, err
		}
	}
	return c, ctx.Err()
}

// losses are what full tables have cost.
func (p *Plane) losses(into map[string]lb.Counter) error {
	lost, err := total(p.objs.Notes, noteFlowLost)
	if err != nil {
		return err
	}
	into["flow_lost"] = lb.Counter{Packets: lost.Packets, Bytes: lost.Bytes}
	into["flow_evicted"] = lb.Counter{Packets: p.lostFlows.total}
	into["entry_evicted"] = lb.Counter{Packets: p.lostEntries.total}
	return nil
}

func (p *Plane) freshCensus() (census, error) {
	if time.Since(p.census.at) < sweepPeriod {
		return p.census, nil
	}
	f, err := p.count()
	return f.census, err
}

func (p *Plane) serviceCounters(s plan.L4Service, now census) (lb.ServiceCounters, error) {
	out := lb.ServiceCounters{Reals: map[string]lb.RealCounters{}}
	index, ok := p.services.index[identify(s.Name)]
	if !ok {
		return out, nil
	}
	sum, err := total(p.objs.ServiceStats, uint32(index))
	if err != nil {
		return out, err
	}
	out.In, out.Conns = lb.Counter{Packets: sum.Packets, Bytes: sum.Bytes}, sum.Conns
	for _, r := range s.Reals {
		i, ok := p.reals.index[identify(s.Name, r.Name, r.Addr.String())]
		if !ok {
			continue
		}
		sum, err := total(p.objs.RealStats, uint32(i))
		if err != nil {
			return out, err
		}
		out.Reals[r.Name] = lb.RealCounters{
			In:    lb.Counter{Packets: sum.Packets, Bytes: sum.Bytes},
			Conns: sum.Conns, ActiveConns: now.conns[i],
		}
		out.ActiveConns += now.conns[i]
	}
	return out, nil
}

// total sums a per-CPU counter.
func total(m *ebpf.Map, index uint32) (sum drCounter, err error) {
	var per []drCounter
	if err := m.Lookup(index, &per); err != nil {
		return sum, fmt.Errorf("read counter %d of %v: %w", index, m, err)
	}
	for _, c := range per {
		sum.Packets += c.Packets
		sum.Bytes += c.Bytes
		sum.Conns += c.Conns
	}
	return sum, nil
}
