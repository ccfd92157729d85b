package config

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/vosbed/vosbed/appliance/lb"
)

// systemFile is what a node sets of the machine (guide 14.1.1, Local Configuration).
// What is not written is not the appliance's.
type systemFile struct {
	Hostname   string          `yaml:"hostname,omitempty"`
	Domain     string          `yaml:"domain,omitempty"`
	DNS        dnsFile         `yaml:"dns,omitempty"`
	Interfaces []interfaceFile `yaml:"interfaces,omitempty"`
	Routes     []routeFile     `yaml:"routes,omitempty"`
	Time       clockFile       `yaml:"time,omitempty"`
	Graphing   graphingFile    `yaml:"graphing,omitempty"`
}

type dnsFile struct {
	Servers []netip.Addr `yaml:"servers,omitempty,flow"`
	Search  []string     `yaml:"search,omitempty,flow"`
}

type interfaceFile struct {
	Name      string   `strict:"required" yaml:"name"`
	Addresses []string `yaml:"addresses,omitempty,flow"`
	DHCP      *bool    `yaml:"dhcp,omitempty"`
	VLAN      vlanFile `yaml:"vlan,omitempty,flow"`
	Bond      bondFile `yaml:"bond,omitempty,flow"`
	MTU       *int     `yaml:"mtu,omitempty"`
	Enabled   *bool    `yaml:"enabled,omitempty"`
}

type routeFile struct {
	To        string `strict:"required" yaml:"to"`
	Via       string `yaml:"via,omitempty"`
	Interface string `yaml:"interface,omitempty"`
	Metric    *int   `yaml:"metric,omitempty"`
}

type clockFile struct {
	Zone    string   `yaml:"zone,omitempty"`
	Servers []string `yaml:"servers,omitempty,flow"`
}

type graphingFile struct {
	Enabled *bool `yaml:"enabled,omitempty"`
}

// defaultRoute is the destination of a default gateway of either family.
const defaultRoute = "default"

func (r *reader) system(f systemFile) lb.System {
	const path = "node.system"
	s := lb.System{
		Hostname: f.Hostname, Domain: f.Domain,
		DNS:      lb.DNS{Search: f.DNS.Search},
		Clock:    lb.Clock{Zone: f.Time.Zone, Servers: f.Time.Servers},
		Graphing: lb.Graphing{Off: !or(f.Graphing.Enabled, true)},
	}
	for i, a := range f.DNS.Servers {
		s.DNS.Servers = append(s.DNS.Servers, r.addr(r.item(fmt.Sprintf("%s.dns.servers[%d]", path, i)), a))
	}
	for i, one := range f.Interfaces {
		s.Interfaces = append(s.Interfaces, r.iface(one, r.item(fmt.Sprintf("%s.interfaces[%d]", path, i))))
	}
	for i, one := range f.Routes {
		s.Routes = append(s.Routes, r.route(one, r.item(fmt.Sprintf("%s.routes[%d]", path, i))))
	}
	return s
}

func (r *reader) iface(f interfaceFile, path string) lb.Interface {
	if f.MTU != nil && *f.MTU == 0 {
		r.fail(path+".mtu", "0 is no MTU -- leave the key out to keep the interface's own")
	}
	out := lb.Interface{Name: f.Name, MTU: or(f.MTU, 0), DHCP: or(f.DHCP, false), Disabled: !or(f.Enabled, true)}
	out.VLAN, out.Bond = r.vlan(f.VLAN, path+".vlan"), r.bond(f.Bond, path+".bond")
	for i, a := range f.Addresses {
		out.Addrs = append(out.Addrs, r.network(r.item(fmt.Sprintf("%s.addresses[%d]", path, i)), a))
	}
	return out
}

// network reads an address with the length of its network's prefix.
func (r *reader) network(path, text string) netip.Prefix {
	if text == "" {
		r.empty(path, "192.168.94.101/24")
		return netip.Prefix{}
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		if a, lone := netip.ParseAddr(text); lone == nil {
			r.fail(path, "%s lacks the length of its network's prefix -- write for example %s/%d", a, a, usualBits(a))
			return netip.Prefix{}
		}
		r.fail(path, "%q is not an address with a prefix length -- write for example 192.168.94.101/24", text)
		return netip.Prefix{}
	}
	return p
}

