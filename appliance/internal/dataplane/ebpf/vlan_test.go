package ebpf

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/internal/plan"
	"github.com/vosbed/vosbed/internal/testenv"
)

// A frame with a priority alone (IEEE 802.1Q, VLAN 0) is the VIP's like one without a
// tag; a frame of a VLAN is not.
func TestPriorityTaggedFrames(t *testing.T) {
	for _, mode := range []Attach{AttachTCX, AttachClsact} {
		t.Run(string(mode), func(t *testing.T) {
			l := newLab(t)
			var got atomic.Uint64
			for i := range l.servers {
				l.count(i, vip4+":5004", &got)
			}
			p := l.plane(Options{Attach: mode})
			l.set(p, service(vip4))
			l.sendTagged(t, 5)
			l.sendTagged(t, 0)
			eventually(t, "the frame with a priority comes to a server", func() bool { return got.Load() == 1 })
			c, err := p.Counters(t.Context())
			if n := c.Services["media"].In.Packets; err != nil || n != 1 {
				t.Errorf("%d packets, want the one of VLAN 0 (%v)", n, err)
			}
		})
	}
}

// sendTagged sends a datagram for the VIP from the client, in a frame with a tag.
func (l *lab) sendTagged(t *testing.T, vid uint16) {
	t.Helper()
	l.in(l.client, func() error {
		link, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		ip := &layers.IPv4{
			Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP,
			SrcIP: net.IPv4(10, 77, 0, 10), DstIP: netip.MustParseAddr(vip4).AsSlice(),
		}
		udp := &layers.UDP{SrcPort: 4000, DstPort: 5004}
		if err = udp.SetNetworkLayerForChecksum(ip); err != nil {
			return err
		}
		f := frame(t,
			&layers.Ethernet{SrcMAC: link.Attrs().HardwareAddr, DstMAC: l.macOf("eth0"), EthernetType: layers.EthernetTypeDot1Q},
			&layers.Dot1Q{Priority: 5, VLANIdentifier: vid, Type: layers.EthernetTypeIPv4},
			ip, udp, gopacket.Payload("priority"))
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Sendto(fd, f, 0, &unix.SockaddrLinklayer{Ifindex: link.Attrs().Index, Halen: 6})
	})
}

// macOf is the MAC of one of the balancer's interfaces.
func (l *lab) macOf(name string) (mac net.HardwareAddr) {
	l.in(l.lb, func() error {
		link, err := netlink.LinkByName(name)
		if err == nil {
			mac = link.Attrs().HardwareAddr
		}
		return err
	})
	return mac
}

// TestTCPThroughAVLAN: a VIP on a VLAN's interface is served like one on a network card:
// connections and bulk data, by both ways of attaching; the card itself runs no program.
func TestTCPThroughAVLAN(t *testing.T) { throughStacked(t, "vlan100", (*lab).tag) }

// TestTCPThroughABond: so is a VIP on a bond.
func TestTCPThroughABond(t *testing.T) { throughStacked(t, "bond0", (*lab).bond) }

// throughStacked has the VIP on what stack puts upon the network cards.
func throughStacked(t *testing.T, name string, stack func(*lab)) {
	t.Helper()
	for _, mode := range []Attach{AttachTCX, AttachClsact} {
		for _, vip := range []string{vip4, vip6} {
			t.Run(string(mode)+"/"+vip, func(t *testing.T) {
				l := newLab(t)
				stack(l)
				addr := net.JoinHostPort(vip, "80")
				for i := range l.servers {
					l.serve(i, addr)
				}
				p := l.plane(Options{Attach: mode})
				l.set(p, service(vip, func(s *plan.L4Service) { s.Interface = name }))
				c, who, err := l.dial(addr)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				bulk(t, c, 4<<20)
				counters, err := p.Counters(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if got := counters.Services["media"]; got.Conns != 1 || got.In.Bytes < 4<<20 || got.Reals[who].Conns != 1 {
					t.Errorf("counters %+v, want one connection and all bytes on %s", got, who)
				}
			})
		}
	}
}

// tag moves the addresses of the segment to a VLAN of it.
func (l *lab) tag() {
	l.t.Helper()
	for _, ns := range append(l.servers[:], l.client, l.lb) {
		l.stacked("vlan", ns.Do(tagged))
	}
}

// bond moves the balancer's addresses to a bond of its card.
func (l *lab) bond() {
	l.t.Helper()
	l.stacked("bond", l.lb.Do(bonded))
}

func (l *lab) stacked(what string, err error) {
	l.t.Helper()
	if errors.Is(err, unix.EOPNOTSUPP) {
		testenv.Missing(l.t, what, err.Error())
	}
	if err != nil {
		l.t.Fatal(err)
	}
}

func tagged() error {
	card, err := netlink.LinkByName("eth0")
	if err != nil {
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.ParentIndex = "vlan100", card.Attrs().Index
	v := &netlink.Vlan{LinkAttrs: attrs, VlanId: 100, VlanProtocol: netlink.VLAN_PROTOCOL_8021Q}
	if err = up(v); err != nil {
		return err
	}
	all, err := netlink.AddrList(card, unix.AF_UNSPEC)
	if err != nil {
		return err
	}
	return moved(all, card, v)
}

func bonded() error {
	card, err := netlink.LinkByName("eth0")
	if err != nil {
		return err
	}
	all, err := netlink.AddrList(card, unix.AF_UNSPEC)
	if err != nil {
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "bond0"
	b := netlink.NewLinkBond(attrs)
	b.Mode, b.Miimon = netlink.BOND_MODE_ACTIVE_BACKUP, 100
	if err = netlink.LinkAdd(b); err != nil {
		return err
	}
	if err = errors.Join(netlink.LinkSetDown(card), netlink.LinkSetMaster(card, b), sysctl("ipv6/conf/bond0/accept_dad", "0"), netlink.LinkSetUp(b)); err != nil {
		return err
	}
	return moved(all, card, b)
}

// moved moves addresses from an interface to another one. Those of IPv6 may have gone when
// the first one was taken down.
func moved(all []netlink.Addr, from, to netlink.Link) error {
	for _, a := range all {
		if a.IP.IsLinkLocalUnicast() {
			continue
		}
		a.Label = ""
		if err := netlink.AddrDel(from, &a); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
			return fmt.Errorf("take %s away: %w", a.IPNet, err)
		}
		if err := netlink.AddrAdd(to, &netlink.Addr{IPNet: a.IPNet, Flags: unix.IFA_F_NODAD}); err != nil {
			return fmt.Errorf("move %s: %w", a.IPNet, err)
		}
	}
	return sysctl("ipv4/conf/"+to.Attrs().Name+"/rp_filter", "0")
}
