package config

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/vosbed/vosbed/appliance/lb"
)

// Bounds of the machine's settings.
const (
	maxHostname   = 63  // one label (RFC 1123)
	maxDomain     = 253 // RFC 1035 without the last dot
	maxNameserver = 3   // MAXNS of resolv.h
	maxSearch     = 6
	maxNTP        = 8
	maxZone       = 64
	leastMTU      = 576   // RFC 791: what every host takes
	leastMTU6     = 1280  // RFC 8200 section 5
	mostMTU       = 65535 // of an IPv4 packet
	mostMetric    = 1<<31 - 1
)

// validateSystem reports what of the machine's settings could not work on any machine.
func validateSystem(r *reader, n lb.Node) {
	s := n.System
	const path = "node.system"
	checkHostname(r, path+".hostname", s.Hostname)
	checkDomain(r, path+".domain", s.Domain)
	validateDNS(r, s)
	validateInterfaces(r, s.Interfaces)
	if len(s.Routes) > maxItems {
		r.fail(path+".routes", "%d routes, the limit is %d -- remove some", len(s.Routes), maxItems)
	}
	for i, route := range s.Routes {
		validateRoute(r, s, i, route)
	}
	validateClock(r, s.Clock)
	validateOwn(r, n)
	validateDHCP(r, n)
}

