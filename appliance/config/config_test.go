package config_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vosbed/vosbed/appliance/config"
	"github.com/vosbed/vosbed/appliance/lb"
)

// values compares plain values, addresses included.
func values() cmp.Options {
	return cmp.Options{
		cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
		cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
		cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	}
}

func mustParse(t *testing.T, text []byte) lb.Config {
	t.Helper()
	cfg, err := config.Parse("test.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func guideCheck() lb.HealthCheck {
	return lb.HealthCheck{
		Kind: lb.CheckNegotiate, Scheme: lb.HTTPS, Port: 8443, Path: "/admin/status",
		Match: lb.MatchEquals, Expect: "Healthy", Statuses: []int{200},
		Interval: 5 * time.Second, Timeout: 3 * time.Second, Fall: 2, Rise: 2, Jitter: 0.1, Fast: time.Second,
	}
}

func guideTraffic() lb.VirtualService {
	check := guideCheck()
	check.ThroughVIP = true // the default of DR services
	check.AutoPort = true
	return lb.VirtualService{
		Name: "Harmonic_Traffic", Addr: netip.MustParseAddr("192.168.94.110"),
		Ports:     lb.PortSet{{First: 554, Last: 554}, {First: 1935, Last: 1935}, {First: 50000, Last: 65535}},
		Protocols: lb.TCPUDP, Layer: lb.Layer4, Method: lb.DR, Scheduler: lb.WLC,
		Persistence: lb.Persistence{Kind: lb.PersistSourceIP, Timeout: 5 * time.Minute, Mask4: 32, Mask6: 64},
		Check:       check,
		Reals: []lb.RealServer{
			{Name: "HT1", Addr: netip.MustParseAddr("192.168.94.115"), Weight: 100},
			{Name: "HT2", Addr: netip.MustParseAddr("192.168.94.116"), Weight: 100},
		},
	}
}

func guideManagement() lb.VirtualService {
	return lb.VirtualService{
		Name: "Harmonic_Management", Addr: netip.MustParseAddr("192.168.94.100"),
		Ports:     lb.Ports(8080, 8443),
		Protocols: lb.TCP, Layer: lb.Layer7, Method: lb.Proxy, Scheduler: lb.WLC,
		Persistence: lb.Persistence{Kind: lb.PersistSourceIP, Timeout: 30 * time.Minute, Mask4: 32, Mask6: 64},
		Check:       guideCheck(),
		Proxy: lb.ProxySettings{
			MaxConns: 40000, ConnectTimeout: 4 * time.Second, IdleTimeout: 5 * time.Minute,
			FinTimeout: 30 * time.Second, Retries: 3, Fallback: true,
		},
		Reals: []lb.RealServer{
			{Name: "HM1", Addr: netip.MustParseAddr("192.168.94.105"), Weight: 100},
			{Name: "HM2", Addr: netip.MustParseAddr("192.168.94.106"), Weight: 100},
		},
	}
}

func TestReferenceIsTheGuidesDeployment(t *testing.T) {
	t.Parallel()
	want := lb.Config{
		Node: lb.Node{
			Name: "lb1", Seat: lb.Primary,
			Management: []netip.AddrPort{netip.MustParseAddrPort("192.168.94.101:9443")},
			Access: lb.Access{
				ManagementHTTP: []netip.AddrPort{netip.MustParseAddrPort("192.168.94.101:9080")},
				Fallback:       []netip.AddrPort{netip.MustParseAddrPort("192.168.94.101:9081")},
			},
			Paths: []lb.HeartbeatPath{
				{Name: "service", Local: netip.MustParseAddrPort("192.168.94.101:6694"), Peer: netip.MustParseAddrPort("192.168.94.102:6694")},
				{Name: "link", Local: netip.MustParseAddrPort("10.94.0.1:6694"), Peer: netip.MustParseAddrPort("10.94.0.2:6694")},
			},
			Replication: lb.Replication{Local: netip.MustParseAddrPort("10.94.0.1:7778"), Peer: netip.MustParseAddrPort("10.94.0.2:7778")},
			PingNodes:   []netip.Addr{netip.MustParseAddr("192.168.94.1")},
			Authentication: lb.Authentication{
				Servers: []string{"ldaps://dc1.example.org"}, Timeout: 5 * time.Second,
			},
		},
		Cluster: lb.Cluster{
			Paired: true, SecretFile: "/etc/vosbed/pair.secret",
			Timers: lb.HATimers{
				Heartbeat: 100 * time.Millisecond, Dead: 300 * time.Millisecond, Lease: 250 * time.Millisecond,
				Init: time.Second, HoldDown: 5 * time.Second,
			},
			Announce: true, Lease: true, Replicate: true,
		},
		Services: []lb.VirtualService{guideManagement(), guideTraffic()},
	}
	if diff := cmp.Diff(want, mustParse(t, config.Reference), values()); diff != "" {
		t.Fatalf("reference.yaml (-want +got):\n%s", diff)
	}
}

func TestMinimalHasEveryDefault(t *testing.T) {
	t.Parallel()
	want := lb.Config{
		Node: lb.Node{Name: "lb1", Seat: lb.Primary},
		Cluster: lb.Cluster{
			Timers: lb.HATimers{
				Heartbeat: 100 * time.Millisecond, Dead: 300 * time.Millisecond, Lease: 250 * time.Millisecond,
				Init: time.Second, HoldDown: 5 * time.Second,
			},
			Announce: true, Lease: true, Replicate: true,
		},
		Services: []lb.VirtualService{guideTraffic()},
	}
	if diff := cmp.Diff(want, mustParse(t, config.Minimal), values()); diff != "" {
		t.Fatalf("minimal.yaml (-want +got):\n%s", diff)
	}
}

func TestEncodeRoundTrip(t *testing.T) {
	t.Parallel()
	for name, text := range map[string][]byte{"reference": config.Reference, "minimal": config.Minimal} {
		cfg := mustParse(t, text)
		encoded, err := config.Encode(cfg)
		if err != nil {
			t.Fatal(err)
		}
		again, err := config.Parse(name, encoded)
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, encoded)
		}
		if diff := cmp.Diff(cfg, again, values()); diff != "" {
			t.Fatalf("%s: after a round trip (-want +got):\n%s\n%s", name, diff, encoded)
		}
		if name == "minimal" {
			t.Logf("\n%s", encoded)
		}
	}
}
