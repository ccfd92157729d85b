package sock

import (
	"fmt"
	"net/netip"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// batchLen is the number of datagrams that one system call moves at most.
const batchLen = 64

// Batch is a UDP socket for a loop that must be fast: it blocks its thread in
// recvmmsg(2), bypassing the network poller, answers with sendmmsg(2) and
// allocates nothing per datagram. Only one goroutine may use Receive and Reply.
type Batch struct {
	fd    int
	port  uint16
	in    [batchLen]slot
	recv  [batchLen]mmsghdr
	send  [batchLen]mmsghdr
	queue int

	mu     sync.Mutex
	closed bool
}

// slot holds the buffers of one datagram. Requests are short, so only their
// start is kept.
type slot struct {
	name    unix.RawSockaddrInet6
	control [40]byte
	data    [64]byte
	reply   [64]byte
	iovIn   unix.Iovec
	iovOut  unix.Iovec
}

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32
	_   [4]byte
}

// Request is one received datagram. It is valid until the next Receive.
type Request struct {
	batch *Batch
	index int
	// Data is the start of the datagram, at most 64 bytes; Len its full length.
	Data []byte
	Len  int
}

// OpenBatch binds the port of every local address.
func (o Opener) OpenBatch(port uint16) (*Batch, error) {
	b := &Batch{}
	err := o.do(func() (err error) {
		b.fd, b.port, err = openBatch(port)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listen on UDP port %d: %w", port, err)
	}
	for i := range b.in {
		b.in[i].iovIn.Base = &b.in[i].data[0]
		b.in[i].iovIn.SetLen(len(b.in[i].data))
	}
	return b, nil
}

func openBatch(port uint16) (int, uint16, error) {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, 0, err
	}
	local, err := bindBatch(fd, port)
	if err != nil {
		unix.Close(fd)
		return -1, 0, err
	}
	return fd, local, nil
}

func bindBatch(fd int, port uint16) (uint16, error) {
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0); err != nil {
		return 0, err
	}
	if err := setUDPOptions(fd); err != nil {
		return 0, err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet6{Port: int(port)}); err != nil {
		return 0, err
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return 0, err
	}
	return uint16(name.(*unix.SockaddrInet6).Port), nil
}

// LocalPort is the port that the socket is bound to.
func (b *Batch) LocalPort() uint16 { return b.port }

// Receive waits for at least one datagram and calls answer for each that has
// come. It returns false once Close was called.
func (b *Batch) Receive(answer func(Request)) (bool, error) {
	for i := range b.recv {
		h, s := &b.recv[i], &b.in[i]
		h.hdr = unix.Msghdr{Name: (*byte)(unsafe.Pointer(&s.name)), Namelen: unix.SizeofSockaddrInet6, Iov: &s.iovIn, Iovlen: 1, Control: &s.control[0]}
		h.hdr.SetControllen(len(s.control))
	}
	n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(b.fd), uintptr(unsafe.Pointer(&b.recv[0])), batchLen, unix.MSG_WAITFORONE|unix.MSG_TRUNC, 0, 0)
	if b.isClosed() {
		return false, nil
	}
	if errno != 0 {
		if errno == unix.EINTR || IsPassing(errno) {
			return true, nil
		}
		return false, fmt.Errorf("receive on UDP port %d: %w", b.port, errno)
	}
	for i := range int(n) {
		length := int(b.recv[i].n)
		answer(Request{batch: b, index: i, Data: b.in[i].data[:min(length, len(b.in[i].data))], Len: length})
	}
	return true, b.flush()
}

// From is the address of the sender.
func (r Request) From() netip.Addr {
	return netip.AddrFrom16(r.batch.in[r.index].name.Addr).Unmap()
}

// To is the local address that the datagram was sent to.
func (r Request) To() netip.Addr {
	return destination(r.batch.in[r.index].control[:r.batch.recv[r.index].hdr.Controllen])
}

// Buffer is the empty buffer in which to make the reply, of 64 bytes.
func (r Request) Buffer() []byte { return r.batch.in[r.index].reply[:0] }

// Reply queues the reply b, made in Buffer, to the sender from the local
// address src; from where the kernel chooses when src is the zero Addr. The
// queue is sent when Receive has called for the last request of its batch.
func (r Request) Reply(b []byte, src netip.Addr) {
	s, h := &r.batch.in[r.index], &r.batch.send[r.batch.queue]
	s.iovOut.Base = &b[0]
	s.iovOut.SetLen(len(b))
	h.hdr = unix.Msghdr{Name: (*byte)(unsafe.Pointer(&s.name)), Namelen: unix.SizeofSockaddrInet6, Iov: &s.iovOut, Iovlen: 1}
	if src.IsValid() {
		c := appendPktinfo(s.control[:0], src)
		h.hdr.Control = &c[0]
		h.hdr.SetControllen(len(c))
	}
	r.batch.queue++
}

// flush sends the queue. A datagram that cannot be sent is skipped: its client
// is out of reach, which is no matter of the others.
func (b *Batch) flush() error {
	queue := b.queue
	b.queue = 0
	for sent := 0; sent < queue; {
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(b.fd), uintptr(unsafe.Pointer(&b.send[sent])), uintptr(queue-sent), 0, 0, 0)
		switch {
		case errno == 0:
			sent += int(n)
		case errno == unix.EINTR:
		case IsPassing(errno):
			sent++
		default:
			return fmt.Errorf("send on UDP port %d: %w", b.port, errno)
		}
	}
	return nil
}

func (b *Batch) isClosed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed
}

// Wake makes Receive return false for good. The descriptor stays open until
// Close, so that it cannot be reused under a running Receive. Shutting down an
// unconnected UDP socket reports ENOTCONN and still wakes its readers.
func (b *Batch) Wake() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	_ = unix.Shutdown(b.fd, unix.SHUT_RDWR)
}

// Close closes the descriptor. Call it when no Receive runs any more.
func (b *Batch) Close() error { return unix.Close(b.fd) }
