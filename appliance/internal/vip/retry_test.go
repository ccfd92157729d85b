package vip_test

import (
	"net"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/internal/plan"
	"github.com/vosbed/vosbed/appliance/internal/vip"
)

// TestRemovesWhatAnEarlierDaemonLeft: an address that was taken out of the
// configuration while no daemon ran goes, everybody else's stays.
func TestRemovesWhatAnEarlierDaemonLeft(t *testing.T) {
	b := newBench(t)
	must(t, b.ns.Do(func() error {
		l, err := netlink.LinkByName("svc0")
		if err != nil {
			return err
		}
		own := &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(192, 168, 94, 77), Mask: net.CIDRMask(32, 32)}}
		return netlink.AddrAdd(l, own)
	}))
	more := append(guideVIPs(), plan.VIP{Addr: netip.MustParseAddr("192.168.94.111"), Interface: "svc0"})
	must(t, b.act.Configure(more))
	must(t, b.act.Take())
	second := b.another(t)
	must(t, second.Configure(guideVIPs()[:1]))
	b.want(t, "192.168.94.110/32", "192.168.94.77/32")
	must(t, second.Release())
	b.want(t, "192.168.94.77/32")
}

// another is an actuator as after a restart.
func (b *bench) another(t *testing.T) (a *vip.Actuator) {
	t.Helper()
	must(t, b.ns.Do(func() (err error) { a, err = vip.New(); return err }))
	t.Cleanup(func() { _ = a.Close() })
	return a
}

// powerless runs fn in a thread that may not change addresses.
func powerless(t *testing.T, fn func()) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var had [2]unix.CapUserData
	must(t, unix.Capget(&header, &had[0]))
	now := had
	now[0].Effective &^= 1 << unix.CAP_NET_ADMIN
	must(t, unix.Capset(&header, &now[0]))
	fn()
	must(t, unix.Capset(&header, &had[0]))
}

// TestWhatFailsIsTriedAgain: by an equal Configure, and by Fire some time later.
func TestWhatFailsIsTriedAgain(t *testing.T) {
	b := newBench(t)
	must(t, b.act.Configure(guideVIPs()))
	powerless(t, func() {
		if err := b.act.Take(); err == nil {
			t.Error("no error from a thread that may not add addresses")
		}
	})
	b.want(t)
	must(t, b.act.Announce(0))
	if got := b.heardNow(); got != 0 {
		t.Errorf("announced %d times what the node does not have", got)
	}
	must(t, b.act.Configure(guideVIPs()))
	b.want(t, "192.168.94.110/32", "fd00:94::110/128")
	powerless(t, func() {
		if err := b.act.Configure(guideVIPs()[:1]); err == nil {
			t.Error("no error from a thread that may not remove addresses")
		}
	})
	if next := b.act.NextAnnouncement(); next > 0 {
		t.Errorf("wants to be called at %v, not at once", next)
	}
	must(t, b.act.Fire(time.Hour)) // from here it counts
	b.want(t, "192.168.94.110/32", "fd00:94::110/128")
	must(t, b.act.Fire(time.Hour+4*time.Second))
	b.want(t, "192.168.94.110/32", "fd00:94::110/128")
	must(t, b.act.Fire(time.Hour+5*time.Second))
	b.want(t, "192.168.94.110/32")
	powerless(t, func() {
		if err := b.act.Release(); err == nil {
			t.Error("no error from a thread that may not remove addresses")
		}
	})
	must(t, b.act.Fire(2*time.Hour))
	must(t, b.act.Fire(3*time.Hour))
	b.want(t)
	if b.act.NextAnnouncement() != vip.Forever {
		t.Errorf("still wants to be called at %v", b.act.NextAnnouncement())
	}
}

// TestInterfaceThatComesLate: its address is added and announced when it is there, and
// one that went with its interface is no error.
func TestInterfaceThatComesLate(t *testing.T) {
	b := newBench(t)
	vips := []plan.VIP{{Addr: netip.MustParseAddr("192.168.94.100"), Interface: "svc1"}}
	if b.act.Configure(vips) == nil || b.act.Take() == nil {
		t.Error("no error for an interface that is not there")
	}
	must(t, b.act.Announce(0)) // nothing yet
	must(t, b.ns.Do(func() error {
		l, err := netlink.LinkByName("svc0")
		if err != nil {
			return err
		}
		if err = netlink.LinkSetName(l, "svc1"); err != nil { // allowed while it is up
			return err
		}
		return netlink.LinkSetUp(l)
	}))
	must(t, b.act.Fire(time.Minute))
	must(t, b.act.Fire(2*time.Minute))
	if got := b.heard(t, 2); got != 2 {
		t.Errorf("heard %d announcements of the late address, want both forms", got)
	}
	must(t, b.ns.Do(func() error {
		l, err := netlink.LinkByName("svc1")
		if err != nil {
			return err
		}
		if held, err := netlink.AddrList(l, netlink.FAMILY_V4); err != nil || !slices.ContainsFunc(held, func(a netlink.Addr) bool {
			return a.IP.Equal(net.IPv4(192, 168, 94, 100))
		}) {
			t.Errorf("svc1 has %v, %v", held, err)
		}
		return netlink.LinkDel(l)
	}))
	must(t, b.act.Release())
}
