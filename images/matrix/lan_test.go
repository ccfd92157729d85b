package matrix_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/vosbed/vosbed/images/vm"
	"github.com/vosbed/vosbed/internal/netns"
	"github.com/vosbed/vosbed/internal/qemu"
	"github.com/vosbed/vosbed/internal/testenv"
	"github.com/vosbed/vosbed/simvos"
)

// lan is the guide's network (sections 5.2 and 10) around one machine. All of it is in
// namespaces of the test's own:
//
//	clients .50 .51 .52      HM1 .105, HM2 .106      HT1 .115, HT2 .116 (VIP on lo)
//	      |                        |                        |
//	      +------------------------+---- 192.168.94.0/24 ---+--- eth0 of the machine, .101
//
// The machine's other cards have a cable to nowhere.
type lan struct {
	sw, client *netns.NS
	servers    map[string]*simvos.Node
}

// Addresses of the guide's deployment.
const (
	machineIP     = "192.168.94.101"
	managementVIP = "192.168.94.100"
	trafficVIP    = "192.168.94.110"
	bridgeName    = "lan"
)

// clientIPs are the addresses of the clients, all in one namespace.
func clientIPs() []netip.Addr {
	return []netip.Addr{netip.MustParseAddr("192.168.94.50"), netip.MustParseAddr("192.168.94.51"), netip.MustParseAddr("192.168.94.52")}
}

// newLAN makes the network and starts the four servers; all ends with the test.
func newLAN(t *testing.T) *lan {
	t.Helper()
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		testenv.Missing(t, "tun", "this kernel gives no taps (module tun)")
	}
	l := &lan{sw: testenv.NewNS(t), client: testenv.NewNS(t), servers: map[string]*simvos.Node{}}
	must(t, l.sw.Do(func() error {
		off := false
		br := &netlink.Bridge{LinkAttrs: named(bridgeName), MulticastSnooping: &off}
		if err := netlink.LinkAdd(br); err != nil {
			return err
		}
		return netlink.LinkSetUp(br)
	}))
	l.plugIn(t, "client", l.client, clientIPs()...)
	for name, id := range map[string]uint16{"HM1": 105, "HM2": 106, "HT1": 115, "HT2": 116} {
		l.serve(t, name, id)
	}
	return l
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func named(name string) netlink.LinkAttrs {
	a := netlink.NewLinkAttrs()
	a.Name = name
	return a
}

// plugIn gives a namespace an eth0 on the network, with these addresses.
func (l *lan) plugIn(t *testing.T, name string, ns *netns.NS, addrs ...netip.Addr) {
	t.Helper()
	must(t, l.sw.Do(func() error {
		veth := &netlink.Veth{LinkAttrs: named(name), PeerName: "eth0", PeerNamespace: netlink.NsFd(ns.Fd())}
		if err := netlink.LinkAdd(veth); err != nil {
			return err
		}
		return toBridge(name)
	}))
	must(t, ns.Do(func() error {
		for _, name := range []string{"lo", "eth0"} {
			link, err := netlink.LinkByName(name)
			if err == nil {
				err = netlink.LinkSetUp(link)
			}
			if err != nil {
				return err
			}
			for _, a := range addrs {
				if name == "lo" {
					break
				}
				if err := netlink.AddrAdd(link, &netlink.Addr{IPNet: &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(24, 32)}}); err != nil {
					return err
				}
			}
		}
		return nil
	}))
}

// toBridge makes an interface of the calling thread's namespace a port of the bridge.
func toBridge(name string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	br, err := netlink.LinkByName(bridgeName)
	if err != nil {
		return err
	}
	if err := netlink.LinkSetMaster(link, br); err != nil {
		return err
	}
	return netlink.LinkSetUp(link)
}

