package ebpf

import (
	"errors"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// usable are the neighbour states whose MAC may be written into a packet.
const usable = netlink.NUD_REACHABLE | netlink.NUD_STALE | netlink.NUD_DELAY |
	netlink.NUD_PROBE | netlink.NUD_PERMANENT | netlink.NUD_NOARP

// hop is the way to one real server. A zero mac is unresolved: the kernel's
// neighbour table then takes the packet (bpf_redirect_neigh).
type hop struct {
	ifindex   int
	via       string // interface of the VIP, used when there is no route
	smac, mac [6]byte
}

func (h hop) resolved() bool { return h.mac != [6]byte{} }

// hops are the ways to all real servers in use, by RIP.
type hops map[netip.Addr]hop

// resolveAll finds the way to every wanted real server.
func (p *Plane) resolveAll(w *want) {
	next := hops{}
	for _, s := range p.table.Services {
		for _, r := range s.Reals {
			if _, ok := next[r.Addr]; !ok {
				next[r.Addr] = p.resolve(r.Addr, s.Interface)
			}
		}
	}
	for a, h := range p.hops {
		if _, ok := next[a]; !ok {
			p.unmanage(a, h)
		}
	}
	p.hops = next
	for i, r := range w.reals {
		w.reals[i] = next.apply(r)
	}
}

func (h hops) apply(r drReal) drReal {
	way := h[unwire(r.Addr)]
	r.Ifindex = uint32(max(way.ifindex, 0))
	r.Smac, r.Dmac = way.smac, way.mac
	r.Flags &^= realResolved
	if way.resolved() {
		r.Flags |= realResolved
	}
	return r
}

// resolve asks routing for the interface and the neighbour table for the MAC, and
// makes the kernel keep the neighbour fresh.
func (p *Plane) resolve(a netip.Addr, via string) hop {
	h := hop{via: via, ifindex: p.routeTo(a, via)}
	if h.ifindex == 0 {
		return h
	}
	if l, err := p.nl.LinkByIndex(h.ifindex); err == nil {
		copy(h.smac[:], l.Attrs().HardwareAddr)
	}
	h.mac = p.neighbour(a, h.ifindex)
	if err := p.manage(a, h.ifindex); err != nil {
		p.log.Warn("cannot keep a real server's neighbour entry fresh", "rip", a, "err", err)
	}
	return h
}

func (p *Plane) routeTo(a netip.Addr, via string) int {
	routes, err := p.nl.RouteGet(a.Unmap().AsSlice())
	if err == nil && len(routes) > 0 && routes[0].LinkIndex != 0 && routes[0].Type != unix.RTN_LOCAL {
		return routes[0].LinkIndex
	}
	if l, err := p.nl.LinkByName(via); err == nil {
		return l.Attrs().Index
	}
	return 0
}

func (p *Plane) neighbour(a netip.Addr, ifindex int) [6]byte {
	n, _ := p.entryOf(a, ifindex)
	return macOf(n)
}

// entryOf is the kernel's neighbour entry of an address.
func (p *Plane) entryOf(a netip.Addr, ifindex int) (netlink.Neigh, bool) {
	list, err := p.nl.NeighList(ifindex, family(a))
	if err != nil {
		return netlink.Neigh{}, false
	}
	for _, n := range list {
		if ip, ok := netip.AddrFromSlice(n.IP); ok && ip.Unmap() == a.Unmap() {
			return n, true
		}
	}
	return netlink.Neigh{}, false
}

func macOf(n netlink.Neigh) (mac [6]byte) {
	if n.State&usable != 0 && len(n.HardwareAddr) == 6 {
		copy(mac[:], n.HardwareAddr)
	}
	return mac
}

func family(a netip.Addr) int {
	if a.Unmap().Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// manage asks the kernel to resolve the neighbour and to keep probing it. A
// permanent entry stays as it is.
func (p *Plane) manage(a netip.Addr, ifindex int) error {
	n := &netlink.Neigh{
		LinkIndex: ifindex, Family: family(a), IP: net.IP(a.Unmap().AsSlice()),
		State: netlink.NUD_NONE, FlagsExt: netlink.NTF_EXT_MANAGED,
	}
	err := p.nl.NeighAdd(n)
	if !errors.Is(err, unix.EEXIST) {
		return err
	}
	if old, ok := p.entryOf(a, ifindex); ok && old.State&netlink.NUD_PERMANENT != 0 {
		return nil
	}
	return p.nl.NeighSet(n)
}

// unmanage forgets a neighbour that no service needs any more, if it is one that
// manage has made: an operator's permanent entry is not.
func (p *Plane) unmanage(a netip.Addr, h hop) {
	if h.ifindex == 0 {
		return
	}
	n, ok := p.entryOf(a, h.ifindex)
	if !ok || n.FlagsExt&netlink.NTF_EXT_MANAGED == 0 || n.State&netlink.NUD_PERMANENT != 0 {
		return
	}
	if err := gone(p.nl.NeighDel(&n)); err != nil {
		p.log.Debug("cannot release a neighbour entry", "rip", a, "err", err)
	}
}

// learn takes one neighbour event.
func (p *Plane) learn(n netlink.Neigh, deleted bool) error {
	ip, ok := netip.AddrFromSlice(n.IP)
	if !ok {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	h, ok := p.hops[ip.Unmap()]
	if !ok || h.ifindex != n.LinkIndex {
		return nil
	}
	mac := macOf(n)
	if deleted {
		mac = [6]byte{}
	}
	if mac == h.mac {
		return nil
	}
	p.log.Info("real server's link address changed", "rip", ip.Unmap(),
		"mac", net.HardwareAddr(mac[:]).String(), "resolved", mac != [6]byte{})
	h.mac = mac
	p.hops[ip.Unmap()] = h
	return p.rewriteHops()
}

// refreshHops looks again at every way: the repair of lost events, and the way to
// servers whose route or interface came later.
func (p *Plane) refreshHops() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for a, h := range p.hops {
		next := p.resolve(a, h.via)
		if next != h {
			p.hops[a] = next
		}
	}
	return p.rewriteHops()
}

func (p *Plane) rewriteHops() error {
	if p.objs == nil {
		return nil
	}
	fresh := map[uint16]drReal{}
	for i, r := range p.kernel.reals {
		fresh[i] = p.hops.apply(r)
	}
	return diff(p.objs.Reals, p.kernel.reals, fresh)
}
