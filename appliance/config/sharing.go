package config

import (
	"fmt"
	"net/netip"

	"github.com/vosbed/vosbed/appliance/lb"
)

// validateAddresses keeps the VIPs apart from every address that a machine has for
// itself.
func validateAddresses(r *reader, cfg lb.Config) {
	vips := make(map[netip.Addr]string)
	for _, s := range cfg.Services {
		if s.Addr.IsValid() {
			vips[s.Addr] = s.Name
		}
	}
	own := func(path string, a netip.Addr, what string) {
		validateReserved(r, path, a)
		if name, clash := vips[a]; clash && a.IsValid() {
			r.fail(path, "%s is the VIP of %s, which moves between the nodes -- write %s", a, name, what)
		}
	}
	for i, s := range cfg.Services {
		validateReserved(r, fmt.Sprintf("services[%d].address", i), s.Addr)
		for j, rip := range s.Reals {
			own(fmt.Sprintf("services[%d].real_servers[%d].address", i, j), rip.Addr, "the server's own address")
		}
	}
	for _, s := range tcpSockets(cfg.Node) {
		for i, at := range s.list {
			own(fmt.Sprintf("%s[%d]", s.key, i), at.Addr(), "an address of this node")
		}
	}
	for i, p := range cfg.Node.Paths {
		own(fmt.Sprintf("node.heartbeat[%d].local", i), p.Local.Addr(), "an address of this node")
		own(fmt.Sprintf("node.heartbeat[%d].peer", i), p.Peer.Addr(), "an address of the other node")
	}
	own("node.replication.local", cfg.Node.Replication.Local.Addr(), "an address of this node")
	own("node.replication.peer", cfg.Node.Replication.Peer.Addr(), "an address of the other node")
	for i, iface := range cfg.Node.System.Interfaces {
		for j, p := range iface.Addrs {
			own(fmt.Sprintf("node.system.interfaces[%d].addresses[%d]", i, j), p.Addr(), "an address of this node")
		}
	}
	for i, route := range cfg.Node.System.Routes {
		own(fmt.Sprintf("node.system.routes[%d].via", i), route.Via, "the router's own address")
	}
	for i, a := range cfg.Node.PingNodes {
		own(fmt.Sprintf("node.ping[%d]", i), a, "an address that is always up, such as the router")
	}
}

// validateSharing checks services that have their address in common.
func validateSharing(r *reader, services []lb.VirtualService) {
	byAddr := make(map[netip.Addr][]int)
	for i, s := range services {
		if !s.Addr.IsValid() {
			continue
		}
		for _, j := range byAddr[s.Addr] {
			shared(r, s, services[j], fmt.Sprintf("services[%d]", i))
		}
		byAddr[s.Addr] = append(byAddr[s.Addr], i)
	}
}

func shared(r *reader, s, other lb.VirtualService, path string) {
	if s.Layer != other.Layer {
		r.fail(path+".layer", "%s is served at layer %s by %s already -- use one layer for all services of an address, or another address", s.Addr, other.Layer, other.Name)
	}
	if s.Interface != other.Interface {
		r.fail(path+".interface", "%s has the same address on interface %q -- write the same interface in both", other.Name, other.Interface)
	}
	if s.Protocols&other.Protocols != 0 && s.Ports.Overlaps(other.Ports) {
		r.fail(path+".ports", "%s overlaps the ports of %s (%s) on the same address -- give each port to one service", s.Ports, other.Name, other.Ports)
	}
}
