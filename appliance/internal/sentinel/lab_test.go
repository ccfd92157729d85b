package sentinel_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/internal/plan"
	"github.com/vosbed/vosbed/appliance/internal/sentinel"
	"github.com/vosbed/vosbed/appliance/lb"
	"github.com/vosbed/vosbed/internal/netns"
	"github.com/vosbed/vosbed/internal/testenv"
)

// TestMain is the sentinel process too: the tests re-execute their own binary.
func TestMain(m *testing.M) {
	code := 0
	if os.Getenv("VOSBED_TEST_SENTINEL") == "" {
		code = m.Run()
	} else if err := sentinel.Main(context.Background(), os.NewFile(sentinel.SocketFd, "socket"), openFileLease); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code) //nolint:forbidigo // this is the test binary's main
}

// fileLease is a lease in a mapped file, which the test reads as the kernel would.
type fileLease struct{ mem []byte }

func openFileLease(dir string) (sentinel.Leaser, error) { return mapLease(dir) }

func mapLease(dir string) (*fileLease, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lease"), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	mem, err := unix.Mmap(int(f.Fd()), 0, 8, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	return &fileLease{mem}, err
}

func (f *fileLease) Renew(d uint64)   { binary.NativeEndian.PutUint64(f.mem, d) }
func (f *fileLease) Deadline() uint64 { return binary.NativeEndian.Uint64(f.mem) }

func (f *fileLease) held() bool {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return f.Deadline() > uint64(ts.Nano())
}

// lab is a switch with the ping node, a packet socket that hears the segment, and
// two nodes joined by the switch and by a direct link.
type lab struct {
	t      *testing.T
	sw     *netns.NS
	ear    int
	timers lb.HATimers
	nodes  [2]*node
}

type node struct {
	lab    *lab
	seat   lb.Seat
	ns     *netns.NS
	mac    net.HardwareAddr
	lease  *fileLease
	dir    string
	secret byte
	change func(*sentinel.Config) // nil = none
	flush  func(context.Context) error
	handle *sentinel.Handle
	pid    atomic.Int64
	quiet  atomic.Bool // the main daemon makes no progress
	stop   context.CancelFunc
	done   chan struct{}
}

const vipText = "192.168.94.110"

func vips() []plan.VIP {
	return []plan.VIP{
		{Addr: netip.MustParseAddr(vipText), Interface: "svc0"},
		{Addr: netip.MustParseAddr("fd00:94::110"), Interface: "svc0"},
	}
}

func defaultTimers() lb.HATimers {
	ms := time.Millisecond
	return lb.HATimers{Heartbeat: 100 * ms, Dead: 300 * ms, Lease: 250 * ms, Init: 600 * ms, HoldDown: 5 * time.Second}
}

// longLease outlives every stall of a busy machine.
func longLease() lb.HATimers {
	t := defaultTimers()
	t.Dead, t.Lease = 9*time.Second, 8*time.Second
	return t
}

func newLab(t *testing.T, timers lb.HATimers) *lab {
	t.Helper()
	l := &lab{t: t, sw: testenv.NewNS(t), timers: timers}
	for i := range l.nodes {
		l.nodes[i] = &node{lab: l, seat: lb.Seat(i), ns: testenv.NewNS(t), secret: 's'}
	}
	l.must(l.sw.Do(l.wire))
	for i, n := range l.nodes {
		l.must(n.ns.Do(func() error { return n.addresses(i) }))
		n.dir = t.TempDir()
		l.must(os.WriteFile(filepath.Join(n.dir, "lease"), make([]byte, 8), 0o600))
		var err error
		n.lease, err = mapLease(n.dir)
		l.must(err)
	}
	t.Cleanup(func() {
		for _, n := range l.nodes {
			n.kill()
		}
	})
	return l
}

func (l *lab) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

