package lab

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Forget makes a node forget which neighbours have the VIPs, so that it asks the
// segment when it needs one again.
func (l *Lab) Forget(node string) error {
	n := l.nodes[node]
	if n == nil {
		return fmt.Errorf("forget: no node %q", node)
	}
	h, err := netlink.NewHandleAt(netns.NsHandle(n.ns.Fd()), unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("talk to node %s: %w", node, err)
	}
	defer h.Close()
	vips := map[netip.Addr]bool{}
	for _, v := range l.plan.VIPs {
		for _, a := range v.Addrs() {
			vips[a] = true
		}
	}
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		known, err := h.NeighList(0, family)
		if err != nil {
			return fmt.Errorf("list the neighbours of %s: %w", node, err)
		}
		for _, k := range known {
			a, _ := netip.AddrFromSlice(k.IP)
			if !vips[a.Unmap()] {
				continue
			}
			if err := h.NeighDel(&k); err != nil && !errors.Is(err, unix.ENOENT) {
				return fmt.Errorf("make %s forget %s: %w", node, a.Unmap(), err)
			}
		}
	}
	return nil
}
