package dhcp_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/vosbed/vosbed/appliance/internal/dhcp"
	"github.com/vosbed/vosbed/internal/netns"
	"github.com/vosbed/vosbed/internal/testenv"
)

// segment is a network with a client's interface, and busybox's DHCP server at its other
// end.
type segment struct {
	t              *testing.T
	client, server *netns.NS
}

func newSegment(t *testing.T) *segment {
	t.Helper()
	g := &segment{t, testenv.NewNS(t), testenv.NewNS(t)}
	g.in(g.client, func() error {
		if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "srv0", PeerNamespace: netlink.NsFd(g.server.Fd())}); err != nil {
			return err
		}
		return up("eth0")
	})
	g.in(g.server, func() error { return errors.Join(up("srv0"), address("srv0", "10.0.0.1/24")) })
	return g
}

func (g *segment) in(ns *netns.NS, f func() error) {
	g.t.Helper()
	if err := ns.Do(f); err != nil {
		g.t.Fatal(err)
	}
}

func up(name string) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(l)
}

func address(name, cidr string) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	a, err := netlink.ParseAddr(cidr)
	if err != nil {
		return err
	}
	return netlink.AddrAdd(l, a)
}

// serve starts udhcpd, which lends 10.0.0.50.
func (g *segment) serve() {
	g.t.Helper()
	busybox := testenv.RequireTool(g.t, "busybox")
	dir := g.t.TempDir()
	conf := "start 10.0.0.50\nend 10.0.0.50\ninterface srv0\nmin_lease 10\nlease_file " + dir + "/leases\npidfile " + dir + "/pid\n" +
		"option subnet 255.255.255.0\noption router 10.0.0.1\noption dns 10.0.0.2\noption lease 12\n"
	at := filepath.Join(dir, "udhcpd.conf")
	if err := errors.Join(os.WriteFile(at, []byte(conf), 0o600), os.WriteFile(dir+"/leases", nil, 0o600)); err != nil {
		g.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, busybox, "udhcpd", "-f", at)
	g.in(g.server, cmd.Start)
	g.t.Cleanup(func() { stop(); _ = cmd.Wait() })
}

// lease runs a client, and returns what it is told.
func (g *segment) lease() (told chan dhcp.Lease, release func(dhcp.Lease)) {
	g.t.Helper()
	var s *dhcp.Socket
	mac := net.HardwareAddr(nil)
	g.in(g.client, func() error {
		l, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		mac = l.Attrs().HardwareAddr
		s, err = dhcp.Open(g.t.Context(), dhcp.Link{Name: "eth0", Index: l.Attrs().Index, MAC: mac})
		return err
	})
	told = make(chan dhcp.Lease, 16)
	c := dhcp.New(dhcp.Options{
		MAC: mac, Conn: s, Refuse: func(netip.Addr) string { return "" },
		Changed: func(l dhcp.Lease) { told <- l }, Trouble: func(text string) { g.t.Log(text) },
	})
	ctx, stop := context.WithCancel(context.Background())
	var asking, hearing sync.WaitGroup
	hearing.Go(s.Read)
	asking.Go(func() { c.Run(ctx, dhcp.Lease{}) })
	g.t.Cleanup(func() { stop(); asking.Wait(); _ = s.Close(); hearing.Wait() })
	return told, c.Release
}

func (g *segment) next(told chan dhcp.Lease) dhcp.Lease {
	g.t.Helper()
	select {
	case l := <-told:
		return l
	case <-time.After(30 * time.Second):
		g.t.Fatal("nothing was leased")
	}
	return dhcp.Lease{}
}

// TestBusyboxServer: an independent server lends an address, prolongs it by a unicast
// request, and takes it back.
func TestBusyboxServer(t *testing.T) {
	t.Parallel()
	g := newSegment(t)
	g.serve()
	told, release := g.lease()
	l := g.next(told)
	if l.Addr.String() != "10.0.0.50/24" || l.Router.String() != "10.0.0.1" || len(l.DNS) != 1 || l.Server.String() != "10.0.0.1" {
		t.Errorf("%+v", l)
	}
	g.in(g.client, func() error { return address("eth0", "10.0.0.50/24") }) // as whoever uses it does
	if again := g.next(told); again.Addr != l.Addr || !again.End.After(l.End) {
		t.Errorf("%+v after %+v", again, l)
	}
	release(l)
}

// TestAddressOfAnotherHost is found by ARP, and declined.
func TestAddressOfAnotherHost(t *testing.T) {
	t.Parallel()
	g := newSegment(t)
	g.in(g.server, func() error { return address("srv0", "10.0.0.50/24") })
	var taken [2]bool
	g.in(g.client, func() error {
		l, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		s, err := dhcp.Open(t.Context(), dhcp.Link{Name: "eth0", Index: l.Attrs().Index, MAC: l.Attrs().HardwareAddr})
		if err != nil {
			return err
		}
		defer s.Close()
		for i, a := range []string{"10.0.0.50", "10.0.0.51"} {
			if taken[i], err = s.Taken(t.Context(), netip.MustParseAddr(a)); err != nil {
				return err
			}
		}
		return nil
	})
	if !taken[0] || taken[1] {
		t.Errorf("taken %v", taken)
	}
}

// TestTwoClients: another client on the interface is told as what it is.
func TestTwoClients(t *testing.T) {
	t.Parallel()
	g := newSegment(t)
	g.in(g.client, func() error {
		pc, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp4", "0.0.0.0:68")
		if err != nil {
			return err
		}
		defer pc.Close()
		l, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		s, err := dhcp.Open(t.Context(), dhcp.Link{Name: "eth0", Index: l.Attrs().Index, MAC: l.Attrs().HardwareAddr})
		if err == nil {
			_ = s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "end another client that has it") {
			t.Errorf("%v", err)
		}
		return nil
	})
}
