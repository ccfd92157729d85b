package system

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/lb"
	"github.com/vosbed/vosbed/internal/netns"
	"github.com/vosbed/vosbed/internal/testenv"
)

// bonding is a machine whose kernel has bonds, with two more cards, eth2 and eth3, whose
// other ends are plugged in elsewhere.
type bonding struct {
	*machine

	far *netns.NS
}

func newBonding(t *testing.T) *bonding {
	t.Helper()
	m := &bonding{newMachine(t), testenv.NewNS(t)}
	if err := m.inside(func() error { return bondOfOthers("probe", netlink.BOND_MODE_ACTIVE_BACKUP) }); err != nil {
		testenv.Missing(t, "bond", err.Error())
	}
	m.do(func() error {
		l, err := netlink.LinkByName("probe")
		if err != nil {
			return err
		}
		if err := netlink.LinkDel(l); err != nil {
			return err
		}
		for _, n := range []string{"2", "3"} {
			card := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth" + n}, PeerName: "far" + n, PeerNamespace: netlink.NsFd(m.far.Fd())}
			if err := netlink.LinkAdd(card); err != nil {
				return err
			}
		}
		return nil
	})
	m.plug("far2", true)
	m.plug("far3", true)
	return m
}

// plug plugs a cable in, or out.
func (m *bonding) plug(end string, in bool) {
	m.t.Helper()
	err := m.far.Do(func() error {
		l, err := netlink.LinkByName(end)
		if err != nil {
			return err
		}
		return setUp(l, in)
	})
	if err != nil {
		m.t.Fatal(err)
	}
}

// bondOfOthers makes a bond as the machine's own tools do.
func bondOfOthers(name string, mode netlink.BondMode, members ...string) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	b := netlink.NewLinkBond(attrs)
	b.Mode = mode
	if err := netlink.LinkAdd(b); err != nil {
		return err
	}
	for _, member := range members {
		l, err := netlink.LinkByName(member)
		if err != nil {
			return err
		}
		if err := netlink.LinkSetMaster(l, b); err != nil {
			return err
		}
	}
	return nil
}

func bondText(f BondFact) string {
	var members []string
	for _, m := range f.Members {
		state := "without a cable"
		switch {
		case m.Active:
			state = "active"
		case m.Carrier:
			state = "standing by"
		}
		members = append(members, m.Name+" "+state)
	}
	return f.Mode + " of " + strings.Join(members, ", ")
}

// nic is an interface as it is.
func (m *machine) nic(name string) (nic NIC) {
	m.t.Helper()
	m.do(func() error {
		f, err := m.daemon().Facts()
		i := slices.IndexFunc(f.NICs, func(n NIC) bool { return n.Name == name })
		if err == nil && i < 0 {
			return fmt.Errorf("there is no %s", name)
		}
		if err == nil {
			nic = f.NICs[i]
		}
		return err
	})
	return nic
}

// becomes waits until a bond is as is said.
func (m *bonding) becomes(text string) {
	m.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var last string
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); <-tick.C {
		if last = bondText(m.nic("bond0").Bond); last == text {
			return
		}
	}
	m.t.Errorf("the bond is %s, want %s", last, text)
}

func bonds() lb.System {
	return lb.System{
		Interfaces: []lb.Interface{
			vlan("bond0.100", "bond0", 100, "10.100.0.1/24"),
			{Name: "eth2"},
			{Name: "bond0", Bond: lb.Bond{Members: []string{"eth2", "eth3"}}, MTU: 1400, Addrs: []netip.Prefix{prefix("192.168.94.101/24"), prefix("2001:db8:94::101/64")}},
		},
		Routes: []lb.Route{{To: prefix("0.0.0.0/0"), Via: netip.MustParseAddr("192.168.94.1")}},
	}
}

func bare() []string { return []string{"eth0 mtu 1500 up false", "eth1 mtu 1500 up false"} }

func bondedLines() []string {
	return append(bare(),
		"bond0 mtu 1400 up true", "bond0 active-backup of eth2 active, eth3 standing by", "bond0 192.168.94.101/24 configured", "bond0 2001:db8:94::101/64 configured",
		"bond0.100 mtu 1400 up true", "bond0.100 10.100.0.1/24 configured", "eth2 mtu 1400 up true", "eth3 mtu 1400 up true",
		"route 0.0.0.0/0 via 192.168.94.1 on bond0 metric 0 configured")
}

// plain is the same without a bond.
func plain() lb.System {
	want := bonds()
	want.Interfaces = []lb.Interface{{Name: "eth2", Addrs: want.Interfaces[2].Addrs}}
	return want
}

func plainLines(third bool) []string {
	return append(bare(), "eth2 mtu 1500 up true", "eth2 192.168.94.101/24 configured", "eth2 2001:db8:94::101/64 configured",
		fmt.Sprintf("eth3 mtu 1500 up %t", third), "route 0.0.0.0/0 via 192.168.94.1 on eth2 metric 0 configured")
}

