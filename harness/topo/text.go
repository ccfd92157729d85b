package topo

import (
	"fmt"
	"strings"
)

// Text returns the plan as a table for people.
func (p *Plan) Text() string {
	var b strings.Builder
	for _, seg := range p.Networks {
		kind := "switch"
		if seg.Direct {
			kind = "cable"
		}
		fmt.Fprintf(&b, "network %-10s %-6s %s\n", seg.Name, kind, join(seg.IP4, seg.IP6))
	}
	for _, m := range p.Nodes {
		fmt.Fprintf(&b, "node    %-10s %-9s%s\n", m.Name, m.Kind, m.notes())
		for _, port := range m.Ports {
			fmt.Fprintf(&b, "        %10s %-9s %s %s\n", port.Iface, port.Network, port.MAC, join(port.Addrs...))
		}
	}
	return b.String()
}

func (m *Machine) notes() string {
	var parts []string
	if m.Role != "" {
		parts = append(parts, m.Role)
	}
	for _, v := range m.VIPs {
		parts = append(parts, "vip "+v.String())
	}
	if m.ARP != "" {
		parts = append(parts, "arp "+m.ARP)
	}
	if m.Pool4.IsValid() {
		parts = append(parts, "pool "+m.Pool4.String())
	}
	if m.Pool6.IsValid() {
		parts = append(parts, "pool "+m.Pool6.String())
	}
	if len(parts) == 0 {
		return ""
	}
	return " " + strings.Join(parts, ", ")
}

func join[T interface {
	IsValid() bool
	String() string
}](items ...T,
) string {
	var parts []string
	for _, i := range items {
		if i.IsValid() {
			parts = append(parts, i.String())
		}
	}
	return strings.Join(parts, " ")
}
