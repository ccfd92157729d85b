package dhcp

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// server is a DHCP server on a network of its own; its rules are plain functions.
type server struct {
	mu       sync.Mutex
	lease    time.Duration
	addr     string
	silent   bool // answers nothing
	deaf     bool // hears no unicast
	nak      bool
	taken    bool
	hostile  [][]byte // comes before each answer
	heard    []string
	answered chan []byte
}

func newServer() *server {
	return &server{lease: time.Hour, addr: "10.0.0.50", answered: make(chan []byte, 64)}
}

func (s *server) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// said is what was asked, in short.
func (s *server) said() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.heard, " ")
}

func (s *server) Received() <-chan []byte { return s.answered }

func (s *server) Taken(context.Context, netip.Addr) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken, nil
}

func (s *server) Broadcast(_ netip.Addr, m []byte) error { s.hear("all", m); return nil }

func (s *server) Unicast(_, _ netip.Addr, m []byte) error {
	if s.deaf {
		return errors.New("no route")
	}
	s.hear("one", m)
	return nil
}

func (s *server) hear(how string, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := dhcpv4.FromBytes(data)
	if err != nil {
		panic(err)
	}
	s.heard = append(s.heard, strings.ToLower(q.MessageType().String())+":"+how)
	for _, h := range s.hostile {
		s.answered <- h
	}
	if s.silent {
		return
	}
	switch kind := q.MessageType(); {
	case kind == dhcpv4.MessageTypeDiscover:
		s.answer(q, dhcpv4.MessageTypeOffer)
	case kind == dhcpv4.MessageTypeRequest && s.nak:
		s.answer(q, dhcpv4.MessageTypeNak)
	case kind == dhcpv4.MessageTypeRequest:
		s.answer(q, dhcpv4.MessageTypeAck)
	}
}

func (s *server) answer(q *dhcpv4.DHCPv4, kind dhcpv4.MessageType) {
	a, err := dhcpv4.NewReplyFromRequest(q, dhcpv4.WithMessageType(kind), dhcpv4.WithServerIP(net.IPv4(10, 0, 0, 1)),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IPv4(10, 0, 0, 1))))
	if err != nil {
		panic(err)
	}
	if kind != dhcpv4.MessageTypeNak {
		a.YourIPAddr = net.ParseIP(s.addr).To4()
		a.UpdateOption(dhcpv4.OptSubnetMask(net.CIDRMask(24, 32)))
		a.UpdateOption(dhcpv4.OptRouter(net.IPv4(10, 9, 9, 9), net.IPv4(10, 0, 0, 1)))
		a.UpdateOption(dhcpv4.OptDNS(net.IPv4(10, 0, 0, 2), net.IPv4(0, 0, 0, 0), net.IPv4(10, 0, 0, 3), net.IPv4(10, 0, 0, 4), net.IPv4(10, 0, 0, 5)))
		a.UpdateOption(dhcpv4.OptIPAddressLeaseTime(s.lease))
	}
	s.answered <- a.ToBytes()
}

// person is who uses the client: what it was told.
type person struct {
	mu      sync.Mutex
	leases  []Lease
	trouble string
	refused string // is an address of another by now
}

func (p *person) lease() Lease {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.leases) == 0 {
		return Lease{}
	}
	return p.leases[len(p.leases)-1]
}

func (p *person) told() (int, string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.leases), p.trouble
}

// run has a client work in a bubble of time, and body looks at it.
func run(t *testing.T, s *server, was func() Lease, body func(p *person)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := &person{}
		c := New(Options{
			MAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, Conn: s,
			Refuse: func(a netip.Addr) string {
				p.mu.Lock()
				defer p.mu.Unlock()
				if a == netip.MustParseAddr("10.0.0.100") || a.String() == p.refused {
					return "the VIP"
				}
				return ""
			},
			Changed: func(l Lease) { p.mu.Lock(); defer p.mu.Unlock(); p.leases = append(p.leases, l) },
			Trouble: func(text string) { p.mu.Lock(); defer p.mu.Unlock(); p.trouble = text },
		})
		s.answered = make(chan []byte, 64) // of this bubble
		ctx, stop := context.WithCancel(t.Context())
		var done sync.WaitGroup
		done.Go(func() { c.Run(ctx, was()) })
		defer done.Wait()
		defer stop()
		body(p)
	})
}

