package health

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/vosbed/vosbed/appliance/lb"
	"github.com/vosbed/vosbed/internal/testenv"
)

// TestShortageIsToldAndNotHeldAgainstTheServer: what fails for want of something of
// this host is in the verdict, and moves nobody in either direction.
func TestShortageIsToldAndNotHeldAgainstTheServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		e := start(t, s, 0)
		p := probeOf(1)
		at := func(d time.Duration) lb.Health {
			t.Helper()
			<-time.After(d)
			synctest.Wait()
			return e.Snapshot()[p.ID]
		}
		s.lack("no free port")
		set(t, e, p)
		if h := at(12 * time.Second); h.Up || !h.Last.At.IsZero() || h.Last.Failed != "no free port" || len(h.History) != 3 {
			t.Fatalf("a server that was never checked is not checked yet: %+v", h)
		}
		s.set(p.Target, "")
		if h := at(5 * time.Second); !h.Up || h.Last.At.IsZero() {
			t.Fatalf("after a success: %+v", h)
		}
		s.lack("no free port")
		if h := at(time.Minute); !h.Up || h.Last.Failed != "no free port" || h.Last.At.IsZero() {
			t.Fatalf("a minute of shortage: %+v", h)
		}
		s.set(p.Target, "refused") // the first of two failures
		<-time.After(3 * time.Second)
		synctest.Wait()
		s.lack("no free port")
		if h := at(30 * time.Second); !h.Up {
			t.Fatalf("a shortage was counted as the second failure: %+v", h)
		}
		s.set(p.Target, "refused")
		if h := at(5 * time.Second); h.Up {
			t.Fatalf("the second failure: %+v", h)
		}
	})
}

// lack makes this host fail all checks.
func (s *script) lack(what string) {
	s.set(addrOf(1), what)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.short = true
}

func TestShortagesOfThisHost(t *testing.T) {
	t.Parallel()
	port := "this node has no free port or no address towards the server while connecting"
	for code, want := range map[syscall.Errno]string{
		syscall.EADDRNOTAVAIL: port,
		syscall.EMFILE:        "this node has no free descriptor while connecting",
		syscall.ENFILE:        "this node has no free descriptor while connecting",
		syscall.ENOBUFS:       "this node is out of kernel memory while connecting",
		syscall.ENOMEM:        "this node is out of kernel memory while connecting",
		syscall.ECONNREFUSED:  "connection refused while connecting",
	} {
		dial := func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", code)}
		}
		f := newProber(Options{Dial: dial}).check(t.Context(), guideProbe(netip.MustParseAddrPort("127.0.0.1:8443")))
		if f.Failed != want || f.OK || f.short != (code != syscall.ECONNREFUSED) {
			t.Errorf("%v: %+v, want %q", code, f, want)
		}
	}
	p := guideProbe(tlsServer(t, certificate(t, time.Now().Add(time.Hour)), body("Healthy")))
	p.VIP, p.Check.ThroughVIP, p.Served = netip.MustParseAddr("192.0.2.110"), true, true
	via := func(context.Context, netip.Addr, netip.Addr, uint16) (net.Conn, error) {
		return nil, fmt.Errorf("dial: %w", syscall.EADDRNOTAVAIL)
	}
	if f := newProber(Options{DialVIA: via}).check(t.Context(), p); !f.short || f.Failed != port {
		t.Errorf("through the VIP: %+v, want %q and nothing about the VIP", f, port)
	}
}

// TestNoFreePort asks a kernel whose ports are all in use.
func TestNoFreePort(t *testing.T) {
	t.Parallel()
	ns := testenv.NewNS(t)
	var listener net.Listener
	inside := func(fn func() error) {
		t.Helper()
		if err := ns.Do(fn); err != nil {
			t.Fatal(err)
		}
	}
	inside(func() (err error) {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		listener, err = new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:8080")
		ports := os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", []byte("50000 50000"), 0)
		return errors.Join(netlink.LinkSetUp(lo), ports, err)
	})
	t.Cleanup(func() { _ = listener.Close() })
	dial := func(ctx context.Context, network, address string) (conn net.Conn, err error) {
		err = ns.Do(func() (err error) {
			conn, err = new(net.Dialer).DialContext(ctx, network, address)
			return err
		})
		return conn, err
	}
	held, err := dial(t.Context(), "tcp", "127.0.0.1:8080")
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	p := guideProbe(netip.MustParseAddrPort("127.0.0.1:8080"))
	p.Check.Kind = lb.CheckConnect
	f := newProber(Options{Dial: dial}).check(t.Context(), p)
	if !f.short || !strings.HasPrefix(f.Failed, "this node has no free port") {
		t.Errorf("got %+v", f)
	}
}
