package front

import (
	"net"
	"net/netip"
	"sync"
)

// sources is a listener that accepts a bounded number of connections from one
// address: a single host cannot take all the places.
type sources struct {
	net.Listener
	most int

	mu   sync.Mutex
	open map[netip.Prefix]int
}

func limitSources(ln net.Listener, most int) *sources {
	return &sources{Listener: ln, most: most, open: map[netip.Prefix]int{}}
}

// Accept closes connections beyond the bound and waits for the next.
func (s *sources) Accept() (net.Conn, error) {
	for {
		c, err := s.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := source(farEnd(c))
		if s.enter(from) {
			return &counted{Conn: c, leave: sync.OnceFunc(func() { s.leave(from) })}, nil
		}
		_ = c.Close()
	}
}

// farEnd is the address of the other end; those without one count together.
func farEnd(c net.Conn) netip.Addr {
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		return a.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

func (s *sources) enter(from netip.Prefix) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[from] >= s.most {
		return false
	}
	s.open[from]++
	return true
}

func (s *sources) leave(from netip.Prefix) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[from]--; s.open[from] == 0 {
		delete(s.open, from)
	}
}

// counted gives its place back once, when it is closed.
type counted struct {
	net.Conn
	leave func()
}

// Close closes the connection.
func (c *counted) Close() error {
	defer c.leave()
	return c.Conn.Close()
}

// source is the unit of counting: an IPv4 address or an IPv6 /64, the least that one
// host has.
func source(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	bits := 64
	if addr.Is4() {
		bits = 32
	}
	p, err := addr.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}
