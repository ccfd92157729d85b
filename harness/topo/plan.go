package topo

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Plan is a topology as it will be built.
type Plan struct {
	Networks []*Segment
	Nodes    []*Machine // in the order they are built and printed
	VIPs     map[string]VIPAddrs
}

// Segment is one network with its ports in node order.
type Segment struct {
	Name    string
	IP4     netip.Prefix
	IP6     netip.Prefix
	Gateway int
	Direct  bool
	Ports   []*Port
}

// Port is one interface of a node.
type Port struct {
	Node    string
	Iface   string // eth0, eth1, ...
	Network string
	Host    int
	MAC     net.HardwareAddr
	Addrs   []netip.Prefix // IPv4 first
	// Switch is the name of the far end inside the switch; empty on a cable.
	Switch string
}

// Machine is one node.
type Machine struct {
	Name     string
	Kind     string
	Role     string
	ID       int
	ARP      string
	VIPs     []netip.Addr
	Servers  []netip.Addr // of a haproxy node
	Ports    []*Port
	Gateways []netip.Addr // default routers, none for the router itself
	Routes   []Route
	Pool4    netip.Prefix
	Pool6    netip.Prefix
	// Reachable is the neighbours' reachable time, 0 = the kernel's.
	Reachable time.Duration
}

// Route is a route to a client population.
type Route struct {
	To  netip.Prefix
	Via netip.Addr
}

// VIPAddrs are the addresses of a VIP; either may be invalid.
type VIPAddrs struct{ IP4, IP6 netip.Addr }

// Addrs returns the valid ones.
func (v VIPAddrs) Addrs() []netip.Addr {
	return slices.DeleteFunc([]netip.Addr{v.IP4, v.IP6}, func(a netip.Addr) bool { return !a.IsValid() })
}

// Compute plans s. All mistakes are reported at once.
func Compute(s Spec) (*Plan, error) {
	if s.Use != "" {
		base, ok := Library()[s.Use]
		if !ok {
			return nil, fmt.Errorf("topology: unknown library topology %q: use one of %s", s.Use, strings.Join(LibraryNames(), ", "))
		}
		over := s
		over.Use = ""
		s = base.Merge(over)
	}
	c := computer{plan: &Plan{VIPs: map[string]VIPAddrs{}}, segments: map[string]*Segment{}}
	c.networks(s.Networks)
	c.vips(s.VIPs)
	for _, name := range nodeOrder(s.Nodes) {
		c.node(name, s.Nodes[name])
	}
	c.servers(s.Nodes)
	c.checkDirect()
	c.gateways()
	return c.plan, errors.Join(c.errs...)
}

type computer struct {
	plan     *Plan
	segments map[string]*Segment
	errs     []error
}

func (c *computer) fail(format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf("topology: "+format, args...))
}

func (c *computer) networks(nets map[string]*Network) {
	for _, name := range slices.Sorted(maps.Keys(nets)) {
		n := nets[name]
		seg := &Segment{Name: name, Gateway: n.Gateway, Direct: n.Direct}
		seg.IP4 = c.prefix("network "+name, n.IP4)
		seg.IP6 = c.prefix("network "+name, n.IP6)
		c.segments[name] = seg
		c.plan.Networks = append(c.plan.Networks, seg)
	}
}

func (c *computer) prefix(where, s string) netip.Prefix {
	if s == "" {
		return netip.Prefix{}
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		c.fail("%s: %q is not a prefix such as 192.168.94.0/24", where, s)
		return netip.Prefix{}
	}
	return p.Masked()
}

func (c *computer) vips(vips map[string]VIP) {
	for _, name := range slices.Sorted(maps.Keys(vips)) {
		c.plan.VIPs[name] = VIPAddrs{c.addr("vip "+name, vips[name].IP4), c.addr("vip "+name, vips[name].IP6)}
	}
}

func (c *computer) addr(where, s string) netip.Addr {
	if s == "" {
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		c.fail("%s: %q is not an address", where, s)
	}
	return a
}

func (c *computer) node(name string, n *Node) {
	m := &Machine{Name: name, Kind: n.Kind, Role: n.Role, ID: n.ID, ARP: n.ARP, Reachable: n.Reachable}
	if _, ok := kindOrder()[n.Kind]; !ok {
		c.fail("node %s: kind %q: use one of %s", name, n.Kind, strings.Join(slices.Sorted(maps.Keys(kindOrder())), ", "))
	}
	if len(name) > 10 {
		c.fail("node %s: a name has at most 10 characters, because interfaces are named after it", name)
	}
	for i, text := range n.Links {
		if p := c.port(m, i, text); p != nil {
			m.Ports = append(m.Ports, p)
		}
	}
	for _, v := range n.VIPs {
		a, ok := c.plan.VIPs[v]
		if !ok {
			c.fail("node %s: unknown vip %q", name, v)
		}
		m.VIPs = append(m.VIPs, a.Addrs()...)
	}
	if n.ARP != "" && n.ARP != "solved" && n.ARP != "unsolved" {
		c.fail("node %s: arp is solved or unsolved, not %q", name, n.ARP)
	}
	m.Pool4 = c.prefix("node "+name, n.Pool4)
	m.Pool6 = c.prefix("node "+name, n.Pool6)
	c.plan.Nodes = append(c.plan.Nodes, m)
}

