package ebpf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	vns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/internal/plan"
	"github.com/vosbed/vosbed/appliance/lb"
	"github.com/vosbed/vosbed/internal/netns"
	"github.com/vosbed/vosbed/internal/testenv"
)

const (
	vip4 = "10.77.0.100"
	vip6 = "fd77::100"
)

// lab is a segment: a bridge with a client, a balancer and two real servers, each
// in its own namespace. The servers hold the VIPs on loopback, ARP solved.
type lab struct {
	t       *testing.T
	sw      *netns.NS
	client  *netns.NS
	lb      *netns.NS
	servers [2]*netns.NS
}

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{t: t, sw: testenv.NewNS(t), client: testenv.NewNS(t), lb: testenv.NewNS(t)}
	l.in(l.sw, func() error { return up(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}}) })
	l.plug(l.client, "client", 10)
	l.plug(l.lb, "lb", 2)
	l.address(l.lb, "eth0", vip4+"/32", vip6+"/128")
	for i := range l.servers {
		l.servers[i] = testenv.NewNS(t)
		l.plug(l.servers[i], fmt.Sprintf("s%d", i), 105+i)
		l.in(l.servers[i], func() error {
			return errors.Join(
				sysctl("ipv4/conf/all/arp_ignore", "1"), sysctl("ipv4/conf/all/arp_announce", "2"),
				linkUp("lo"))
		})
		l.address(l.servers[i], "lo", vip4+"/32", vip6+"/128")
	}
	return l
}

// in runs fn inside a namespace and fails the test with its error.
func (l *lab) in(ns *netns.NS, fn func() error) {
	l.t.Helper()
	if err := ns.Do(fn); err != nil {
		l.t.Fatal(err)
	}
}

// plug gives a namespace an eth0 on the bridge, with 10.77.0.n and fd77::n.
func (l *lab) plug(ns *netns.NS, port string, n int) {
	l.t.Helper()
	l.in(l.sw, func() error {
		br, err := netlink.LinkByName("br0")
		if err != nil {
			return err
		}
		v := &netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: port, MasterIndex: br.Attrs().Index},
			PeerName:  "eth0", PeerNamespace: netlink.NsFd(ns.Fd()),
		}
		return up(v)
	})
	l.in(ns, func() error {
		return errors.Join(
			sysctl("ipv4/conf/all/rp_filter", "0"), sysctl("ipv4/conf/eth0/rp_filter", "0"),
			sysctl("ipv6/conf/all/accept_dad", "0"), sysctl("ipv6/conf/eth0/accept_dad", "0"),
			sysctl("ipv6/conf/default/accept_dad", "0"), linkUp("eth0"))
	})
	l.address(ns, "eth0", fmt.Sprintf("10.77.0.%d/24", n), fmt.Sprintf("fd77::%d/64", n))
}

func (l *lab) address(ns *netns.NS, dev string, cidrs ...string) {
	l.t.Helper()
	l.in(ns, func() error {
		link, err := netlink.LinkByName(dev)
		if err != nil {
			return err
		}
		for _, c := range cidrs {
			a, err := netlink.ParseAddr(c)
			if err != nil {
				return err
			}
			a.Flags |= unix.IFA_F_NODAD
			if err := netlink.AddrAdd(link, a); err != nil {
				return fmt.Errorf("add %s to %s: %w", c, dev, err)
			}
		}
		return nil
	})
}

func up(l netlink.Link) error {
	if err := netlink.LinkAdd(l); err != nil {
		return err
	}
	return linkUp(l.Attrs().Name)
}

func linkUp(name string) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(l)
}

func sysctl(path, value string) error {
	return os.WriteFile(filepath.Join("/proc/sys/net", path), []byte(value), 0o644)
}

// plane makes an engine in the balancer's namespace.
func (l *lab) plane(opts Options) *Plane {
	l.t.Helper()
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.NewTextHandler(testWriter{l.t}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	set(&opts.Flows, 4096)
	set(&opts.Entries, 4096)
	var p *Plane
	l.in(l.lb, func() (err error) { p, err = New(opts); return err })
	l.t.Cleanup(func() { _ = p.Close() })
	return p
}

func (l *lab) set(p *Plane, table plan.L4Table) {
	l.t.Helper()
	l.in(l.lb, func() error { return p.Set(l.t.Context(), table) })
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Logf("%s", b)
	return len(b), nil
}

// run runs the engine's loop until the test ends.
func (l *lab) run(p *Plane) {
	l.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	l.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			l.t.Errorf("Run: %v", err)
		}
	})
}

