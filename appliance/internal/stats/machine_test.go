package stats

import (
	"context"
	"errors"
	"net"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"github.com/vosbed/vosbed/internal/netns"
	"github.com/vosbed/vosbed/internal/testenv"
)

func TestParseLoads(t *testing.T) {
	t.Parallel()
	if a, b, c, err := parseLoads("0.52 1.58 12.00 3/902 4711\n"); err != nil || a != 0.52 || b != 1.58 || c != 12 {
		t.Errorf("%v %v %v, %v", a, b, c, err)
	}
	for _, text := range []string{"", "1 2", "a b c", "1 2 x 1/2 3"} {
		if _, _, _, err := parseLoads(text); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}

func TestParseMemory(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]uint64{
		"MemTotal:       1000 kB\nMemFree:  5 kB\nMemAvailable:    400 kB\nSwapTotal: 7 kB\n": 600 << 10,
		"MemTotal: 1 kB\nMemAvailable: 2 kB\n":                                                0, // a container
	} {
		if got, err := parseMemory(text); err != nil || got != want {
			t.Errorf("%q: %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "MemTotal: 1 kB\n", "MemTotal: x kB\nMemAvailable: 1 kB\n", "MemTotal: 99999999999999999999 kB\nMemAvailable: 1 kB"} {
		if _, err := parseMemory(text); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}

// TestEra: the sums go on only while each interface does.
func TestEra(t *testing.T) {
	t.Parallel()
	m := &machine{}
	var last uint64
	for i, step := range []struct {
		now   map[int]traffic
		fresh bool
		rx    uint64
	}{
		{map[int]traffic{2: {10, 1}}, true, 10},
		{map[int]traffic{2: {20, 1}}, false, 20},
		{map[int]traffic{2: {20, 1}, 3: {1000, 0}}, true, 1020}, // moved here with its counters
		{map[int]traffic{2: {30, 2}, 3: {1001, 0}}, false, 1031},
		{map[int]traffic{2: {5000, 2}, 3: {7, 0}}, true, 5007}, // hidden in the sum
		{map[int]traffic{2: {5000, 2}, 4: {8, 0}}, true, 5008},
		{map[int]traffic{2: {6000, 2}}, true, 6000},
		{map[int]traffic{}, true, 0},
		{map[int]traffic{}, false, 0},
	} {
		rx, _, era := m.count(step.now)
		if rx != step.rx || (era != last) != step.fresh {
			t.Errorf("step %d: rx %d, era %d after %d", i, rx, era, last)
		}
		last = era
	}
}

func TestCounters(t *testing.T) {
	t.Parallel()
	link := func(index, master, nsid int, kind string) netlink.Link {
		a := netlink.LinkAttrs{Index: index, MasterIndex: master, NetNsID: nsid, Statistics: &netlink.LinkStatistics{RxBytes: 1}}
		if kind == "device" {
			return &netlink.Device{LinkAttrs: a}
		}
		return &netlink.GenericLink{LinkAttrs: a, LinkType: kind}
	}
	lo := link(1, 0, -1, "device")
	lo.Attrs().Flags = net.FlagLoopback
	mute := link(16, 0, -1, "device")
	mute.Attrs().Statistics = nil
	got := counters([]netlink.Link{
		lo,
		link(2, 0, -1, "device"), link(3, 10, -1, "device"), // a card, and one below a bond
		link(4, 2, -1, "device"),                         // the fast path of the card
		link(5, 11, 0, "veth"), link(6, 0, -1, "netkit"), // one of them in a bridge
		link(7, 0, 3, "macvlan"), link(8, 0, -1, "macvlan"),
		link(9, 0, -1, "vlan"), link(10, 0, -1, "bond"), link(11, 0, -1, "bridge"),
		link(12, 0, -1, "wireguard"), link(13, 0, -1, "dummy"), link(14, 0, -1, "tuntap"), link(15, 0, -1, "sit"),
		mute,
	})
	one := traffic{rx: 1}
	want := map[int]traffic{2: one, 3: one, 5: one, 6: one, 7: one}
	if !cmp.Equal(got, want, cmp.AllowUnexported(traffic{})) {
		t.Errorf("counted %v", got)
	}
}

func TestInterrupted(t *testing.T) {
	t.Parallel()
	asked := 0
	all, err := list(func() ([]netlink.Link, error) {
		if asked++; asked < 3 {
			return nil, netlink.ErrDumpInterrupted
		}
		return []netlink.Link{&netlink.Device{}}, nil
	})
	if err != nil || len(all) != 1 || asked != 3 {
		t.Errorf("%v, %v after %d", all, err, asked)
	}
	asked = -100
	if _, err = list(func() ([]netlink.Link, error) { asked++; return nil, netlink.ErrDumpInterrupted }); err == nil || asked != dumps-100 {
		t.Errorf("%v after %d", err, asked+100)
	}
	asked = 0
	broken := errors.New("broken")
	if _, err = list(func() ([]netlink.Link, error) { asked++; return nil, broken }); !errors.Is(err, broken) || asked != 1 {
		t.Errorf("%v after %d", err, asked)
	}
}

// cable makes eth0 with its other end in another namespace, both up.
func cable(there *netns.NS) error {
	l := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "eth0", PeerNamespace: netlink.NsFd(there.Fd())}
	if err := netlink.LinkAdd(l); err != nil {
		return err
	}
	if err := there.Do(func() error {
		far, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(far)
	}); err != nil {
		return err
	}
	address, err := netlink.ParseAddr("192.0.2.1/24")
	if err != nil {
		return err
	}
	return errors.Join(netlink.AddrAdd(l, address), netlink.LinkSetUp(l))
}

// shout sends so many bytes to everybody on the cable, so that nobody is asked for an
// address first.
func shout(ctx context.Context, bytes int) error {
	c, err := new(net.Dialer).DialContext(ctx, "udp4", "192.0.2.255:9")
	if err != nil {
		return err
	}
	_, err = c.Write(make([]byte, bytes))
	return errors.Join(err, c.Close())
}

// TestMachine reads a namespace that has a cable of its own.
func TestMachine(t *testing.T) {
	t.Parallel()
	here, there := testenv.NewNS(t), testenv.NewNS(t)
	source := Machine()
	var got []Sample
	look := func() error {
		s, err := source()
		got = append(got, s)
		return err
	}
	for _, do := range []func() error{
		look,
		func() error { return cable(there) }, look,
		func() error { return shout(t.Context(), 1000) }, look,
	} {
		if err := here.Do(do); err != nil {
			t.Fatal(err)
		}
	}
	empty, before, after := got[0], got[1], got[2]
	if empty.RX != 0 || empty.TX != 0 || empty.Memory < 1<<20 || empty.At.IsZero() || !sane(empty.Load1, empty.Load5, empty.Load15) {
		t.Errorf("an empty namespace: %+v", empty)
	}
	if before.era == empty.era || after.era != before.era {
		t.Errorf("eras %d, %d, %d", empty.era, before.era, after.era)
	}
	if sent := after.TX - before.TX; sent < 1000 || sent > 10_000 {
		t.Errorf("%d bytes sent, want 1000 and their headers", sent)
	}
}

func BenchmarkMachine(b *testing.B) {
	source := Machine()
	for b.Loop() {
		if _, err := source(); err != nil {
			b.Fatal(err)
		}
	}
}
