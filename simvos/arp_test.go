package simvos_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/internal/testenv"
	"github.com/vosbed/vosbed/simvos"
)

// neighbour returns the MAC that the client has learnt for ip, empty for none.
func (l *lab) neighbour(t *testing.T, ip netip.Addr) string {
	t.Helper()
	var mac string
	must(t, l.client.Do(func() error {
		list, err := netlink.NeighList(0, 0)
		if err != nil {
			return err
		}
		for _, n := range list {
			if a, ok := netip.AddrFromSlice(n.IP); ok && a.Unmap() == ip && n.HardwareAddr != nil {
				mac = n.HardwareAddr.String()
			}
		}
		return nil
	}))
	return mac
}

// onLink takes the routes away, so that the client asks for the VIPs itself,
// as in a network where the balancer is absent.
func (l *lab) onLink(t *testing.T) {
	t.Helper()
	must(t, l.client.Do(func() error {
		link, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		for _, a := range []netip.Addr{vip, vip6} {
			route := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: host(a), Scope: unix.RT_SCOPE_LINK}
			if err := netlink.RouteReplace(route); err != nil {
				return err
			}
		}
		return nil
	}))
}

// ask sends a datagram to the VIP, which makes the client's kernel resolve it.
func (l *lab) askFor(t *testing.T, ip netip.Addr) {
	t.Helper()
	_, err := l.dial(t, "udp", ip, 60000).Write([]byte("x"))
	must(t, err)
}

func TestARPSolved(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	l.onLink(t)
	l.askFor(t, vip)
	l.askFor(t, vip6)
	l.askFor(t, rip) // a question that is answered, for comparison
	eventually(t, "an answer for the RIP", func() bool { return l.neighbour(t, rip) != "" })
	quiet := time.After(500 * time.Millisecond)
	<-quiet
	for _, a := range []netip.Addr{vip, vip6} {
		if mac := l.neighbour(t, a); mac != "" {
			t.Errorf("the server answers for %s with %s", a, mac)
		}
	}
}

func TestARPUnsolved(t *testing.T) {
	t.Parallel()
	l := newLab(t, func(o *simvos.Options) { o.ARP = simvos.ARPUnsolved })
	l.onLink(t)
	l.askFor(t, vip)
	l.askFor(t, vip6)
	for _, a := range []netip.Addr{vip, vip6} {
		eventually(t, "an answer for "+a.String(), func() bool { return l.neighbour(t, a) != "" })
	}
}

// TestAnnouncement listens to what an unsolved server says unasked.
func TestAnnouncement(t *testing.T) {
	t.Parallel()
	l := newLab(t, func(o *simvos.Options) { o.ARP = simvos.ARPUnsolved })
	var fd int
	must(t, l.client.Do(func() (err error) {
		card, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		all := uint16(unix.ETH_P_ALL<<8) | unix.ETH_P_ALL>>8
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, int(all))
		if err != nil {
			return err
		}
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: card.Index})
	}))
	f := os.NewFile(uintptr(fd), "packets")
	defer f.Close()
	must(t, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 1}))
	arp, na := false, false
	buf := make([]byte, 2000)
	for end := time.Now().Add(patience); (!arp || !na) && time.Now().Before(end); {
		n, err := unix.Read(fd, buf)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			continue
		}
		must(t, err)
		b := buf[:n]
		switch {
		case n >= 42 && b[12] == 0x08 && b[13] == 0x06 && netip.AddrFrom4([4]byte(b[28:32])) == vip && netip.AddrFrom4([4]byte(b[38:42])) == vip:
			arp = true
		case n >= 78 && b[12] == 0x86 && b[54] == 136 && netip.AddrFrom16([16]byte(b[62:78])) == vip6:
			na = true
		}
	}
	if !arp || !na {
		t.Errorf("gratuitous ARP %t, unsolicited advertisement %t, want both", arp, na)
	}
}

// TestAddressesAreTakenBack runs a node to its end.
func TestAddressesAreTakenBack(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	l := &lab{client: testenv.NewNS(t), server: testenv.NewNS(t)}
	l.wire(t)
	node, err := simvos.New(simvos.Options{Name: "HT1", Iface: "eth0", VIPs: []netip.Addr{vip, vip6}, Namespace: l.server.Do})
	must(t, err)
	done := make(chan error, 1)
	go func() { done <- node.Run(ctx) }()
	<-node.Ready()
	if !l.serverHas(t, vip) || !l.serverHas(t, vip6) {
		t.Error("the VIPs are missing")
	}
	cancel()
	must(t, <-done)
	if l.serverHas(t, vip) || l.serverHas(t, vip6) {
		t.Error("the VIPs outlived the node")
	}
}

// serverHas reports whether the server's namespace has the address.
func (l *lab) serverHas(t *testing.T, ip netip.Addr) bool {
	t.Helper()
	found := false
	must(t, l.server.Do(func() error {
		list, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
		for _, a := range list {
			if got, ok := netip.AddrFromSlice(a.IP); ok && got.Unmap() == ip {
				found = true
			}
		}
		return err
	}))
	return found
}
