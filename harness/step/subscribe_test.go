package step

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/vosbed/vosbed/harness/scenario"
	"github.com/vosbed/vosbed/internal/netns"
	"github.com/vosbed/vosbed/internal/testenv"
)

// loopback is a namespace with loopback up.
func loopback(t *testing.T) *netns.NS {
	t.Helper()
	ns := testenv.NewNS(t)
	err := ns.Do(func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(lo)
	})
	if err != nil {
		t.Fatal(err)
	}
	return ns
}

// listen binds a UDP socket in the namespace.
func listen(t *testing.T, ns *netns.NS, at netip.AddrPort) *net.UDPConn {
	t.Helper()
	var c *net.UDPConn
	err := ns.Do(func() (err error) {
		c, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestSubscription asks in the name of a player, which gets the stream: not before it
// listens, and from its own port.
func TestSubscription(t *testing.T) {
	ns := loopback(t)
	for n, host := range []string{"127.0.0.1", "::1"} {
		t.Run(host, func(t *testing.T) {
			a := netip.MustParseAddr(host)
			server := listen(t, ns, netip.AddrPortFrom(a, 61001))
			s, err := newStream(ns.Do, "udp://"+netip.AddrPortFrom(a, 61001).String(), int64(n))
			if err != nil {
				t.Fatal(err)
			}
			if now, err := s.listens(); err != nil || now {
				t.Fatalf("a player listens: %t, error %v", now, err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done := make(chan error, 1)
			go func() { done <- s.keep(ctx) }()
			player := listen(t, ns, netip.AddrPortFrom(a, s.port))
			buf := make([]byte, 100)
			for range 2 { // and again
				size, from, err := server.ReadFromUDPAddrPort(buf)
				if err != nil || string(buf[:size]) != subscription || from.Port() != s.port {
					t.Fatalf("%q from %s, error %v, want the request from port %d", buf[:size], from, err, s.port)
				}
				if _, err = server.WriteToUDPAddrPort([]byte("stream"), from); err != nil {
					t.Fatal(err)
				}
				if size, _, err = player.ReadFromUDPAddrPort(buf); err != nil || string(buf[:size]) != "stream" {
					t.Fatalf("the player got %q, error %v", buf[:size], err)
				}
			}
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}

func TestInputOfAPlayer(t *testing.T) {
	for text, want := range map[string]string{
		"udp://192.0.2.1:61001":     "udp://0.0.0.0:6007?sources=192.0.2.1",
		"udp://[2001:db8::1]:61001": "udp://[::]:6007?sources=2001:db8::1",
	} {
		s, err := newStream(nil, text, 7)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.input(true); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	if _, err := newStream(nil, "udp://somewhere:1", 1); err == nil {
		t.Error("a name was taken for an address")
	}
	play := scenario.PlayStep{URL: "udp://192.0.2.1:61001"}
	push := scenario.PlayStep{URL: "udp://192.0.2.1:61002", Publish: true}
	pull := scenario.PlayStep{URL: "tcp://192.0.2.1:61000"}
	if !needsAsking(play) || needsAsking(push) || needsAsking(pull) {
		t.Error("only a stream over UDP that is played has to be asked for")
	}
}

func TestBound(t *testing.T) {
	const table = "   sl  local_address rem_address   st\n" +
		"  123: 00000000:1771 00000000:0000 07 00000000:00000000\n" +
		"   ?\n"
	if !bound([]byte(table), 6001) || bound([]byte(table), 6000) || bound(nil, 0) {
		t.Error("the table of sockets is misread")
	}
}