// TestBond: the addresses move from a card to a bond of it, with a VLAN upon the bond, and
// back, in one Set each; a restart adopts it; all is as it was in the end.
func TestBond(t *testing.T) {
	t.Parallel()
	m := newBonding(t)
	m.do(func() error { // somebody else has taken eth3 up
		l, err := netlink.LinkByName("eth3")
		if err != nil {
			return err
		}
		return setUp(l, true)
	})
	a := m.daemon()
	for range 2 {
		if p := m.apply(a, plain()); p != "" {
			t.Errorf("problems: %s", p)
		}
		m.wants(plainLines(true)...)
		if p := m.apply(a, bonds()); p != "" {
			t.Errorf("problems: %s", p)
		}
		m.wants(bondedLines()...)
		a = m.daemon()
	}
	m.do(func() error {
		index := m.index()
		n, err := changes(func() { a.Set(bonds()); a.Apply(t.Context()) })
		if n > 0 || err != nil || m.index() != index {
			t.Errorf("an equal Set changed the kernel %d times, %v", n, err)
		}
		return nil
	})
	if bond, first := m.nic("bond0"), m.nic("eth2"); bond.MAC != first.MAC || first.BondOf != "bond0" || m.nic("eth3").MAC != first.MAC {
		t.Errorf("%+v of %+v", bond, first)
	}
	if p := m.apply(m.daemon(), lb.System{}); p != "" {
		t.Errorf("problems: %s", p)
	}
	m.wants(append(bare(), "eth2 mtu 1500 up false", "eth3 mtu 1500 up true")...)
	if s := m.read("system.json"); strings.Contains(s, "eth") {
		t.Errorf("something is remembered: %s", s)
	}
}

// index is that of the bond.
func (m *bonding) index() int {
	l, err := netlink.LinkByName("bond0")
	if err != nil {
		m.t.Error(err)
		return 0
	}
	return l.Attrs().Index
}

// TestBondMembers: another one works when a cable is pulled; members come and go; the MAC
// address that one has lent goes with it.
func TestBondMembers(t *testing.T) {
	t.Parallel()
	m := newBonding(t)
	own := m.nic("eth3").MAC
	m.apply(m.daemon(), bonds())
	m.plug("far2", false)
	m.becomes("active-backup of eth2 without a cable, eth3 active")
	m.plug("far2", true)
	m.becomes("active-backup of eth2 standing by, eth3 active")

	fewer := bonds()
	fewer.Interfaces[2].Bond.Members = []string{"eth3"}
	if p := m.apply(m.daemon(), fewer); p != "" {
		t.Errorf("problems: %s", p)
	}
	m.becomes("active-backup of eth3 active")
	if bond, freed := m.nic("bond0"), m.nic("eth2"); bond.MAC != own || freed.MAC == own || freed.MTU != 1500 || !freed.Up || freed.BondOf != "" {
		t.Errorf("%+v, and free is %+v", bond, freed)
	}
	if p := m.apply(m.daemon(), bonds()); p != "" {
		t.Errorf("problems: %s", p)
	}
	m.becomes("active-backup of eth2 standing by, eth3 active")
	m.apply(m.daemon(), lb.System{})
	m.wants(append(bare(), "eth2 mtu 1500 up false", "eth3 mtu 1500 up false")...)
}

// TestBondAnnounces: when another member begins to work, the kernel announces what the bond
// and its VLANs have, VIPs too, by that member.
func TestBondAnnounces(t *testing.T) {
	t.Parallel()
	m := newBonding(t)
	if p := m.apply(m.daemon(), bonds()); p != "" {
		t.Errorf("problems: %s", p)
	}
	m.do(func() error {
		req := addressRequest(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_ACK, place{m.index(), prefix("192.168.94.110/32")})
		req.AddData(netlinkAttr(ifaProto, vipMark))
		_, err := req.Execute(unix.NETLINK_ROUTE, 0)
		return err
	})
	heard := m.listen("far3")
	m.plug("far2", false)
	m.becomes("active-backup of eth2 without a cable, eth3 active")
	for _, addr := range []string{"192.168.94.101", "192.168.94.110", "10.100.0.1"} {
		if !heard(netip.MustParseAddr(addr)) {
			t.Errorf("%s is not announced", addr)
		}
	}
}

