// Package topo turns a topology as it is written into a topology as it will be
// built: nodes, links, addresses and MACs, all deterministic. It touches nothing,
// so that `vosbed plan` can print what a run would make.
package topo

import (
	"maps"
	"time"
)

// Kinds of nodes.
const (
	KindAppliance = "appliance" // lbd
	KindSimVOS    = "simvos"    // a simulated VOS server
	KindClients   = "clients"   // a population of clients; agents run here
	KindRouter    = "router"    // forwards between its networks
	KindHAProxy   = "haproxy"   // Debian's HAProxy in the proxy's place, for comparison
)

// Spec is a topology as written. Use names one of the library, which the other
// keys then change: nodes and networks merge by name, a null deletes.
type Spec struct {
	Use      string              `yaml:"use,omitempty"`
	Networks map[string]*Network `yaml:"networks,omitempty"`
	// VIPs are the virtual services' addresses by name, for ${vip.NAME}.
	VIPs  map[string]VIP   `yaml:"vips,omitempty"`
	Nodes map[string]*Node `yaml:"nodes,omitempty"`
}

// Network is one segment.
type Network struct {
	IP4 string `yaml:"ip4,omitempty"` // prefix, e.g. 192.168.94.0/24
	IP6 string `yaml:"ip6,omitempty"`
	// Gateway is the host number of the default router, 0 = none.
	Gateway int `yaml:"gateway,omitempty"`
	// Direct joins exactly two nodes by a cable; otherwise the segment is a switch.
	Direct bool `yaml:"direct,omitempty"`
}

// VIP is a virtual service's address pair.
type VIP struct {
	IP4 string `yaml:"ip4,omitempty"`
	IP6 string `yaml:"ip6,omitempty"`
}

// Node is one machine.
type Node struct {
	Kind string `yaml:"kind,omitempty"`
	// Links are "network:host", one per interface: eth0, eth1, ... The host number
	// gives the address in each of the network's prefixes (IPv6: its digits).
	Links []string `yaml:"links,omitempty"`
	// Role is the configured place of an appliance: primary or secondary.
	Role string `yaml:"role,omitempty"`
	// Servers are the real servers of a haproxy node, by node name.
	Servers []string `yaml:"servers,omitempty"`
	// ID, VIPs (names) and ARP (solved, unsolved) belong to simvos nodes.
	ID   int      `yaml:"id,omitempty"`
	VIPs []string `yaml:"vips,omitempty"`
	ARP  string   `yaml:"arp,omitempty"`
	// Pool4 and Pool6 are the client addresses of a clients node: one per host in
	// IPv4, one per /64 in IPv6.
	Pool4 string `yaml:"pool4,omitempty"`
	Pool6 string `yaml:"pool6,omitempty"`
	// Reachable is how long the node trusts a neighbour's address without asking
	// again; 0 = the kernel's 30 s.
	Reachable time.Duration `yaml:"reachable,omitempty"`
}

// Merge returns s changed by over.
func (s Spec) Merge(over Spec) Spec {
	out := Spec{
		Use:      s.Use,
		Networks: maps.Clone(s.Networks),
		VIPs:     maps.Clone(s.VIPs),
		Nodes:    maps.Clone(s.Nodes),
	}
	if over.Use != "" {
		out.Use = over.Use
	}
	out.Networks = mergeMap(out.Networks, over.Networks, mergeNetwork)
	out.Nodes = mergeMap(out.Nodes, over.Nodes, mergeNode)
	for name, v := range over.VIPs {
		if out.VIPs == nil {
			out.VIPs = map[string]VIP{}
		}
		out.VIPs[name] = v
	}
	return out
}

func mergeMap[T any](base, over map[string]*T, merge func(base, over T) T) map[string]*T {
	for name, o := range over {
		if base == nil {
			base = map[string]*T{}
		}
		b := base[name]
		switch {
		case o == nil:
			delete(base, name)
		case b == nil:
			base[name] = o
		default:
			merged := merge(*b, *o)
			base[name] = &merged
		}
	}
	return base
}

func mergeNetwork(b, o Network) Network {
	set(&b.IP4, o.IP4)
	set(&b.IP6, o.IP6)
	set(&b.Gateway, o.Gateway)
	set(&b.Direct, o.Direct)
	return b
}

func mergeNode(b, o Node) Node {
	set(&b.Kind, o.Kind)
	set(&b.Role, o.Role)
	set(&b.ID, o.ID)
	set(&b.ARP, o.ARP)
	set(&b.Pool4, o.Pool4)
	set(&b.Pool6, o.Pool6)
	set(&b.Reachable, o.Reachable)
	if o.Links != nil {
		b.Links = o.Links
	}
	if o.VIPs != nil {
		b.VIPs = o.VIPs
	}
	if o.Servers != nil {
		b.Servers = o.Servers
	}
	return b
}

func set[T comparable](dst *T, v T) {
	var zero T
	if v != zero {
		*dst = v
	}
}
