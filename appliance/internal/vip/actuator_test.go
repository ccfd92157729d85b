package vip_test

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/internal/plan"
	"github.com/vosbed/vosbed/appliance/internal/vip"
	"github.com/vosbed/vosbed/internal/netns"
	"github.com/vosbed/vosbed/internal/testenv"
)

// bench is a namespace with one veth pair: svc0 carries VIPs, far0 listens.
type bench struct {
	ns  *netns.NS
	act *vip.Actuator
	fd  int // packet socket on far0
}

func newBench(t *testing.T) *bench {
	t.Helper()
	return newBenchOn(t, 0)
}

// newBenchOn has a VLAN of both ends in their places, 0 = the ends themselves.
func newBenchOn(t *testing.T, vlan int) *bench {
	t.Helper()
	b := &bench{ns: testenv.NewNS(t)}
	err := b.ns.Do(func() error {
		names := []string{"svc0", "far0"}
		cards := names
		if vlan != 0 {
			cards = []string{"card0", "card1"}
		}
		pair := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: cards[0]}, PeerName: cards[1]}
		if err := netlink.LinkAdd(pair); err != nil {
			return err
		}
		for _, name := range cards {
			l, err := netlink.LinkByName(name)
			if err != nil {
				return err
			}
			if err := netlink.LinkSetUp(l); err != nil {
				return err
			}
		}
		if vlan != 0 {
			if err := onVLAN(cards, names, vlan); err != nil {
				return err
			}
		}
		var err error
		if b.act, err = vip.New(); err != nil {
			return err
		}
		b.fd, err = listen("far0")
		return err
	})
	if errors.Is(err, unix.EOPNOTSUPP) {
		testenv.Missing(t, "vlan", err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.act.Close(); _ = unix.Close(b.fd) })
	return b
}

// onVLAN puts a VLAN upon each of two interfaces.
func onVLAN(cards, names []string, id int) error {
	for i, name := range names {
		l, err := netlink.LinkByName(cards[i])
		if err != nil {
			return err
		}
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.ParentIndex = name, l.Attrs().Index
		v := &netlink.Vlan{LinkAttrs: attrs, VlanId: id, VlanProtocol: netlink.VLAN_PROTOCOL_8021Q}
		if err := errors.Join(netlink.LinkAdd(v), netlink.LinkSetUp(v)); err != nil {
			return err
		}
	}
	return nil
}

func listen(name string) (int, error) {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return 0, err
	}
	proto := uint16(unix.ETH_P_ALL)<<8 | uint16(unix.ETH_P_ALL)>>8
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, int(proto))
	if err != nil {
		return 0, err
	}
	return fd, unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: proto, Ifindex: l.Attrs().Index})
}

