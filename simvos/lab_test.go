package simvos_test

import (
	"context"
	"net"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/vosbed/vosbed/internal/netns"
	"github.com/vosbed/vosbed/internal/testenv"
	"github.com/vosbed/vosbed/simvos"
	"github.com/vosbed/vosbed/simvos/control"
)

// The lab of these tests:
//
//	client namespace                 server namespace
//	eth0 192.168.94.50, fd00::50 --- eth0 192.168.94.115, fd00::115
//	route VIPs via the server        lo   192.168.94.110, fd00::110 (VIPs)
//
// The client reaches the VIPs through a route, as through a balancer that
// always chooses this server.
var (
	clientIP  = netip.MustParseAddr("192.168.94.50")
	clientIP6 = netip.MustParseAddr("fd00:94::50")
	rip       = netip.MustParseAddr("192.168.94.115")
	rip6      = netip.MustParseAddr("fd00:94::115")
	vip       = netip.MustParseAddr("192.168.94.110")
	vip6      = netip.MustParseAddr("fd00:94::110")
)

type lab struct {
	client, server *netns.NS
	node           *simvos.Node
	control        *control.Client
}

// newLab starts a node that ends with the test.
func newLab(t testing.TB, edit func(*simvos.Options)) *lab {
	t.Helper()
	l := &lab{client: testenv.NewNS(t), server: testenv.NewNS(t)}
	l.wire(t)
	socket := filepath.Join(t.TempDir(), "c.sock")
	o := simvos.Options{
		Name: "HT1", ID: 115, Iface: "eth0", VIPs: []netip.Addr{vip, vip6},
		Ports: simvos.DefaultPorts(), Control: socket, Namespace: l.server.Do,
	}
	if edit != nil {
		edit(&o)
	}
	node, err := simvos.New(o)
	if err != nil {
		t.Fatal(err)
	}
	l.node, l.control = node, control.NewClient(socket)
	t.Cleanup(l.control.Close)
	run(t, node)
	return l
}

// run runs the node until the test ends and waits until it is ready.
func run(t testing.TB, node *simvos.Node) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- node.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("the node ended with: %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Error("the node does not end")
		}
	})
	select {
	case <-node.Ready():
	case err := <-done:
		done <- nil
		t.Fatalf("the node did not start: %v", err)
	}
}

// wire joins the namespaces with a veth pair and sets the routes.
func (l *lab) wire(t testing.TB) {
	t.Helper()
	must(t, l.server.Do(func() error {
		la := netlink.NewLinkAttrs()
		la.Name = "eth0"
		veth := &netlink.Veth{LinkAttrs: la, PeerName: "eth0", PeerNamespace: netlink.NsFd(l.client.Fd())}
		if err := netlink.LinkAdd(veth); err != nil {
			return err
		}
		return configure(rip, rip6)
	}))
	must(t, l.client.Do(func() error { return configure(clientIP, clientIP6) }))
	must(t, l.client.Do(func() error {
		link, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		for _, r := range [][2]netip.Addr{{vip, rip}, {vip6, rip6}} {
			route := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: host(r[0]), Gw: r[1].AsSlice()}
			if err := netlink.RouteAdd(route); err != nil {
				return err
			}
		}
		return nil
	}))
}

// configure gives eth0 of the present namespace its addresses and sets it and
// loopback up.
func configure(addrs ...netip.Addr) error {
	link, err := netlink.LinkByName("eth0")
	if err != nil {
		return err
	}
	for _, a := range addrs {
		bits := 24
		if a.Is6() {
			bits = 64
		}
		na := &netlink.Addr{IPNet: &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(bits, a.BitLen())}}
		if a.Is6() {
			na.Flags = 0x02 // IFA_F_NODAD
		}
		if err := netlink.AddrAdd(link, na); err != nil {
			return err
		}
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return err
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(lo)
}

func host(a netip.Addr) *net.IPNet {
	return &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())}
}

// dial connects from the client's namespace.
func (l *lab) dial(t testing.TB, network string, to netip.Addr, port uint16) net.Conn {
	t.Helper()
	var conn net.Conn
	must(t, l.client.Do(func() (err error) {
		d := net.Dialer{Timeout: 5 * time.Second}
		conn, err = d.DialContext(t.Context(), network, netip.AddrPortFrom(to, port).String())
		return err
	}))
	t.Cleanup(func() { conn.Close() })
	must(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	return conn
}

// status asks the control socket.
func (l *lab) status(t testing.TB) control.Status {
	t.Helper()
	s, err := l.control.Status(t.Context())
	must(t, err)
	return s
}

// fault sets a fault until the test ends.
func (l *lab) fault(t testing.TB, f control.Fault) {
	t.Helper()
	must(t, l.control.SetFault(t.Context(), f))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually waits until check is true, at most for limit.
func eventually(t testing.TB, limit time.Duration, what string, check func() bool) {
	t.Helper()
	end := time.After(limit)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !check() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("not within %s: %s", limit, what)
		}
	}
}
