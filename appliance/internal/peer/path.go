package peer

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/lb"
)

// controlPriority is TC_PRIO_CONTROL: heartbeats pass before bulk traffic.
const controlPriority = 7

// dscpCS6 marks heartbeats as network control (RFC 4594 section 3.1).
const dscpCS6 = 0xc0

// ErrEmpty says that no datagram waits.
var ErrEmpty = errors.New("no datagram waits")

// Path is one heartbeat socket: non-blocking, bound to this node's address of the
// path, accepting only the peer's. It is made for a poll loop.
type Path struct {
	fd   int
	peer netip.AddrPort
	to   unix.Sockaddr
}

// OpenPath opens the socket in the calling thread's network namespace. The local
// address may be missing still: it can arrive later.
func OpenPath(p lb.HeartbeatPath) (*Path, error) {
	domain := unix.AF_INET
	if p.Local.Addr().Is6() {
		domain = unix.AF_INET6
	}
	fd, err := unix.Socket(domain, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open heartbeat path %s: %w", p.Name, err)
	}
	if err := setUp(fd, domain, p.Local); err != nil {
		return nil, errors.Join(fmt.Errorf("set up heartbeat path %s on %s: %w", p.Name, p.Local, err), unix.Close(fd))
	}
	return &Path{fd, p.Peer, sockaddr(p.Peer)}, nil
}

func setUp(fd, domain int, local netip.AddrPort) error {
	level, freebind, class := unix.SOL_IP, unix.IP_FREEBIND, unix.IP_TOS
	if domain == unix.AF_INET6 {
		level, freebind, class = unix.SOL_IPV6, unix.IPV6_FREEBIND, unix.IPV6_TCLASS
	}
	for _, o := range [...]struct{ level, name, value int }{
		{unix.SOL_SOCKET, unix.SO_PRIORITY, controlPriority},
		{level, class, dscpCS6},
		{level, freebind, 1},
	} {
		if err := unix.SetsockoptInt(fd, o.level, o.name, o.value); err != nil {
			return err
		}
	}
	return unix.Bind(fd, sockaddr(local))
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

// Fd is the descriptor to poll.
func (p *Path) Fd() int { return p.fd }

// Close closes the socket.
func (p *Path) Close() error { return unix.Close(p.fd) }

// Send sends one datagram to the peer. Errors are those of the network and pass by
// themselves.
func (p *Path) Send(b []byte) error { return unix.Sendto(p.fd, b, unix.MSG_DONTWAIT, p.to) }

// Recv reads one datagram of the peer into buf; ErrEmpty ends a round. Datagrams
// from elsewhere are reported with foreign set.
func (p *Path) Recv(buf []byte) (n int, foreign bool, err error) {
	n, from, err := unix.Recvfrom(p.fd, buf, unix.MSG_DONTWAIT)
	switch {
	case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR):
		return 0, false, ErrEmpty
	case err != nil:
		return 0, false, fmt.Errorf("receive a heartbeat: %w", err)
	}
	return n, !p.isPeer(from), nil
}

func (p *Path) isPeer(from unix.Sockaddr) bool {
	switch a := from.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port)) == p.peer
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr), uint16(a.Port)) == p.peer
	}
	return false
}
