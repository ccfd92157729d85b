package dhcp

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// Ports of DHCP.
const (
	clientPort = 68
	serverPort = 67
)

// Link is the interface that a socket is of.
type Link struct {
	Name  string
	Index int
	MAC   net.HardwareAddr
}

// Socket is the network of an interface that may have no address: packets are sent and
// heard beside the kernel's IP, which wants one.
type Socket struct {
	link     Link
	raw      *os.File // AF_PACKET: IP packets for port 68
	arp      int      // AF_PACKET: hears nothing but while it asks
	udp      *ipv4.PacketConn
	received chan []byte
}

// Open opens the sockets of an interface of the calling thread's network namespace. Read
// must be running for messages to come.
func Open(ctx context.Context, link Link) (*Socket, error) {
	s := &Socket{link: link, arp: -1, received: make(chan []byte, 8)}
	err := errors.Join(s.openRaw(), s.openARP(), s.openUDP(ctx))
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Close closes them when nobody asks any more; Read ends.
func (s *Socket) Close() error {
	var errs []error
	if s.raw != nil {
		errs = append(errs, s.raw.Close())
	}
	if s.arp >= 0 {
		errs = append(errs, unix.Close(s.arp))
	}
	if s.udp != nil {
		errs = append(errs, s.udp.Close())
	}
	return errors.Join(errs...)
}

// filter lets through what is for the port of a client: UDP, unfragmented.
func filter() ([]unix.SockFilter, error) {
	raw, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: 9, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.IPPROTO_UDP, SkipTrue: 6},
		bpf.LoadAbsolute{Off: 6, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 0x3fff, SkipTrue: 4},
		bpf.LoadMemShift{Off: 0},
		bpf.LoadIndirect{Off: 2, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: clientPort, SkipTrue: 1},
		bpf.RetConstant{Val: maxPacket},
		bpf.RetConstant{Val: 0},
	})
	if err != nil {
		return nil, err
	}
	out := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		out[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	return out, nil
}

func (s *Socket) openRaw() error {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("open a packet socket: %w", err)
	}
	s.raw = os.NewFile(uintptr(fd), "packets")
	code, err := filter()
	if err != nil {
		return err
	}
	program := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program); err != nil {
		return fmt.Errorf("filter packets: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: network(unix.ETH_P_IP), Ifindex: s.link.Index}); err != nil {
		return fmt.Errorf("hear packets of %s: %w", s.link.Name, err)
	}
	return nil
}

func (s *Socket) openARP() (err error) {
	if s.arp, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
		return fmt.Errorf("open a packet socket: %w", err)
	}
	return nil
}

// openUDP opens the port of a client, for what is sent from an address and lest the kernel
// answers that nobody is there. What comes is heard by the other socket.
func (s *Socket) openUDP(ctx context.Context) error {
	set := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var failed error
		err := c.Control(func(fd uintptr) {
			failed = errors.Join(unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
				unix.SetsockoptString(int(fd), unix.SOL_SOCKET, unix.SO_BINDTODEVICE, s.link.Name),
				unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 0))
		})
		return errors.Join(err, failed)
	}}
	pc, err := set.ListenPacket(ctx, "udp4", fmt.Sprintf("0.0.0.0:%d", clientPort))
	if err != nil {
		return fmt.Errorf("open the port of a DHCP client on %s: end another client that has it: %w", s.link.Name, err)
	}
	s.udp = ipv4.NewPacketConn(pc)
	return nil
}

// network is a number in the byte order of the network.
func network(v uint16) uint16 { return v<<8 | v>>8 }

// Received implements Conn.
func (s *Socket) Received() <-chan []byte { return s.received }

// maxPacket bounds a packet in bytes: a message, and the headers with all their options.
const maxPacket = maxMessage + 68

// mostErrors is how many times in a row hearing may fail: the kernel tells once that an
// interface went down.
const mostErrors = 16

// Read hears messages until the socket is closed.
func (s *Socket) Read() {
	buf := make([]byte, maxPacket)
	for failed := 0; failed < mostErrors; {
		n, err := s.raw.Read(buf)
		if errors.Is(err, os.ErrClosed) {
			return
		}
		if err != nil {
			failed++
			continue
		}
		failed = 0
		message, ok := payload(buf[:n])
		if !ok {
			continue
		}
		select {
		case s.received <- bytes.Clone(message):
		default:
		}
	}
}

// payload is what UDP carries in an IP packet for port 68. The checksum is not judged:
// between machines of one host it is not there yet (offload).
func payload(packet []byte) ([]byte, bool) {
	if len(packet) < 28 || packet[0]>>4 != 4 || packet[9] != unix.IPPROTO_UDP {
		return nil, false
	}
	head := int(packet[0]&15) * 4
	total := int(binary.BigEndian.Uint16(packet[2:]))
	if head < 20 || total < head+8 || total > len(packet) {
		return nil, false
	}
	udp := packet[head:total]
	size := int(binary.BigEndian.Uint16(udp[4:]))
	if binary.BigEndian.Uint16(udp[2:]) != clientPort || size < 8 || size > len(udp) {
		return nil, false
	}
	return udp[8:size], true
}