func none() Lease { return Lease{} }

// after lets time pass, and waits until everybody has done what is to be done then.
func after(d time.Duration) {
	timer := time.NewTimer(d)
	<-timer.C
	synctest.Wait()
}

func TestLeaseAndRenew(t *testing.T) {
	t.Parallel()
	s := newServer()
	run(t, s, none, func(p *person) {
		after(time.Second)
		l := p.lease()
		want := []netip.Addr{netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.0.0.3"), netip.MustParseAddr("10.0.0.4")}
		if l.Addr.String() != "10.0.0.50/24" || l.Router.String() != "10.0.0.1" || !slices.Equal(l.DNS, want) || l.Server.String() != "10.0.0.1" {
			t.Errorf("%+v", l)
		}
		if s.said() != "discover:all request:all" {
			t.Errorf("asked %s", s.said())
		}
		after(30 * time.Minute) // T1
		if n, trouble := p.told(); n != 2 || trouble != "" || !p.lease().End.After(l.End) || s.said() != "discover:all request:all request:one" {
			t.Errorf("told %d times, %q, asked %s", n, trouble, s.said())
		}
	})
}

// TestRebind: its server is gone, and another one, which hears what is said to all,
// prolongs; then nobody does, the address is given up, and asked for again.
func TestRebind(t *testing.T) {
	t.Parallel()
	s := newServer()
	s.deaf = true
	run(t, s, none, func(p *person) {
		after(time.Second)
		first := p.lease().End
		after(40 * time.Minute)
		if _, trouble := p.told(); !strings.Contains(trouble, "10.0.0.1 does not prolong the lease of 10.0.0.50") {
			t.Errorf("told %q", trouble)
		}
		after(15 * time.Minute) // T2 is after 52 m 30 s
		if n, trouble := p.told(); n != 2 || trouble != "" || !p.lease().End.After(first) {
			t.Errorf("told %d times, %q", n, trouble)
		}
		s.set(func() { s.silent = true })
		after(time.Until(p.lease().End) - time.Second)
		if !p.lease().Addr.IsValid() {
			t.Error("given up before it was over")
		}
		after(2 * time.Second)
		if _, trouble := p.told(); p.lease().Addr.IsValid() || !strings.Contains(trouble, "given up") {
			t.Errorf("told %q, lease %+v", trouble, p.lease())
		}
		s.set(func() { s.silent = false })
		after(2 * time.Minute)
		if !p.lease().Addr.IsValid() {
			t.Error("nobody asked again")
		}
	})
}

// TestNobodyAnswers: it is asked ever more rarely, and told.
func TestNobodyAnswers(t *testing.T) {
	t.Parallel()
	s := newServer()
	s.silent = true
	run(t, s, none, func(p *person) {
		after(10 * time.Minute)
		n := strings.Count(s.said(), "discover")
		if _, trouble := p.told(); n < 12 || n > 40 || !strings.Contains(trouble, "no DHCP server") {
			t.Errorf("asked %d times, told %q", n, trouble)
		}
	})
}

// TestWhatIsNotTaken: addresses of VIPs, and those that other hosts have.
func TestWhatIsNotTaken(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		set  func(*server)
		told string
		said string
	}{
		"a VIP":          {func(s *server) { s.addr = "10.0.0.100" }, "which is not taken, as it is the VIP", ""},
		"another host's": {func(s *server) { s.taken = true }, "which another host has", "decline:all"},
		"refused":        {func(s *server) { s.nak = true }, "the DHCP server 10.0.0.1 offers 10.0.0.50 and then does not lend it: look at the server", "discover:all request:all"},
		"too short":      {func(s *server) { s.lease = 5 * time.Second }, "lends 10.0.0.50 for 5s only: look at the server", "discover:all"},
		"no network":     {func(s *server) { s.addr = "10.0.0.255" }, "which make no network: look at the server", "discover:all"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer()
			tt.set(s)
			run(t, s, none, func(p *person) {
				after(time.Minute)
				if n, trouble := p.told(); n != 0 || !strings.Contains(trouble, tt.told) || !strings.Contains(s.said(), tt.said) {
					t.Errorf("told %d leases, %q; asked %s", n, trouble, s.said())
				}
				if n := strings.Count(s.said(), "discover"); n > 30 {
					t.Errorf("asked %d times in a minute", n)
				}
			})
		})
	}
}

