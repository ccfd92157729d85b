package topo

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strings"
)

// Node returns the machine of that name, or nil.
func (p *Plan) Node(name string) *Machine {
	for _, m := range p.Nodes {
		if m.Name == name {
			return m
		}
	}
	return nil
}

// OfKind returns the machines of a kind, in order.
func (p *Plan) OfKind(kind string) []*Machine {
	var out []*Machine
	for _, m := range p.Nodes {
		if m.Kind == kind {
			out = append(out, m)
		}
	}
	return out
}

// Owner returns the node whose interface has that MAC, or "".
func (p *Plan) Owner(mac net.HardwareAddr) string {
	for _, m := range p.Nodes {
		for _, port := range m.Ports {
			if port.MAC.String() == mac.String() {
				return m.Name
			}
		}
	}
	return ""
}

// VIPName returns the name of the VIP with that address, or "".
func (p *Plan) VIPName(a netip.Addr) string {
	for name, v := range p.VIPs {
		if v.IP4 == a || v.IP6 == a {
			return name
		}
	}
	return ""
}

// Addr returns the machine's first address of the family (4 or 6), on any port.
func (m *Machine) Addr(family int) netip.Addr {
	for _, p := range m.Ports {
		for _, a := range p.Addrs {
			if a.Addr().Is4() == (family == 4) {
				return a.Addr()
			}
		}
	}
	return netip.Addr{}
}

// PortOn returns the machine's port on a network, or nil.
func (m *Machine) PortOn(network string) *Port {
	for _, p := range m.Ports {
		if p.Network == network {
			return p
		}
	}
	return nil
}

// AtSwitch returns the machine's port whose far end in the switch has that name, or
// nil.
func (m *Machine) AtSwitch(name string) *Port {
	for _, p := range m.Ports {
		if p.Switch == name {
			return p
		}
	}
	return nil
}

// Service returns the port by which the machine meets the others: the first on a
// switch, or else the first; nil when it has none.
func (m *Machine) Service() *Port {
	for _, p := range m.Ports {
		if p.Switch != "" {
			return p
		}
	}
	if len(m.Ports) > 0 {
		return m.Ports[0]
	}
	return nil
}

func reference() *regexp.Regexp { return regexp.MustCompile(`\$\{([^}]*)\}`) }

// Resolve replaces ${vip.NAME}, ${vip6.NAME}, ${NODE} and ${NODE.ip6} in text by
// addresses; IPv6 ones stand in brackets, ready for a port.
func (p *Plan) Resolve(text string) (string, error) {
	var failed error
	out := reference().ReplaceAllStringFunc(text, func(ref string) string {
		a, err := p.resolveOne(ref[2 : len(ref)-1])
		if err != nil {
			failed = err
			return ref
		}
		if a.Is6() {
			return "[" + a.String() + "]"
		}
		return a.String()
	})
	return out, failed
}

func (p *Plan) resolveOne(ref string) (netip.Addr, error) {
	head, tail, _ := strings.Cut(ref, ".")
	var a netip.Addr
	switch {
	case head == "vip":
		a = p.VIPs[tail].IP4
	case head == "vip6":
		a = p.VIPs[tail].IP6
	case p.Node(head) != nil && tail == "":
		a = p.Node(head).Addr(4)
	case p.Node(head) != nil && tail == "ip6":
		a = p.Node(head).Addr(6)
	}
	if !a.IsValid() {
		return a, fmt.Errorf("${%s} names nothing in this topology: use ${vip.NAME}, ${vip6.NAME}, ${NODE} or ${NODE.ip6}", ref)
	}
	return a, nil
}

// Clients returns count addresses of the machine's pool of that family (4 or 6),
// after skipping some: hosts in IPv4, the first host of each /64 in IPv6.
func (m *Machine) Clients(family, skip, count int) ([]string, error) {
	pool, step := m.Pool4, m.Pool4.Addr().BitLen()
	if family == 6 {
		pool, step = m.Pool6, 64
	}
	if !pool.IsValid() {
		return nil, fmt.Errorf("node %s has no IPv%d pool of client addresses", m.Name, family)
	}
	size := 1 << min(step-pool.Bits(), 20)
	if skip+count > size-2 {
		return nil, fmt.Errorf("node %s: %d client addresses wanted, its pool %s has %d", m.Name, skip+count, pool, size-2)
	}
	out := make([]string, 0, count)
	for i := range count {
		out = append(out, poolAddr(pool, step, skip+i+1).String())
	}
	return out, nil
}

// poolAddr is the n-th element of pool, where elements are step bits wide.
func poolAddr(pool netip.Prefix, step, n int) netip.Addr {
	b := pool.Addr().AsSlice()
	at := step/8 - 1
	for v := n; v > 0 && at >= 0; at-- {
		v += int(b[at])
		b[at] = byte(v)
		v >>= 8
	}
	if step == 64 {
		b[15] = 1
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}