func label(text string) bool {
	return regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$`).MatchString(text)
}

func isDomain(text string) bool {
	return len(text) <= maxDomain && !slices.ContainsFunc(strings.Split(text, "."), func(l string) bool { return !label(l) })
}

func checkHostname(r *reader, path, name string) {
	switch {
	case name == "":
		r.empty(path, "lb1")
	case strings.Contains(name, ".") && isDomain(name):
		host, domain, _ := strings.Cut(name, ".")
		r.fail(path, "%q is a name with its domain -- write hostname: %s and domain: %s", name, host, domain)
	case !label(name):
		r.fail(path, "%q is no host name -- use up to %d letters, digits and -, with a letter or digit at both ends", name, maxHostname)
	}
}

func checkDomain(r *reader, path, name string) {
	switch {
	case name == "":
		r.empty(path, "example.org")
	case !isDomain(name):
		r.fail(path, "%q is no domain -- write for example example.org", name)
	}
}

func validateDNS(r *reader, s lb.System) {
	const path = "node.system.dns"
	distinct(r, path+".servers", s.DNS.Servers)
	distinct(r, path+".search", s.DNS.Search)
	if len(s.DNS.Servers) > maxNameserver {
		r.fail(path+".servers", "%d servers, but programs ask the first %d at most -- remove some", len(s.DNS.Servers), maxNameserver)
	}
	if len(s.DNS.Search) > maxSearch {
		r.fail(path+".search", "%d domains, the limit is %d -- remove some", len(s.DNS.Search), maxSearch)
	}
	for i, name := range s.DNS.Search {
		checkDomain(r, r.item(fmt.Sprintf("%s.search[%d]", path, i)), name)
	}
	if len(s.DNS.Servers) > 0 || r.broken[path+".servers"] || s.ByDHCP() {
		return
	}
	if s.Domain != "" {
		r.fail("node.system.domain", "has no effect while the machine's own DNS is used -- add dns: {servers: […]}, or remove it")
	}
	if len(s.DNS.Search) > 0 {
		r.fail(path+".search", "has no effect without servers -- add servers:, or remove it")
	}
}

func validateInterfaces(r *reader, all []lb.Interface) {
	const list = "node.system.interfaces"
	if len(all) > maxItems {
		r.fail(list, "%d interfaces, the limit is %d -- remove some", len(all), maxItems)
	}
	names, addrs := make(map[string]int), make(map[netip.Addr]string)
	for i, one := range all {
		path := fmt.Sprintf("%s[%d]", list, i)
		checkInterface(r, path+".name", one.Name)
		unique(r, names, path+".name", one.Name, i)
		six := false
		for j, p := range one.Addrs {
			at := fmt.Sprintf("%s.addresses[%d]", path, j)
			checkNetwork(r, at, p)
			if other, twice := addrs[p.Addr()]; twice && p.IsValid() {
				r.fail(at, "%s is an address of %s already -- remove one of the two", p.Addr(), other)
			}
			addrs[p.Addr()] = one.Name
			six = six || p.Addr().Is6()
		}
		validateMTU(r, path+".mtu", one.MTU, six)
	}
	if len(all) <= maxItems { // who carries whom is looked for again and again
		validateVLANs(r, all)
		validateBonds(r, all)
	}
}

// interfaceName says whether Linux takes it as the name of an interface (dev_valid_name).
func interfaceName(name string) bool {
	return len(name) <= 15 && name != "." && name != ".." && !strings.ContainsFunc(name, func(c rune) bool {
		return c <= ' ' || c >= 0x7f || c == '/' || c == ':'
	})
}

func checkInterface(r *reader, path, name string) {
	switch {
	case name == "":
		r.empty(path, "eth0")
	case name == "lo":
		r.fail(path, "lo is the machine's own -- write a network interface such as eth0")
	case !interfaceName(name):
		r.fail(path, "%q is not the name of a network interface -- write for example eth0", name)
	}
}

// checkNetwork refuses what no interface of a network can have.
func checkNetwork(r *reader, path string, p netip.Prefix) {
	if !p.IsValid() {
		return // reported where it was read
	}
	a, host := p.Addr(), p.Addr().BitLen()-p.Bits()
	switch {
	case a.Is4In6():
		r.fail(path, "%s is an IPv4 address in IPv6 form -- write it as IPv4", p)
	case p.Bits() == 0:
		r.fail(path, "%s has the whole Internet as its network -- write the length of the prefix, for example %s/%d", p, a, usualBits(a))
	case a.IsLoopback(), a.IsMulticast():
		r.fail(path, "%s is no address of a network interface -- write a unicast address of its network", a)
	case a.IsLinkLocalUnicast() && a.Is6():
		r.fail(path, "%s is link-local, which the kernel gives by itself -- remove it", a)
	case host > 1 && a == p.Masked().Addr():
		r.fail(path, "%s is the network itself -- write an address in it", p)
	case host > 1 && a.Is4() && a == last(p):
		r.fail(path, "%s is the broadcast address of its network -- write an address in it", a)
	default:
		r.addr(path, a)
	}
}

// last is the highest address of an IPv4 network.
func last(p netip.Prefix) netip.Addr {
	b := p.Addr().As4()
	for bit := p.Bits(); bit < 32; bit++ {
		b[bit/8] |= 1 << (7 - bit%8)
	}
	return netip.AddrFrom4(b)
}

func validateMTU(r *reader, path string, mtu int, six bool) {
	switch {
	case mtu == 0:
	case six && mtu >= leastMTU && mtu < leastMTU6:
		r.fail(path, "%d is too small for IPv6, which needs %d (RFC 8200) -- raise it, or remove the IPv6 addresses", mtu, leastMTU6)
	default:
		between(r, path, mtu, leastMTU, mostMTU)
	}
}

func validateRoute(r *reader, s lb.System, i int, route lb.Route) {
	path := fmt.Sprintf("node.system.routes[%d]", i)
	if route.Interface != "" {
		checkInterface(r, path+".interface", route.Interface)
	}
	between(r, path+".metric", route.Metric, 0, mostMetric)
	if !route.To.IsValid() || r.broken[path+".via"] {
		return
	}
	for j, other := range s.Routes[:i] {
		if other.To == route.To && other.Metric == route.Metric {
			r.fail(path+".to", "%s with metric %d is number %d of this list already -- remove one of the two, or give it another metric", destinationOf(route), route.Metric, j+1)
		}
	}
	if route.Via.IsValid() && route.Via.Is4() != route.To.Addr().Is4() {
		r.fail(path+".via", "%s and %s are of different families -- use a router of the same", route.Via, route.To)
		return
	}
	validateOutlet(r, s, route, path)
}

// validateOutlet reports a route that leads nowhere.
func validateOutlet(r *reader, s lb.System, route lb.Route, path string) {
	iface, ours := s.Interface(route.Interface)
	own := slices.ContainsFunc(s.Interfaces, func(i lb.Interface) bool {
		return slices.ContainsFunc(i.Addrs, func(p netip.Prefix) bool { return p.Addr() == route.Via })
	})
	reached := slices.ContainsFunc(iface.Addrs, func(p netip.Prefix) bool { return p.Masked().Contains(route.Via) })
	linkLocal := route.Via.IsLinkLocalUnicast()
	switch {
	case !route.Via.IsValid() && route.Interface == "":
		r.fail(path+".via", "the route has neither a gateway nor an interface -- add via: with the router's address")
	case route.Via.IsValid() && own:
		r.fail(path+".via", "%s is this node's own address -- write the router's", route.Via)
	case ours && iface.Disabled:
		r.fail(path+".interface", "%s is disabled -- enable it, or choose another interface", route.Interface)
	case route.Interface != "" && s.BondOf(route.Interface) != "":
		bond := s.BondOf(route.Interface)
		r.fail(path+".interface", "%s is a member of %s -- write %s", route.Interface, bond, bond)
	case linkLocal && route.Interface == "":
		r.fail(path+".interface", "%s is link-local, which every network has -- add interface:", route.Via)
	case unsure(s): // what is in no network cannot be told
	case s.Outlet(route) == "":
		r.fail(path+".via", "%s is in no network of the enabled interfaces above -- mend the address, or name the interface that leads to it with interface:", route.Via)
	case route.Via.IsValid() && ours && !linkLocal && !reached && !iface.DHCP:
		r.fail(path+".via", "%s is in no network of %s -- mend the address, or choose another interface", route.Via, route.Interface)
	}
}

// unsure says whether an address of an interface could not be read.
func unsure(s lb.System) bool {
	return slices.ContainsFunc(s.Interfaces, func(i lb.Interface) bool {
		return slices.ContainsFunc(i.Addrs, func(p netip.Prefix) bool { return !p.IsValid() })
	})
}

func validateClock(r *reader, c lb.Clock) {
	const path = "node.system.time"
	if c.Zone == "" {
		r.empty(path+".zone", "Europe/London")
	} else if len(c.Zone) > maxZone || !regexp.MustCompile(`^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$`).MatchString(c.Zone) {
		r.fail(path+".zone", "%q is no time zone -- write a name of the tz database, for example Europe/London or UTC", c.Zone)
	}
	if len(c.Servers) > maxNTP {
		r.fail(path+".servers", "%d servers, the limit is %d -- remove some", len(c.Servers), maxNTP)
	}
	distinct(r, path+".servers", c.Servers)
	for i, name := range c.Servers {
		at := r.item(fmt.Sprintf("%s.servers[%d]", path, i))
		a, err := netip.ParseAddr(name)
		switch {
		case name == "":
			r.empty(at, "0.pool.ntp.org")
		case err == nil:
			r.addr(at, a)
		case !isDomain(name):
			r.fail(at, "%q is neither a host name nor an address -- write for example 0.pool.ntp.org", name)
		}
	}
}

// validateOwn reports addresses that this node needs and that a disabled interface would
// have. What no interface at all has is for the machine to say.
func validateOwn(r *reader, n lb.Node) {
	for _, need := range Needs(n) {
		for _, i := range n.System.Interfaces {
			has := slices.ContainsFunc(i.Addrs, func(p netip.Prefix) bool { return p.Addr() == need.Addr })
			if i.Disabled && has {
				r.fail(need.Key, "%s is an address of %s, which is disabled -- enable it, or use another address", need.Addr, i.Name)
			}
		}
	}
}

// Need is an address that this node must have, and the key that says so.
type Need struct {
	Key  string
	Addr netip.Addr
}

// Needs lists the addresses that a node listens on, but for those of its loopback.
func Needs(n lb.Node) []Need {
	var out []Need
	need := func(key string, ap netip.AddrPort) {
		if a := ap.Addr(); a.IsValid() && !a.IsLoopback() {
			out = append(out, Need{key, a})
		}
	}
	for i, m := range n.Management {
		need(fmt.Sprintf("node.management[%d]", i), m)
	}
	for i, p := range n.Paths {
		need(fmt.Sprintf("node.heartbeat[%d].local", i), p.Local)
	}
	need("node.replication.local", n.Replication.Local)
	return out
}
