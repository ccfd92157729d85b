package ipvs

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/moby/ipvs"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/internal/dataplane/dptest"
	"github.com/vosbed/vosbed/appliance/internal/plan"
	"github.com/vosbed/vosbed/appliance/lb"
	"github.com/vosbed/vosbed/internal/netns"
	"github.com/vosbed/vosbed/internal/testenv"
)

// lab is a segment with a client, a director and two real servers, each in a namespace of
// its own. The client's network is another: with NAT the servers reach it by the director.
type lab struct {
	t                *testing.T
	way              Forward
	client, director *netns.NS
	servers          [2]*netns.NS
	*Plane
}

func newLab(t *testing.T, way Forward) *lab {
	t.Helper()
	requireIPVS(t)
	l := &lab{t: t, way: way, client: testenv.NewNS(t), director: testenv.NewNS(t)}
	sw := testenv.NewNS(t)
	l.in(sw, func() error {
		return errors.Join(netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}}), up("br0"))
	})
	l.plug(sw, l.client, "client", "10.88.0.10/24")
	l.plug(sw, l.director, "lb", directorIP+"/24", "10.88.0.2/24", dptest.VIP4+"/32")
	l.in(l.client, func() error { return route("10.77.0.0/24", "") })
	for i := range l.servers {
		l.servers[i] = testenv.NewNS(t)
		l.plug(sw, l.servers[i], fmt.Sprintf("s%d", i), fmt.Sprintf("10.77.0.%d/24", 105+i))
		l.in(l.servers[i], func() error { return l.server() })
	}
	l.open()
	return l
}

// server lets a real server reach clients, and with Direct Routing own the VIP in silence.
func (l *lab) server() error {
	if l.way == NAT {
		return route("10.88.0.0/24", directorIP)
	}
	return errors.Join(route("10.88.0.0/24", ""), up("lo", dptest.VIP4+"/32"),
		writeSysctl("net/ipv4/conf/all/arp_ignore", "1"), writeSysctl("net/ipv4/conf/all/arp_announce", "2"))
}

func (l *lab) open() {
	l.t.Helper()
	l.in(l.director, func() (err error) { l.Plane, err = New(Options{Forward: l.way}); return err })
	p := l.Plane
	l.t.Cleanup(func() { _ = p.Close() })
}

// in runs fn inside a namespace and fails the test with its error.
func (l *lab) in(ns *netns.NS, fn func() error) {
	l.t.Helper()
	if err := ns.Do(fn); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) plug(sw, ns *netns.NS, port string, cidrs ...string) {
	l.t.Helper()
	l.in(sw, func() error {
		br, err := netlink.LinkByName("br0")
		if err != nil {
			return err
		}
		v := &netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: port, MasterIndex: br.Attrs().Index},
			PeerName:  "eth0", PeerNamespace: netlink.NsFd(ns.Fd()),
		}
		return errors.Join(netlink.LinkAdd(v), up(port))
	})
	l.in(ns, func() error {
		return errors.Join(writeSysctl("net/ipv4/conf/all/rp_filter", "0"), writeSysctl("net/ipv4/conf/eth0/rp_filter", "0"),
			up("lo"), up("eth0", cidrs...))
	})
}

func route(to, via string) error {
	link, err := netlink.LinkByName("eth0")
	if err != nil {
		return err
	}
	_, dst, err := net.ParseCIDR(to)
	if err != nil {
		return err
	}
	r := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: dst, Scope: unix.RT_SCOPE_LINK}
	if via != "" {
		r.Gw, r.Scope = net.ParseIP(via), unix.RT_SCOPE_UNIVERSE
	}
	return netlink.RouteAdd(r)
}

// at is where a server listens: the client's destination as the server sees it.
func (l *lab) at(i, port int) string {
	if l.way == NAT {
		return fmt.Sprintf("10.77.0.%d:%d", 105+i, port)
	}
	return vipAt(port)
}

func vipAt(port int) string { return net.JoinHostPort(dptest.VIP4, strconv.Itoa(port)) }

