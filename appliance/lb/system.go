package lb

import (
	"net/netip"
	"slices"
)

// System is what a node is told about the machine that it runs on (guide 14.1.1, Local
// Configuration). A part that is zero is not the appliance's: it leaves the machine's own
// setting alone, and puts back what was there before it wrote one.
type System struct {
	// Hostname is one label (RFC 1123); "" = the machine's own.
	Hostname string
	// Domain is searched first for names without a dot.
	Domain     string
	DNS        DNS
	Interfaces []Interface
	Routes     []Route
	Clock      Clock
	Graphing   Graphing
}

// DNS is the resolver's configuration (resolv.conf(5)); no servers = the machine's own.
type DNS struct {
	Servers []netip.Addr
	Search  []string // domains, after [System.Domain]
}

// Interface is a network interface that is configured here. Addresses that somebody else
// has given it stay.
type Interface struct {
	Name  string
	Addrs []netip.Prefix // an address with the length of its network's prefix
	MTU   int            // bytes, 0 = as it is; of a VLAN that of its link, of a bond 1500
	VLAN  VLAN
	Bond  Bond
	// DHCP leases an IPv4 address besides, with a default gateway and, where there is no
	// DNS here, name servers.
	DHCP bool
	// Disabled takes the link down. It has none of Addrs then.
	Disabled bool
}

// Route is a static route; To of length 0 is a default gateway. Via may be invalid where
// the destination is on the link of Interface. An empty Interface is the one whose network
// has Via.
type Route struct {
	To        netip.Prefix
	Via       netip.Addr
	Interface string
	Metric    int // 0 = the kernel's own
}

// Clock is the time zone and where the time comes from; zero = the machine's own.
type Clock struct {
	Zone    string   // a name of the tz database: Europe/London
	Servers []string // of NTP: names or addresses
}

// Graphing says whether samples for the graphs are taken.
type Graphing struct{ Off bool }

// Outlet returns the interface that a route leaves by: the one that it names, or else the
// enabled one of s in whose most specific network its gateway is; "" = none of them.
func (s System) Outlet(r Route) string {
	if r.Interface != "" {
		return r.Interface
	}
	best, bits := "", -1
	for _, i := range s.Interfaces {
		for _, p := range i.Addrs {
			if !i.Disabled && p.Bits() > bits && p.Masked().Contains(r.Via) {
				best, bits = i.Name, p.Bits()
			}
		}
	}
	return best
}

// ByDHCP says whether an enabled interface leases an address.
func (s System) ByDHCP() bool {
	return slices.ContainsFunc(s.Interfaces, func(i Interface) bool { return i.DHCP && !i.Disabled })
}

// Interface returns the interface of that name, if it is configured here.
func (s System) Interface(name string) (i Interface, ok bool) {
	for _, i := range s.Interfaces {
		if i.Name == name {
			return i, true
		}
	}
	return Interface{}, false
}