// wire builds bridge, cables and the ear inside the switch's namespace.
func (l *lab) wire() error {
	// A fixed address: a bridge without one changes it with its ports.
	br := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0", HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 1}}}
	if err := netlink.LinkAdd(br); err != nil {
		return err
	}
	for i, n := range l.nodes {
		port := fmt.Sprintf("port%d", i)
		cable := &netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: port, MasterIndex: br.Index}, PeerName: "svc0",
			PeerNamespace: netlink.NsFd(n.ns.Fd()),
		}
		if err := errors.Join(netlink.LinkAdd(cable), up(port)); err != nil {
			return err
		}
	}
	direct := &netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: "sync0", Namespace: netlink.NsFd(l.nodes[0].ns.Fd())}, PeerName: "sync0",
		PeerNamespace: netlink.NsFd(l.nodes[1].ns.Fd()),
	}
	if err := errors.Join(netlink.LinkAdd(direct), addr("br0", "192.168.94.1/24"), up("br0")); err != nil {
		return err
	}
	link, err := netlink.LinkByName("br0")
	if err != nil {
		return err
	}
	const proto = unix.ETH_P_ARP>>8 | unix.ETH_P_ARP&0xff<<8 // network order
	l.ear, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, proto)
	if err != nil {
		return err
	}
	l.t.Cleanup(func() { _ = unix.Close(l.ear) })
	return unix.Bind(l.ear, &unix.SockaddrLinklayer{Protocol: proto, Ifindex: link.Attrs().Index})
}

func (n *node) addresses(i int) error {
	svc, sync := fmt.Sprintf("192.168.94.%d/24", 11+i), fmt.Sprintf("10.9.9.%d/24", 1+i)
	err := errors.Join(up("lo"), addr("svc0", svc), addr("sync0", sync), up("svc0"), up("sync0"))
	link, lerr := netlink.LinkByName("svc0")
	if lerr == nil {
		n.mac = link.Attrs().HardwareAddr
	}
	return errors.Join(err, lerr)
}

func up(name string) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(l)
}

func down(name string) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	return netlink.LinkSetDown(l)
}

func addr(name, cidr string) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	a, err := netlink.ParseAddr(cidr)
	if err != nil {
		return err
	}
	return netlink.AddrAdd(l, a)
}

func (n *node) config() sentinel.Config {
	me, other := 11+int(n.seat), 12-int(n.seat)
	path := func(name, format string, me, other int) lb.HeartbeatPath {
		return lb.HeartbeatPath{
			Name:  name,
			Local: netip.MustParseAddrPort(fmt.Sprintf(format, me)), Peer: netip.MustParseAddrPort(fmt.Sprintf(format, other)),
		}
	}
	c := sentinel.Config{
		Node: lb.Node{
			Name: "lb-" + n.seat.String(), Seat: n.seat,
			Paths: []lb.HeartbeatPath{
				path("service", "192.168.94.%d:6694", me, other),
				path("sync", "10.9.9.%d:6694", me-10, other-10),
			},
			PingNodes: []netip.Addr{netip.MustParseAddr("192.168.94.1")},
		},
		Cluster: lb.Cluster{Paired: true, Timers: n.lab.timers, Announce: true, Lease: true},
		Secret:  bytes.Repeat([]byte{n.secret}, 32), VIPs: vips(), LeaseDir: n.dir,
	}
	if n.change != nil {
		n.change(&c)
	}
	return c
}

// start runs the node: its sentinel, and a main daemon that only makes progress.
func (n *node) start() {
	ctx, stop := context.WithCancel(context.Background())
	n.stop, n.done = stop, make(chan struct{})
	n.handle = sentinel.New(sentinel.Options{
		Flush:  n.flush,
		Logger: slog.New(slog.NewTextHandler(n.lab.t.Output(), nil)).With("node", n.seat.String()),
		Command: func() (*exec.Cmd, error) {
			cmd := exec.CommandContext(context.Background(), os.Args[0]) // it ends with its socket
			cmd.Env = append(os.Environ(), "VOSBED_TEST_SENTINEL=1")
			cmd.Stderr = os.Stderr
			return cmd, nil
		},
		Start: func(cmd *exec.Cmd) error {
			err := n.ns.Do(cmd.Start)
			if err == nil {
				n.pid.Store(int64(cmd.Process.Pid))
			}
			return err
		},
	})
	n.handle.Configure(n.config())
	n.handle.Synced(true)
	go n.work(ctx)
	go func() {
		defer close(n.done)
		_ = n.handle.Run(ctx)
	}()
}

func (n *node) work(ctx context.Context) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if !n.quiet.Load() {
				n.handle.Progress()
			}
		}
	}
}

// kill ends the node as kill -9 of all its processes would: nothing is released.
func (n *node) kill() {
	if n.stop == nil {
		return
	}
	n.signal(unix.SIGKILL)
	n.stop()
	<-n.done
	n.stop = nil
}

// restart kills the sentinel alone: its main daemon starts another.
func (n *node) restart() {
	n.lab.t.Helper()
	pid := n.pid.Load()
	n.signal(unix.SIGKILL)
	n.lab.until("another sentinel", func() bool { return n.pid.Load() != pid })
}