// serve starts on each server an echo of TCP that first tells its name, and one of UDP
// that answers with its name and the length.
func (l *lab) serve(port int) {
	l.t.Helper()
	for i := range l.servers {
		name := fmt.Sprintf("s%d", 105+i)
		l.in(l.servers[i], func() error {
			ln, err := net.Listen("tcp4", l.at(i, port)) //nolint:noctx // a test's own namespace
			if err != nil {
				return err
			}
			pc, err := net.ListenPacket("udp4", l.at(i, port)) //nolint:noctx // a test's own namespace
			if err != nil {
				return errors.Join(err, ln.Close())
			}
			l.t.Cleanup(func() { _ = errors.Join(ln.Close(), pc.Close()) })
			go accept(ln, name)
			go answer(pc, name)
			return nil
		})
	}
}

func accept(ln net.Listener, name string) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			_, _ = io.WriteString(c, name)
			_, _ = io.Copy(c, c)
		}()
	}
}

func answer(pc net.PacketConn, name string) {
	buf := make([]byte, 1<<16)
	for {
		n, from, err := pc.ReadFrom(buf)
		if err != nil {
			return
		}
		_, _ = pc.WriteTo(fmt.Appendf(nil, "%s %d", name, n), from)
	}
}

// dial opens a connection and reads who has it.
func (l *lab) dial(port int) (c net.Conn, who string, err error) {
	err = l.client.Do(func() (err error) {
		c, err = net.DialTimeout("tcp4", vipAt(port), time.Second) //nolint:noctx // bounded
		return err
	})
	if err != nil {
		return nil, "", err
	}
	l.t.Cleanup(func() { _ = c.Close() })
	name := make([]byte, 4)
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	_, err = io.ReadFull(c, name)
	return c, string(name), err
}

// who is dial of port 80 where it must succeed.
func (l *lab) who() (net.Conn, string) {
	l.t.Helper()
	c, who, err := l.dial(80)
	if err != nil {
		l.t.Fatal(err)
	}
	return c, who
}

// ask sends one datagram and returns the answer.
func (l *lab) ask(port, size int) (string, error) {
	var c net.Conn
	err := l.client.Do(func() (err error) {
		c, err = net.Dial("udp4", vipAt(port)) //nolint:noctx // bounded
		return err
	})
	if err != nil {
		return "", err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(3 * time.Second))
	if _, err = c.Write(make([]byte, size)); err != nil {
		return "", err
	}
	buf := make([]byte, 64)
	n, err := c.Read(buf)
	return string(buf[:n]), err
}

