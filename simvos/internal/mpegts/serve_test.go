package mpegts

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vosbed/vosbed/simvos/control"
	"github.com/vosbed/vosbed/simvos/internal/identity"
	"github.com/vosbed/vosbed/simvos/internal/ledger"
	"github.com/vosbed/vosbed/simvos/internal/media"
	"github.com/vosbed/vosbed/simvos/internal/sock"
)

// shared returns what services need, with a programme that ends with the test.
func shared(t *testing.T) Shared {
	t.Helper()
	id, err := identity.New("HT1", 115, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	live := media.NewSource(id, NewMuxer("HT1", 115))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- live.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return Shared{
		Live: live, Ledger: &ledger.Ledger{}, Faults: &control.FaultBoard{},
		Source: func(used netip.Addr, _ string) netip.Addr { return used },
	}
}

// TestAClosedWindowEndsTheStream sends to a client that does not read.
func TestAClosedWindowEndsTheStream(t *testing.T) {
	s := shared(t)
	ln, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err := net.DialTCP("tcp", nil, ln.Addr().(*net.TCPAddr))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	conn, err := ln.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err = conn.SetWriteBuffer(4096); err != nil {
		t.Fatal(err)
	}
	// Nobody wants to wait for the client's buffer to fill with 40 KB a second.
	full := make([]byte, 1<<20)
	for err == nil {
		if err = conn.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)); err == nil {
			_, err = conn.Write(full)
		}
	}
	renewed := 0
	soon := func(deadline time.Time) error {
		if left := time.Until(deadline); left > 0 && left <= writeTimeout {
			renewed++
		}
		return conn.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	}
	e := s.Ledger.Entry(control.ServiceTSTCP, netip.MustParseAddr("127.0.0.1"))
	s.stream(t.Context(), bounded{conn, soon}, e, control.ServiceTSTCP)
	if got := s.Ledger.Totals()[control.ServiceTSTCP]; got.Active != 0 || renewed == 0 {
		t.Errorf("ledger %+v, %d deadlines", got, renewed)
	}
}

// TestSilentSendersEnd lets one of two senders fall silent.
func TestSilentSendersEnd(t *testing.T) {
	i := newIngest(Shared{Ledger: &ledger.Ledger{}}, nil)
	one, two := netip.MustParseAddrPort("10.0.0.1:1"), netip.MustParseAddrPort("10.0.0.2:1")
	packet := make([]byte, packetSize)
	packet[0], packet[3] = 0x47, 0x10
	active := func(want int64, when string) {
		t.Helper()
		if got := i.Ledger.Totals()[control.ServiceTSIngest]; got.Active != want {
			t.Errorf("%s: %+v, want %d active", when, got, want)
		}
	}
	begun := time.Now()
	i.receive(one, packet, begun)
	i.receive(two, packet, begun)
	active(2, "both send")
	i.receive(two, packet, begun.Add(silence/2))
	i.expire(begun.Add(silence + 1))
	active(1, "one is silent")
	i.receive(one, packet, begun.Add(silence+2))
	active(2, "it is back")
	for n := range maxStreams {
		i.receive(netip.AddrPortFrom(one.Addr(), uint16(n+100)), packet, begun)
	}
	if got := i.Ledger.Totals()[control.ServiceTSIngest]; got.Active != int64(len(i.streams)) || len(i.streams) > maxStreams {
		t.Errorf("%d streams are known, %d active", len(i.streams), got.Active)
	}
	i.endAll()
	active(0, "the end")
}

// TestServicesEndTheirSessions stops the services while clients use them.
func TestServicesEndTheirSessions(t *testing.T) {
	s := shared(t)
	out, err := OpenUDP(t.Context(), s, sock.Opener{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	in, err := OpenIngest(t.Context(), s, sock.Opener{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 2)
	go func() { done <- out.Serve(ctx) }()
	go func() { done <- in.Serve(ctx) }()
	packet := make([]byte, packetSize)
	packet[0], packet[3] = 0x47, 0x10
	say(t, out.Addr(), []byte(subscribe))
	say(t, in.Addr(), packet)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(time.Minute); ; {
		all := s.Ledger.Totals()
		if all[control.ServiceTSUDP].Active == 1 && all[control.ServiceTSIngest].Active == 1 {
			break
		}
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("ledger %+v, want a session of each", all)
		}
	}
	cancel()
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	for proto, c := range s.Ledger.Totals() {
		if c.Active != 0 || c.Sessions != 1 {
			t.Errorf("%s: %+v, want one session that has ended", proto, c)
		}
	}
}

// say sends a datagram to a port of this host.
func say(t *testing.T, to net.Addr, b []byte) {
	t.Helper()
	c, err := net.DialUDP("udp", nil, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: to.(*net.UDPAddr).Port})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
}
