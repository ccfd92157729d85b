package sock

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// receiveBuffer is the size asked for the receive buffer of UDP sockets in
// bytes. It bridges times in which the reader gets no processor: a server that
// drops packets itself would spoil what is measured through it.
const receiveBuffer = 4 << 20

// controlSize is the room for one IPV6_PKTINFO control message.
var controlSize = unix.CmsgSpace(unix.SizeofInet6Pktinfo)

// UDP is a dual-stack UDP socket bound to the wildcard address. One goroutine
// may read while any number write.
type UDP struct {
	conn *net.UDPConn
	oob  []byte
}

// Datagram says where a datagram came from and which local address it was sent to.
type Datagram struct {
	From netip.AddrPort
	To   netip.Addr
}

// ListenUDP binds the port of every local address.
func (o Opener) ListenUDP(ctx context.Context, port uint16) (*UDP, error) {
	var conn net.PacketConn
	err := o.do(func() (err error) {
		lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
			return onFD(c, setUDPOptions)
		}}
		conn, err = lc.ListenPacket(ctx, "udp", fmt.Sprintf(":%d", port))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listen on UDP port %d: %w", port, err)
	}
	return &UDP{conn: conn.(*net.UDPConn), oob: make([]byte, controlSize)}, nil
}

func onFD(c syscall.RawConn, f func(fd int) error) error {
	var inner error
	if err := c.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return err
	}
	return inner
}

// setUDPOptions asks for the destination address of every datagram and a
// larger buffer. It fails when the socket is not IPv6, that is when the kernel
// has no IPv6 at all.
func setUDPOptions(fd int) error {
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1); err != nil {
		return fmt.Errorf("ask for destination addresses (the kernel needs IPv6): %w", err)
	}
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) == nil {
		return nil
	}
	// Without CAP_NET_ADMIN the kernel caps the size at net.core.rmem_max.
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
}

// Read reads one datagram into b. A longer one is cut.
func (u *UDP) Read(b []byte) (int, Datagram, error) {
	n, oobn, _, from, err := u.conn.ReadMsgUDPAddrPort(b, u.oob)
	if err != nil {
		return 0, Datagram{}, err
	}
	return n, Datagram{From: from, To: destination(u.oob[:oobn])}, nil
}

// SetReadDeadline makes a Read that waits at that time, or begins later, end with
// os.ErrDeadlineExceeded; the zero time means never.
func (u *UDP) SetReadDeadline(t time.Time) error { return u.conn.SetReadDeadline(t) }

// maxArrived is more datagrams than fit into a receive buffer: a sender that is faster
// than Arrived does not keep it for ever.
const maxArrived = 1 << 16

// Arrived calls handle for every datagram that has arrived already, each cut to b, and
// waits for none. It belongs to the goroutine that reads.
func (u *UDP) Arrived(b []byte, handle func(b []byte, d Datagram)) {
	raw, err := u.conn.SyscallConn()
	if err != nil {
		return
	}
	// It fails on a closed socket only, in which nothing arrives.
	_ = raw.Read(func(fd uintptr) bool {
		for range maxArrived {
			n, oobn, _, from, err := unix.Recvmsg(int(fd), b, u.oob, unix.MSG_DONTWAIT)
			if errors.Is(err, unix.EINTR) || errors.Is(err, unix.ECONNREFUSED) {
				continue // nothing was read but an interruption or an ICMP error
			}
			sa, ok := from.(*unix.SockaddrInet6)
			if err != nil || !ok {
				return true
			}
			handle(b[:n], Datagram{From: netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port)), To: destination(u.oob[:oobn])})
		}
		return true
	})
}

// Each calls handle for every datagram of at most size bytes until ctx ends. It
// then closes the socket and returns nil.
func (u *UDP) Each(ctx context.Context, size int, handle func(b []byte, d Datagram)) error {
	stop := context.AfterFunc(ctx, func() { u.Close() })
	defer stop()
	defer u.Close()
	buf := make([]byte, size)
	for {
		n, d, err := u.Read(buf)
		switch {
		case err == nil:
			handle(buf[:n], d)
		case !IsPassing(err):
			return unlessEnded(ctx, fmt.Errorf("receive on UDP port %d: %w", u.LocalPort(), err))
		}
	}
}

// unlessEnded returns err, or nil when ctx has ended and so explains it.
func unlessEnded(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return nil
}

// destination reads the address out of the only control message that was asked for.
func destination(oob []byte) netip.Addr {
	if len(oob) < unix.CmsgLen(unix.SizeofInet6Pktinfo) {
		return netip.Addr{}
	}
	at := unix.CmsgLen(0)
	return netip.AddrFrom16([16]byte(oob[at : at+16])).Unmap()
}

// Write sends b to the client from the local address src; when src is the zero
// Addr, the kernel chooses by its routes.
func (u *UDP) Write(b []byte, to netip.AddrPort, src netip.Addr) error {
	var oob []byte
	if src.IsValid() {
		var buf [40]byte
		oob = appendPktinfo(buf[:0], src)
	}
	_, _, err := u.conn.WriteMsgUDPAddrPort(b, oob, to)
	return err
}

// appendPktinfo appends an IPV6_PKTINFO control message with that source. The
// interface stays 0: which one to use is the routing table's matter.
func appendPktinfo(b []byte, src netip.Addr) []byte {
	b = binary.NativeEndian.AppendUint64(b, uint64(unix.CmsgLen(unix.SizeofInet6Pktinfo)))
	b = binary.NativeEndian.AppendUint32(b, unix.IPPROTO_IPV6)
	b = binary.NativeEndian.AppendUint32(b, unix.IPV6_PKTINFO)
	a := src.As16()
	b = append(b, a[:]...)
	return binary.NativeEndian.AppendUint64(b, 0)
}

// LocalPort is the port that the socket is bound to.
func (u *UDP) LocalPort() uint16 { return u.conn.LocalAddr().(*net.UDPAddr).AddrPort().Port() }

// Addr is the address that the socket is bound to.
func (u *UDP) Addr() net.Addr { return u.conn.LocalAddr() }

// Close closes the socket; a blocked Read returns.
func (u *UDP) Close() error { return u.conn.Close() }

// IsPassing reports an error of one datagram that says nothing about the
// socket: an ICMP answer to an earlier one, or a full queue.
func IsPassing(err error) bool {
	return errorsIs(err, unix.ECONNREFUSED, unix.EHOSTUNREACH, unix.ENETUNREACH, unix.ENOBUFS,
		unix.EPERM, unix.EMSGSIZE, unix.EAGAIN, unix.EHOSTDOWN, unix.EINVAL, unix.EADDRNOTAVAIL)
}

// errorsIs reports whether err is one of the error numbers.
func errorsIs(err error, numbers ...unix.Errno) bool {
	var e unix.Errno
	return errors.As(err, &e) && slices.Contains(numbers, e)
}

// IsInUse reports that a port could not be bound because something has it.
func IsInUse(err error) bool { return errorsIs(err, unix.EADDRINUSE) }