func echo(c net.Conn, text string) error {
	_ = c.SetDeadline(time.Now().Add(3 * time.Second))
	if _, err := io.WriteString(c, text); err != nil {
		return err
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != text {
		return fmt.Errorf("got %q: %w", got, err)
	}
	return nil
}

func (l *lab) set(change ...func(*plan.L4Service)) {
	l.t.Helper()
	t := dptest.Table(dptest.Case{})
	for _, fn := range change {
		fn(&t.Services[0])
	}
	if err := l.Set(l.t.Context(), t); err != nil {
		l.t.Fatal(err)
	}
}

func state(who string, st lb.ServeState) func(*plan.L4Service) {
	return func(s *plan.L4Service) {
		for i := range s.Reals {
			if s.Reals[i].Name == who || who == "all" {
				s.Reals[i].State = st
			}
		}
	}
}

func keepClients(s *plan.L4Service) { s.DrainPersistent = true }

func TestTraffic(t *testing.T) {
	for _, way := range []Forward{Direct, NAT} {
		t.Run(string(way), func(t *testing.T) {
			l := newLab(t, way)
			l.serve(80)
			l.serve(5004)
			l.serve(81)
			l.set()
			c, first := l.who()
			for range 3 {
				if _, who := l.who(); who != first {
					t.Errorf("the client moved from %s to %s", first, who)
				}
			}
			if err := echo(c, strings.Repeat("x", 1<<20)); err != nil {
				t.Errorf("a megabyte: %v", err)
			}
			if got, err := l.ask(5004, 100); err != nil || got != first+" 100" {
				t.Errorf("another protocol and port: %q, %v, want %s", got, err, first)
			}
			if got, err := l.ask(5004, 9000); err != nil || got != first+" 9000" {
				t.Errorf("a datagram in seven fragments: %q, %v, want %s", got, err, first)
			}
			if _, _, err := l.dial(81); err == nil {
				t.Error("a port outside of the set was served")
			}
			l.counts(first)
		})
	}
}

// counts checks what the kernel has counted of TestTraffic.
func (l *lab) counts(who string) {
	l.t.Helper()
	<-time.After(3 * time.Second)
	got, err := l.Counters(l.t.Context())
	if err != nil {
		l.t.Fatal(err)
	}
	s, r := got.Services["media"], got.Services["media"].Reals[who]
	if s.Conns < 5 || r.Conns != s.Conns || r.ActiveConns < 1 || r.In.Bytes < 1<<20 || got.Drops["port_not_served"].Packets == 0 {
		l.t.Errorf("counters %+v", got)
	}
	if replies := r.Out.Bytes > 1<<20; replies != (l.way == NAT) {
		l.t.Errorf("replies counted: %+v", r.Out)
	}
	entries, err := l.Export(l.t.Context())
	if err != nil || len(entries) != 1 || entries[0].Server != who || entries[0].Client != netip.MustParseAddr("10.88.0.10") {
		l.t.Errorf("entries %v, %v", entries, err)
	}
}

func TestDrainAndHalt(t *testing.T) {
	l := newLab(t, Direct)
	l.serve(80)
	l.set()
	c, first := l.who()
	l.set(keepClients, state(first, lb.Draining))
	if _, who := l.who(); who != first {
		t.Errorf("a draining server's client came back to %s, want %s", who, first)
	}
	l.set(state(first, lb.Draining))
	_, other := l.who()
	if other == first {
		t.Error("a draining server took a connection")
	}
	if err := echo(c, "still here"); err != nil {
		t.Errorf("a drain cut a connection: %v", err)
	}
	l.set(state(first, lb.Halted))
	if err := echo(c, "gone"); err == nil {
		t.Error("a halt left a connection")
	}
	l.set(state("all", lb.Down))
	if _, _, err := l.dial(80); err == nil {
		t.Error("served without a server")
	}
	l.set()
	if _, who := l.who(); who == "" {
		t.Error("nobody serves again")
	}
}

// The next daemon finds what the last one left, and keeps servers without a verdict.
func TestAdoption(t *testing.T) {
	l := newLab(t, Direct)
	l.serve(80)
	l.set()
	c, first := l.who()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := echo(c, "nobody home"); err != nil {
		t.Errorf("without a daemon: %v", err)
	}
	l.open()
	l.set(state("all", lb.Unchecked))
	if err := echo(c, "adopted"); err != nil {
		t.Errorf("before the first checks: %v", err)
	}
	if _, who := l.who(); who != first {
		t.Errorf("the client moved from %s to %s", first, who)
	}
	l.set(state("all", lb.Down))
	l.set(state("all", lb.Unchecked))
	if _, _, err := l.dial(80); err == nil {
		t.Error("a server that nobody knew was used before its first check")
	}
}

// Whoever else uses IPVS keeps what is his; an equal Set repairs what is the engine's.
func TestOthersAreLeftAlone(t *testing.T) {
	l := newLab(t, Direct)
	mine := &ipvs.Service{FWMark: 7, AddressFamily: unix.AF_INET, SchedName: "rr", Netmask: 0xffffffff}
	l.in(l.director, func() error { return l.kernel.NewService(mine) })
	l.set()
	mark := l.table.services[0].mark
	if err := l.kernel.DelService(&ipvs.Service{FWMark: mark, AddressFamily: unix.AF_INET}); err != nil {
		t.Fatal(err)
	}
	l.set()
	have, err := l.read()
	if err != nil || len(have) != 1 || len(have[mark].dests) != 2 {
		t.Errorf("after an equal Set: %v, %v", have, err)
	}
	if err = l.Set(t.Context(), plan.L4Table{}); err != nil {
		t.Fatal(err)
	}
	all, err := l.kernel.GetServices()
	if err != nil || len(all) != 1 || all[0].FWMark != 7 {
		t.Errorf("after an empty table: %v, %v", all, err)
	}
}