// TestAVIPByNow: an address that the configuration gives to a VIP is given back.
func TestAVIPByNow(t *testing.T) {
	t.Parallel()
	s := newServer()
	run(t, s, none, func(p *person) {
		after(time.Second)
		p.mu.Lock()
		p.refused = "10.0.0.50"
		p.mu.Unlock()
		after(30 * time.Minute)
		if _, trouble := p.told(); p.lease().Addr.IsValid() || !strings.Contains(trouble, "as it is the VIP by now") || !strings.Contains(s.said(), "release:one") {
			t.Errorf("has %+v, told %q, asked %s", p.lease(), trouble, s.said())
		}
	})
}

// TestAfterARestart: what is still ours is asked for by one message; what the server does not
// know any more is told as gone; where nobody answers the rest of the lease is used.
func TestAfterARestart(t *testing.T) {
	t.Parallel()
	was := func() Lease {
		now := time.Now()
		return Lease{
			Addr: netip.MustParsePrefix("10.0.0.50/24"), Server: netip.MustParseAddr("10.0.0.1"),
			Renew: now.Add(10 * time.Minute), Rebind: now.Add(15 * time.Minute), End: now.Add(20 * time.Minute),
		}
	}
	for name, tt := range map[string]struct {
		set  func(*server)
		was  func() Lease
		want string
		said string
	}{
		"still ours":       {func(*server) {}, was, "10.0.0.50/24", "request:all"},
		"no longer":        {func(s *server) { s.nak, s.addr = true, "10.0.0.51" }, was, "invalid Prefix", "request:all discover:all request:all"},
		"nobody answers":   {func(s *server) { s.silent = true }, was, "10.0.0.50/24", "request:all request:all"},
		"a VIP by now":     {func(s *server) { s.addr = "10.0.0.51" }, func() Lease { l := was(); l.Addr = netip.MustParsePrefix("10.0.0.100/24"); return l }, "10.0.0.51/24", "discover:all request:all"},
		"it ended before":  {func(*server) {}, func() Lease { l := was(); l.End = time.Now(); return l }, "10.0.0.50/24", "discover:all request:all"},
		"another's answer": {func(s *server) { s.addr = "10.0.0.51" }, was, "10.0.0.50/24", "request:all request:all"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer()
			tt.set(s)
			run(t, s, tt.was, func(p *person) {
				after(5 * time.Second)
				if got := p.lease().Addr.String(); got != tt.want || !strings.HasPrefix(s.said(), tt.said) {
					t.Errorf("has %s, asked %s", got, s.said())
				}
			})
		})
	}
}

// TestAFloodOfStrangers does not keep the answer from being heard, nor time from passing.
func TestAFloodOfStrangers(t *testing.T) {
	t.Parallel()
	s := newServer()
	other := dhcpv4.DHCPv4{OpCode: dhcpv4.OpcodeBootReply, ClientHWAddr: net.HardwareAddr{2, 0, 0, 0, 0, 1}, Options: dhcpv4.Options{}}
	other.UpdateOption(dhcpv4.OptMessageType(dhcpv4.MessageTypeNak))
	other.UpdateOption(dhcpv4.OptServerIdentifier(net.IPv4(10, 0, 0, 66)))
	s.hostile = [][]byte{nil, {1}, make([]byte, 2000), other.ToBytes()}
	run(t, s, none, func(p *person) {
		after(time.Second)
		if p.lease().Addr.String() != "10.0.0.50/24" {
			t.Errorf("%+v, asked %s", p.lease(), s.said())
		}
	})
}
