package system

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/vosbed/vosbed/appliance/internal/dhcp"
	"github.com/vosbed/vosbed/appliance/lb"
	"github.com/vosbed/vosbed/internal/testenv"
)

// lender has busybox's DHCP server lend 10.0.0.50 at the other end of the machine's eth0.
func (m *machine) lender() (end func()) {
	m.t.Helper()
	busybox := testenv.RequireTool(m.t, "busybox")
	far := testenv.NewNS(m.t)
	m.do(func() error {
		l, err := netlink.LinkByName("eth1")
		if err != nil {
			return err
		}
		return netlink.LinkSetNsFd(l, far.Fd())
	})
	dir := m.t.TempDir()
	conf := "start 10.0.0.50\nend 10.0.0.50\ninterface eth1\nlease_file " + dir + "/leases\npidfile " + dir + "/pid\n" +
		"option subnet 255.255.255.0\noption router 10.0.0.1\noption dns 10.0.0.2 10.0.0.3\noption lease 600\n"
	if err := errors.Join(os.WriteFile(dir+"/conf", []byte(conf), 0o600), os.WriteFile(dir+"/leases", nil, 0o600)); err != nil {
		m.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, busybox, "udhcpd", "-f", dir+"/conf")
	if err := far.Do(func() error {
		l, err := netlink.LinkByName("eth1")
		if err != nil {
			return err
		}
		a, err := netlink.ParseAddr("10.0.0.1/24")
		if err != nil {
			return err
		}
		return errors.Join(netlink.LinkSetUp(l), netlink.AddrAdd(l, a), cmd.Start())
	}); err != nil {
		m.t.Fatal(err)
	}
	end = sync.OnceFunc(func() { stop(); _ = cmd.Wait() })
	m.t.Cleanup(end)
	return end
}

// settled applies a value until the kernel has these lines.
func (m *machine) settled(a *Actuator, want lb.System, lines ...string) {
	m.t.Helper()
	slices.Sort(lines)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); <-tick.C {
		m.apply(a, want)
		if slices.Equal(m.kernel(), lines) {
			return
		}
	}
	m.t.Errorf("problems %q", a.Problems())
	m.wants(lines...)
}

// held is an address of the machine.
func (m *machine) held(addr string) (found Held) {
	m.t.Helper()
	m.do(func() error {
		all, err := held()
		for _, h := range all {
			if h.Prefix.String() == addr {
				found = h
			}
		}
		return err
	})
	return found
}

