package sentinel

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// ICMP types.
const (
	echoReply4   = 0
	echoRequest4 = 8
	echoRequest6 = 128
	echoReply6   = 129
)

const (
	echoLen  = 16 // header and token
	tokenAt  = 8
	tokenLen = 8
)

// prober sends echo requests to the ping nodes and recognises their answers: by
// source, identifier and a random token, as a raw socket hears every echo reply of
// the host.
type prober struct {
	fd4, fd6 int // -1 = not needed
	nodes    []netip.Addr
	token    [tokenLen]byte
	id, seq  uint16
}

// newProber opens raw sockets in the calling thread's network namespace
// (CAP_NET_RAW).
func newProber(nodes []netip.Addr) (*prober, error) {
	p := &prober{fd4: -1, fd6: -1, nodes: nodes}
	rand.Read(p.token[:])
	p.id = binary.BigEndian.Uint16(p.token[:])
	var err error
	if slices.ContainsFunc(nodes, netip.Addr.Is4) {
		if p.fd4, err = rawSocket(unix.AF_INET, unix.IPPROTO_ICMP); err != nil {
			return nil, err
		}
		const icmpFilter, blockAllBut = 1, ^(1 << echoReply4)
		_ = unix.SetsockoptInt(p.fd4, unix.SOL_RAW, icmpFilter, blockAllBut)
	}
	if slices.ContainsFunc(nodes, netip.Addr.Is6) {
		if p.fd6, err = rawSocket(unix.AF_INET6, unix.IPPROTO_ICMPV6); err != nil {
			return nil, errors.Join(err, p.close())
		}
		var only unix.ICMPv6Filter // a set bit blocks
		for i := range only.Data {
			only.Data[i] = ^uint32(0)
		}
		only.Data[echoReply6>>5] &^= 1 << (echoReply6 & 31)
		_ = unix.SetsockoptICMPv6Filter(p.fd6, unix.SOL_ICMPV6, unix.ICMPV6_FILTER, &only)
	}
	return p, nil
}

func rawSocket(domain, proto int) (int, error) {
	fd, err := unix.Socket(domain, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, proto)
	if err != nil {
		return -1, fmt.Errorf("open an ICMP socket for ping nodes (CAP_NET_RAW is needed): %w", err)
	}
	return fd, nil
}

func (p *prober) close() error {
	var errs []error
	for _, fd := range []int{p.fd4, p.fd6} {
		if fd >= 0 {
			errs = append(errs, unix.Close(fd))
		}
	}
	return errors.Join(errs...)
}

// probe sends one request to every ping node. What fails is simply not answered.
func (p *prober) probe() {
	p.seq++
	var b [echoLen]byte
	for _, n := range p.nodes {
		if n.Is4() {
			_ = unix.Sendto(p.fd4, p.request(b[:], echoRequest4), unix.MSG_DONTWAIT, &unix.SockaddrInet4{Addr: n.As4()})
			continue
		}
		_ = unix.Sendto(p.fd6, p.request(b[:], echoRequest6), unix.MSG_DONTWAIT, &unix.SockaddrInet6{Addr: n.As16()})
	}
}

// request builds an echo request; the kernel fills in the ICMPv6 checksum.
func (p *prober) request(b []byte, kind byte) []byte {
	clear(b)
	b[0] = kind
	binary.BigEndian.PutUint16(b[4:], p.id)
	binary.BigEndian.PutUint16(b[6:], p.seq)
	copy(b[tokenAt:], p.token[:])
	if kind == echoRequest4 {
		binary.BigEndian.PutUint16(b[2:], checksum(b))
	}
	return b
}

// recv takes one packet and returns the ping node that answered with it, invalid =
// it is something else; ok is false when nothing waits.
func (p *prober) recv(fd int, buf []byte) (addr netip.Addr, ok bool) {
	n, from, err := unix.Recvfrom(fd, buf, unix.MSG_DONTWAIT)
	switch {
	case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR):
		return netip.Addr{}, false
	case err != nil:
		return netip.Addr{}, true // a queued network error of an earlier request
	}
	return p.answer(buf[:n], from), true
}

func (p *prober) answer(b []byte, from unix.Sockaddr) netip.Addr {
	var addr netip.Addr
	body, ok := b, true
	switch f := from.(type) {
	case *unix.SockaddrInet4:
		addr = netip.AddrFrom4(f.Addr)
		body, ok = p.body4(b)
		ok = ok && p.isMine(body, echoReply4)
	case *unix.SockaddrInet6:
		addr = netip.AddrFrom16(f.Addr)
		ok = p.isMine(body, echoReply6)
	}
	if !ok || !slices.Contains(p.nodes, addr) {
		return netip.Addr{}
	}
	return addr
}

// body4 strips the IPv4 header, which raw sockets deliver.
func (p *prober) body4(b []byte) ([]byte, bool) {
	if len(b) < 20 || b[0]>>4 != 4 {
		return nil, false
	}
	n := int(b[0]&0xf) * 4
	if n < 20 || n > len(b) {
		return nil, false
	}
	return b[n:], true
}

func (p *prober) isMine(b []byte, kind byte) bool {
	return len(b) >= echoLen && b[0] == kind && b[1] == 0 &&
		binary.BigEndian.Uint16(b[4:]) == p.id && [tokenLen]byte(b[tokenAt:tokenAt+tokenLen]) == p.token
}

func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
