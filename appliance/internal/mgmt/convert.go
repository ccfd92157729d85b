package mgmt

import (
	"fmt"
	"maps"
	"net/netip"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/lb"
)

// StatusOf translates a status to its wire form. Lists are never null.
func StatusOf(s lb.Status) api.Status {
	return api.Status{
		Node: s.Node, Seat: s.Seat.String(), Role: s.Pair.Role.String(),
		Revision: s.Revision, At: s.At,
		Pair:      pairOf(s.Pair),
		Dataplane: dataplaneOf(s.Dataplane),
		Proxy:     proxyOf(s.Proxy),
		Services:  each(s.Services, serviceOf),
		Conflicts: each(s.Conflicts, conflictOf),
		Problems:  each(s.Problems, func(p string) string { return p }),
	}
}

func each[A, B any](in []A, f func(A) B) []B {
	out := make([]B, len(in))
	for i, v := range in {
		out[i] = f(v)
	}
	return out
}

// ms is a duration in milliseconds, the unit of every time span on the wire.
func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func pairOf(p lb.PairStatus) api.Pair {
	out := api.Pair{
		Since: p.Since, Term: p.Term, Reason: p.Reason, PeerAlive: p.PeerAlive,
		InSync: p.InSync, LagMS: ms(p.Lag), LeaseHeld: p.LeaseHeld,
		RealTime: p.RealTime, RealTimeNo: p.RealTimeNo,
		Paths: each(p.Paths, func(h lb.PathStatus) api.Path {
			return api.Path{Name: h.Name, Up: h.Up, LastSeenMS: ms(h.LastSeen), Rejected: h.Rejected}
		}),
		Pings: each(p.Pings, func(n lb.PingStatus) api.Ping {
			return api.Ping{Addr: n.Addr.String(), Up: n.Up}
		}),
	}
	if p.PeerAlive {
		out.PeerRole = p.PeerRole.String()
	}
	return out
}

func dataplaneOf(d lb.DataplaneStatus) api.Dataplane {
	out := api.Dataplane{
		Engine: d.Engine, Why: d.Why, Drops: map[string]api.Counter{},
		Flows: d.Flows, FlowCapacity: d.FlowCapacity,
		Entries: d.Entries, EntryCapacity: d.EntryCapacity,
	}
	for reason, c := range d.Drops {
		out.Drops[reason] = api.Counter(c)
	}
	return out
}

func proxyOf(p lb.ProxyStatus) api.Proxy {
	out := api.Proxy{
		Sessions: p.Sessions, Capacity: p.Capacity, Refused: map[string]uint64{},
		Entries: p.Entries, EntryCapacity: p.EntryCapacity, Evicted: p.Evicted,
	}
	maps.Copy(out.Refused, p.Refused)
	return out
}

func serviceOf(s lb.ServiceStatus) api.Service {
	return api.Service{
		Name: s.Name, Addr: s.Addr.String(), Ports: s.Ports.String(), Protocol: s.Protocols.String(),
		Layer: s.Layer.String(), Method: s.Method.String(),
		Counters: api.Counters{
			In: api.Counter(s.Counters.In), Out: api.Counter(s.Counters.Out),
			Connections: s.Counters.Conns, Active: s.Counters.ActiveConns,
			ConnectFailed: s.Counters.ConnectFailed, Retried: s.Counters.Retried,
		},
		Fallback: s.Fallback,
		Servers:  each(s.Reals, serverOf),
	}
}

func serverOf(r lb.RealStatus) api.Server {
	out := api.Server{
		Name: r.Name, Addr: r.Addr.String(), Port: r.Port, Weight: r.Weight,
		State: r.State.String(), Why: r.Why, Admin: r.Admin.String(), MAC: r.MAC,
		Up: r.Health.Up, UpSince: r.Health.Since,
		Counters: api.Counters{
			In: api.Counter(r.Counters.In), Out: api.Counter(r.Counters.Out),
			Connections: r.Counters.Conns, Active: r.Counters.ActiveConns,
			ConnectFailed: r.Counters.ConnectFailed, Retried: r.Counters.Retried,
		},
		History: each(r.Health.History, verdictOf),
	}
	if !r.Deadline.IsZero() {
		out.Deadline = &r.Deadline
	}
	if !r.Health.Last.At.IsZero() {
		last := verdictOf(r.Health.Last)
		out.Last = &last
	}
	return out
}

func verdictOf(v lb.Verdict) api.Verdict {
	return api.Verdict{
		At: v.At, OK: v.OK, Target: v.Target, Sent: v.Sent, Status: v.Status, Body: v.Body,
		Failed: v.Failed, TLS: v.TLS, ConnectMS: ms(v.Connect), FirstByteMS: ms(v.FirstByte),
		TotalMS: ms(v.Total), ViaVIP: v.ViaVIP,
	}
}

func conflictOf(c lb.ARPConflict) api.Conflict {
	return api.Conflict{
		VIP: c.VIP.String(), MAC: c.MAC, Server: c.Server, Last: c.Last, Count: c.Count,
		Fix: fixOf(c),
	}
}

// fixOf says how to solve the ARP problem (guide 7.1 and 8.2). Linux answers ARP
// for every local address by default, loopback included, so IPv4 needs two
// sysctls; loopback never answers neighbour solicitations, so for IPv6 it is
// enough that the VIP is there and not on the network card.
func fixOf(c lb.ARPConflict) string {
	if c.Server == "" {
		return fmt.Sprintf("An unknown machine with MAC %s also answers for %s: find it by its MAC and take the address from it, "+
			"or, if it is a real server, solve the ARP problem there (guide 8.2).", c.MAC, c.VIP)
	}
	return fmt.Sprintf("On %s (MAC %s), Linux: %s. Windows: the three steps of guide 8.2.1 (loopback adapter with %s, weak host receive and send).",
		c.Server, c.MAC, linuxFix(c.VIP), windowsAddr(c.VIP))
}

// windowsAddr is the address as guide 8.2.1 has it on the loopback adapter.
func windowsAddr(vip netip.Addr) string {
	if vip.Is4() {
		return vip.String() + "/255.255.255.255"
	}
	return vip.String() + " and the network's prefix length"
}

func linuxFix(vip netip.Addr) string {
	if vip.Is4() {
		return fmt.Sprintf("sysctl -w net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2; "+
			"ip addr add %s dev lo; remove %s from every network card", vipOnLoopback(vip), vip)
	}
	return fmt.Sprintf("ip -6 addr add %s dev lo nodad; remove %s from every network card", vipOnLoopback(vip), vip)
}

func vipOnLoopback(vip netip.Addr) string {
	return netip.PrefixFrom(vip, vip.BitLen()).String()
}