// TestDHCP: an address comes with its gateway, its name servers and its end; the next daemon
// goes on with it; it becomes a fixed one, and goes.
func TestDHCP(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.lender()
	m.write("etc/resolv.conf", "nameserver 10.9.9.9\n")
	a, told := m.daemon(), 0
	t.Cleanup(a.Stop)
	a.opts.Leased = func() error { told++; return nil }
	want := lb.System{Interfaces: []lb.Interface{{Name: "eth0", DHCP: true}}}
	leased := []string{"eth0 mtu 1500 up true", "eth0 10.0.0.50/24 configured", "route 0.0.0.0/0 via 10.0.0.1 on eth0 metric 1024 configured"}
	m.settled(a, want, leased...)
	if p := m.apply(a, want); p != "" || told != 1 {
		t.Errorf("problems %q, told %d times", p, told)
	}
	if !m.held("10.0.0.50/24").Ends {
		t.Error("the kernel does not know when it ends")
	}
	m.hold(map[string]string{"etc/resolv.conf": written + "nameserver 10.0.0.2\nnameserver 10.0.0.3\n"})
	m.do(func() error {
		f, err := a.Facts()
		if f.NICs[0].Lease.Server != netip.MustParseAddr("10.0.0.1") || f.NICs[0].Addrs[0].Origin != DHCP {
			t.Errorf("%+v", f.NICs)
		}
		return err
	})
	if info, err := os.Stat(filepath.Join(m.dir, "leases.json")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	a.Stop()

	next := m.daemon()
	t.Cleanup(next.Stop)
	m.apply(next, want)
	m.wants(leased...)
	fixed := lb.System{
		Interfaces: []lb.Interface{{Name: "eth0", DHCP: true, Addrs: []netip.Prefix{prefix("172.16.0.1/24")}}},
		Routes:     []lb.Route{{To: prefix("0.0.0.0/0"), Via: netip.MustParseAddr("172.16.0.2")}},
		DNS:        lb.DNS{Servers: []netip.Addr{netip.MustParseAddr("172.16.0.3")}},
	}
	m.settled(next, fixed, leased[0], leased[1], "eth0 172.16.0.1/24 configured", "route 0.0.0.0/0 via 172.16.0.2 on eth0 metric 0 configured")
	m.hold(map[string]string{"etc/resolv.conf": written + "nameserver 172.16.0.3\n"})
	m.settled(next, lb.System{Interfaces: []lb.Interface{{Name: "eth0", Addrs: []netip.Prefix{prefix("10.0.0.50/24")}}}}, leased[:2]...)
	if m.held("10.0.0.50/24").Ends {
		t.Error("a fixed address ends")
	}
	m.settled(next, lb.System{}, "eth0 mtu 1500 up false")
	m.hold(map[string]string{"etc/resolv.conf": "nameserver 10.9.9.9\n", "leases.json": "{}"})
}

// TestLeaseOfBefore: where no server answers after a restart, the WebUI is told of the lease
// that goes on, until it has opened there.
func TestLeaseOfBefore(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	now := time.Now()
	data, err := json.Marshal(map[string]dhcp.Lease{"eth0": {
		Addr: prefix("10.0.0.50/24"), Server: netip.MustParseAddr("10.0.0.1"),
		Renew: now.Add(time.Hour), Rebind: now.Add(2 * time.Hour), End: now.Add(3 * time.Hour),
	}})
	if err != nil {
		t.Fatal(err)
	}
	m.write("leases.json", string(data))
	a, told, fails := m.daemon(), 0, errors.New("the socket is taken")
	t.Cleanup(a.Stop)
	a.opts.Leased = func() error {
		if told++; a.Leases()["eth0"] != netip.MustParseAddr("10.0.0.50") {
			t.Errorf("told of %v", a.Leases())
		}
		return fails
	}
	want := lb.System{Interfaces: []lb.Interface{{Name: "eth0", DHCP: true}}}
	for _, tt := range []struct {
		fails    error
		told     int
		problems string
	}{{fails, 1, "DHCP: the socket is taken"}, {nil, 2, ""}, {nil, 2, ""}} {
		fails = tt.fails
		if p := m.apply(a, want); told != tt.told || p != tt.problems {
			t.Errorf("told %d times, problems %q; want %d, %q", told, p, tt.told, tt.problems)
		}
	}
}

// TestALeaseAfterATrial: where a change of the network goes back, the address does too,
// although no server is there by then.
func TestALeaseAfterATrial(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	end := m.lender()
	a := m.daemon()
	t.Cleanup(a.Stop)
	before := lb.System{Interfaces: []lb.Interface{{Name: "eth0", DHCP: true}}}
	leased := []string{"eth0 mtu 1500 up true", "eth0 10.0.0.50/24 configured", "route 0.0.0.0/0 via 10.0.0.1 on eth0 metric 1024 configured"}
	m.settled(a, before, leased...)
	m.settled(a, lb.System{Interfaces: []lb.Interface{{Name: "eth0", Addrs: []netip.Prefix{prefix("10.9.0.1/24")}}}}, "eth0 mtu 1500 up true", "eth0 10.9.0.1/24 configured")
	m.hold(map[string]string{"leases.json": "{}"})
	end()
	m.settled(a, before, leased...)
}

// TestALeaseThatAnotherHasToo: an address that somebody else gave to the interface, as
// another DHCP client does, stays theirs.
func TestALeaseThatAnotherHasToo(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.lender()
	m.others("10.0.0.50/24")
	a := m.daemon()
	t.Cleanup(a.Stop)
	theirs := []string{"eth0 mtu 1500 up true", "eth0 10.0.0.50/24 other"}
	m.settled(a, lb.System{Interfaces: []lb.Interface{{Name: "eth0", DHCP: true}}}, append(theirs, "route 0.0.0.0/0 via 10.0.0.1 on eth0 metric 1024 configured")...)
	if m.held("10.0.0.50/24").Ends {
		t.Error("it ends")
	}
	m.settled(a, lb.System{Interfaces: []lb.Interface{{Name: "eth0"}}}, theirs...)
}

// TestALeaseThatIsAVIPByNow is given up as soon as the configuration says so.
func TestALeaseThatIsAVIPByNow(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.lender()
	a := m.daemon()
	t.Cleanup(a.Stop)
	var vip atomic.Bool
	a.opts.Refuse = func(iface string, _ netip.Addr) string {
		if vip.Load() && iface == "eth0" {
			return "the VIP web"
		}
		return ""
	}
	want := lb.System{Interfaces: []lb.Interface{{Name: "eth0", DHCP: true}}}
	m.settled(a, want, "eth0 mtu 1500 up true", "eth0 10.0.0.50/24 configured", "route 0.0.0.0/0 via 10.0.0.1 on eth0 metric 1024 configured")
	vip.Store(true)
	m.apply(a, want)
	m.wants("eth0 mtu 1500 up true")
	told := func() bool {
		return strings.Contains(m.apply(a, want), "DHCP on eth0: the DHCP server 10.0.0.1 lends 10.0.0.50, which is not taken, as it is the VIP web")
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(20 * time.Second); !told(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("problems %q", a.Problems())
		}
	}
	m.wants("eth0 mtu 1500 up true")
}

// TestNoDHCPServer is told, as are files of leases that cannot be read.
func TestNoDHCPServer(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.write("leases.json", `{"eth0":`)
	a := m.daemon()
	t.Cleanup(a.Stop)
	want := lb.System{Interfaces: []lb.Interface{{Name: "eth0", DHCP: true}, {Name: "eth1"}}}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); <-tick.C {
		if p := m.apply(a, want); strings.Contains(p, "DHCP on eth0: no DHCP server lends an address") {
			return
		}
	}
	t.Errorf("problems %q", a.Problems())
}
