package system

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

const (
	// mark is the origin that the kernel keeps with each of our addresses: IFA_PROTO
	// (Linux 5.18), whose values from 4 on are free for use (linux/if_addr.h). An older
	// kernel keeps none: addresses that are no longer configured then stay.
	mark = 119
	// vipMark is that of the VIPs, which the sentinel moves.
	vipMark  = 118
	ifaProto = 11
	// routeMark is the origin of our routes (rtm_protocol; rtnetlink(7): values above
	// RTPROT_STATIC are the user's).
	routeMark = 119
)

// Origin says who made an address or a route.
type Origin string

// Origins.
const (
	Ours    Origin = "configured"
	VIP     Origin = "vip"
	Kernel  Origin = "kernel" // by itself, as the route to an interface's own network
	Foreign Origin = "other"
	DHCP    Origin = "dhcp" // leased here
)

// Held is an address that an interface has.
type Held struct {
	Index  int // of the interface
	Prefix netip.Prefix
	Origin Origin
	// Ends says that the kernel removes it by itself some day.
	Ends bool
}

// held lists the addresses of all interfaces, but for what the kernel gives each by itself.
func held() ([]Held, error) {
	req := nl.NewNetlinkRequest(unix.RTM_GETADDR, unix.NLM_F_DUMP)
	req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	list, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWADDR)
	if err != nil {
		return nil, fmt.Errorf("list the addresses: %w", err)
	}
	var out []Held
	for _, m := range list {
		h, err := parseAddress(m)
		if err != nil {
			return nil, fmt.Errorf("list the addresses: %w", err)
		}
		if a := h.Prefix.Addr(); a.IsValid() && !a.IsLoopback() && (a.Is4() || !a.IsLinkLocalUnicast()) {
			out = append(out, h)
		}
	}
	return out, nil
}

// parseAddress reads one RTM_NEWADDR. IFA_LOCAL is this end's address where it differs
// from IFA_ADDRESS, the other end's.
func parseAddress(m []byte) (Held, error) {
	if len(m) < unix.SizeofIfAddrmsg {
		return Held{}, errors.New("the kernel's answer is cut short")
	}
	msg := nl.DeserializeIfAddrmsg(m)
	attrs, err := nl.ParseRouteAttr(m[msg.Len():])
	if err != nil {
		return Held{}, err
	}
	h := Held{Index: int(msg.Index), Origin: Foreign, Ends: msg.Flags&unix.IFA_F_PERMANENT == 0}
	var local, addr netip.Addr
	for _, at := range attrs {
		switch at.Attr.Type {
		case unix.IFA_LOCAL:
			local, _ = netip.AddrFromSlice(at.Value)
		case unix.IFA_ADDRESS:
			addr, _ = netip.AddrFromSlice(at.Value)
		case ifaProto:
			h.Origin = originOf(at.Value)
		}
	}
	if !local.IsValid() {
		local = addr
	}
	if local.IsValid() && int(msg.Prefixlen) <= local.BitLen() {
		h.Prefix = netip.PrefixFrom(local, int(msg.Prefixlen))
	}
	return h, nil
}

func originOf(proto []byte) Origin {
	switch {
	case len(proto) == 1 && proto[0] == mark:
		return Ours
	case len(proto) == 1 && proto[0] == vipMark:
		return VIP
	}
	return Foreign
}

func addAddress(at place) error {
	req := addressRequest(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK, at)
	req.AddData(nl.NewRtAttr(ifaProto, []byte{mark}))
	if b := broadcast(at.prefix); b.IsValid() {
		req.AddData(nl.NewRtAttr(unix.IFA_BROADCAST, b.AsSlice()))
	}
	if _, err := req.Execute(unix.NETLINK_ROUTE, 0); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("add %s: %w", at.prefix, err)
	}
	return nil
}

// forever is the lifetime of an address that does not end.
const forever = 1<<32 - 1

// lifetime tells the kernel in how many seconds an address ends: a leased one goes although
// no daemon runs then.
func lifetime(at place, seconds uint32) error {
	req := addressRequest(unix.RTM_NEWADDR, unix.NLM_F_REPLACE|unix.NLM_F_ACK, at)
	req.AddData(nl.NewRtAttr(ifaProto, []byte{mark}))
	info := make([]byte, unix.SizeofIfaCacheinfo)
	binary.NativeEndian.PutUint32(info, seconds)
	binary.NativeEndian.PutUint32(info[4:], seconds)
	req.AddData(nl.NewRtAttr(unix.IFA_CACHEINFO, info))
	if b := broadcast(at.prefix); b.IsValid() {
		req.AddData(nl.NewRtAttr(unix.IFA_BROADCAST, b.AsSlice()))
	}
	if _, err := req.Execute(unix.NETLINK_ROUTE, 0); err != nil {
		return fmt.Errorf("tell the kernel when %s ends: %w", at.prefix, err)
	}
	return nil
}

func delAddress(at place) error {
	req := addressRequest(unix.RTM_DELADDR, unix.NLM_F_ACK, at)
	if _, err := req.Execute(unix.NETLINK_ROUTE, 0); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
		return fmt.Errorf("remove %s: %w", at.prefix, err)
	}
	return nil
}

func addressRequest(kind, flags int, at place) *nl.NetlinkRequest {
	family := unix.AF_INET
	if at.prefix.Addr().Is6() {
		family = unix.AF_INET6
	}
	msg := nl.NewIfAddrmsg(family)
	msg.Index, msg.Prefixlen = uint32(at.index), uint8(at.prefix.Bits())
	req := nl.NewNetlinkRequest(kind, flags)
	req.AddData(msg)
	for _, kind := range []int{unix.IFA_LOCAL, unix.IFA_ADDRESS} {
		req.AddData(nl.NewRtAttr(kind, at.prefix.Addr().AsSlice()))
	}
	return req
}

// broadcast is the highest address of an IPv4 network that has room for one.
func broadcast(p netip.Prefix) netip.Addr {
	if !p.Addr().Is4() || p.Bits() > 30 {
		return netip.Addr{}
	}
	b := p.Addr().As4()
	for bit := p.Bits(); bit < 32; bit++ {
		b[bit/8] |= 1 << (7 - bit%8)
	}
	return netip.AddrFrom4(b)
}
