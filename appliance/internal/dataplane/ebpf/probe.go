package ebpf

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Check addresses, as in bpf/consts.h: one per real server, by its index. They never
// leave the node: the egress program turns them into the VIP, and the ingress program
// drops what comes for or from one.
const (
	checkNet4 = 0xc613e000 // 198.19.224.0/19
	checkNet6 = 0xfd766f7362656400
	// checkProto marks the routes of check addresses (RTA_PROTOCOL, free for use).
	checkProto = 118
)

// checkAddr is the check address of a real server in the family of its VIP.
func checkAddr(index uint16, v6 bool) netip.Addr {
	if v6 {
		var b [16]byte
		binary.BigEndian.PutUint64(b[:], checkNet6)
		binary.BigEndian.PutUint64(b[8:], uint64(index))
		return netip.AddrFrom16(b)
	}
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], checkNet4+uint32(index))
	return netip.AddrFrom4(b)
}

// isCheckAddr says whether an address is one of them.
func isCheckAddr(a netip.Addr) bool {
	if a = a.Unmap(); a.Is4() {
		b := a.As4()
		return binary.BigEndian.Uint32(b[:])&^0x1fff == checkNet4
	}
	b := a.As16()
	return binary.BigEndian.Uint64(b[:]) == checkNet6
}

// checkWay is how a check leaves the node.
type checkWay struct {
	to    netip.Addr // the check address
	own   netip.Addr
	iface string
}

// DialVIA opens a TCP connection to vip:port on the real server rip, whoever holds
// the VIP: what a client of the VIP would find there. It works on the active node and
// on the passive one, needs no lease and leaves no trace in the tables of clients.
//
// The error wraps errors.ErrUnsupported when the server is reached by an interface
// that carries no VIP: such a server cannot be checked in this way.
func (p *Plane) DialVIA(ctx context.Context, vip, rip netip.Addr, port uint16) (net.Conn, error) {
	way, err := p.checkWay(vip.Unmap(), rip.Unmap())
	if err != nil {
		return nil, fmt.Errorf("reach the VIP %s on the real server: %w", vip, err)
	}
	d := net.Dialer{
		KeepAlive: -1, LocalAddr: &net.TCPAddr{IP: way.own.AsSlice()}, Control: way.control,
	}
	return d.DialContext(ctx, "tcp", netip.AddrPortFrom(way.to, port).String())
}

// control keeps a check on its interface and on its segment: a server without the VIP
// that forwards packets must not send it round.
func (w checkWay) control(_, _ string, c syscall.RawConn) error {
	var err error
	cerr := c.Control(func(fd uintptr) {
		level, name := unix.IPPROTO_IP, unix.IP_TTL
		if w.to.Is6() {
			level, name = unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS
		}
		err = errors.Join(unix.BindToDevice(int(fd), w.iface), unix.SetsockoptInt(int(fd), level, name, 1))
	})
	return errors.Join(cerr, err)
}

// checkWay programs the way of a check. It does so each time: interfaces that go down
// take routes and neighbours along.
func (p *Plane) checkWay(vip, rip netip.Addr) (checkWay, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.objs == nil {
		return checkWay{}, errClosed
	}
	index, ok := p.realOf(vip, rip)
	if !ok {
		return checkWay{}, fmt.Errorf("RIP %s is no server of that VIP", rip)
	}
	h := p.hops[rip]
	if !h.resolved() {
		h.mac = p.neighbour(rip, h.ifindex) // its event may not have come yet
	}
	if !h.resolved() {
		return checkWay{}, fmt.Errorf("RIP %s is not resolved: it answers no ARP or neighbour solicitation on the segment", rip)
	}
	iface, ok := p.attachedTo(h.ifindex)
	if !ok {
		return checkWay{}, fmt.Errorf("RIP %s is reached by an interface without VIPs: %w", rip, errors.ErrUnsupported)
	}
	own, err := p.ownAddr(rip)
	if err != nil {
		return checkWay{}, err
	}
	way := checkWay{to: checkAddr(index, vip.Is6()), own: own, iface: iface}
	return way, p.programCheck(way, index, vip, h)
}

