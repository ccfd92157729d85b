package lab

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/harness/topo"
	"github.com/vosbed/vosbed/internal/qemu"
)

// wire makes switches and cables, then gives nodes their addresses and routes.
func (l *Lab) wire() error {
	sw, err := netlink.NewHandleAt(netns.NsHandle(l.sw.Fd()), unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("talk to the switch's namespace: %w", err)
	}
	defer sw.Close()
	for _, seg := range l.plan.Networks {
		if seg.Direct && !slices.ContainsFunc(seg.Ports, func(p *topo.Port) bool { return l.outside(p.Node) }) {
			err = l.cable(sw, seg)
		} else {
			err = l.segment(sw, seg)
		}
		if err != nil {
			return fmt.Errorf("network %s: %w", seg.Name, err)
		}
	}
	if err := l.eachNode(func(m *topo.Machine) error {
		if l.outside(m.Name) {
			return nil
		}
		return l.nodes[m.Name].configure()
	}); err != nil {
		return err
	}
	return l.settle()
}

// segment makes a bridge with one port per node. The far end of each port is
// created in the node's namespace right away, so that no name is ever used twice.
func (l *Lab) segment(sw *netlink.Handle, seg *topo.Segment) error {
	off := false
	br := &netlink.Bridge{LinkAttrs: attrs("sw-" + seg.Name), MulticastSnooping: &off}
	if err := sw.LinkAdd(br); err != nil {
		return fmt.Errorf("%w: make a bridge (CONFIG_BRIDGE is needed): %w", ErrCannot, err)
	}
	if err := sw.LinkSetUp(br); err != nil {
		return fmt.Errorf("bridge up: %w", err)
	}
	for _, p := range seg.Ports {
		if l.outside(p.Node) {
			if err := l.tap(sw, br, p); err != nil {
				return err
			}
			continue
		}
		a := attrs(portName(p))
		a.MasterIndex = br.Index
		v := &netlink.Veth{
			LinkAttrs: a, PeerName: p.Iface, PeerHardwareAddr: p.MAC,
			PeerNamespace: netlink.NsFd(l.nodes[p.Node].ns.Fd()),
		}
		if err := sw.LinkAdd(v); err != nil {
			return fmt.Errorf("%w: cable of %s (CONFIG_VETH is needed): %w", ErrCannot, p.Node, err)
		}
		if err := sw.LinkSetUp(v); err != nil {
			return fmt.Errorf("port %s up: %w", a.Name, err)
		}
	}
	return nil
}

// outside reports whether a node's network cards are not in its namespace.
func (l *Lab) outside(node string) bool {
	return l.plan.Node(node).Kind == topo.KindAppliance && l.driver.outside()
}

// portName is the far end of a node's interface in the switch's namespace. A cable to a
// machine has its ends there too; they are no ports of a switch to those who look on.
func portName(p *topo.Port) string { return cmp.Or(p.Switch, p.Node+"-"+p.Iface) }

// tap makes the far end of a machine's network card a port of the bridge.
func (l *Lab) tap(sw *netlink.Handle, br *netlink.Bridge, p *topo.Port) error {
	name := portName(p)
	if err := l.sw.Do(func() error { return qemu.NewTap(name) }); err != nil {
		return fmt.Errorf("%w: %w", ErrCannot, err)
	}
	link, err := sw.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find tap %s: %w", name, err)
	}
	if err := sw.LinkSetMaster(link, br); err != nil {
		return fmt.Errorf("join tap %s: %w", name, err)
	}
	if err := sw.LinkSetUp(link); err != nil {
		return fmt.Errorf("tap %s up: %w", name, err)
	}
	return nil
}

// cable joins two nodes directly. It is made in the switch's namespace and both
// ends are born elsewhere: the near end moves once.
func (l *Lab) cable(_ *netlink.Handle, seg *topo.Segment) error {
	a, b := seg.Ports[0], seg.Ports[1]
	h, err := netlink.NewHandleAt(netns.NsHandle(l.nodes[a.Node].ns.Fd()), unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("talk to node %s: %w", a.Node, err)
	}
	defer h.Close()
	la := attrs(a.Iface)
	la.HardwareAddr = a.MAC
	v := &netlink.Veth{
		LinkAttrs: la, PeerName: b.Iface, PeerHardwareAddr: b.MAC,
		PeerNamespace: netlink.NsFd(l.nodes[b.Node].ns.Fd()),
	}
	if err := h.LinkAdd(v); err != nil {
		return fmt.Errorf("cable %s-%s: %w", a.Node, b.Node, err)
	}
	return nil
}

