package ebpf

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/internal/plan"
	"github.com/vosbed/vosbed/appliance/lb"
)

// hooked says how often the programs hang in an interface, by mode.
func (l *lab) hooked(p *Plane, dir, name string) (tcx, clsact int) {
	l.t.Helper()
	l.in(l.lb, func() error {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		for _, h := range p.hooks() {
			list, _ := netlink.FilterList(link, h.parent) // none without the qdisc
			for _, f := range list {
				if b, ok := f.(*netlink.BpfFilter); ok && b.Name == filterName {
					clsact++
				}
			}
		}
		files, err := os.ReadDir(dir)
		for _, f := range files {
			if strings.HasPrefix(f.Name(), fmt.Sprintf("%s%d_", linkPrefix, link.Attrs().Index)) {
				tcx++
			}
		}
		return err
	})
	return tcx, clsact
}

func (l *lab) wantHooks(p *Plane, dir, name string, tcx, clsact int) {
	l.t.Helper()
	if a, b := l.hooked(p, dir, name); a != tcx || b != clsact {
		l.t.Errorf("%s has %d tcx links and %d clsact filters, want %d and %d", name, a, b, tcx, clsact)
	}
}

// The mode changes from one process to the next, there and back: the connection lives
// and the programs hang in the interface by one mode only.
func TestModeChangesOnAdoptedState(t *testing.T) {
	l := newLab(t)
	dir := bpffs(t)
	for i := range l.servers {
		l.serve(i, vip4+":80")
	}
	var (
		c   net.Conn
		err error
	)
	for i, mode := range []Attach{AttachTCX, AttachClsact, AttachTCX} {
		p := l.plane(Options{Attach: mode, PinDir: dir})
		if i > 0 {
			echo(t, c, "loaded as "+string(mode))
		}
		l.set(p, service(vip4))
		if i == 0 {
			if c, _, err = l.dial(vip4 + ":80"); err != nil {
				t.Fatal(err)
			}
			defer c.Close()
		}
		echo(t, c, "by "+string(mode))
		if mode == AttachTCX {
			l.wantHooks(p, dir, "eth0", 2, 0)
		} else {
			l.wantHooks(p, dir, "eth0", 0, 2)
		}
		if n := drops(t, p, "no_server"); n != 0 {
			t.Errorf("%d packets found no server", n)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		echo(t, c, "nobody home")
	}
}

// An interface that was taken out of the configuration while no daemon ran is rid of
// the programs when the next one begins, in either mode, and the others' filters stay.
func TestDroppedInterfaceIsRidOfThePrograms(t *testing.T) {
	for _, mode := range []Attach{AttachTCX, AttachClsact} {
		for _, next := range []Attach{AttachTCX, AttachClsact} {
			t.Run(string(mode)+" then "+string(next), func(t *testing.T) {
				l := newLab(t)
				dir := bpffs(t)
				l.in(l.lb, func() error {
					return up(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth1"}, PeerName: "far1"})
				})
				both := service(vip4)
				both.OtherVIPs = []plan.VIP{{Addr: netip.MustParseAddr("10.78.0.1"), Interface: "eth1"}}
				first := l.plane(Options{Attach: mode, PinDir: dir})
				l.set(first, both)
				l.in(l.lb, func() error { return strangerFilter(first, "eth1") })
				if tcx, clsact := l.hooked(first, dir, "eth1"); tcx+clsact != 2 {
					t.Fatalf("%d and %d: this test proves nothing", tcx, clsact)
				}
				if err := first.Close(); err != nil {
					t.Fatal(err)
				}
				second := l.plane(Options{Attach: next, PinDir: dir})
				l.set(second, service(vip4))
				l.wantHooks(second, dir, "eth1", 0, 0)
				l.in(l.lb, func() error {
					link, err := netlink.LinkByName("eth1")
					if err != nil {
						return err
					}
					list, err := netlink.FilterList(link, netlink.HANDLE_MIN_INGRESS)
					if len(list) != 1 {
						t.Errorf("%d filters are left, want the other program's", len(list))
					}
					return err
				})
			})
		}
	}
}

// strangerFilter hangs a filter of another name into an interface.
func strangerFilter(p *Plane, name string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	q := &netlink.GenericQdisc{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: link.Attrs().Index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
	}, QdiscType: "clsact"}
	if err := netlink.QdiscAdd(q); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	f := filter(hook{"", p.objs.Idle, 0, netlink.HANDLE_MIN_INGRESS}, link)
	f.Name, f.Priority = "stranger", 7
	return netlink.FilterAdd(f)
}

// A service whose interface is not there takes nothing from the others; its address is
// reported, and it is served when the interface comes.
func TestMissingInterfaceTakesNothingFromOthers(t *testing.T) {
	l := newLab(t)
	for i := range l.servers {
		l.serve(i, vip4+":80")
	}
	p := l.plane(Options{})
	table := service(vip4)
	table.OtherVIPs = []plan.VIP{{Addr: netip.MustParseAddr("10.78.0.1"), Interface: "eth1"}}
	set := func() (err error) {
		l.in(l.lb, func() error { err = p.Set(t.Context(), table); return nil })
		return err
	}
	var some *plan.UnservedError
	if err := set(); !errors.As(err, &some) || !slices.Equal(some.Addrs, []netip.Addr{netip.MustParseAddr("10.78.0.1")}) || !strings.Contains(err.Error(), "eth1") {
		t.Fatalf("set: %v, want an error about eth1 and its address", err)
	}
	c, _, err := l.dial(vip4 + ":80")
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	l.in(l.lb, func() error {
		return up(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth1"}, PeerName: "far1"})
	})
	if err := set(); err != nil {
		t.Error(err)
	}
	if _, ok := p.ifaces["eth1"]; !ok {
		t.Error("not attached to the interface that came late")
	}
}

// More than the engine can hold is left out and named; the rest is served.
func TestLimitsLeaveTheRest(t *testing.T) {
	many := service(vip4)
	for i := range maxShared + 1 {
		s := many.Services[0]
		s.Name, s.Ports = fmt.Sprintf("shared %d", i), lb.Ports(uint16(10000+i))
		many.Services = append(many.Services, s)
	}
	huge := many.Services[0]
	huge.Name, huge.Addr, huge.Reals = "huge", netip.MustParseAddr("10.77.0.130"), nil
	for i := range maxRoster + 1 {
		a := netip.AddrFrom4([4]byte{10, 99, byte(i >> 8), byte(i)})
		huge.Reals = append(huge.Reals, plan.L4Real{Name: a.String(), Addr: a, Weight: 1})
	}
	many.Services = append(many.Services, huge)
	for a := netip.MustParseAddr("10.1.0.0"); len(many.OtherVIPs) < maxVIPs; a = a.Next() {
		many.OtherVIPs = append(many.OtherVIPs, plan.VIP{Addr: a, Interface: "eth0"})
	}
	p, ns := testPlane(t, Options{}, service(vip4))
	var (
		err  error
		some *plan.UnservedError
	)
	_ = ns.Do(func() error { err = p.Set(t.Context(), many); return nil })
	if !errors.As(err, &some) {
		t.Fatalf("set: %v", err)
	}
	for _, word := range []string{"shared 7", "shared 8", "huge", "10.1.1.255"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%v does not name %q", err, word)
		}
	}
	want := []netip.Addr{huge.Addr, netip.MustParseAddr("10.1.1.255")}
	if !slices.Equal(some.Addrs, want) {
		t.Errorf("unserved %v, want %v", some.Addrs, want)
	}
	if ret, _ := syn(t, p, ns.Do, 1, 1); ret != redirected {
		t.Errorf("verdict %d of a service within the limits", int32(ret))
	}
}

// All addresses are exchanged at once: the first Set finds no places for some of them,
// its repetition does.
func TestAllAddressesExchanged(t *testing.T) {
	table := func(first string) (out plan.L4Table) {
		for a := netip.MustParseAddr(first); len(out.OtherVIPs) < maxVIPs; a = a.Next() {
			out.OtherVIPs = append(out.OtherVIPs, plan.VIP{Addr: a, Interface: "eth0"})
		}
		out.Leased = true
		return out
	}
	p, ns := testPlane(t, Options{}, table("10.1.0.0"))
	next := table("10.2.0.0")
	for i := range 2 {
		err := ns.Do(func() error { return p.Set(t.Context(), next) })
		if (err != nil) != (i == 0) {
			t.Errorf("set %d: %v", i+1, err)
		}
	}
	for _, v := range next.OtherVIPs {
		if verdictTo(t, p, ns.Do, v.Addr) != 2 {
			t.Fatalf("%s is not guarded", v.Addr)
		}
	}
}

// A server that leaves takes along the neighbour entry that was made for it, not one
// that somebody else has made.
func TestOnlyOwnNeighboursAreReleased(t *testing.T) {
	l := newLab(t)
	p := l.plane(Options{})
	theirs, ours := netip.MustParseAddr("10.77.0.105"), netip.MustParseAddr("10.77.0.106")
	entry := func(a netip.Addr) (n netlink.Neigh, ok bool) {
		l.in(l.lb, func() error {
			link, err := netlink.LinkByName("eth0")
			if err == nil {
				n, ok = p.entryOf(a, link.Attrs().Index)
			}
			return err
		})
		return n, ok
	}
	l.in(l.lb, func() error {
		link, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		return neighbour(link.Attrs().Index, theirs)
	})
	l.set(p, service(vip4))
	if n, ok := entry(ours); !ok || n.FlagsExt&netlink.NTF_EXT_MANAGED == 0 {
		t.Fatalf("the entry of %s is %+v: this test proves nothing", ours, n)
	}
	l.set(p, plan.L4Table{})
	if n, ok := entry(theirs); !ok || n.State&unix.NUD_PERMANENT == 0 {
		t.Error("somebody else's permanent entry is gone")
	}
	if n, ok := entry(ours); ok && n.FlagsExt&netlink.NTF_EXT_MANAGED != 0 {
		t.Errorf("still kept: %+v", n)
	}
}
