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

// patience is how long a test waits for what must come: this process and its players
// may be without a processor for a second at any time.
const patience = time.Minute

type lab struct {
	client, server *netns.NS
	node           *simvos.Node
	control        *control.Client
}

// newLab starts a node that ends with the test.
func newLab(tb testing.TB, edit func(*simvos.Options)) *lab {
	tb.Helper()
	l := &lab{client: testenv.NewNS(tb), server: testenv.NewNS(tb)}
	l.wire(tb)
	socket := filepath.Join(tb.TempDir(), "c.sock")
	o := simvos.Options{
		Name: "HT1", ID: 115, Iface: "eth0", VIPs: []netip.Addr{vip, vip6},
		Ports: simvos.DefaultPorts(), Control: socket, Namespace: l.server.Do,
	}
	if edit != nil {
		edit(&o)
	}
	node, err := simvos.New(o)
	if err != nil {
		tb.Fatal(err)
	}
	l.node, l.control = node, control.NewClient(socket)
	tb.Cleanup(l.control.Close)
	run(tb, node)
	return l
}

// run runs the node until the test ends and waits until it is ready.
func run(tb testing.TB, node *simvos.Node) {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- node.Run(ctx) }()
	tb.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				tb.Errorf("the node ended with: %v", err)
			}
		case <-time.After(patience):
			tb.Error("the node does not end")
		}
	})
	select {
	case <-node.Ready():
	case err := <-done:
		done <- nil
		tb.Fatalf("the node did not start: %v", err)
	}
}

// wire joins the namespaces with a veth pair and sets the routes.
func (l *lab) wire(tb testing.TB) {
	tb.Helper()
	must(tb, l.server.Do(func() error {
		la := netlink.NewLinkAttrs()
		la.Name = "eth0"
		veth := &netlink.Veth{LinkAttrs: la, PeerName: "eth0", PeerNamespace: netlink.NsFd(l.client.Fd())}
		if err := netlink.LinkAdd(veth); err != nil {
			return err
		}
		return configure(rip, rip6)
	}))
	must(tb, l.client.Do(func() error { return configure(clientIP, clientIP6) }))
	must(tb, l.client.Do(func() error {
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
		if err = netlink.AddrAdd(link, na); err != nil {
			return err
		}
	}
	if err = netlink.LinkSetUp(link); err != nil {
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
func (l *lab) dial(tb testing.TB, network string, to netip.Addr, port uint16) net.Conn {
	tb.Helper()
	var conn net.Conn
	must(tb, l.client.Do(func() (err error) {
		d := net.Dialer{Timeout: patience}
		conn, err = d.DialContext(tb.Context(), network, netip.AddrPortFrom(to, port).String())
		return err
	}))
	tb.Cleanup(func() { conn.Close() })
	must(tb, conn.SetDeadline(time.Now().Add(patience)))
	return conn
}

// status asks the control socket.
func (l *lab) status(tb testing.TB) control.Status {
	tb.Helper()
	s, err := l.control.Status(tb.Context())
	must(tb, err)
	return s
}

// fault sets a fault until the test ends.
func (l *lab) fault(tb testing.TB, f control.Fault) {
	tb.Helper()
	must(tb, l.control.SetFault(tb.Context(), f))
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// eventually waits until check is true.
func eventually(tb testing.TB, what string, check func() bool) {
	tb.Helper()
	end := time.After(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !check() {
		select {
		case <-tick.C:
		case <-end:
			tb.Fatalf("not within %s: %s", patience, what)
		}
	}
}