func attrs(name string) netlink.LinkAttrs {
	a := netlink.NewLinkAttrs()
	a.Name = name
	return a
}

// configure brings the node's interfaces up and adds addresses and routes.
func (n *Node) configure() error {
	h, err := netlink.NewHandleAt(netns.NsHandle(n.ns.Fd()), unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("talk to the namespace: %w", err)
	}
	defer h.Close()
	lo, err := h.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find loopback: %w", err)
	}
	if err := h.LinkSetUp(lo); err != nil {
		return fmt.Errorf("loopback up: %w", err)
	}
	for _, p := range n.Ports {
		if err := configurePort(h, p); err != nil {
			return fmt.Errorf("%s: %w", p.Iface, err)
		}
	}
	if err := n.forgetful(); err != nil {
		return err
	}
	return n.routes(h, lo.Attrs().Index)
}

func configurePort(h *netlink.Handle, p *topo.Port) error {
	link, err := h.LinkByName(p.Iface)
	if err != nil {
		return fmt.Errorf("find interface: %w", err)
	}
	for _, a := range p.Addrs {
		addr := &netlink.Addr{IPNet: ipNet(a)}
		addr.Flags = unix.IFA_F_NOPREFIXROUTE // the route comes with its congestion control
		if a.Addr().Is6() {
			addr.Flags |= unix.IFA_F_NODAD
		}
		if err := h.AddrAdd(link, addr); err != nil {
			return fmt.Errorf("add %s: %w", a, err)
		}
	}
	local := &netlink.Addr{IPNet: ipNet(linkLocal(p.MAC)), Flags: unix.IFA_F_NODAD}
	if err := h.AddrAdd(link, local); err != nil {
		return fmt.Errorf("add %s: %w", local.IPNet, err)
	}
	if err := h.LinkSetUp(link); err != nil {
		return fmt.Errorf("up: %w", err)
	}
	for _, a := range p.Addrs {
		r := &netlink.Route{Dst: ipNet(a.Masked()), LinkIndex: link.Attrs().Index, Congctl: congestion, Protocol: unix.RTPROT_KERNEL}
		if a.Addr().Is4() {
			r.Scope, r.Src = netlink.SCOPE_LINK, a.Addr().AsSlice()
		}
		if err := h.RouteAdd(r); err != nil {
			return fmt.Errorf("%w: route %s with congestion control %s (modprobe tcp_cubic may be needed): %w", ErrCannot, a.Masked(), congestion, err)
		}
	}
	return nil
}

// congestion is the congestion control of every connection that leaves a node,
// whatever the host's default. It stands on the routes, because a namespace may
// have it as its default only where the host permits it, and the lab changes
// nothing of the host.
const congestion = "cubic"

func (n *Node) routes(h *netlink.Handle, lo int) error {
	var errs []error
	add := func(r *netlink.Route) {
		if err := h.RouteAdd(r); err != nil {
			errs = append(errs, fmt.Errorf("route %s: %w", r, err))
		}
	}
	for _, gw := range n.Gateways {
		to := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		if gw.Is6() {
			to = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
		add(&netlink.Route{Dst: ipNet(to), Gw: gw.AsSlice(), Congctl: congestion})
	}
	for _, r := range n.Routes {
		add(&netlink.Route{Dst: ipNet(r.To), Gw: r.Via.AsSlice(), Congctl: congestion})
	}
	for _, pool := range []netip.Prefix{n.Pool4, n.Pool6} {
		if pool.IsValid() { // AnyIP: every address of the pool is this node's own
			add(&netlink.Route{Dst: ipNet(pool), LinkIndex: lo, Type: unix.RTN_LOCAL, Table: unix.RT_TABLE_LOCAL, Scope: scope(pool)})
		}
	}
	return errors.Join(errs...)
}

func scope(p netip.Prefix) netlink.Scope {
	if p.Addr().Is4() {
		return netlink.SCOPE_HOST
	}
	return netlink.SCOPE_UNIVERSE
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// setCarrier takes the switch's side of a port up or down: the node sees its
// cable pulled.
func (l *Lab) setCarrier(port string, up bool) error {
	h, err := netlink.NewHandleAt(netns.NsHandle(l.sw.Fd()), unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("talk to the switch's namespace: %w", err)
	}
	defer h.Close()
	link, err := h.LinkByName(port)
	if err != nil {
		return fmt.Errorf("find port %s: %w", port, err)
	}
	if up {
		return h.LinkSetUp(link)
	}
	return h.LinkSetDown(link)
}
