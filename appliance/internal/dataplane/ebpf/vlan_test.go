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
func TestTCPThroughAVLAN(t *testing.T) {
	for _, mode := range []Attach{AttachTCX, AttachClsact} {
		for _, vip := range []string{vip4, vip6} {
			t.Run(string(mode)+"/"+vip, func(t *testing.T) {
				l := newLab(t)
				l.tag()
				addr := net.JoinHostPort(vip, "80")
				for i := range l.servers {
					l.serve(i, addr)
				}
				p := l.plane(Options{Attach: mode})
				l.set(p, service(vip, func(s *plan.L4Service) { s.Interface = "vlan100" }))
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
		err := ns.Do(tagged)
		if errors.Is(err, unix.EOPNOTSUPP) {
			testenv.Missing(l.t, "vlan", err.Error())
		}
		if err != nil {
			l.t.Fatal(err)
		}
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
	for _, a := range all {
		if a.IP.IsLinkLocalUnicast() {
			continue
		}
		a.Label = ""
		if err = errors.Join(netlink.AddrDel(card, &a), netlink.AddrAdd(v, &netlink.Addr{IPNet: a.IPNet, Flags: unix.IFA_F_NODAD})); err != nil {
			return fmt.Errorf("move %s: %w", a.IPNet, err)
		}
	}
	return sysctl("ipv4/conf/"+attrs.Name+"/rp_filter", "0")
}
