package support

import (
	"errors"
	"io/fs"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/lb"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// healthy is the active node of the guide's pair, with nothing wrong.
func healthy() Facts {
	ports, _ := lb.ParsePortSet("1935,554,50000-65535")
	web, _ := lb.ParsePortSet("8080,8443")
	ok := lb.Health{Up: true, Last: lb.Verdict{At: noon(), OK: true}}
	return Facts{
		Now:  noon(),
		VIPs: []VIP{{addr("192.168.94.100"), "eth0"}, {addr("192.168.94.110"), "eth0"}},
		Config: lb.Config{
			Node:    lb.Node{Name: "lb1", Management: []netip.AddrPort{netip.MustParseAddrPort("192.168.94.101:9443")}},
			Cluster: lb.Cluster{Paired: true, Lease: true, Replicate: true},
			Services: []lb.VirtualService{
				{Name: "Management", Addr: addr("192.168.94.100"), Ports: web, Layer: lb.Layer7},
				{Name: "Traffic", Addr: addr("192.168.94.110"), Ports: ports},
			},
		},
		Status: lb.Status{
			Services: []lb.ServiceStatus{{Name: "Traffic", Addr: addr("192.168.94.110"), Reals: []lb.RealStatus{
				{Name: "HT1", Addr: addr("192.168.94.115"), State: lb.Serving, Why: "healthy", Health: ok, MAC: "02:00:00:00:00:15"},
				{Name: "HT2", Addr: addr("192.168.94.116"), State: lb.Serving, Why: "healthy", Health: ok, MAC: "02:00:00:00:00:16"},
			}}},
			Pair: lb.PairStatus{
				Role: lb.Active, PeerRole: lb.Passive, PeerAlive: true, InSync: true, LeaseHeld: true, RealTime: true,
				Paths: []lb.PathStatus{{Name: "lan", Up: true}, {Name: "cross", Up: true}}, Pings: []lb.PingStatus{{Addr: addr("192.168.94.1"), Up: true}},
			},
		},
		Machine: Machine{
			Built: noon().Add(-time.Hour), Clock: ClockSynchronised, Disk: Space{8 << 30, 16 << 30}, Memory: Space{2 << 30, 4 << 30}, Files: 1 << 20,
			Sysctls: map[string]string{
				"net.ipv4.ip_local_port_range": "10240\t49151", "net.ipv4.conf.all.rp_filter": "0", "net.ipv4.conf.eth0.rp_filter": "1",
				"net.ipv4.conf.all.arp_ignore": "0", "net.ipv4.conf.eth0.arp_ignore": "1",
			},
			Links: []Link{
				{Name: "lo", Up: true, MTU: 65536, Loopback: true, Prefixes: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/8")}},
				{Name: "eth0", Up: true, MTU: 1500, Default: true, Prefixes: []netip.Prefix{netip.MustParsePrefix("192.168.94.101/24")}},
				{Name: "eth1", Up: true, MTU: 1500, Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/30")}},
			},
		},
		Secrets:      []Secret{{Path: "/etc/vosbed/pair.secret", Mode: 0o600}},
		Certificates: []Certificate{{"management.pem", noon().Add(-24 * time.Hour), noon().Add(365 * 24 * time.Hour)}},
		Storage:      Storage{Accounts: 1, HistoryDir: "/var/lib/vosbed/history"},
		PeerClock:    new(time.Second),
	}
}

// of finds a check by its name.
func of(t *testing.T, tree api.SupportChecks, name string) api.SupportCheck {
	t.Helper()
	for _, g := range tree.Groups {
		for _, c := range g.Checks {
			if c.Name == name {
				return c
			}
		}
	}
	t.Fatalf("there is no check %q in %+v", name, tree)
	return api.SupportCheck{}
}

func TestNothingIsWrong(t *testing.T) {
	t.Parallel()
	tree := Diagnose(healthy())
	for _, g := range tree.Groups {
		for _, c := range g.Checks {
			if c.Verdict != api.CheckOK || c.Seen == "" || c.Fix != "" {
				t.Errorf("%s: %+v", g.Name, c)
			}
		}
	}
	if tree.Verdict != api.CheckOK || len(tree.Groups) != 5 {
		t.Errorf("the tree is %s with %d branches", tree.Verdict, len(tree.Groups))
	}
}

// TestNothingIsKnown: a node of which nothing is known is judged without a panic.
func TestNothingIsKnown(t *testing.T) {
	t.Parallel()
	tree := Diagnose(Facts{})
	if len(tree.Groups) != 5 || of(t, tree, "Pair").Verdict != api.CheckNotApplicable {
		t.Errorf("got %+v", tree)
	}
}

type ill struct {
	do            func(*Facts)
	name, verdict string
	seen, fix     string
}

func TestWhatIsWrong(t *testing.T) {
	t.Parallel()
	for _, tests := range [][]ill{illNode(), illNetwork(), illServices(), illPair(), illStorage()} {
		for _, tt := range tests {
			f := healthy()
			tt.do(&f)
			tree := Diagnose(f)
			c := of(t, tree, tt.name)
			if c.Verdict != tt.verdict || !strings.Contains(c.Seen, tt.seen) || !strings.Contains(c.Fix, tt.fix) {
				t.Errorf("%s: got %+v, want %s, %q, %q", tt.name, c, tt.verdict, tt.seen, tt.fix)
			}
			if bad := c.Verdict == api.CheckFailed || c.Verdict == api.CheckWarning; bad && (c.Fix == "" || tree.Verdict == api.CheckOK) {
				t.Errorf("%s: nothing to do, or the tree is %s", tt.name, tree.Verdict)
			}
		}
	}
}

func illNode() []ill {
	const failed, warning = api.CheckFailed, api.CheckWarning
	cert := "Certificate of management.pem"
	return []ill{
		{func(f *Facts) { f.Machine.Built = noon().Add(time.Hour) }, "Time", failed, "before this program was made", "set the clock"},
		{func(f *Facts) { f.Machine.Clock = ClockFree }, "Time", warning, "follows no time server", "chrony"},
		{func(f *Facts) { f.Machine.Clock = ClockUnknown }, "Time", api.CheckOK, "not known", ""},
		{func(f *Facts) { f.Machine.Disk.Free = 1 << 20 }, "Disk of the state directory", failed, "1 of 16384 MiB", "remove"},
		{func(f *Facts) { f.Machine.Disk.Free = 1 << 30 }, "Disk of the state directory", warning, "1024 of 16384 MiB", "remove"},
		{func(f *Facts) { f.Machine.Disk = Space{} }, "Disk of the state directory", api.CheckNotApplicable, "could not be read", ""},
		{func(f *Facts) { f.Machine.Memory.Free = 1 << 20 }, "Memory", failed, "1 of 4096 MiB", "more memory"},
		{func(f *Facts) { f.Machine.Files = 1024 }, "Open file limit", warning, "1024 files", "LimitNOFILE"},
		{func(f *Facts) { f.Machine.Files = 0 }, "Open file limit", api.CheckNotApplicable, "", ""},
		{func(f *Facts) { f.Secrets[0].Mode = 0o640 }, "Permissions of /etc/vosbed/pair.secret", failed, "-rw-r-----", "chmod 600"},
		{func(f *Facts) { f.Secrets[0].Err = fs.ErrNotExist }, "Permissions of /etc/vosbed/pair.secret", api.CheckNotApplicable, "no such file", ""},
		{func(f *Facts) { f.Secrets[0].Err = fs.ErrPermission }, "Permissions of /etc/vosbed/pair.secret", warning, "permission denied", "read"},
		{func(f *Facts) { f.Certificates[0].NotAfter = noon() }, cert, failed, "expired", "install"},
		{func(f *Facts) { f.Certificates[0].NotAfter = noon().Add(24 * time.Hour) }, cert, warning, "soon", "install"},
		{func(f *Facts) { f.Certificates[0].NotBefore = noon().Add(24 * time.Hour) }, cert, failed, "not valid yet", "clock"},
		{func(f *Facts) { f.Status.Problems = []string{"the proxy is stuck"} }, "Problems of the daemon", failed, "the proxy is stuck", "log"},
	}
}

func illNetwork() []ill {
	const failed, warning = api.CheckFailed, api.CheckWarning
	carrier, management := "Interface of 192.168.94.110", "Management address 192.168.94.101:9443"
	return []ill{
		{func(f *Facts) { f.VIPs[1].Interface = "" }, carrier, failed, "no interface", "network"},
		{func(f *Facts) { f.VIPs[1].Interface = "eth7" }, carrier, failed, "no interface eth7", "plug"},
		{func(f *Facts) { f.Machine.Links[1].Up = false }, carrier, failed, "eth0 is down", "ip link set eth0 up"},
		{func(f *Facts) { f.Machine.Links[1].Up = false }, management, failed, "down", "ip link set eth0 up"},
		{func(f *Facts) { f.Machine.Links[1].Prefixes = nil }, management, failed, "no interface has it", "node.management"},
		{func(f *Facts) { f.Machine.Links[1].Default = false }, "rp_filter of eth0", warning, "dropped", "rp_filter=2"},
		{func(f *Facts) { f.Machine.Sysctls = nil }, "rp_filter of eth0", api.CheckNotApplicable, "", ""},
		{func(f *Facts) { f.Machine.Sysctls["net.ipv4.conf.all.arp_ignore"] = "8" }, "arp_ignore of eth0", failed, "nobody finds", "arp_ignore=0"},
		{func(f *Facts) { f.Machine.Sysctls["net.ipv4.conf.eth0.arp_ignore"] = "2" }, "arp_ignore of eth0", warning, "some requests", "arp_ignore=1"},
		{func(f *Facts) { f.Machine.Sysctls = nil }, "arp_ignore of eth0", api.CheckNotApplicable, "", ""},
		{func(f *Facts) { f.Machine.Sysctls["net.ipv4.ip_local_port_range"] = "32768\t60999" }, "Local port range", warning, "Traffic (554,1935,50000-65535)", "sysctl -w"},
		{func(f *Facts) { f.Machine.Sysctls["net.ipv4.ip_local_port_range"] = "9 1" }, "Local port range", api.CheckNotApplicable, "no sense", ""},
		{func(f *Facts) { f.Machine.Sysctls["net.ipv4.ip_local_port_range"] = "x" }, "Local port range", api.CheckNotApplicable, "", ""},
		{func(f *Facts) { f.Machine.Links[2].MTU = 9000 }, "MTU", warning, "eth0 1500, eth1 9000", "same MTU"},
		{func(f *Facts) { f.Machine.Links = nil }, "MTU", api.CheckNotApplicable, "", ""},
	}
}

func illServices() []ill {
	const failed, warning = api.CheckFailed, api.CheckWarning
	vip, real1 := "VIP Traffic (192.168.94.110)", "Real server HT1 of Traffic (192.168.94.115)"
	real0 := func(f *Facts) *lb.RealStatus { return &f.Status.Services[0].Reals[0] }
	return []ill{
		{func(f *Facts) { f.Status.Services = nil }, "Virtual services", api.CheckNotApplicable, "none", ""},
		{func(f *Facts) { f.Status.Services[0].Reals = nil }, vip, failed, "no real server of 0 serves", "online"},
		{func(f *Facts) { real0(f).State = lb.Down }, vip, api.CheckOK, "1 of 2", ""},
		{func(f *Facts) { real0(f).State, real0(f).Why = lb.Down, "not reachable" }, real1, failed, "not reachable", "look"},
		{func(f *Facts) {
			real0(f).Health.Last = lb.Verdict{At: noon(), Target: "https://x/admin/status", Failed: "status 503, want 200"}
		}, real1, failed, "https://x/admin/status failed: status 503", "call"},
		{func(f *Facts) { real0(f).Admin, real0(f).Why = lb.Drain, "draining" }, real1, warning, "draining", "online"},
		{func(f *Facts) {
			real0(f).State, real0(f).Why, real0(f).Health = lb.Unchecked, "not checked yet", lb.Health{}
		}, real1, api.CheckNotApplicable, "not checked yet", ""},
		{func(f *Facts) { real0(f).MAC = "" }, real1, failed, "not resolved", "network of this node"},
		{func(f *Facts) {
			f.Status.Conflicts = []lb.ARPConflict{{VIP: addr("192.168.94.110"), MAC: "02:01", Server: "HT1", Count: 3}, {VIP: addr("192.168.94.110"), MAC: "02:02", Count: 1}}
		}, "ARP conflicts", failed, "real server HT1 (MAC 02:01) answers for 192.168.94.110, 3 times; an unknown machine", "8.2"},
		{func(f *Facts) { f.Config.Node.Management[0] = netip.MustParseAddrPort("0.0.0.0:8443") }, "Port clash", failed, "0.0.0.0:8443 of this node and Management", "node.management"},
	}
}

func illPair() []ill {
	const failed, warning = api.CheckFailed, api.CheckWarning
	return []ill{
		{func(f *Facts) { f.Config.Cluster.Paired = false }, "Pair", api.CheckNotApplicable, "no peer", ""},
		{func(f *Facts) { f.Status.Pair.PeerAlive = false }, "Link to the peer", failed, "silent", "6694"},
		{func(f *Facts) { f.Status.Pair.PeerRole = lb.Active }, "Link to the peer", failed, "both nodes are active", "exactly one"},
		{func(f *Facts) { f.Status.Pair.Role = lb.Passive }, "Link to the peer", warning, "neither node is active", "takeover"},
		{func(f *Facts) { f.Status.Pair.Paths[1].Up = false }, "Heartbeat path cross", failed, "nothing", "cable"},
		{func(f *Facts) { f.Status.Pair.Paths[1].Rejected = 7 }, "Heartbeat path cross", warning, "7 heartbeats", "secret"},
		{func(f *Facts) { f.Status.Pair.Pings[0].Up = false }, "Ping node 192.168.94.1", failed, "silent", "way"},
		{func(f *Facts) { f.Status.Pair.InSync = false }, "Replication of persistence", warning, "not in sync", "7778"},
		{func(f *Facts) { f.Config.Cluster.Replicate = false }, "Replication of persistence", api.CheckNotApplicable, "off", ""},
		{func(f *Facts) { f.Config.Cluster.Lease = false }, "Lease", warning, "off", "lease_guard"},
		{func(f *Facts) { f.Status.Pair.LeaseHeld = false }, "Lease", failed, "not renewed", "overloaded"},
		{func(f *Facts) { f.Status.Pair.LeaseHeld, f.Status.Pair.Role = false, lb.Passive }, "Lease", api.CheckOK, "not held here", ""},
		{func(f *Facts) { f.PeerClock = nil }, "Clock of the peer", api.CheckNotApplicable, "does not answer", ""},
		{func(f *Facts) { f.PeerClock = new(-2 * time.Minute) }, "Clock of the peer", warning, "2m0s apart", "time server"},
		{func(f *Facts) { f.Status.Pair.RealTime, f.Status.Pair.RealTimeNo = false, "not permitted" }, "Real-time scheduling", warning, "not permitted", "CAP_SYS_NICE"},
	}
}

func illStorage() []ill {
	return []ill{
		{func(f *Facts) { f.Storage.History = errors.New("read-only file system") }, "History of the configuration", api.CheckFailed, "read-only", "/var/lib/vosbed/history"},
		{func(f *Facts) { f.Storage.Trail = errors.New("broken at line 7") }, "Audit trail", api.CheckFailed, "line 7", "keep the files"},
		{func(f *Facts) { f.Storage.Accounts = 0 }, "Accounts", api.CheckWarning, "nobody", "lbctl passwd"},
	}
}
