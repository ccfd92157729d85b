package ebpf

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/internal/health"
	"github.com/vosbed/vosbed/appliance/internal/plan"
	"github.com/vosbed/vosbed/appliance/lb"
)

// hold gives the balancer the VIPs or takes them away: active or passive.
func (l *lab) hold(yes bool) {
	l.t.Helper()
	l.vips(l.lb, "eth0", yes)
}

func (l *lab) vips(ns interface{ Do(func() error) error }, dev string, yes bool) {
	l.t.Helper()
	err := ns.Do(func() error {
		link, err := netlink.LinkByName(dev)
		if err != nil {
			return err
		}
		for _, c := range []string{vip4 + "/32", vip6 + "/128"} {
			a, err := netlink.ParseAddr(c)
			if err != nil {
				return err
			}
			a.Flags |= unix.IFA_F_NODAD
			a.ValidLft = math.MaxUint32 // as the appliance adds them: never preferred
			if yes {
				err = netlink.AddrReplace(link, a)
			} else if err = netlink.AddrDel(link, a); errors.Is(err, unix.EADDRNOTAVAIL) {
				err = nil
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		l.t.Fatal(err)
	}
}

// admin answers the guide's request on a port of a server's every address.
func (l *lab) admin(i int, port uint16) {
	l.t.Helper()
	var ln net.Listener
	l.in(l.servers[i], func() (err error) {
		ln, err = (&net.ListenConfig{}).Listen(l.t.Context(), "tcp", fmt.Sprintf(":%d", port))
		return err
	})
	srv := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintln(w, "Healthy", strings.Repeat(" ", 20_000))
	})}
	go func() { _ = srv.Serve(ln) }()
	l.t.Cleanup(func() { _ = srv.Close() })
}

// checker is a health engine whose sockets are in the balancer's namespace.
func (l *lab) checker(p *Plane) *health.Engine {
	dial := func(ctx context.Context, network, address string) (c net.Conn, err error) {
		err = l.lb.Do(func() (err error) { c, err = (&net.Dialer{}).DialContext(ctx, network, address); return err })
		return c, err
	}
	via := func(ctx context.Context, vip, rip netip.Addr, port uint16) (c net.Conn, err error) {
		err = l.lb.Do(func() (err error) { c, err = p.DialVIA(ctx, vip, rip, port); return err })
		return c, err
	}
	return health.New(health.Options{Dial: dial, DialVIA: via})
}

// guideCheck is the guide's check. Its timeout is generous where it is to succeed, so
// that a machine which stalls this process fails nobody.
func guideCheck(vip, rip string, port uint16, served bool, timeout time.Duration) plan.Probe {
	return plan.Probe{
		ID: lb.RealID{Service: "media", Real: "s0"}, Target: netip.MustParseAddr(rip), Port: port,
		VIP: netip.MustParseAddr(vip), Served: served,
		Check: lb.HealthCheck{
			Kind: lb.CheckNegotiate, Scheme: lb.HTTP, Port: port, Path: "/admin/status", Match: lb.MatchEquals,
			Expect: "Healthy", Statuses: []int{200}, Timeout: timeout, ThroughVIP: true,
		},
	}
}

// A server with the VIP on loopback is up, one without is down and told why: on the
// active node, on the passive one, without a lease; clients' tables see nothing of it.
func TestChecksThroughTheVIP(t *testing.T) {
	for _, mode := range []Attach{AttachTCX, AttachClsact} {
		for vip, rip := range map[string]string{vip4: "10.77.0.105", vip6: "fd77::105"} {
			t.Run(string(mode)+"/"+vip, func(t *testing.T) { checksThroughTheVIP(t, mode, vip, rip) })
		}
	}
}