// Broadcast implements Conn.
func (s *Socket) Broadcast(from netip.Addr, message []byte) error {
	raw, err := s.raw.SyscallConn()
	if err != nil {
		return err
	}
	to := &unix.SockaddrLinklayer{Protocol: network(unix.ETH_P_IP), Ifindex: s.link.Index, Halen: 6, Addr: [8]byte{255, 255, 255, 255, 255, 255}}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = unix.Sendto(int(fd), datagram(from, message), 0, to) })
	if err = errors.Join(err, failed); err != nil {
		return fmt.Errorf("send to every DHCP server on %s: %w", s.link.Name, err)
	}
	return nil
}

// datagram is a message to every server as an IP packet.
func datagram(from netip.Addr, message []byte) []byte {
	p := make([]byte, 28, 28+len(message))
	p[0], p[8], p[9] = 0x45, 64, unix.IPPROTO_UDP
	binary.BigEndian.PutUint16(p[2:], uint16(28+len(message)))
	if from.Is4() {
		copy(p[12:16], from.AsSlice())
	}
	copy(p[16:20], []byte{255, 255, 255, 255})
	binary.BigEndian.PutUint16(p[10:], checksum(0, p[:20]))
	binary.BigEndian.PutUint16(p[20:], clientPort)
	binary.BigEndian.PutUint16(p[22:], serverPort)
	binary.BigEndian.PutUint16(p[24:], uint16(8+len(message)))
	p = append(p, message...)
	pseudo := uint32(unix.IPPROTO_UDP) + uint32(8+len(message))
	for i := 12; i < 20; i += 2 {
		pseudo += uint32(binary.BigEndian.Uint16(p[i:]))
	}
	sum := checksum(pseudo, p[20:])
	if sum == 0 {
		sum = 0xffff // zero means that there is none
	}
	binary.BigEndian.PutUint16(p[26:], sum)
	return p
}

// checksum is that of the Internet (RFC 1071).
func checksum(sum uint32, data []byte) uint16 {
	for i := 0; i+1 < len(data); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(data[i:]))
	}
	if len(data)%2 == 1 {
		sum += uint32(data[len(data)-1]) << 8
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// Unicast implements Conn.
func (s *Socket) Unicast(from, to netip.Addr, message []byte) error {
	_, err := s.udp.WriteTo(message, &ipv4.ControlMessage{Src: from.AsSlice(), IfIndex: s.link.Index},
		net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, serverPort)))
	if err != nil {
		return fmt.Errorf("send to the DHCP server %s: %w", to, err)
	}
	return nil
}

// Times of looking for another host with the address: fewer than RFC 5227 has, as every
// server looks too before it lends.
const (
	probes     = 3
	probeEvery = 300 * time.Millisecond
)

// Taken implements Conn.
func (s *Socket) Taken(ctx context.Context, addr netip.Addr) (bool, error) {
	at := &unix.SockaddrLinklayer{Protocol: network(unix.ETH_P_ARP), Ifindex: s.link.Index, Halen: 6, Addr: [8]byte{255, 255, 255, 255, 255, 255}}
	if err := unix.Bind(s.arp, &unix.SockaddrLinklayer{Protocol: at.Protocol, Ifindex: at.Ifindex}); err != nil {
		return false, fmt.Errorf("hear ARP on %s: %w", s.link.Name, err)
	}
	defer func() { _ = unix.Bind(s.arp, &unix.SockaddrLinklayer{Ifindex: at.Ifindex}) }()
	for range probes {
		if err := unix.Sendto(s.arp, s.probe(addr), 0, at); err != nil {
			return false, fmt.Errorf("send ARP on %s: %w", s.link.Name, err)
		}
		for end := time.Now().Add(probeEvery); time.Now().Before(end); {
			if ctx.Err() != nil {
				return false, ctx.Err()
			}
			if s.claimed(addr, time.Until(end)) {
				return true, nil
			}
		}
	}
	return false, nil
}

// claimed waits for one ARP packet and says whether another host claims an address by it.
func (s *Socket) claimed(addr netip.Addr, within time.Duration) bool {
	if _, err := unix.Poll([]unix.PollFd{{Fd: int32(s.arp), Events: unix.POLLIN}}, int(within.Milliseconds())+1); err != nil {
		return false
	}
	buf := make([]byte, 64)
	n, _, err := unix.Recvfrom(s.arp, buf, unix.MSG_DONTWAIT)
	return err == nil && claims(buf[:n], addr, s.link.MAC)
}

// claims reads an ARP packet of Ethernet and IPv4 (RFC 826).
func claims(p []byte, addr netip.Addr, own net.HardwareAddr) bool {
	if len(p) < 28 || binary.BigEndian.Uint16(p) != 1 || binary.BigEndian.Uint16(p[2:]) != unix.ETH_P_IP {
		return false
	}
	a, _ := netip.AddrFromSlice(p[14:18])
	return a == addr && string(p[8:14]) != string(own)
}

// probe asks who has an address without claiming it (RFC 5227, 2.1.1).
func (s *Socket) probe(addr netip.Addr) []byte {
	p := make([]byte, 28)
	copy(p, []byte{0, 1, 8, 0, 6, 4, 0, 1})
	copy(p[8:14], s.link.MAC)
	copy(p[24:28], addr.AsSlice())
	return p
}