// serve starts a simulated VOS server. Those of the media have the VIP (guide 8.2).
func (l *lan) serve(t *testing.T, name string, id uint16) {
	t.Helper()
	ns := testenv.NewNS(t)
	rip := netip.AddrFrom4([4]byte{192, 168, 94, byte(id)})
	l.plugIn(t, name, ns, rip)
	o := simvos.Options{Name: name, ID: id, Iface: "eth0", RIPs: []netip.Addr{rip}, Ports: simvos.DefaultPorts(), Namespace: ns.Do}
	if name[:2] == "HT" {
		o.VIPs = []netip.Addr{netip.MustParseAddr(trafficVIP)}
	}
	node, err := simvos.New(o)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- node.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("%s: %v", name, err)
		}
	})
	select {
	case <-node.Ready():
	case err := <-done:
		done <- nil
		t.Fatalf("%s did not start: %v", name, err)
	}
	l.servers[name] = node
}

// cards are the four network cards of a machine (guide 9.1), the first one on the network.
// They are for one start: release gives up this process's hold of their cables. The machine
// is known by the last byte of its address.
func (l *lan) cards(t *testing.T, machine byte) (cards []vm.Card, release func()) {
	t.Helper()
	for i := range 4 {
		name := fmt.Sprintf("tap%d-%d", machine, i)
		var tap *os.File
		must(t, l.sw.Do(func() (err error) {
			if tap, err = qemu.OpenTap(name); err != nil {
				return err
			}
			if i == 0 {
				return toBridge(name)
			}
			link, err := netlink.LinkByName(name)
			if err != nil {
				return err
			}
			return netlink.LinkSetUp(link)
		}))
		cards = append(cards, vm.Card{MAC: net.HardwareAddr{0x52, 0x54, 0, 0x94, machine, byte(i)}, Tap: tap})
	}
	return cards, func() {
		for _, c := range cards {
			_ = c.Tap.Close()
		}
	}
}

// start starts a machine on the network.
func (l *lan) start(t *testing.T, o vm.Options) (*vm.VM, context.Context) {
	t.Helper()
	return l.startAs(t, 101, o)
}

// startAs starts one of several machines.
func (l *lan) startAs(t *testing.T, machine byte, o vm.Options) (*vm.VM, context.Context) {
	t.Helper()
	cards, release := l.cards(t, machine)
	defer release()
	o.Cards = cards
	return start(t, o)
}

// dialer dials from a client.
func (l *lan) dialer(from netip.Addr) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (conn net.Conn, err error) {
		d := net.Dialer{Timeout: askTime, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}
		if network == "udp" {
			d.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
		}
		err = l.client.Do(func() error {
			conn, err = d.DialContext(ctx, network, addr)
			return err
		})
		return conn, err
	}
}

// forward is a port of loopback that leads to an address in the network, so that what knows
// nothing of namespaces reaches it.
func (l *lan) forward(t *testing.T, addr string) int {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		_ = ln.Close()
		all.Wait()
	})
	dial := l.dialer(clientIPs()[0])
	all.Go(func() {
		for {
			near, err := ln.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer near.Close()
				far, err := dial(ctx, "tcp", addr)
				if err != nil {
					return
				}
				join(ctx, near, far)
			})
		}
	})
	return ln.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // it listens by TCP
}

// join passes on between two connections until both have said their last, or ctx ends.
func join(ctx context.Context, near, far net.Conn) {
	defer far.Close()
	defer context.AfterFunc(ctx, func() { _, _ = near.Close(), far.Close() })()
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
		both.Go(func() {
			_, err := io.Copy(way[0], way[1])
			if c, ok := way[0].(*net.TCPConn); ok && err == nil {
				_ = c.CloseWrite()
				return
			}
			_, _ = near.Close(), far.Close()
		})
	}
	both.Wait()
}

// askTime is how long one question to a VIP may take, through a machine that is emulated.
const askTime = 10 * time.Second

// asked is how often each server was asked by a client, by server and protocol.
func (l *lan) asked(client netip.Addr) map[string]map[string]uint64 {
	out := map[string]map[string]uint64{}
	for name, node := range l.servers {
		out[name] = map[string]uint64{}
		for protocol, c := range node.Status().Clients[client] {
			out[name][protocol] = c.Sessions + c.ReceivedPackets
		}
	}
	return out
}

// met are the servers that a client has met by a protocol since it was counted.
func (l *lan) met(client netip.Addr, protocol string, since map[string]map[string]uint64) []string {
	var out []string
	for name, now := range l.asked(client) {
		if now[protocol] > since[name][protocol] {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}
