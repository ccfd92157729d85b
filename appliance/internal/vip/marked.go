package vip

import (
	"errors"
	"fmt"
	"math"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/internal/plan"
)

const (
	// mark is the origin that the kernel keeps with each of our addresses, so that the
	// next daemon knows them: IFA_PROTO (Linux 5.18), whose values from 4 on are free
	// for use (linux/if_addr.h). An older kernel keeps none and nothing is lost but that.
	mark     = 118
	ifaProto = 11
)

// addresses speaks of addresses with the kernel; the netlink package does not know
// their origin.
type addresses struct{ sock *nl.SocketHandle }

func openAddresses() (addresses, error) {
	s, err := nl.GetNetlinkSocketAt(netns.None(), netns.None(), unix.NETLINK_ROUTE)
	if err != nil {
		return addresses{}, fmt.Errorf("open a netlink socket: %w", err)
	}
	return addresses{&nl.SocketHandle{Socket: s}}, nil
}

func (a addresses) request(kind, flags int) *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(kind, flags)
	req.Sockets = map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: a.sock}
	return req
}

// put adds an address with our mark, or marks it where it is.
func (a addresses) put(link netlink.Link, vip netip.Addr) error {
	family := unix.AF_INET
	if vip.Is6() {
		family = unix.AF_INET6
	}
	msg := nl.NewIfAddrmsg(family)
	msg.Index, msg.Prefixlen = uint32(link.Attrs().Index), uint8(vip.BitLen())
	req := a.request(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_REPLACE|unix.NLM_F_ACK)
	req.AddData(msg)
	for _, kind := range []int{unix.IFA_LOCAL, unix.IFA_ADDRESS} {
		req.AddData(nl.NewRtAttr(kind, vip.AsSlice()))
	}
	req.AddData(nl.NewRtAttr(ifaProto, []byte{mark}))
	if vip.Is6() {
		msg.Flags = unix.IFA_F_NODAD
		forever := nl.IfaCacheInfo{IfaCacheinfo: unix.IfaCacheinfo{Valid: math.MaxUint32}} // and never preferred
		req.AddData(nl.NewRtAttr(unix.IFA_CACHEINFO, forever.Serialize()))
	}
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

// marked lists the addresses that carry our mark, by interface index.
func (a addresses) marked() (map[netip.Addr]int, error) {
	req := a.request(unix.RTM_GETADDR, unix.NLM_F_DUMP)
	req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	list, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWADDR)
	if err != nil {
		return nil, fmt.Errorf("list the addresses: %w", err)
	}
	out := map[netip.Addr]int{}
	for _, m := range list {
		msg := nl.DeserializeIfAddrmsg(m)
		attrs, err := nl.ParseRouteAttr(m[msg.Len():])
		if err != nil {
			return nil, fmt.Errorf("list the addresses: %w", err)
		}
		var ip netip.Addr
		ours := false
		for _, at := range attrs {
			switch at.Attr.Type {
			case unix.IFA_ADDRESS: // a host's: the same as its local address
				ip, _ = netip.AddrFromSlice(at.Value)
			case ifaProto:
				ours = len(at.Value) == 1 && at.Value[0] == mark
			}
		}
		if ours && ip.IsValid() && int(msg.Prefixlen) == ip.BitLen() {
			out[ip] = int(msg.Index)
		}
	}
	return out, nil
}

// found are the addresses that an earlier daemon has left on this node.
func (a *Actuator) found() ([]plan.VIP, error) {
	list, err := a.addrs.marked()
	if err != nil {
		return nil, err
	}
	var out []plan.VIP
	for addr, index := range list {
		l, err := a.nl.LinkByIndex(index)
		if missing(err) {
			continue // gone since
		}
		if err != nil {
			return nil, fmt.Errorf("find interface %d, which has %s: %w", index, addr, err)
		}
		out = append(out, plan.VIP{Addr: addr, Interface: l.Attrs().Name})
	}
	return out, nil
}

func missing(err error) bool {
	var gone netlink.LinkNotFoundError
	return errors.As(err, &gone)
}
