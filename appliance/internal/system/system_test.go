package system

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/lb"
	"github.com/vosbed/vosbed/internal/testenv"
)

// machine is a network namespace with two interfaces, a UTS namespace and files of its
// own. Nothing of the machine that runs the test is touched.
type machine struct {
	t       *testing.T
	dir     string
	reloads int
	refuse  error // what chrony says
	inside  func(func() error) error
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	ns := testenv.NewNS(t)
	m := &machine{t: t, dir: t.TempDir(), inside: ns.Do}
	for _, d := range []string{"etc/chrony/sources.d", "zones/Europe"} {
		if err := os.MkdirAll(filepath.Join(m.dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	m.write("zones/Europe/London", "TZif2")
	m.write("zones/README", "no zone")
	m.do(func() error {
		veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "eth1"}
		if err := netlink.LinkAdd(veth); err != nil {
			return err
		}
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(lo)
	})
	return m
}

// do runs f in the network namespace, and in a UTS namespace called "before".
func (m *machine) do(f func() error) {
	m.t.Helper()
	if err := m.inside(f); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) write(name, text string) {
	m.t.Helper()
	if err := os.WriteFile(filepath.Join(m.dir, name), []byte(text), 0o600); err != nil {
		m.t.Fatal(err)
	}
}

// read is a file, or where a link leads, or "-" if there is nothing.
func (m *machine) read(name string) string {
	m.t.Helper()
	c, err := look(filepath.Join(m.dir, name))
	if err != nil {
		m.t.Fatal(err)
	}
	if c.Kind == absent {
		return "-"
	}
	return strings.ReplaceAll(string(c.Data), m.dir, "")
}

// daemon is a fresh actuator on the machine: what an earlier one did it knows by the
// state file and the marks in the kernel.
func (m *machine) daemon() *Actuator {
	return New(Options{
		State: filepath.Join(m.dir, "system.json"), Etc: filepath.Join(m.dir, "etc"), Zones: filepath.Join(m.dir, "zones"),
		SetHostname: func(string) error { return errors.New("this test has no UTS namespace") },
		Reload:      func(context.Context) error { m.reloads++; return m.refuse },
	})
}

// apply sets a value and tells the problems.
func (m *machine) apply(a *Actuator, want lb.System) string {
	m.t.Helper()
	m.do(func() error {
		a.Set(want)
		if done := a.Apply(m.t.Context()); done != (len(a.Problems()) == 0) {
			return fmt.Errorf("done %t with problems %q", done, a.Problems())
		}
		return nil
	})
	return strings.ReplaceAll(strings.Join(a.Problems(), "\n"), m.dir, "")
}

// kernel is the state of the network as text, one line a fact.
func (m *machine) kernel() (out []string) {
	m.t.Helper()
	m.do(func() error {
		f, err := m.daemon().Facts()
		if err != nil {
			return err
		}
		for _, n := range f.NICs {
			out = append(out, fmt.Sprintf("%s mtu %d up %t", n.Name, n.MTU, n.Up))
			if n.Bond.Mode != "" {
				out = append(out, n.Name+" "+bondText(n.Bond))
			}
			for _, h := range n.Addrs {
				out = append(out, fmt.Sprintf("%s %s %s", n.Name, h.Prefix, h.Origin))
			}
		}
		for _, r := range f.Routes {
			if r.Origin != Kernel {
				out = append(out, fmt.Sprintf("route %s via %s on %s metric %d %s", r.To, r.Via, r.Interface, r.Metric, r.Origin))
			}
		}
		return nil
	})
	slices.Sort(out)
	return out
}

func (m *machine) wants(lines ...string) {
	m.t.Helper()
	slices.Sort(lines)
	if diff := cmp.Diff(lines, m.kernel()); diff != "" {
		m.t.Errorf("the kernel (-want +got):\n%s", diff)
	}
}

// others gives eth0 an address as the machine's own tools do.
func (m *machine) others(addr string) {
	m.t.Helper()
	m.do(func() error {
		l, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		a, err := netlink.ParseAddr(addr)
		if err != nil {
			return err
		}
		return netlink.AddrAdd(l, a)
	})
}

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func network() lb.System {
	return lb.System{
		Interfaces: []lb.Interface{
			{Name: "eth0", Addrs: []netip.Prefix{prefix("192.168.94.101/24"), prefix("2001:db8:94::101/64")}, MTU: 1400},
			{Name: "eth1"},
		},
		Routes: []lb.Route{
			{To: prefix("0.0.0.0/0"), Via: netip.MustParseAddr("192.168.94.1")},
			{To: prefix("::/0"), Via: netip.MustParseAddr("2001:db8:94::1")},
			{To: prefix("10.20.0.0/16"), Via: netip.MustParseAddr("192.168.94.254"), Interface: "eth0", Metric: 100},
			{To: prefix("10.30.0.0/16"), Interface: "eth1"},
		},
	}
}

func configured() []string {
	return []string{
		"eth0 mtu 1400 up true", "eth1 mtu 1500 up true",
		"eth0 192.168.94.101/24 configured", "eth0 2001:db8:94::101/64 configured",
		"route 0.0.0.0/0 via 192.168.94.1 on eth0 metric 0 configured",
		"route ::/0 via 2001:db8:94::1 on eth0 metric 1024 configured",
		"route 10.20.0.0/16 via 192.168.94.254 on eth0 metric 100 configured",
		"route 10.30.0.0/16 via invalid IP on eth1 metric 0 configured",
	}
}

// TestNetwork: what is configured comes, a restart adopts it, and what is no longer
// configured goes; the machine is as it was then.
func TestNetwork(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	untouched := []string{"eth0 mtu 1500 up false", "eth1 mtu 1500 up false"}
	if p := m.apply(m.daemon(), lb.System{}); p != "" {
		t.Errorf("problems: %s", p)
	}
	m.wants(untouched...)
	if p := m.apply(m.daemon(), network()); p != "" {
		t.Errorf("problems: %s", p)
	}
	m.wants(configured()...)

	again := m.daemon()
	for name, tt := range map[string]struct {
		want lb.System
		some bool
	}{"an equal Set": {network(), false}, "another one": {lb.System{Routes: network().Routes[3:]}, true}} {
		m.do(func() error {
			n, err := changes(func() { again.Set(tt.want); again.Apply(t.Context()) })
			if (n > 0) != tt.some {
				t.Errorf("%s changed the kernel %d times", name, n)
			}
			again.Set(network())
			again.Apply(t.Context())
			return err
		})
	}
	m.wants(configured()...)
	moved := network()
	moved.Interfaces[0].Addrs = []netip.Prefix{prefix("192.168.94.102/24")}
	moved.Routes = moved.Routes[:1]
	moved.Routes[0].Via = netip.MustParseAddr("192.168.94.2")
	if p := m.apply(again, moved); p != "" {
		t.Errorf("problems: %s", p)
	}
	m.wants("eth0 mtu 1400 up true", "eth1 mtu 1500 up true", "eth0 192.168.94.102/24 configured",
		"route 0.0.0.0/0 via 192.168.94.2 on eth0 metric 0 configured")
	if p := m.apply(m.daemon(), lb.System{}); p != "" {
		t.Errorf("problems: %s", p)
	}
	m.wants(untouched...)
	if s := m.read("system.json"); strings.Contains(s, "eth") {
		t.Errorf("something is remembered: %s", s)
	}
}

// changes counts what the kernel tells of addresses and routes that somebody changed while
// f runs. What it does by itself, as after the detection of duplicate addresses, has no
// sender.
func changes(f func()) (int, error) {
	sock, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return 0, err
	}
	defer unix.Close(sock)
	groups := uint32(unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV4_ROUTE | unix.RTMGRP_IPV6_ROUTE)
	if err := unix.Bind(sock, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		return 0, err
	}
	f()
	n, buf := 0, make([]byte, 1<<16)
	for {
		size, _, err := unix.Recvfrom(sock, buf, 0)
		if errors.Is(err, unix.EAGAIN) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		if size >= unix.SizeofNlMsghdr && binary.NativeEndian.Uint32(buf[12:]) != 0 {
			n++
		}
	}
}

// TestOthersStay: what somebody else made is used as it is, and never removed.
func TestOthersStay(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.others("192.168.94.101/24")
	m.others("172.16.0.1/12")
	m.do(func() error { // a VIP of the sentinel
		l, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		req := addressRequest(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_ACK, place{l.Attrs().Index, prefix("192.168.94.110/32")})
		req.AddData(netlinkAttr(ifaProto, vipMark))
		_, err = req.Execute(unix.NETLINK_ROUTE, 0)
		return err
	})
	a := m.daemon()
	if p := m.apply(a, network()); p != "" {
		t.Errorf("problems: %s", p)
	}
	m.do(func() error {
		l, err := netlink.LinkByName("eth1")
		if err != nil {
			return err
		}
		return netlink.RouteAdd(&netlink.Route{Dst: netlink.NewIPNet([]byte{10, 99, 0, 1}), LinkIndex: l.Attrs().Index, Protocol: unix.RTPROT_STATIC, Scope: netlink.SCOPE_LINK})
	})
	if p := m.apply(a, lb.System{}); p != "" {
		t.Errorf("problems: %s", p)
	}
	m.wants("eth0 mtu 1500 up false", "eth1 mtu 1500 up false",
		"eth0 192.168.94.101/24 other", "eth0 172.16.0.1/12 other", "eth0 192.168.94.110/32 vip")
}

// TestWhatCannotBeDone is told part by part, and keeps nothing else from being done.
func TestWhatCannotBeDone(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.others("192.168.94.7/24")
	m.do(func() error { // the other's default gateway
		l, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		if err := netlink.LinkSetUp(l); err != nil {
			return err
		}
		return netlink.RouteAdd(&netlink.Route{Gw: []byte{192, 168, 94, 9}, LinkIndex: l.Attrs().Index})
	})
	want := network()
	want.Interfaces = append(want.Interfaces, lb.Interface{Name: "eth7"})
	want.Interfaces[1].MTU = 70_000
	want.Routes[3].Interface = "eth8"
	want.DNS.Servers = []netip.Addr{netip.MustParseAddr("192.168.94.1")}
	want.Clock = lb.Clock{Zone: "README", Servers: []string{"ntp.example.org"}}
	if err := os.Symlink("../run/systemd/resolve/stub-resolv.conf", filepath.Join(m.dir, "etc/resolv.conf")); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(m.dir, "etc/chrony")); err != nil {
		t.Fatal(err)
	}
	wantProblems := `interface eth1: set the MTU 70000: numerical result out of range
interface eth7: there is no such interface on this machine: remove it from node.system, or mend its name
routes: 10.30.0.0/16: there is no interface "eth8" on this machine
0.0.0.0/0: there is another route to it with metric 0, which is not of this configuration: remove it, or write another metric
DNS: /etc/resolv.conf is a link to ../run/systemd/resolve/stub-resolv.conf, which another program writes: set the servers there and remove dns from node.system, or replace the link by a file
time zone: this machine has no time zone "README": see /zones for those that it has (package tzdata)
NTP: the NTP servers have no effect, as chrony is not on this machine (no /etc/chrony): install chrony`
	if diff := cmp.Diff(wantProblems, strings.ReplaceAll(m.apply(m.daemon(), want), "invalid argument", "numerical result out of range")); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	m.wants("eth0 mtu 1400 up true", "eth1 mtu 1500 up true",
		"eth0 192.168.94.101/24 configured", "eth0 2001:db8:94::101/64 configured", "eth0 192.168.94.7/24 other",
		"route 0.0.0.0/0 via 192.168.94.9 on eth0 metric 0 other",
		"route ::/0 via 2001:db8:94::1 on eth0 metric 1024 configured",
		"route 10.20.0.0/16 via 192.168.94.254 on eth0 metric 100 configured")
}

