package proxy

import (
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/internal/proxy/reactor"
)

// listener is one bound VIP:port. All loops watch it; the kernel wakes one.
type listener struct {
	fd     int
	addr   netip.AddrPort
	svc    atomic.Pointer[service]
	tokens []reactor.Token // by worker
}

// acceptor is a listener as one loop sees it.
type acceptor struct {
	w *worker
	l *listener
}

// acceptBurst bounds what one wake-up accepts; the rest is reported again.
const acceptBurst = 64

// Ready accepts waiting connections.
func (a *acceptor) Ready(reactor.Events) {
	for range acceptBurst {
		fd, from, err := unix.Accept4(a.l.fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch {
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.ECONNABORTED):
			continue
		case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
			a.w.shed(a.l.fd)
			return
		case err != nil:
			return // EAGAIN: another loop was quicker, or none is left
		}
		a.w.place(fd, addrPort(from), a.l)
	}
}

// shed refuses one connection when the process has no descriptor left, with the
// one kept in reserve: left in the queue it would wake the loop for ever.
func (w *worker) shed(listenFD int) {
	w.closeReserve()
	if fd, _, err := unix.Accept4(listenFD, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC); err == nil {
		reset(fd)
		w.p.refused[fdBudget].Add(1)
	}
	w.openReserve()
}

func (w *worker) openReserve() {
	if fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC); err == nil {
		w.reserve = fd
	}
}

func (w *worker) closeReserve() {
	if w.reserve > 0 {
		_ = unix.Close(w.reserve)
		w.reserve = 0
	}
}

// listen binds a VIP:port, which need not be an address of this host yet.
func listen(addr netip.AddrPort) (int, error) {
	family := unix.AF_INET
	if addr.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("open a listener for %s: %w", addr, err)
	}
	if err := bindListener(fd, family, addr); err != nil {
		return 0, errors.Join(err, unix.Close(fd))
	}
	return fd, nil
}

// backlog is cut by net.core.somaxconn.
const backlog = 65535

// A client that vanished without a word (power, cable) is noticed by keepalive after
// keepIdle + keepCount*keepEvery, or after userTimeout when it left data
// unacknowledged (tcp(7)). Servers need neither: their health check cuts them.
const (
	keepIdle  = 60 // s of silence before the first probe
	keepEvery = 10 // s between probes
	keepCount = 3  // unanswered probes
	// userTimeout, in ms, also overrides keepCount: shorter, and one lost probe would do.
	userTimeout = 1000 * (keepIdle + keepCount*keepEvery)
)

type option struct{ level, name, value int }

// listenerOptions are those of a listener; accepted sockets inherit the TCP ones, which
// therefore cost a session nothing.
func listenerOptions(family int) []option {
	options := []option{
		{unix.SOL_SOCKET, unix.SO_REUSEADDR, 1},
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, keepIdle},
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, keepEvery},
		{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, keepCount},
		{unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, userTimeout},
	}
	if family == unix.AF_INET6 {
		return append(options, option{unix.SOL_IPV6, unix.IPV6_FREEBIND, 1}, option{unix.SOL_IPV6, unix.IPV6_V6ONLY, 1})
	}
	return append(options, option{unix.SOL_IP, unix.IP_FREEBIND, 1})
}

func bindListener(fd, family int, addr netip.AddrPort) error {
	for _, o := range listenerOptions(family) {
		if err := unix.SetsockoptInt(fd, o.level, o.name, o.value); err != nil {
			return fmt.Errorf("prepare the listener for %s: %w", addr, err)
		}
	}
	if err := unix.Bind(fd, sockaddr(addr)); err != nil {
		return fmt.Errorf("bind %s (is another program listening there?): %w", addr, err)
	}
	if err := unix.Listen(fd, backlog); err != nil {
		return fmt.Errorf("listen on %s: %w", addr, err)
	}
	return nil
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

func addrPort(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), uint16(sa.Port))
	}
	return netip.AddrPort{}
}

// reset closes a socket with RST. An error means that it is reset already.
func reset(fd int) {
	_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	_ = unix.Close(fd)
}
