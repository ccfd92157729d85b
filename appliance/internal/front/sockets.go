package front

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// Sockets are the addresses of the process's listeners, by what is served there. No
// address is in two of them.
type Sockets struct {
	HTTPS    []netip.AddrPort // pages and API (guide 9.5: 9443)
	HTTP     []netip.AddrPort // leads to HTTPS and does nothing else (9080)
	Fallback []netip.AddrPort // the fallback page, over HTTP and HTTPS alike (9081)
	// Optional are more of the fallback page that nobody asked for in so many words: one
	// that is taken is left out, and told by Problem.
	Optional []netip.AddrPort
	// Inside adds one of the fallback page for the proxy: on loopback, with a port that
	// the kernel chooses.
	Inside bool
}

// What is served at a door.
const (
	kindHTTPS    = "https"
	kindHTTP     = "http"
	kindFallback = "fallback"
)

// door is a listener and what is served there.
type door struct {
	Kind string         `json:"kind"`
	Addr netip.AddrPort `json:"address"`
}

// key is that of the configuration of a node.
func (d door) key() string {
	return map[string]string{kindHTTPS: "management", kindHTTP: "management_http", kindFallback: "fallback"}[d.Kind]
}

// inside stands for the listener of the proxy before it has a port.
func inside() netip.AddrPort { return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0) }

func (s Sockets) doors() []door {
	var out []door
	for _, part := range []struct {
		kind  string
		addrs []netip.AddrPort
	}{{kindHTTPS, s.HTTPS}, {kindHTTP, s.HTTP}, {kindFallback, s.Fallback}, {kindFallback, s.Optional}} {
		for _, a := range part.addrs {
			out = append(out, door{part.kind, a})
		}
	}
	if s.Inside {
		out = append(out, door{kindFallback, inside()})
	}
	return out
}

// Change is a set of sockets that are open, and not in use yet: either Commit or Abort
// must be called.
type Change struct {
	h      *Handle
	doors  []door
	opened map[netip.AddrPort]*os.File
	left   []string // optional ones that could not be opened, and why
}

// Prepare opens the sockets that are not open yet. An error says which one cannot be
// opened and why; nothing has changed then.
func (h *Handle) Prepare(ctx context.Context, s Sockets) (*Change, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := &Change{h: h, opened: map[netip.AddrPort]*os.File{}}
	var errs []error
	for _, d := range s.doors() {
		if h.files[d.Addr] == nil {
			f, err := listenFile(ctx, d.Addr)
			if err != nil && slices.Contains(s.Optional, d.Addr) {
				c.left = append(c.left, fmt.Sprintf("the fallback page is not at %s: %v", d.Addr, err))
				continue
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("node.%s: %s cannot be opened: %w: end what listens there, or write another port", d.key(), d.Addr, err))
				continue
			}
			c.opened[d.Addr] = f
		}
		c.doors = append(c.doors, d)
	}
	if len(errs) > 0 {
		c.Abort()
		return nil, errors.Join(errs...)
	}
	return c, nil
}

// Abort closes what was opened.
func (c *Change) Abort() {
	for _, f := range c.opened {
		_ = f.Close()
	}
}

// Commit makes the sockets those of the process, and closes those that are no longer.
func (c *Change) Commit() {
	h := c.h
	h.mu.Lock()
	defer h.mu.Unlock()
	h.left = c.left
	if slices.Equal(h.doors, c.doors) {
		return
	}
	maps.Copy(h.files, c.opened)
	h.doors = c.doors
	for addr, f := range h.files {
		if !slices.ContainsFunc(h.doors, func(d door) bool { return d.Addr == addr }) {
			_ = f.Close() // the process closes its own when it ends
			delete(h.files, addr)
		}
	}
	h.renew()
}

// Inside is where the proxy finds the fallback page; invalid = nowhere.
func (h *Handle) Inside() netip.AddrPort { return h.bound(inside()) }

// bound is an address with the port that the listener has.
func (h *Handle) bound(addr netip.AddrPort) netip.AddrPort {
	h.mu.Lock()
	defer h.mu.Unlock()
	f := h.files[addr]
	if f == nil {
		return netip.AddrPort{}
	}
	sa, err := unix.Getsockname(int(f.Fd()))
	if at, ok := sa.(*unix.SockaddrInet4); ok && err == nil {
		return netip.AddrPortFrom(netip.AddrFrom4(at.Addr), uint16(at.Port))
	}
	return netip.AddrPort{}
}

// listenFile binds even before the address is there (IP_FREEBIND), as at boot, and
// returns the descriptor of the listener.
func listenFile(ctx context.Context, addr netip.AddrPort) (*os.File, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var serr error
		err := c.Control(func(fd uintptr) {
			serr = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_FREEBIND, 1)
		})
		return errors.Join(err, serr)
	}}
	lc.SetMultipathTCP(false) // Go's default is on; browsers and operators' networks gain nothing by it
	ln, err := lc.Listen(ctx, "tcp", addr.String())
	if err != nil {
		return nil, err
	}
	defer ln.Close() // the descriptor is a duplicate
	tcp, ok := ln.(*net.TCPListener)
	if !ok {
		return nil, fmt.Errorf("listen at %s: got a %T", addr, ln)
	}
	return duplicate(tcp)
}

// duplicate is not [net.TCPListener.File], whose Fd makes the listener block: of several
// processes that share it one would wait in accept(2) and could not end.
func duplicate(ln *net.TCPListener) (*os.File, error) {
	raw, err := ln.SyscallConn()
	if err != nil {
		return nil, err
	}
	var fd int
	var failed error
	err = raw.Control(func(from uintptr) {
		fd, failed = unix.FcntlInt(from, unix.F_DUPFD_CLOEXEC, 0)
	})
	if err = errors.Join(err, failed); err != nil {
		return nil, fmt.Errorf("duplicate a listener: %w", err)
	}
	return os.NewFile(uintptr(fd), "listener"), nil
}
