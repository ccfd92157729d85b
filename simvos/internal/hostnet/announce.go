package hostnet

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// announcePeriod is the time between two announcements of an unsolved server.
const announcePeriod = time.Second

// Announcer claims virtual addresses for the server's own card, as a server
// does whose ARP problem is not solved: gratuitous ARP (RFC 5227 section 3)
// for IPv4, unsolicited neighbour advertisements (RFC 4861 section 7.2.6) for
// IPv6.
type Announcer struct {
	fd     int
	index  int
	frames [][]byte
}

// OpenAnnouncer opens a packet socket on the card, in the network namespace of
// the calling thread.
func OpenAnnouncer(iface string, vips []netip.Addr) (*Announcer, error) {
	card, err := net.InterfaceByName(iface)
	if err != nil {
		return nil, fmt.Errorf("find interface %s to announce on: %w", iface, err)
	}
	if len(card.HardwareAddr) != 6 {
		return nil, fmt.Errorf("announce on %s: it has no Ethernet address", iface)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open a packet socket: %w", err)
	}
	a := &Announcer{fd: fd, index: card.Index}
	for _, vip := range vips {
		a.frames = append(a.frames, frame([6]byte(card.HardwareAddr), vip))
	}
	return a, nil
}

// Run announces at once and then every second until ctx ends. A card that
// is down misses its turn.
func (a *Announcer) Run(ctx context.Context) error {
	defer unix.Close(a.fd)
	t := time.NewTicker(announcePeriod)
	defer t.Stop()
	for {
		for _, f := range a.frames {
			to := &unix.SockaddrLinklayer{Ifindex: a.index, Halen: 6}
			err := unix.Sendto(a.fd, f, 0, to)
			if err != nil && !errors.Is(err, unix.ENETDOWN) && !errors.Is(err, unix.ENOBUFS) {
				return fmt.Errorf("announce a virtual address: %w", err)
			}
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func frame(mac [6]byte, vip netip.Addr) []byte {
	if vip.Is4() {
		return gratuitousARP(mac, vip)
	}
	return unsolicitedNA(mac, vip)
}

// gratuitousARP is an ARP request for vip from vip, to all.
func gratuitousARP(mac [6]byte, vip netip.Addr) []byte {
	b := append([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, mac[:]...)
	b = append(b, 0x08, 0x06, 0, 1, 0x08, 0x00, 6, 4, 0, 1)
	b = append(b, mac[:]...)
	b = append(b, vip.AsSlice()...)
	b = append(b, 0, 0, 0, 0, 0, 0)
	return append(b, vip.AsSlice()...)
}

// unsolicitedNA is a neighbour advertisement for vip with the override flag,
// to all nodes (ff02::1).
func unsolicitedNA(mac [6]byte, vip netip.Addr) []byte {
	src, dst := vip.As16(), netip.MustParseAddr("ff02::1").As16()
	icmp := []byte{136, 0, 0, 0, 0x20, 0, 0, 0}
	icmp = append(icmp, src[:]...)
	icmp = append(icmp, 2, 1)
	icmp = append(icmp, mac[:]...)
	binary.BigEndian.PutUint16(icmp[2:], checksum(src, dst, icmp))

	b := append([]byte{0x33, 0x33, 0, 0, 0, 1}, mac[:]...)
	b = append(b, 0x86, 0xdd, 0x60, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(len(icmp)))
	b = append(b, unix.IPPROTO_ICMPV6, 255)
	b = append(b, src[:]...)
	b = append(b, dst[:]...)
	return append(b, icmp...)
}

// checksum is the ICMPv6 checksum (RFC 4443 section 2.3); len(icmp) is even.
func checksum(src, dst [16]byte, icmp []byte) uint16 {
	sum := uint32(len(icmp)) + unix.IPPROTO_ICMPV6
	for _, part := range [][]byte{src[:], dst[:], icmp} {
		for i := 0; i+1 < len(part); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(part[i:]))
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
