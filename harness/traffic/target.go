package traffic

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// target is a parsed Spec.To: an address and port, with the scheme if one was
// given.
type target struct {
	scheme string
	addr   netip.AddrPort
}

// parseTarget reads "192.0.2.1:60000", "[2001:db8::1]:554" or
// "https://192.0.2.1:8443". Names are not resolved: the lab has done that.
func parseTarget(to string) (target, error) {
	var t target
	rest := to
	if scheme, after, ok := strings.Cut(to, "://"); ok {
		t.scheme, rest = scheme, strings.TrimSuffix(after, "/")
	}
	addr, err := netip.ParseAddrPort(rest)
	if err != nil {
		return t, fmt.Errorf("to is %q: write address:port: %w", to, err)
	}
	t.addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	return t, nil
}

// with is the same host at another port.
func (t target) with(scheme string, port uint16) target {
	return target{scheme, netip.AddrPortFrom(t.addr.Addr(), port)}
}

// dialer connects from one client address.
type dialer struct{ source string }

// tcp connects to a TCP address.
func (d dialer) tcp(ctx context.Context, addr string) (net.Conn, error) {
	var nd net.Dialer
	if d.source != "" {
		nd.LocalAddr = &net.TCPAddr{IP: net.ParseIP(d.source)}
		nd.ControlContext = bindAddressOnly
	}
	return nd.DialContext(ctx, "tcp", addr)
}

// udp opens a connected UDP socket: the kernel drops what does not come from
// the very address that was asked.
func (d dialer) udp(ctx context.Context, addr string) (net.Conn, error) {
	var nd net.Dialer
	if d.source != "" {
		nd.LocalAddr = &net.UDPAddr{IP: net.ParseIP(d.source)}
	}
	return nd.DialContext(ctx, "udp", addr)
}

// bindAddressOnly lets the kernel choose the source port at connect time, so
// that thousands of connections may share ports towards different targets.
func bindAddressOnly(_ context.Context, _, _ string, c syscall.RawConn) error {
	var inner error
	err := c.Control(func(fd uintptr) {
		inner = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	})
	if err != nil {
		return err
	}
	return inner
}
