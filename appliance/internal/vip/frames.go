package vip

import (
	"encoding/binary"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// ARP operations.
const (
	ARPRequest uint16 = 1
	ARPReply   uint16 = 2
)

const (
	ethLen = 14
	arpLen = 28
	ip6Len = 40
	naLen  = 32 // header, flags, target, target link-layer address option
)

// GratuitousARP builds the Ethernet frame by which mac claims vip: sender and
// target protocol address are both vip (RFC 5227 section 3, RFC 5944 section 4.6).
// Some stacks update their caches by the request form only, some by the reply form
// only; send both.
func GratuitousARP(mac net.HardwareAddr, vip netip.Addr, op uint16) []byte {
	b := make([]byte, 0, ethLen+arpLen)
	b = append(b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
	b = append(b, mac...)
	b = binary.BigEndian.AppendUint16(b, unix.ETH_P_ARP)
	b = append(b, 0, 1, 0x08, 0, 6, 4) // Ethernet, IPv4, address lengths
	b = binary.BigEndian.AppendUint16(b, op)
	b = append(b, mac...)
	b = append(b, vip.AsSlice()...)
	if op == ARPReply {
		b = append(b, mac...)
	} else {
		b = append(b, 0, 0, 0, 0, 0, 0)
	}
	return append(b, vip.AsSlice()...)
}

// UnsolicitedNA builds the Ethernet frame by which mac claims vip on IPv6: an
// unsolicited neighbour advertisement with the override flag to all nodes
// (RFC 4861 section 7.2.6).
func UnsolicitedNA(mac net.HardwareAddr, vip netip.Addr) []byte {
	allNodes := netip.MustParseAddr("ff02::1")
	b := make([]byte, 0, ethLen+ip6Len+naLen)
	b = append(b, 0x33, 0x33, 0, 0, 0, 1)
	b = append(b, mac...)
	b = binary.BigEndian.AppendUint16(b, unix.ETH_P_IPV6)
	b = append(b, 0x60, 0, 0, 0, 0, naLen, unix.IPPROTO_ICMPV6, 255)
	b = append(b, vip.AsSlice()...)
	b = append(b, allNodes.AsSlice()...)
	na := len(b)
	b = append(b, 136, 0, 0, 0, 0x20, 0, 0, 0) // type, code, checksum, override
	b = append(b, vip.AsSlice()...)
	b = append(b, 2, 1) // target link-layer address, 8 octets
	b = append(b, mac...)
	binary.BigEndian.PutUint16(b[na+2:], checksum6(b[ethLen:na], b[na:]))
	return b
}

// checksum6 is the ICMPv6 checksum over the pseudo-header (RFC 8200 section 8.1).
func checksum6(ip6, body []byte) uint16 {
	sum := uint32(len(body)) + unix.IPPROTO_ICMPV6
	for _, part := range [][]byte{ip6[8:40], body} {
		for i := 0; i+1 < len(part); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(part[i:]))
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