func checksThroughTheVIP(t *testing.T, mode Attach, vip, rip string) {
	t.Helper()
	l := newLab(t)
	l.admin(0, 80)
	l.admin(0, 8443)
	p := l.plane(Options{Attach: mode})
	table := service(vip)
	table.Leased = true
	l.set(p, table)
	l.run(p)
	checks := l.checker(p)
	eventually(t, "the server's MAC is known", func() bool {
		c, err := p.Counters(t.Context())
		return err == nil && c.MACs[netip.MustParseAddr(rip)] != ""
	})
	for _, active := range []bool{true, false} {
		l.hold(active)
		p.lease.Renew(map[bool]uint64{true: ^uint64(0), false: 0}[active])
		l.vips(l.servers[0], "lo", true)
		for port, served := range map[uint16]bool{80: true, 8443: false} {
			v := checks.Check(t.Context(), guideCheck(vip, rip, port, served, 10*time.Second))
			if !v.OK || !v.ViaVIP || v.Status != 200 {
				t.Fatalf("active %v, port %d, with the VIP on loopback: %+v", active, port, v)
			}
		}
		l.vips(l.servers[0], "lo", false)
		v := checks.Check(t.Context(), guideCheck(vip, rip, 80, true, 700*time.Millisecond))
		if v.OK || !v.ViaVIP || !strings.Contains(v.Failed, "guide 8.2") || !strings.Contains(v.Failed, "no answer within") {
			t.Fatalf("active %v, without the VIP on loopback: %+v", active, v)
		}
	}
	c, err := p.Counters(t.Context())
	if err != nil || c.Flows != 0 || c.Entries != 0 || c.Services["media"].In.Packets != 0 {
		t.Errorf("checks left %d flows, %d entries, %d packets, %v; want none",
			c.Flows, c.Entries, c.Services["media"].In.Packets, err)
	}
}

// Check addresses stay on the node: what comes for one from the segment is dropped, a
// server that refuses is told from one that is silent, one without a MAC is named, and
// nothing is left behind.
func TestCheckAddressesStayHome(t *testing.T) {
	l := newLab(t)
	p := l.plane(Options{})
	l.set(p, service(vip4))
	dial := func(rip string) (err error) {
		l.in(l.lb, func() error {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			var c net.Conn
			if c, err = p.DialVIA(ctx, netip.MustParseAddr(vip4), netip.MustParseAddr(rip), 8443); err == nil {
				_ = c.Close()
			}
			return nil
		})
		return err
	}
	if err := dial("10.77.0.7"); err == nil || !strings.Contains(err.Error(), "no server of that VIP") {
		t.Errorf("an unknown server: %v", err)
	}
	eventually(t, "the server's MAC is found", func() bool { return errors.Is(dial("10.77.0.105"), unix.ECONNREFUSED) })
	l.set(p, service(vip4, func(s *plan.L4Service) { s.Reals[0].Addr = netip.MustParseAddr("10.77.0.77") }))
	if err := dial("10.77.0.77"); err == nil || !strings.Contains(err.Error(), "RIP 10.77.0.77 is not resolved") {
		t.Errorf("an unresolved server: %v", err)
	}
	for _, a := range []string{"198.19.224.1", "198.19.255.255"} {
		if got := verdictTo(t, p, l.lb.Do, netip.MustParseAddr(a)); got != 2 {
			t.Errorf("a packet from the segment for %s: verdict %d, want drop", a, int32(got))
		}
	}
	if got := verdictTo(t, p, l.lb.Do, netip.MustParseAddr("198.19.223.255")); got != 0xffffffff {
		t.Errorf("a neighbour of the range: verdict %d, want pass", int32(got))
	}
	if drops(t, p, "check_address") != 2 {
		t.Error("the drops are not counted as check_address")
	}
	if n := l.leftovers(); n == 0 {
		t.Error("no route or neighbour of a check: the test below proves nothing")
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if n := l.leftovers(); n != 0 {
		t.Errorf("%d routes and neighbours of check addresses are left", n)
	}
}

// leftovers counts routes and neighbours of check addresses.
func (l *lab) leftovers() (n int) {
	l.in(l.lb, func() error {
		routes, err := netlink.RouteList(nil, netlink.FAMILY_ALL)
		if err != nil {
			return err
		}
		neighbours, err := netlink.NeighList(0, netlink.FAMILY_ALL)
		routes = slices.DeleteFunc(routes, func(r netlink.Route) bool { return r.Protocol != checkProto })
		neighbours = slices.DeleteFunc(neighbours, func(e netlink.Neigh) bool {
			a, ok := netip.AddrFromSlice(e.IP)
			return !ok || !isCheckAddr(a)
		})
		n = len(routes) + len(neighbours)
		return err
	})
	return n
}