// servers finds the addresses of the servers of haproxy nodes.
func (c *computer) servers(nodes map[string]*Node) {
	for _, m := range c.plan.OfKind(KindHAProxy) {
		for _, name := range nodes[m.Name].Servers {
			s := c.plan.Node(name)
			if s == nil || s.Kind != KindSimVOS || !s.Addr(4).IsValid() {
				c.fail("node %s: server %q is no simvos node with an IPv4 address", m.Name, name)
				continue
			}
			m.Servers = append(m.Servers, s.Addr(4))
		}
	}
}

func (c *computer) port(m *Machine, i int, text string) *Port {
	network, hostText, _ := strings.Cut(text, ":")
	seg := c.segments[network]
	host, err := strconv.Atoi(hostText)
	if seg == nil || err != nil || host < 1 || host > 9999 {
		c.fail("node %s: link %q is not network:host with a network of this topology and a host number", m.Name, text)
		return nil
	}
	p := &Port{Node: m.Name, Iface: "eth" + strconv.Itoa(i), Network: network, Host: host}
	index := slices.Index(c.plan.Networks, seg)
	p.MAC = macOf(index, host)
	if seg.IP4.IsValid() {
		p.Addrs = append(p.Addrs, netip.PrefixFrom(hostAddr(seg.IP4, host), seg.IP4.Bits()))
	}
	if seg.IP6.IsValid() {
		p.Addrs = append(p.Addrs, netip.PrefixFrom(hostAddr(seg.IP6, host), seg.IP6.Bits()))
	}
	for _, a := range p.Addrs {
		if !a.Masked().Contains(a.Addr()) || !sameNet(seg, a.Addr()) {
			c.fail("node %s: host %d does not fit into network %s", m.Name, host, network)
		}
	}
	if !seg.Direct {
		p.Switch = m.Name + "." + p.Iface
	}
	for _, q := range seg.Ports {
		if q.Host == host {
			c.fail("node %s: host %d of network %s already belongs to %s", m.Name, host, network, q.Node)
		}
	}
	seg.Ports = append(seg.Ports, p)
	return p
}

func sameNet(seg *Segment, a netip.Addr) bool { return seg.IP4.Contains(a) || seg.IP6.Contains(a) }

// macOf makes a locally administered address that shows its network and the
// decimal digits of its host: 02:94:00:<network>:01:15 is host 115.
func macOf(network, host int) net.HardwareAddr {
	return net.HardwareAddr{0x02, 0x94, 0, byte(network), bcd(host / 100), bcd(host % 100)}
}

func bcd(n int) byte { return byte(n/10<<4 | n%10) }

// hostAddr is the host's address in p: added in IPv4; in IPv6 the decimal digits
// are used as they stand, so that host 115 is ::115.
func hostAddr(p netip.Prefix, host int) netip.Addr {
	b := p.Addr().AsSlice()
	n := len(b)
	if p.Addr().Is6() {
		b[n-2], b[n-1] = bcd(host/100), bcd(host%100)
	} else {
		v := int(b[n-2])<<8 + int(b[n-1]) + host
		b[n-2], b[n-1] = byte(v>>8), byte(v)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

func (c *computer) checkDirect() {
	for _, seg := range c.plan.Networks {
		if seg.Direct && len(seg.Ports) != 2 && len(seg.Ports) != 0 {
			c.fail("network %s: a direct network joins exactly two nodes, not %d", seg.Name, len(seg.Ports))
		}
	}
	// A cable that nobody plugs in is not built.
	c.plan.Networks = slices.DeleteFunc(c.plan.Networks, func(s *Segment) bool { return len(s.Ports) == 0 })
}

// gateways gives every node its default routers and the routers their ways to
// the client populations.
func (c *computer) gateways() {
	for _, m := range c.plan.Nodes {
		if m.Kind == KindRouter {
			m.Routes = c.populations(m)
			continue
		}
		for _, p := range m.Ports {
			seg := c.segments[p.Network]
			if seg.Gateway == 0 || len(m.Gateways) > 0 {
				continue
			}
			for _, a := range p.Addrs {
				m.Gateways = append(m.Gateways, hostAddr(a.Masked(), seg.Gateway))
			}
		}
	}
}

func (c *computer) populations(router *Machine) []Route {
	var out []Route
	for _, m := range c.plan.Nodes {
		for _, p := range m.Ports {
			if !m.Pool4.IsValid() && !m.Pool6.IsValid() || !touches(router, p.Network) {
				continue
			}
			for _, a := range p.Addrs {
				pool := m.Pool4
				if a.Addr().Is6() {
					pool = m.Pool6
				}
				if pool.IsValid() {
					out = append(out, Route{To: pool, Via: a.Addr()})
				}
			}
		}
	}
	return out
}

func touches(m *Machine, network string) bool {
	return slices.ContainsFunc(m.Ports, func(p *Port) bool { return p.Network == network })
}

func kindOrder() map[string]int {
	return map[string]int{KindRouter: 0, KindClients: 1, KindAppliance: 2, KindHAProxy: 3, KindSimVOS: 4}
}

func nodeOrder(nodes map[string]*Node) []string {
	order := kindOrder()
	return slices.SortedFunc(maps.Keys(nodes), func(a, b string) int {
		return cmp.Or(cmp.Compare(order[nodes[a].Kind], order[nodes[b].Kind]), cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
	})
}
