// Package links is the source of facts about this node's interfaces: which subnets
// they are in and which one carries the default route. It only reads.
package links

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/internal/plan"
)

// List reads all interfaces with their subnets, sorted by kernel index.
func List() ([]plan.Link, error) {
	all, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	defaults, err := defaultRoutes()
	if err != nil {
		return nil, err
	}
	out := make([]plan.Link, 0, len(all))
	for _, l := range all {
		prefixes, err := prefixesOf(l)
		if err != nil {
			return nil, err
		}
		out = append(out, plan.Link{
			Name: l.Attrs().Name, Prefixes: prefixes,
			Default: slices.Contains(defaults, l.Attrs().Index),
		})
	}
	return out, nil
}

func prefixesOf(l netlink.Link) ([]netip.Prefix, error) {
	addrs, err := netlink.AddrList(l, unix.AF_UNSPEC)
	if err != nil {
		return nil, fmt.Errorf("list addresses of %s: %w", l.Attrs().Name, err)
	}
	var out []netip.Prefix
	for _, a := range addrs {
		ip, ok := netip.AddrFromSlice(a.IP)
		if !ok || ip.IsLoopback() || ip.IsLinkLocalUnicast() {
			continue
		}
		ones, _ := a.Mask.Size()
		out = append(out, netip.PrefixFrom(ip.Unmap(), ones).Masked())
	}
	return out, nil
}

func defaultRoutes() ([]int, error) {
	routes, err := netlink.RouteList(nil, unix.AF_UNSPEC)
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	var out []int
	for _, r := range routes {
		if r.Dst == nil || r.Dst.IP.IsUnspecified() {
			out = append(out, r.LinkIndex)
		}
	}
	return out, nil
}