func usualBits(a netip.Addr) int {
	if a.Is4() {
		return 24
	}
	return 64
}

func (r *reader) route(f routeFile, path string) lb.Route {
	out := lb.Route{Interface: f.Interface, Metric: or(f.Metric, 0)}
	if f.Via != "" || r.doc.Has(path+".via") {
		out.Via = r.gateway(path+".via", f.Via)
	}
	out.To = r.destination(path+".to", f.To, out.Via)
	return out
}

func (r *reader) gateway(path, text string) netip.Addr {
	if text == "" {
		r.empty(path, "192.168.94.1")
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		r.fail(path, "%q is not an address -- write the router's, for example 192.168.94.1", text)
		return netip.Addr{}
	}
	return r.addr(path, a)
}

// destination reads a network, or default, which is that of the gateway's family.
func (r *reader) destination(path, text string, via netip.Addr) netip.Prefix {
	if text == "" {
		r.empty(path, defaultRoute)
		return netip.Prefix{}
	}
	if text == defaultRoute {
		switch {
		case via.Is4():
			return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		case via.Is6():
			return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
		r.fail(path, "default is of the gateway's family, and there is no gateway -- add via: with the router's address, or write 0.0.0.0/0 or ::/0")
		return netip.Prefix{}
	}
	p, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		r.fail(path, "%q is not a network -- write default, or for example 10.20.0.0/16", text)
	case p != p.Masked():
		r.fail(path, "%s is an address within the network %s -- write the network", text, p.Masked())
	case p.Addr().IsMulticast():
		r.fail(path, "%s is multicast, which no router of this kind is for -- write a unicast network", text)
	}
	return p.Masked()
}

func systemToFile(s lb.System) systemFile {
	f := systemFile{
		Hostname: s.Hostname, Domain: s.Domain,
		DNS:  dnsFile{s.DNS.Servers, s.DNS.Search},
		Time: clockFile{s.Clock.Zone, s.Clock.Servers},
	}
	if s.Graphing.Off {
		f.Graphing.Enabled = new(false)
	}
	for _, i := range s.Interfaces {
		one := interfaceFile{Name: i.Name, VLAN: vlanToFile(i.VLAN), Bond: bondToFile(i.Bond), Enabled: new(!i.Disabled)}
		if i.DHCP {
			one.DHCP = new(true)
		}
		if i.MTU != 0 {
			one.MTU = new(i.MTU)
		}
		for _, p := range i.Addrs {
			one.Addresses = append(one.Addresses, prefixOf(p))
		}
		f.Interfaces = append(f.Interfaces, one)
	}
	for _, r := range s.Routes {
		one := routeFile{To: destinationOf(r), Interface: r.Interface}
		if r.Via.IsValid() {
			one.Via = r.Via.String()
		}
		if r.Metric != 0 {
			one.Metric = new(r.Metric)
		}
		f.Routes = append(f.Routes, one)
	}
	return f
}

func prefixOf(p netip.Prefix) string {
	if !p.IsValid() {
		return ""
	}
	return p.String()
}

func destinationOf(r lb.Route) string {
	if r.To.IsValid() && r.To.Bits() == 0 && r.Via.IsValid() && r.Via.Is4() == r.To.Addr().Is4() {
		return defaultRoute
	}
	return prefixOf(r.To)
}

func canonicalSystem(s lb.System) lb.System {
	s.DNS.Servers, s.DNS.Search = some(s.DNS.Servers), some(s.DNS.Search)
	s.Routes, s.Clock.Servers = some(s.Routes), some(s.Clock.Servers)
	list := some(s.Interfaces)
	s.Interfaces = nil
	for _, i := range list {
		i.Addrs, i.Bond.Members = some(i.Addrs), some(i.Bond.Members)
		s.Interfaces = append(s.Interfaces, i)
	}
	return s
}

// RouteText is a route in words: "default via 192.168.94.1".
func RouteText(r lb.Route) string {
	var b strings.Builder
	b.WriteString(destinationOf(r))
	if r.Via.IsValid() {
		fmt.Fprintf(&b, " via %s", r.Via)
	}
	if r.Interface != "" {
		fmt.Fprintf(&b, " on %s", r.Interface)
	}
	return b.String()
}
