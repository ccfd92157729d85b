package lab

import (
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	vishnetns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/harness/topo"
	"github.com/vosbed/vosbed/internal/netns"
)

// Bounds of the wait for cables. The kernel tells an interface that its carrier has
// come in work of its own, up to a second later on a busy machine, and until then
// drops what is sent.
const (
	settleTime  = 10 * time.Second
	settleEvery = time.Millisecond
)

// settle waits until both ends of every cable carry frames.
func (l *Lab) settle() error {
	if err := l.eachNode(func(m *topo.Machine) error {
		if l.outside(m.Name) {
			return nil // its cards have a carrier when it runs
		}
		var ifaces []string
		for _, p := range m.Ports {
			ifaces = append(ifaces, p.Iface)
		}
		return carriersUp(l.nodes[m.Name].ns, ifaces)
	}); err != nil {
		return err
	}
	var ports []string
	for _, seg := range l.plan.Networks {
		for _, p := range seg.Ports {
			if p.Switch != "" && !l.outside(p.Node) {
				ports = append(ports, p.Switch)
			}
		}
	}
	return carriersUp(l.sw, ports)
}

// carriersUp waits until the named interfaces of the namespace are operational. It
// asks for one at a time: the kernel settles a carrier before it answers that
// question, but not before it lists all interfaces.
func carriersUp(ns *netns.NS, names []string) error {
	h, err := netlink.NewHandleAt(vishnetns.NsHandle(ns.Fd()), unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("talk to the namespace: %w", err)
	}
	defer h.Close()
	for _, name := range names {
		if err := carrierUp(h, name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func carrierUp(h *netlink.Handle, name string) error {
	tick := time.NewTicker(settleEvery)
	defer tick.Stop()
	end := time.NewTimer(settleTime)
	defer end.Stop()
	for {
		link, err := h.LinkByName(name)
		if err != nil {
			return fmt.Errorf("find interface: %w", err)
		}
		if link.Attrs().OperState == netlink.OperUp {
			return nil
		}
		select {
		case <-tick.C:
		case <-end.C:
			return fmt.Errorf("no carrier after %s", settleTime)
		}
	}
}

// linkLocal is the address that an interface derives from its hardware address
// (RFC 4291 appendix A). The lab gives it at once: the kernel does so when it learns
// of the carrier, and sends no neighbour solicitation before.
func linkLocal(mac net.HardwareAddr) netip.Prefix {
	a := [16]byte{0: 0xfe, 1: 0x80, 8: mac[0] ^ 2, 9: mac[1], 10: mac[2], 11: 0xff, 12: 0xfe, 13: mac[3], 14: mac[4], 15: mac[5]}
	return netip.PrefixFrom(netip.AddrFrom16(a), 64)
}
