package config

import (
	"fmt"
	"net/netip"

	"github.com/vosbed/vosbed/appliance/lb"
)

// validateListeners reports every layer-7 service for which the services before it
// leave too few listeners.
func validateListeners(r *reader, services []lb.VirtualService) {
	used := 0
	for i, s := range services {
		if s.Layer != lb.Layer7 {
			continue
		}
		n := s.Ports.Len()
		if used+n > lb.MaxListeners {
			r.fail(fmt.Sprintf("services[%d].ports", i), "wants %d of the %d listeners that layer 7 has (one for each port), and the services before leave %d -- use fewer ports, or layer: 4 for wide ranges", n, lb.MaxListeners, lb.MaxListeners-used)
			continue
		}
		used += n
	}
}

// validateRoom reports what the services together ask of the layer-4 engine and it does
// not have. Every service is told for itself: the ones before it fit.
func validateRoom(r *reader, services []lb.VirtualService) {
	var (
		addrs  = make(map[netip.Addr]bool)
		shared = make(map[netip.Addr]int)
		reals  int
	)
	for i, s := range services {
		path := fmt.Sprintf("services[%d]", i)
		if s.Addr.IsValid() && !addrs[s.Addr] {
			if len(addrs) == lb.MaxVIPs {
				r.fail(path+".address", "%s is one more than the %d addresses that an appliance has room for -- use the address of another service with other ports", s.Addr, lb.MaxVIPs)
				continue
			}
			addrs[s.Addr] = true
		}
		if s.Layer != lb.Layer4 {
			continue
		}
		if shared[s.Addr]++; s.Addr.IsValid() && shared[s.Addr] > lb.MaxShared {
			r.fail(path+".address", "%s has %d services at layer 4 already, the limit -- give one service several ports, or use another address", s.Addr, lb.MaxShared)
		}
		if reals+len(s.Reals) > lb.MaxAllRealServers {
			r.fail(path+".real_servers", "the services before leave room for %d of the %d real servers that layer 4 has room for -- use fewer", lb.MaxAllRealServers-reals, lb.MaxAllRealServers)
			continue
		}
		reals += len(s.Reals)
	}
}

// validateReserved reports an address that the layer-4 engine keeps for its checks.
func validateReserved(r *reader, path string, a netip.Addr) {
	for _, net := range lb.CheckNets() {
		if net.Contains(a) {
			r.fail(path, "%s lies in %s, from which layer 4 takes addresses for its checks through the VIP -- use another", a, net)
		}
	}
}
