package ebpf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/internal/dataplane/ebpf/lease"
)

// askEvery is the period of the question "who else has this VIP?". A server with the
// ARP problem that only answers is found by it; see conflicts.go.
const askEvery = 3 * time.Second

// ask asks the segment for every VIP that this node holds. The sweep calls it.
func (p *Plane) ask(now time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.objs == nil || now.Sub(p.asked) < askEvery || !p.mayAsk() {
		return nil
	}
	p.asked = now
	var errs []error
	for name := range p.ifaces {
		errs = append(errs, p.askOn(name))
	}
	return errors.Join(errs...)
}

// mayAsk is false for a node that is not to say anything about the VIPs.
func (p *Plane) mayAsk() bool {
	if !p.table.Leased {
		return true
	}
	deadline := p.lease.Deadline()
	now, err := lease.Now()
	return err == nil && now < deadline
}

func (p *Plane) askOn(name string) error {
	l, err := p.nl.LinkByName(name)
	if err != nil {
		return fmt.Errorf("ask for foreign claims: %w", err)
	}
	mac := l.Attrs().HardwareAddr
	if len(mac) != 6 || l.Attrs().Flags&net.FlagLoopback != 0 {
		return nil // no neighbours there
	}
	held, err := p.nl.AddrList(l, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("ask for foreign claims: list the addresses of %s: %w", name, err)
	}
	var errs []error
	own := p.ownSource6(held)
	for _, a := range held {
		vip, ok := netip.AddrFromSlice(a.IP)
		if _, isVIP := p.kernel.vips[vip.Unmap()]; !ok || !isVIP {
			continue
		}
		if f := question(mac, vip.Unmap(), own); f != nil {
			to := &unix.SockaddrLinklayer{Ifindex: l.Attrs().Index, Halen: 6}
			copy(to.Addr[:], f[:6])
			errs = append(errs, unix.Sendto(p.raw, f, 0, to))
		}
	}
	return errors.Join(errs...)
}

// ownSource6 is an IPv6 address of the interface that is no VIP, the zero value if
// there is none.
func (p *Plane) ownSource6(held []netlink.Addr) netip.Addr {
	i := slices.IndexFunc(held, func(a netlink.Addr) bool {
		ip, ok := netip.AddrFromSlice(a.IP)
		_, isVIP := p.kernel.vips[ip]
		return ok && ip.Is6() && !ip.Is4In6() && !isVIP && a.Flags&unix.IFA_F_TENTATIVE == 0
	})
	if i < 0 {
		return netip.Addr{}
	}
	ip, _ := netip.AddrFromSlice(held[i].IP)
	return ip
}

// question is the frame that asks who has a VIP; nil if it cannot be asked. In IPv4 it
// is an ARP probe (RFC 5227 section 2.1.1), which changes nobody's cache. In IPv6 it
// is a solicitation from the node's own address: one without a source would make the
// offender tell everybody (RFC 4861 section 7.2.4), and clients would believe it.
func question(mac net.HardwareAddr, vip, own netip.Addr) []byte {
	if vip.Is6() {
		if !own.IsValid() {
			return nil
		}
		return solicitation(mac, vip, own)
	}
	b := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	b = append(b, mac...)
	b = append(b, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1) // ARP, Ethernet and IPv4, request
	b = append(b, mac...)
	b = append(b, make([]byte, 4+6)...) // sender 0.0.0.0, target MAC unknown
	return append(b, vip.AsSlice()...)
}

const icmp6 = 58

// solicitation is a neighbour solicitation to the VIP's solicited-node address.
func solicitation(mac net.HardwareAddr, vip, own netip.Addr) []byte {
	t := vip.As16()
	group := netip.MustParseAddr("ff02::1:ff00:0").As16()
	copy(group[13:], t[13:])
	b := []byte{0x33, 0x33, group[12], group[13], group[14], group[15]}
	b = append(b, mac...)
	b = append(b, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 32, icmp6, 255)
	b = append(b, own.AsSlice()...)
	b = append(b, group[:]...)
	at := len(b)
	b = append(b, 135, 0, 0, 0, 0, 0, 0, 0)
	b = append(b, t[:]...)
	b = append(b, 1, 1) // source link-layer address, 8 octets
	b = append(b, mac...)
	binary.BigEndian.PutUint16(b[at+2:], sum6(b[22:at], b[at:]))
	return b
}

// sum6 is the ICMPv6 checksum (RFC 8200 section 8.1) over both addresses and a message.
func sum6(addrs, message []byte) uint16 {
	sum := uint32(len(message)) + icmp6
	for _, part := range [][]byte{addrs, message} {
		for i := 0; i+1 < len(part); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(part[i:]))
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