// listen returns what waits for a gratuitous ARP at the other end of a card.
func (m *bonding) listen(end string) func(netip.Addr) bool {
	m.t.Helper()
	fd := -1
	err := m.far.Do(func() error {
		l, err := netlink.LinkByName(end)
		if err != nil {
			return err
		}
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		return errors.Join(
			unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5}),
			unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: unix.ETH_P_ARP>>8 | unix.ETH_P_ARP&0xff<<8, Ifindex: l.Attrs().Index}))
	})
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { _ = unix.Close(fd) })
	seen := map[netip.Addr]bool{}
	return func(addr netip.Addr) bool {
		buf := make([]byte, 128)
		for !seen[addr] {
			n, _, err := unix.Recvfrom(fd, buf, 0)
			if err != nil {
				return false
			}
			if n < 28 { // RFC 826: of Ethernet and IPv4
				continue
			}
			sender, target := netip.AddrFrom4([4]byte(buf[14:18])), netip.AddrFrom4([4]byte(buf[24:28]))
			seen[sender] = seen[sender] || sender == target
		}
		return true
	}
}

// TestBondModes: another mode keeps the interface and its addresses.
func TestBondModes(t *testing.T) {
	t.Parallel()
	m := newBonding(t)
	m.apply(m.daemon(), bonds())
	before := 0
	m.do(func() error { before = m.index(); return nil })
	for _, mode := range []lb.BondMode{lb.BalanceXOR, lb.LACP, lb.ActiveBackup} {
		want := bonds()
		want.Interfaces[2].Bond.Mode = mode
		if p := m.apply(m.daemon(), want); p != "" {
			t.Errorf("%s: problems: %s", mode, p)
		}
		lines := m.kernel()
		if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, "bond0 "+mode.String()+" of eth2 ") }) {
			t.Errorf("%s: %s", mode, lines)
		}
		for _, line := range bondedLines() {
			if !strings.Contains(line, " of ") && !slices.Contains(lines, line) {
				t.Errorf("%s: %s is not there: %s", mode, line, lines)
			}
		}
		m.do(func() error {
			l, err := netlink.LinkByName("bond0")
			if err != nil {
				return err
			}
			b, ok := l.(*netlink.Bond)
			if !ok || b.Index != before || b.Miimon != 100 {
				t.Errorf("%s: %+v", mode, l)
			}
			if mode == lb.LACP && (b.LacpRate != netlink.BOND_LACP_RATE_FAST || b.XmitHashPolicy != netlink.BOND_XMIT_HASH_POLICY_LAYER3_4) {
				t.Errorf("%+v", b)
			}
			return nil
		})
	}
}

// TestBondsOfOthers are used where they are what is configured, and never changed; one that
// nobody uses, as the kernel's module makes, is taken.
func TestBondsOfOthers(t *testing.T) {
	t.Parallel()
	m := newBonding(t)
	m.do(func() error { return bondOfOthers("bond0", netlink.BOND_MODE_BALANCE_RR) })
	if p := m.apply(m.daemon(), bonds()); p != "" {
		t.Errorf("problems: %s", p)
	}
	m.wants(bondedLines()...)
	m.apply(m.daemon(), lb.System{})

	m.do(func() error { return bondOfOthers("bond0", netlink.BOND_MODE_ACTIVE_BACKUP, "eth2", "eth3") })
	if p := m.apply(m.daemon(), bonds()); p != "" {
		t.Errorf("problems: %s", p)
	}
	if p := m.apply(m.daemon(), lb.System{}); p != "" {
		t.Errorf("problems: %s", p)
	}
	if n := m.nic("bond0"); len(n.Bond.Members) != 2 || n.MTU != 1500 || n.Up {
		t.Errorf("%+v", n)
	}
	want := lb.System{Interfaces: []lb.Interface{
		{Name: "bond0", Bond: lb.Bond{Members: []string{"eth2"}}},
		{Name: "eth0", Bond: lb.Bond{Members: []string{"eth1"}}},
		{Name: "bond1", Bond: lb.Bond{Members: []string{"eth3", "eth9"}}},
	}}
	p := m.apply(m.daemon(), want)
	tells(t, p,
		"interface bond0: there is another bond of this name, made by others",
		"interface eth0: there is an interface of this name that is no bond",
		"interface bond1: its member eth3 belongs to a bond or bridge that others made",
		"interface bond1: its member eth9 is not on this machine",
	)
	m.apply(m.daemon(), lb.System{})
	if n := m.nic("bond0"); len(n.Bond.Members) != 2 || n.Up {
		t.Errorf("%+v", n)
	}
}

// TestNoBonds: a kernel without the module is told as what it is.
func TestNoBonds(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	if m.inside(func() error { return bondOfOthers("probe", netlink.BOND_MODE_ACTIVE_BACKUP) }) == nil {
		t.Skip("this kernel has bonds")
	}
	want := lb.System{Interfaces: []lb.Interface{{Name: "bond0", Bond: lb.Bond{Members: []string{"eth0"}}}, vlan("bond0.7", "bond0", 7)}}
	if p := m.apply(m.daemon(), want); !strings.HasPrefix(p, "interface bond0: the kernel of this machine has no bonds: load its module bonding\n") {
		t.Errorf("problems: %s", p)
	}
	m.wants(bare()...)
}
