package lab_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket/pcapgo"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/harness/lab"
	"github.com/vosbed/vosbed/harness/observe"
	"github.com/vosbed/vosbed/harness/scenario"
	"github.com/vosbed/vosbed/harness/topo"
	"github.com/vosbed/vosbed/internal/testenv"
)

// build makes the guide's topology without its programs.
func build(t *testing.T, spec topo.Spec) *lab.Lab {
	t.Helper()
	testenv.RequireRoot(t)
	plan, err := topo.Compute(spec)
	if err != nil {
		t.Fatal(err)
	}
	l, err := lab.Build(plan, lab.Options{
		Dir: t.TempDir(), Epoch: int64(lab.Monotonic()), History: observe.NewWriter(&bytes.Buffer{}, 0),
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// listen answers every datagram at addr in a node until the test ends.
func listen(t *testing.T, n *lab.Node, addr string) {
	t.Helper()
	var c net.PacketConn
	err := n.NS().Do(func() (err error) {
		c, err = new(net.ListenConfig).ListenPacket(t.Context(), "udp", addr)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 100)
		for {
			k, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = c.WriteTo(b[:k], from)
		}
	}()
	t.Cleanup(func() { _ = c.Close(); <-done })
}

// ask sends a datagram from an address of a node and reports whether the answer
// came within the time.
func ask(t *testing.T, n *lab.Node, from, to string, within time.Duration) bool {
	t.Helper()
	var c net.Conn
	err := n.NS().Do(func() (err error) {
		d := net.Dialer{LocalAddr: &net.UDPAddr{IP: net.ParseIP(from)}}
		c, err = d.DialContext(t.Context(), "udp", to)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(within))
	if _, err = c.Write([]byte("?")); err != nil {
		return false
	}
	_, err = c.Read(make([]byte, 10))
	return err == nil
}

func TestClientsOfThePoolReachServersInBothFamilies(t *testing.T) {
	l := build(t, topo.Spec{Use: "harmonic-vos"})
	listen(t, l.Node("HT1"), "192.168.94.115:7")
	listen(t, l.Node("HT1"), "[fd94::115]:7")
	for from, to := range map[string]string{"10.94.5.17": "192.168.94.115:7", "fd95:0:4:9::1": "[fd94::115]:7"} {
		if !ask(t, l.Node("clients"), from, to, 2*time.Second) {
			t.Errorf("%s does not reach %s", from, to)
		}
	}
}

func TestFaultsOfTheCableHoldAndHeal(t *testing.T) {
	l := build(t, topo.Spec{Use: "harmonic-vos"})
	listen(t, l.Node("HT1"), "192.168.94.115:7")
	reached := func(within time.Duration) bool {
		return ask(t, l.Node("clients"), "10.94.4.1", "192.168.94.115:7", within)
	}
	for _, f := range []scenario.Fault{{Kind: "blackhole"}, {Kind: "cut"}, {Kind: "loss", Loss: 1}} {
		in, err := l.Inject(t.Context(), f, "HT1")
		if err != nil {
			t.Fatal(err)
		}
		if reached(200 * time.Millisecond) {
			t.Errorf("%s: a datagram passed", f.Kind)
		}
		if err := l.Heal(t.Context(), in); err != nil {
			t.Fatal(err)
		}
		healed := false
		for range 10 { // a carrier takes up to a second to come back
			if healed = reached(500 * time.Millisecond); healed {
				break
			}
		}
		if !healed {
			t.Errorf("%s: nothing passes after healing", f.Kind)
		}
		if len(l.Open()) != 0 {
			t.Errorf("%s is still open", f.Kind)
		}
	}
}

func TestAnnouncementsAreDroppedAndNothingElse(t *testing.T) {
	l := build(t, topo.Spec{Use: "harmonic-vos"})
	if err := l.Rules([]scenario.WireRule{{Node: "HT1", Drop: "garp"}}); err != nil {
		t.Fatal(err)
	}
	listen(t, l.Node("HT1"), "192.168.94.115:7")
	if !ask(t, l.Node("clients"), "10.94.4.1", "192.168.94.115:7", 2*time.Second) {
		t.Error("ordinary ARP or UDP was dropped too")
	}
}

func TestANodeForgetsWhoHasTheVIPs(t *testing.T) {
	l := build(t, topo.HarmonicVOS())
	h, err := netlink.NewHandleAt(netns.NsHandle(l.Node("HM1").NS().Fd()), unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	link, err := h.LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range []string{"192.168.94.110", "fd94::110", "192.168.94.116"} {
		err = h.NeighSet(&netlink.Neigh{
			LinkIndex: link.Attrs().Index, IP: net.ParseIP(a), State: netlink.NUD_REACHABLE,
			HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 9},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // the second time there is nothing to forget
		if err = l.Forget("HM1"); err != nil {
			t.Fatal(err)
		}
	}
	known, err := h.NeighList(link.Attrs().Index, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range known {
		if k.IP.Equal(net.ParseIP("192.168.94.110")) || k.IP.Equal(net.ParseIP("fd94::110")) {
			t.Errorf("still known: %s", k.IP)
		}
	}
	if !slices.ContainsFunc(known, func(k netlink.Neigh) bool { return k.IP.Equal(net.ParseIP("192.168.94.116")) }) {
		t.Errorf("forgot a server too: %v", known)
	}
	if err := l.Forget("nobody"); err == nil {
		t.Error("a node that is not there forgets")
	}
}

func TestCaptureIsReadable(t *testing.T) {
	l := build(t, topo.Spec{Use: "harmonic-vos"})
	c, err := l.StartCapture()
	if err != nil {
		t.Fatal(err)
	}
	listen(t, l.Node("HT1"), "192.168.94.115:7")
	if !ask(t, l.Node("clients"), "10.94.4.1", "192.168.94.115:7", 2*time.Second) {
		t.Fatal("no answer")
	}
	if err = c.Close(); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err = c.WriteTo(&out, "test"); err != nil {
		t.Fatal(err)
	}
	r, err := pcapgo.NewNgReader(&out, pcapgo.DefaultNgReaderOptions)
	if err != nil {
		t.Fatal(err)
	}
	udp := 0
	for {
		b, _, err := r.ReadPacketData()
		if err != nil {
			break
		}
		if len(b) > 23 && b[12] == 8 && b[13] == 0 && b[23] == 17 {
			udp++
		}
	}
	if udp != 2 {
		t.Errorf("%d UDP frames were captured, want question and answer, each once", udp)
	}
}

func TestLabIsBuiltQuicklyAndLeavesNothing(t *testing.T) {
	testenv.RequireRoot(t)
	before := descriptors(t)
	spec := topo.Spec{Use: "harmonic-vos", Nodes: map[string]*topo.Node{}}
	for i, name := range []string{"X1", "X2", "X3", "X4"} { // twelve nodes in all
		spec.Nodes[name] = &topo.Node{Kind: topo.KindSimVOS, ID: 200 + i, Links: []string{"service:" + string(rune('5'+i)) + "0"}}
	}
	plan, err := topo.Compute(spec)
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	l, err := lab.Build(plan, lab.Options{Dir: t.TempDir(), History: observe.NewWriter(&bytes.Buffer{}, 0), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	built := time.Since(begin)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d nodes in %s, %s per node", len(plan.Nodes), built, built/time.Duration(len(plan.Nodes)))
	if after := descriptors(t); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	d, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(d)
}

func TestGuardEndsWithItsContext(t *testing.T) {
	l := build(t, topo.Spec{Use: "harmonic-vos"})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	l.Guard(ctx) // returns at once
}

func TestConnectionsUseCubicInBothFamiliesAndDirections(t *testing.T) {
	l := build(t, topo.Spec{Use: "harmonic-vos"})
	for from, to := range map[string]string{"10.94.4.1": "192.168.94.115:7", "fd95:0:4:1::1": "[fd94::115]:7"} {
		var ln net.Listener
		err := l.Node("HT1").NS().Do(func() (err error) {
			ln, err = new(net.ListenConfig).Listen(t.Context(), "tcp", to)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		var c net.Conn
		err = l.Node("clients").NS().Do(func() (err error) {
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 3 * time.Second}
			c, err = d.DialContext(t.Context(), "tcp", to)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		peer, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer peer.Close()
		for what, c := range map[string]net.Conn{"client": c, "server": peer} {
			if got := congestion(t, c); got != "cubic" {
				t.Errorf("%s of %s uses %s", what, to, got)
			}
		}
	}
}

// congestion returns the congestion control of a connection.
func congestion(t *testing.T, c net.Conn) string {
	t.Helper()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var name string
	err = raw.Control(func(fd uintptr) {
		name, err = unix.GetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION)
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimRight(name, "\x00")
}
