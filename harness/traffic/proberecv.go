package traffic

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// receive reads replies on a thread of its own until the sender is done and
// the grace is over, and reports each window.
func (p *probe) receive() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	ep, err := p.poll()
	if err != nil {
		return err
	}
	defer unix.Close(ep)
	events := make([]unix.EpollEvent, 64)
	next := monotonic() + int64(probeWindow)
	grace := min(p.timeout(probeGrace), longestGrace)
	for {
		if now := monotonic(); now >= next {
			p.report(next)
			next += int64(probeWindow) * (1 + (now-next)/int64(probeWindow))
		}
		if end := p.ended.Load(); end != 0 && monotonic() > end+int64(grace) {
			for _, f := range p.flows {
				p.drain(f) // what came while this thread was kept waiting
			}
			p.report(monotonic())
			return nil
		}
		left := max(next-monotonic(), 0)
		n, err := unix.EpollWait(ep, events, int(left/int64(time.Millisecond))+1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait for replies: %w", err)
		}
		for i := range max(n, 0) {
			p.drain(p.flows[events[i].Fd])
		}
	}
}

// poll makes an epoll set whose events carry the index of the flow.
func (p *probe) poll() (int, error) {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("make an epoll set: %w", err)
	}
	for i, f := range p.flows {
		ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i)}
		if err := unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, f.fd, &ev); err != nil {
			_ = unix.Close(ep)
			return -1, fmt.Errorf("watch a socket: %w", err)
		}
	}
	return ep, nil
}

// drain reads all that has arrived on a flow.
func (p *probe) drain(f *probeFlow) {
	var buf [256]byte
	var oob [128]byte
	offset := realtime() - monotonic()
	for {
		n, oobn, _, _, err := unix.Recvmsg(f.fd, buf[:], oob[:], unix.MSG_DONTWAIT)
		if err != nil {
			if errors.Is(err, unix.EINTR) || errors.Is(err, unix.ECONNREFUSED) {
				continue // an ICMP error was pending: reading took it away
			}
			return
		}
		at := monotonic()
		if stamp, ok := arrivalStamp(oob[:oobn]); ok {
			at = min(stamp-offset, at)
		}
		p.arrive(f, buf[:n], at)
	}
}

// arrivalStamp reads SCM_TIMESTAMPNS, CLOCK_REALTIME in nanoseconds, from the
// control messages of one datagram (struct cmsghdr and struct timespec of
// 64-bit Linux).
func arrivalStamp(oob []byte) (int64, bool) {
	const head, size = 16, 32
	if len(oob) < size {
		return 0, false
	}
	length := binary.NativeEndian.Uint64(oob)
	level := binary.NativeEndian.Uint32(oob[8:])
	kind := binary.NativeEndian.Uint32(oob[12:])
	if length != size || level != unix.SOL_SOCKET || kind != unix.SCM_TIMESTAMPNS {
		return 0, false
	}
	sec := int64(binary.NativeEndian.Uint64(oob[head:]))
	nsec := int64(binary.NativeEndian.Uint64(oob[head+8:]))
	return sec*int64(time.Second) + nsec, true
}
