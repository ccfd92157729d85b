package lb

import (
	"net/netip"
	"slices"
)

// ManagementPort is that of the HTTPS API and the WebUI (guide 9.5).
const ManagementPort = 9443

// FallbackPort is that of the fallback page (guide 9.5).
const FallbackPort = 9081

// Access are the sockets of a node beside those of Management (guide 9.5, "Service Socket
// Addresses").
type Access struct {
	// ManagementDHCP lists interfaces whose addresses by DHCP have the HTTPS API too.
	ManagementDHCP []string
	// ManagementHTTP lists addresses that lead browsers from plain HTTP to HTTPS (9080);
	// empty = none, the default.
	ManagementHTTP []netip.AddrPort
	// Fallback lists the addresses of the fallback page (9081); empty = those of
	// FallbackAt. Layer 7 reaches the page in any case.
	Fallback []netip.AddrPort
}

// FallbackAt lists where the fallback page is, and whether that was written or follows: it
// is at the node's management addresses then, but for those on loopback.
func (n Node) FallbackAt() (addrs []netip.AddrPort, written bool) {
	if len(n.Fallback) > 0 {
		return n.Fallback, true
	}
	seen := map[netip.Addr]bool{}
	for _, m := range n.Management {
		at := netip.AddrPortFrom(m.Addr(), FallbackPort)
		if !m.Addr().IsLoopback() && !seen[m.Addr()] && !n.taken(at) {
			addrs = append(addrs, at)
		}
		seen[m.Addr()] = true
	}
	return addrs, false
}

// Leased is the node with the addresses of its interfaces by DHCP, where its management is
// to be there.
func (n Node) Leased(addrs map[string]netip.Addr) Node {
	list := slices.Clone(n.Management)
	for _, name := range n.ManagementDHCP {
		at := netip.AddrPortFrom(addrs[name], ManagementPort)
		if addrs[name].IsValid() && !slices.Contains(list, at) {
			list = append(list, at)
		}
	}
	n.Management = list
	return n
}

// taken reports whether another listener of the node has an address.
func (n Node) taken(at netip.AddrPort) bool {
	for _, list := range [][]netip.AddrPort{n.Management, n.ManagementHTTP, {n.Replication.Local}} {
		if slices.Contains(list, at) {
			return true
		}
	}
	return false
}