func (n *node) signal(sig unix.Signal) { _ = unix.Kill(int(n.pid.Load()), sig) }

func (n *node) owns() bool {
	var have []string
	err := n.ns.Do(func() error {
		l, err := netlink.LinkByName("svc0")
		if err != nil {
			return err
		}
		list, err := netlink.AddrList(l, netlink.FAMILY_ALL)
		for _, a := range list {
			have = append(have, a.IP.String())
		}
		return err
	})
	n.lab.must(err)
	return slices.Contains(have, vipText) && slices.Contains(have, "fd00:94::110")
}

// patient is how long until waits: a test process may be stalled for a second at any
// time. What must be quick says so by its reasons, not by the clock.
const patient = 10 * time.Second

// until waits for a condition and returns how long it took.
func (l *lab) until(what string, ok func() bool) time.Duration {
	l.t.Helper()
	began := time.Now()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Since(began) > patient {
			l.t.Fatalf("%s: not within %v (%s)", what, patient, l.states())
		}
		<-tick.C
	}
	return time.Since(began)
}

// throughout fails when a condition does not hold all the time.
func (l *lab) throughout(what string, d time.Duration, ok func() bool) {
	l.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); time.Since(began) < d; <-tick.C {
		if !ok() {
			l.t.Fatalf("%s: not after %v (%s)", what, time.Since(began), l.states())
		}
	}
}

func (l *lab) states() string {
	var out []string
	for _, n := range l.nodes {
		if n.handle != nil {
			out = append(out, fmt.Sprintf("%v: %+v", n.seat, n.handle.State()))
		}
	}
	return strings.Join(out, " ")
}

func (n *node) is(r lb.Role) func() bool {
	return func() bool { s := n.handle.State(); return !s.Since.IsZero() && s.Role == r }
}

// claim is one gratuitous ARP for the VIP heard on the segment.
type claim struct {
	at  time.Time
	mac string
}

// claims empties the ear.
func (l *lab) claims() []claim {
	var out []claim
	buf := make([]byte, 256)
	for {
		n, from, err := unix.Recvfrom(l.ear, buf, unix.MSG_DONTWAIT)
		if err != nil {
			return out
		}
		ll, ok := from.(*unix.SockaddrLinklayer)
		if !ok || ll.Pkttype == unix.PACKET_OUTGOING || n < 42 {
			continue
		}
		sender := netip.AddrFrom4([4]byte(buf[28:32]))
		if sender.String() == vipText {
			out = append(out, claim{time.Now(), net.HardwareAddr(buf[22:28]).String()})
		}
	}
}

// claimedBy reports whether one of the claims that wait in the ear is n's.
func (l *lab) claimedBy(n *node) bool {
	return slices.ContainsFunc(l.claims(), func(c claim) bool { return c.mac == n.mac.String() })
}

// claimed waits for a claim by n and returns how long it took.
func (l *lab) claimed(n *node) time.Duration {
	l.t.Helper()
	return l.until("claim by "+n.seat.String(), func() bool { return l.claimedBy(n) })
}

// hush waits out the announcements under way: nothing is due for a minute after them.
func (l *lab) hush() {
	l.t.Helper()
	const gap = 700 * time.Millisecond // the greatest of a burst is 300 ms
	last := time.Now()
	l.until("an end of the announcements", func() bool {
		if len(l.claims()) > 0 {
			last = time.Now()
		}
		return time.Since(last) > gap
	})
}

// pair starts both nodes and waits until the primary serves.
func (l *lab) pair() (a, b *node) {
	l.t.Helper()
	a, b = l.nodes[0], l.nodes[1]
	a.start()
	l.until("the primary is active", a.is(lb.Active))
	b.start()
	l.until("the secondary sees it", func() bool {
		s := b.handle.State()
		return s.PeerAlive && s.PeerRole == lb.Active && len(s.Pings) == 1 && s.Pings[0].Up && s.Paths[0].Up && s.Paths[1].Up
	})
	l.until("the addresses are there", func() bool { return a.owns() && a.lease.held() })
	if b.owns() || b.lease.held() {
		l.t.Fatal("a serves, b does not: violated")
	}
	l.claimed(a)
	return a, b
}

// why is the reason of a node's role.
func (n *node) why() string { return n.handle.State().Reason }

// says reports whether the node's state names a problem with these words.
func (n *node) says(words string) bool {
	return slices.ContainsFunc(n.handle.State().Problems, func(p string) bool { return strings.Contains(p, words) })
}