func (b *bench) addrs(t *testing.T) []string {
	t.Helper()
	var out []string
	err := b.ns.Do(func() error {
		l, err := netlink.LinkByName("svc0")
		if err != nil {
			return err
		}
		list, err := netlink.AddrList(l, netlink.FAMILY_ALL)
		for _, a := range list {
			if !a.IP.IsLinkLocalUnicast() {
				out = append(out, a.IPNet.String())
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return out
}

func (b *bench) want(t *testing.T, want ...string) {
	t.Helper()
	if got := b.addrs(t); !slices.Equal(got, want) {
		t.Errorf("addresses are %v, want %v", got, want)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func guideVIPs() []plan.VIP {
	return []plan.VIP{
		{Addr: netip.MustParseAddr("192.168.94.110"), Interface: "svc0"},
		{Addr: netip.MustParseAddr("fd00:94::110"), Interface: "svc0"},
	}
}

func TestAddressesMoveAsAGroup(t *testing.T) {
	b := newBench(t)
	must(t, b.ns.Do(func() error {
		l, err := netlink.LinkByName("svc0")
		if err != nil {
			return err
		}
		own := &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(192, 168, 94, 11), Mask: net.CIDRMask(24, 32)}}
		return netlink.AddrAdd(l, own)
	}))
	must(t, b.act.Configure(guideVIPs()))
	b.want(t, "192.168.94.11/24")
	must(t, b.act.Take())
	b.want(t, "192.168.94.11/24", "192.168.94.110/32", "fd00:94::110/128")
	must(t, b.act.Take()) // a second time changes nothing
	must(t, b.act.Configure(guideVIPs()[:1]))
	b.want(t, "192.168.94.11/24", "192.168.94.110/32")
	must(t, b.act.Configure(guideVIPs()))
	b.want(t, "192.168.94.11/24", "192.168.94.110/32", "fd00:94::110/128")
	must(t, b.act.Release())
	must(t, b.act.Release())
	b.want(t, "192.168.94.11/24")
}

// TestAdoptsWhatItFinds: another actuator, as after a restart, releases addresses
// that it has not added itself.
func TestAdoptsWhatItFinds(t *testing.T) {
	b := newBench(t)
	must(t, b.act.Configure(guideVIPs()))
	must(t, b.act.Take())
	var second *vip.Actuator
	must(t, b.ns.Do(func() (err error) { second, err = vip.New(); return err }))
	defer second.Close()
	must(t, second.Configure(guideVIPs()))
	b.want(t, "192.168.94.110/32", "fd00:94::110/128")
	must(t, second.Release())
	b.want(t)
}

func TestMissingInterfaceIsNamedAndDoesNotStopOthers(t *testing.T) {
	b := newBench(t)
	vips := append([]plan.VIP{{Addr: netip.MustParseAddr("192.168.94.100"), Interface: "gone0"}}, guideVIPs()...)
	if err := b.act.Configure(vips); err == nil {
		t.Error("no error for an interface that is not there")
	}
	if err := b.act.Take(); err == nil {
		t.Error("no error for an interface that is not there")
	}
	b.want(t, "192.168.94.110/32", "fd00:94::110/128")
}

func TestAnnouncementsReachTheSegment(t *testing.T) {
	t.Run("network card", func(t *testing.T) { announcements(t, newBench(t)) })
	t.Run("vlan", func(t *testing.T) { announcements(t, newBenchOn(t, 100)) })
}

func announcements(t *testing.T, b *bench) {
	t.Helper()
	must(t, b.act.Configure(guideVIPs()))
	must(t, b.act.Take())
	must(t, b.act.Announce(0))
	now := b.whenLocal(t)
	if got := b.heard(t, 3); got != 3 {
		t.Fatalf("heard %d announcements, want ARP request, ARP reply and NA", got)
	}
	must(t, b.act.Fire(max(now, b.act.NextAnnouncement())))
	if got := b.heard(t, 3); got != 3 {
		t.Fatalf("heard %d announcements in the second round", got)
	}
	must(t, b.act.Release())
	if b.act.NextAnnouncement() != vip.Forever {
		t.Error("still announces after the release")
	}
}

// whenLocal fires what waits for the kernel to take packets for an address, as soon
// as it does. It returns the time it got to.
func (b *bench) whenLocal(t *testing.T) time.Duration {
	t.Helper()
	local := func() bool {
		routes, err := b.route("fd00:94::110")
		return err == nil && len(routes) > 0 && routes[0].Type == unix.RTN_LOCAL
	}
	const period, burst = time.Millisecond, 50 * time.Millisecond
	var now time.Duration
	tick := time.NewTicker(period)
	defer tick.Stop()
	for began := time.Now(); b.act.NextAnnouncement() < burst; <-tick.C {
		if time.Since(began) > 5*time.Second {
			t.Fatal("never announced")
		}
		if local() {
			now += period
			must(t, b.act.Fire(now))
		}
	}
	return now
}

func (b *bench) route(to string) (routes []netlink.Route, err error) {
	err = b.ns.Do(func() error {
		routes, err = netlink.RouteGet(net.ParseIP(to))
		return err
	})
	return routes, err
}

// TestAnnouncesOnlyWhatTheKernelTakes: without its link an IPv6 address has no local
// route. It is announced when it has one, or with an error when the wait is over.
func TestAnnouncesOnlyWhatTheKernelTakes(t *testing.T) {
	b := newBench(t)
	six := guideVIPs()[1:]
	must(t, b.act.Configure(six))
	must(t, b.act.Announce(0)) // the address is not there at all
	if b.act.NextAnnouncement() != time.Millisecond {
		t.Fatalf("looks again at %v", b.act.NextAnnouncement())
	}
	must(t, b.act.Fire(time.Millisecond))
	must(t, b.act.Take())
	b.whenLocal(t)
	if got := b.heard(t, 1); got != 1 {
		t.Fatal("not announced when it was there")
	}
	must(t, b.act.Release())
	must(t, b.act.Announce(time.Second))
	if err := b.act.Fire(time.Second + 20*time.Millisecond); err != nil {
		t.Fatalf("too early to complain: %v", err)
	}
	if b.heardNow() > 0 {
		t.Error("announced what the kernel does not take")
	}
	// The rounds of the burst begin the wait anew; the last one's is not cut short.
	must(t, b.act.Fire(time.Second+500*time.Millisecond))
	if err := b.act.Fire(time.Second + 600*time.Millisecond); err == nil {
		t.Error("no word about an address that the kernel never took")
	}
	if got := b.heard(t, 1); got != 1 {
		t.Error("never announced at all")
	}
}

// TestAnnouncesTheAddressOfNow: a bond takes another hardware address.
func TestAnnouncesTheAddressOfNow(t *testing.T) {
	b := newBench(t)
	must(t, b.act.Configure(guideVIPs()[:1]))
	must(t, b.act.Take())
	must(t, b.act.Announce(0))
	b.heard(t, 2)
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 0x77}
	must(t, b.ns.Do(func() error {
		l, err := netlink.LinkByName("svc0")
		if err != nil {
			return err
		}
		return netlink.LinkSetHardwareAddr(l, mac)
	}))
	for b.heardNow() > 0 { // the kernel may announce the change itself
		continue
	}
	must(t, b.act.Fire(b.act.NextAnnouncement()))
	frame := make([]byte, 64)
	if _, err := unix.Poll([]unix.PollFd{{Fd: int32(b.fd), Events: unix.POLLIN}}, 1000); err != nil {
		t.Fatal(err)
	}
	if _, _, err := unix.Recvfrom(b.fd, frame, 0); err != nil || !slices.Equal(net.HardwareAddr(frame[6:12]), mac) {
		t.Errorf("announced by %v, %v", net.HardwareAddr(frame[6:12]), err)
	}
}

// heardNow counts the announcements that wait to be read.
func (b *bench) heardNow() int {
	buf := make([]byte, 2048)
	for n := 0; ; {
		size, _, err := unix.Recvfrom(b.fd, buf, unix.MSG_DONTWAIT)
		if err != nil {
			return n
		}
		if announces(buf[:size]) {
			n++
		}
	}
}

// heard counts announcement frames on far0, waiting up to a second for n.
func (b *bench) heard(t *testing.T, n int) int {
	t.Helper()
	buf := make([]byte, 2048)
	count := 0
	for end := time.Now().Add(time.Second); count < n && time.Now().Before(end); {
		fds := []unix.PollFd{{Fd: int32(b.fd), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, 100); err != nil {
			continue
		}
		size, _, err := unix.Recvfrom(b.fd, buf, 0)
		if err == nil && announces(buf[:size]) {
			count++
		}
	}
	return count
}

func announces(f []byte) bool {
	arp := len(f) >= 42 && f[12] == 0x08 && f[13] == 0x06
	na := len(f) >= 86 && f[12] == 0x86 && f[13] == 0xdd && f[54] == 136
	return arp || na
}