// TestDisabled: a link goes down with its addresses, and comes back.
func TestDisabled(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	a := m.daemon()
	m.apply(a, network())
	off := network()
	off.Interfaces[0].Disabled, off.Routes = true, nil
	if p := m.apply(a, off); p != "" {
		t.Errorf("problems: %s", p)
	}
	m.wants("eth0 mtu 1400 up false", "eth1 mtu 1500 up true")
	if p := m.apply(a, network()); p != "" { // as after a trial
		t.Errorf("problems: %s", p)
	}
	m.wants(configured()...)
}

// TestFiles: hostname, resolver, time zone and NTP servers are written, and what was there
// before comes back; what others wrote meanwhile stays.
func TestFiles(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.write("etc/resolv.conf", "nameserver 10.0.0.1\n")
	m.write("etc/localtime", "TZif of old")
	want := lb.System{
		Domain: "example.org",
		DNS:    lb.DNS{Servers: []netip.Addr{netip.MustParseAddr("192.168.94.1"), netip.MustParseAddr("2001:db8::1")}, Search: []string{"vos.example.org"}},
		Clock:  lb.Clock{Zone: "Europe/London", Servers: []string{"0.pool.ntp.org", "192.168.94.1"}},
	}
	a := m.daemon()
	if p := m.apply(a, want); p != "" {
		t.Errorf("problems: %s", p)
	}
	ours := map[string]string{
		"etc/resolv.conf":                     written + "nameserver 192.168.94.1\nnameserver 2001:db8::1\nsearch example.org vos.example.org\n",
		"etc/localtime":                       "/zones/Europe/London",
		"etc/chrony/sources.d/vosbed.sources": written + "server 0.pool.ntp.org iburst\nserver 192.168.94.1 iburst\n",
	}
	before := map[string]string{"etc/resolv.conf": "nameserver 10.0.0.1\n", "etc/localtime": "TZif of old", "etc/chrony/sources.d/vosbed.sources": "-"}
	m.hold(ours)
	m.apply(a, want)
	if m.reloads != 1 {
		t.Errorf("chrony was told %d times", m.reloads)
	}
	m.do(func() error {
		f, err := a.Facts()
		if f.Clock.Zone != "Europe/London" || !slices.Equal(f.Clock.Servers, want.Clock.Servers) ||
			!slices.Equal(f.Resolver.Servers, []string{"192.168.94.1", "2001:db8::1"}) || !slices.Equal(f.Resolver.Search, []string{"example.org", "vos.example.org"}) {
			t.Errorf("%+v", f)
		}
		return err
	})
	if p := m.apply(m.daemon(), lb.System{}); p != "" || m.reloads != 2 {
		t.Errorf("problems: %s, chrony told %d times", p, m.reloads)
	}
	m.hold(before)

	m.apply(a, want)
	m.write("etc/resolv.conf", "# somebody else\n")
	m.apply(a, lb.System{})
	before["etc/resolv.conf"] = "# somebody else\n"
	m.hold(before)
}