func (p *Plane) realOf(vip, rip netip.Addr) (uint16, bool) {
	for _, s := range p.table.Services {
		for _, r := range s.Reals {
			if s.Addr.Unmap() == vip && r.Addr.Unmap() == rip {
				i, ok := p.reals.index[identify(s.Name, r.Name, r.Addr.String())]
				return i, ok
			}
		}
	}
	return 0, false
}

func (p *Plane) attachedTo(ifindex int) (string, bool) {
	for name, a := range p.ifaces {
		if a.ifindex == ifindex {
			return name, true
		}
	}
	return "", false
}

// ownAddr is the address under which this node speaks to a server.
func (p *Plane) ownAddr(rip netip.Addr) (netip.Addr, error) {
	routes, err := p.nl.RouteGet(rip.AsSlice())
	if err != nil || len(routes) == 0 {
		return netip.Addr{}, fmt.Errorf("find this node's address towards RIP %s: %w", rip, err)
	}
	own, ok := netip.AddrFromSlice(routes[0].Src)
	own = own.Unmap()
	if _, isVIP := p.kernel.vips[own]; !ok || isVIP {
		return netip.Addr{}, fmt.Errorf("this node has no address of its own towards RIP %s: %w", rip, errors.ErrUnsupported)
	}
	return own, nil
}

// programCheck makes the kernel send packets for the check address to the interface,
// where the programs know what to do with them.
func (p *Plane) programCheck(w checkWay, index uint16, vip netip.Addr, h hop) error {
	err := p.objs.Probes.Put(uint32(index), drProbe{Vip: wire(vip), Dmac: h.mac, Ifindex: uint32(h.ifindex)})
	if err != nil {
		return fmt.Errorf("write the way of checks: %w", err)
	}
	// Permanent: nobody is ever asked who has the address.
	err = p.nl.NeighSet(&netlink.Neigh{
		LinkIndex: h.ifindex, Family: family(w.to), IP: w.to.AsSlice(),
		HardwareAddr: h.mac[:], State: netlink.NUD_PERMANENT,
	})
	if err != nil {
		return fmt.Errorf("add the neighbour of the check address %s: %w", w.to, err)
	}
	if err := p.nl.RouteReplace(checkRoute(w.to, h.ifindex)); err != nil {
		return fmt.Errorf("add the route of the check address %s: %w", w.to, err)
	}
	return nil
}

func checkRoute(to netip.Addr, ifindex int) *netlink.Route {
	return &netlink.Route{
		LinkIndex: ifindex, Family: family(to), Scope: unix.RT_SCOPE_LINK, Protocol: checkProto,
		Dst: &net.IPNet{IP: to.AsSlice(), Mask: net.CIDRMask(to.BitLen(), to.BitLen())},
	}
}

// forgetChecks removes the routes and neighbours of check addresses: those of an
// earlier process at start, its own at the end.
func (p *Plane) forgetChecks() error {
	var errs []error
	for _, f := range []int{unix.AF_INET, unix.AF_INET6} {
		routes, err := p.nl.RouteListFiltered(f, &netlink.Route{Protocol: checkProto}, netlink.RT_FILTER_PROTOCOL)
		errs = append(errs, err)
		for _, r := range routes {
			errs = append(errs, gone(p.nl.RouteDel(&r)))
		}
		neighbours, err := p.nl.NeighList(0, f)
		errs = append(errs, err)
		for _, n := range neighbours {
			if a, ok := netip.AddrFromSlice(n.IP); ok && isCheckAddr(a) {
				errs = append(errs, gone(p.nl.NeighDel(&n)))
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove the ways of checks: %w", err)
	}
	return nil
}

// gone takes it that what is to be removed may not be there any more.
func gone(err error) error {
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}