// service is the usual table: two servers behind ports 80 and 5000-6000.
func service(vip string, change ...func(*plan.L4Service)) plan.L4Table {
	s := plan.L4Service{
		Name: "media", Addr: netip.MustParseAddr(vip), Interface: "eth0",
		Ports: lb.PortSet{{First: 80, Last: 80}, {First: 5000, Last: 6000}}, Protocols: lb.TCPUDP,
		Scheduler:   lb.WLC,
		Persistence: lb.Persistence{Kind: lb.PersistSourceIP, Timeout: time.Minute, Mask4: 32, Mask6: 64},
	}
	for i := range 2 {
		rip := fmt.Sprintf("10.77.0.%d", 105+i)
		if s.Addr.Is6() {
			rip = fmt.Sprintf("fd77::%d", 105+i)
		}
		s.Reals = append(s.Reals, plan.L4Real{Name: fmt.Sprintf("s%d", i), Addr: netip.MustParseAddr(rip), Weight: 100})
	}
	for _, c := range change {
		c(&s)
	}
	return plan.L4Table{Services: []plan.L4Service{s}}
}

// serve answers on a TCP port of a server: its name first, then an echo, counting.
func (l *lab) serve(i int, addr string) {
	l.t.Helper()
	var ln net.Listener
	l.in(l.servers[i], func() (err error) {
		ln, err = (&net.ListenConfig{}).Listen(l.t.Context(), "tcp", addr)
		return err
	})
	l.t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = fmt.Fprintf(c, "s%d", i)
				_, _ = io.Copy(c, c)
			}()
		}
	}()
}

// serveUDP answers each datagram with the server's name and the datagram's length.
func (l *lab) serveUDP(i int, addr string) {
	l.t.Helper()
	var pc net.PacketConn
	l.in(l.servers[i], func() (err error) {
		pc, err = (&net.ListenConfig{}).ListenPacket(l.t.Context(), "udp", addr)
		return err
	})
	l.t.Cleanup(func() { _ = pc.Close() })
	go func() {
		buf := make([]byte, 65536)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = pc.WriteTo(fmt.Appendf(nil, "s%d %d", i, n), from)
		}
	}()
}

// dial connects from the client and returns the connection and who answered.
func (l *lab) dial(addr string) (net.Conn, string, error) {
	var c net.Conn
	if err := l.client.Do(func() (err error) {
		c, err = (&net.Dialer{Timeout: 2 * time.Second}).DialContext(l.t.Context(), "tcp", addr)
		return err
	}); err != nil {
		return nil, "", err
	}
	name := make([]byte, 2)
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.ReadFull(c, name); err != nil {
		return nil, "", errors.Join(err, c.Close())
	}
	return c, string(name), nil
}

// echo proves that a connection is alive.
func echo(t *testing.T, c net.Conn, text string) {
	t.Helper()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != text {
		t.Fatalf("echo of %q: got %q, %v", text, got, err)
	}
}

// ask sends one datagram and returns the answer.
func (l *lab) ask(addr string, payload []byte) (string, error) {
	var c net.Conn
	if err := l.client.Do(func() (err error) {
		c, err = (&net.Dialer{}).DialContext(l.t.Context(), "udp", addr)
		return err
	}); err != nil {
		return "", err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(2 * time.Second))
	if _, err := c.Write(payload); err != nil {
		return "", err
	}
	buf := make([]byte, 100)
	n, err := c.Read(buf)
	return string(buf[:n]), err
}

// bpffs mounts a filesystem for pins that goes with the test.
func bpffs(t *testing.T) string {
	t.Helper()
	testenv.RequireRoot(t)
	dir := t.TempDir()
	if err := unix.Mount("bpf", dir, "bpf", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// eventually retries fn until it is true.
func eventually(t *testing.T, what string, fn func() bool) {
	t.Helper()
	deadline := time.After(8 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !fn() {
		select {
		case <-deadline:
			t.Fatalf("never happened: %s", what)
		case <-tick.C:
		}
	}
}

func drops(t *testing.T, p *Plane, reason string) uint64 {
	t.Helper()
	c, err := p.Counters(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c.Drops[reason].Packets
}

var _ = vns.None
