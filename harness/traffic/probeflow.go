package traffic

import (
	"fmt"
	"net/netip"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// seqWindow is how many sequence numbers back a flow remembers.
const seqWindow = 1 << 16

// Outcomes of probeFlow.mark.
const (
	seqAhead     = iota // beyond the highest so far
	seqLate             // below it, seen for the first time
	seqDuplicate        // seen before, or too old to tell
)

// probeFlow is one client address and port of a probe.
type probeFlow struct {
	id     uint32
	fd     int
	client string
	sent   atomic.Uint64

	// Receiver's state.
	highest uint64 // sequence number; the first is 1
	last    int64  // arrival of the last reply
	server  uint16
	seen    [seqWindow / 64]uint64
}

// write sends one frame.
func (f *probeFlow) write(frame []byte) error {
	_, err := unix.Write(f.fd, frame)
	return err
}

// mark notes a sequence number and tells how it relates to those before.
func (f *probeFlow) mark(seq uint64) int {
	if seq == 0 || seq+seqWindow <= f.highest {
		return seqDuplicate
	}
	// The ring forgets what it passes.
	for s := f.highest + 1; s < seq && s <= f.highest+seqWindow; s++ {
		f.seen[s%seqWindow/64] &^= 1 << (s % 64)
	}
	bit := uint64(1) << (seq % 64)
	word := &f.seen[seq%seqWindow/64]
	if seq > f.highest {
		*word |= bit
		return seqAhead
	}
	if *word&bit != 0 {
		return seqDuplicate
	}
	*word |= bit
	return seqLate
}

// open makes the flows' sockets.
func (p *probe) open(n int) error {
	for i := range n {
		f := &probeFlow{id: uint32(i), client: p.source(i)}
		fd, err := openUDP(f.client, p.target.addr)
		if err != nil {
			p.close()
			return errSource(f.client, err)
		}
		f.fd = fd
		p.flows = append(p.flows, f)
		if f.client == "" {
			f.client = localAddr(fd)
		}
	}
	return nil
}

func (p *probe) close() {
	for _, f := range p.flows {
		_ = unix.Close(f.fd)
	}
}

// openUDP opens a non-blocking socket from source to the target, which stamps
// arrivals in the kernel.
func openUDP(source string, to netip.AddrPort) (int, error) {
	family := unix.AF_INET6
	if to.Addr().Is4() {
		family = unix.AF_INET
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open a UDP socket: %w", err)
	}
	if err := setUpUDP(fd, source, to); err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func setUpUDP(fd int, source string, to netip.AddrPort) error {
	// Both are improvements only: smaller buffers and user-space time stamps
	// work too.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4<<20)
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
	if source != "" {
		addr, err := netip.ParseAddr(source)
		if err != nil {
			return fmt.Errorf("client address: %w", err)
		}
		if err := unix.Bind(fd, sockaddr(netip.AddrPortFrom(addr, 0))); err != nil {
			return fmt.Errorf("bind: %w", err)
		}
	}
	if err := unix.Connect(fd, sockaddr(to)); err != nil {
		return fmt.Errorf("connect to %s: %w", to, err)
	}
	return nil
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

// localAddr is the address the kernel chose for a connected socket.
func localAddr(fd int) string {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return ""
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrFrom4(sa.Addr).String()
	case *unix.SockaddrInet6:
		return netip.AddrFrom16(sa.Addr).String()
	}
	return ""
}