func (m *machine) hold(want map[string]string) {
	m.t.Helper()
	for name, text := range want {
		if got := m.read(name); got != text {
			m.t.Errorf("%s is %q, want %q", name, got, text)
		}
	}
}

// TestChronyThatDoesNotAnswer is told again until it has read its sources.
func TestChronyThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	a, want := m.daemon(), lb.System{Clock: lb.Clock{Servers: []string{"a.example.org"}}}
	m.refuse = errors.New("506 Cannot talk to daemon")
	if p := m.apply(a, want); !strings.Contains(p, "is written, but chrony has not read it: 506 Cannot talk to daemon") {
		t.Errorf("problems: %s", p)
	}
	m.refuse = nil
	if p := m.apply(a, want); p != "" || m.reloads != 2 {
		t.Errorf("problems: %s, %d reloads", p, m.reloads)
	}
}

// TestADamagedState changes nothing: nobody knows what would have to be put back.
func TestADamagedState(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.write("system.json", "{")
	m.write("etc/resolv.conf", "nameserver 10.0.0.1\n")
	want := lb.System{DNS: lb.DNS{Servers: []netip.Addr{netip.MustParseAddr("192.168.94.1")}}}
	if p := m.apply(m.daemon(), want); !strings.Contains(p, "remove /system.json if it is damaged") {
		t.Errorf("problems: %s", p)
	}
	m.hold(map[string]string{"etc/resolv.conf": "nameserver 10.0.0.1\n"})
}

// TestLinksOfAnotherBoot: after a reboot links are the machine's own again.
func TestLinksOfAnotherBoot(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.write("system.json", `{"boot":"another","links":{"eth0":{"mtu":9000,"ours_mtu":1500,"up":true}}}`)
	m.apply(m.daemon(), lb.System{})
	m.wants("eth0 mtu 1500 up false", "eth1 mtu 1500 up false")
}

// tells checks that problems are told in these words.
func tells(t *testing.T, problems string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(problems, text) {
			t.Errorf("%q is not told:\n%s", text, problems)
		}
	}
}
