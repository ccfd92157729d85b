package plan

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/vosbed/vosbed/appliance/lb"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func guide() lb.Config {
	return lb.Config{Services: []lb.VirtualService{
		{
			Name: "Harmonic_Traffic", Addr: addr("192.168.94.110"), Layer: lb.Layer4, Method: lb.DR,
			Ports: lb.Ports(554, 1935), Protocols: lb.TCPUDP, Check: lb.HealthCheck{Port: 8443},
			Reals: []lb.RealServer{
				{Name: "HT2", Addr: addr("192.168.94.116"), Weight: 100},
				{Name: "HT1", Addr: addr("192.168.94.115"), Weight: 100},
			},
		},
		{
			Name: "Harmonic_Management", Addr: addr("192.168.94.100"), Layer: lb.Layer7, Method: lb.Proxy,
			Ports: lb.Ports(8080, 8443), Protocols: lb.TCP,
			Reals: []lb.RealServer{{Name: "HM1", Addr: addr("192.168.94.105"), Weight: 100}},
		},
	}}
}

func segment() []Link {
	return []Link{
		{Name: "eth1", Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Default: true},
		{Name: "eth0", Prefixes: []netip.Prefix{netip.MustParsePrefix("192.168.94.0/24")}},
	}
}

var (
	ht1 = lb.RealID{Service: "Harmonic_Traffic", Real: "HT1"}
	ht2 = lb.RealID{Service: "Harmonic_Traffic", Real: "HT2"}
	hm1 = lb.RealID{Service: "Harmonic_Management", Real: "HM1"}
)

func TestComputeGuide(t *testing.T) {
	p := Compute(Inputs{Config: guide(), Links: segment(), Health: map[lb.RealID]bool{ht1: true, ht2: true, hm1: true}})

	wantVIPs := []VIP{{addr("192.168.94.100"), "eth0"}, {addr("192.168.94.110"), "eth0"}}
	if diff := cmp.Diff(wantVIPs, p.VIPs, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("VIPs (-want +got)\n%s", diff)
	}
	if len(p.L4.Services) != 1 || len(p.L7.Frontends) != 1 || len(p.Probes) != 3 {
		t.Fatalf("got %d layer-4 services, %d frontends, %d probes", len(p.L4.Services), len(p.L7.Frontends), len(p.Probes))
	}
	if got := p.L4.Services[0].Reals[0].Name; got != "HT1" {
		t.Errorf("first real server %q: reals are sorted by name", got)
	}
	if len(p.L4.OtherVIPs) != 1 || p.L4.OtherVIPs[0].Addr != addr("192.168.94.100") {
		t.Errorf("the layer-7 VIP is guarded too: got %v", p.L4.OtherVIPs)
	}
	if p.L4.Leased {
		t.Error("a node without a peer needs no lease")
	}
}

func TestDecisions(t *testing.T) {
	now := time.Date(2026, 11, 23, 18, 0, 0, 0, time.UTC)
	later, before := now.Add(time.Minute), now.Add(-time.Second)
	up, down := map[lb.RealID]bool{ht1: true}, map[lb.RealID]bool{ht1: false}
	tests := []struct {
		name   string
		health map[lb.RealID]bool
		over   lb.Override
		want   lb.ServeState
		wake   time.Time
	}{
		{"no verdict yet", nil, lb.Override{}, lb.Unchecked, time.Time{}},
		{"healthy serves", up, lb.Override{}, lb.Serving, time.Time{}},
		{"failing is down", down, lb.Override{}, lb.Down, time.Time{}},
		{"halt beats healthy", up, lb.Override{State: lb.Halt}, lb.Halted, time.Time{}},
		{"drain keeps a healthy server draining", up, lb.Override{State: lb.Drain}, lb.Draining, time.Time{}},
		{"drain needs no verdict", nil, lb.Override{State: lb.Drain, Deadline: later}, lb.Draining, later},
		{"drain of a failed server is down", down, lb.Override{State: lb.Drain}, lb.Down, time.Time{}},
		{"deadline to come wakes", up, lb.Override{State: lb.Drain, Deadline: later}, lb.Draining, later},
		{"deadline passed halts", up, lb.Override{State: lb.Drain, Deadline: before}, lb.Halted, time.Time{}},
		{"deadline now halts", up, lb.Override{State: lb.Drain, Deadline: now}, lb.Halted, time.Time{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := Compute(Inputs{
				Config: guide(), Links: segment(), Health: tt.health, Now: now,
				Overrides: map[lb.RealID]lb.Override{ht1: tt.over},
			})
			if got := p.Reals[ht1].State; got != tt.want {
				t.Errorf("state %v, want %v", got, tt.want)
			}
			if got := p.L4.Services[0].Reals[0].State; got != tt.want {
				t.Errorf("the engine is told %v, want %v", got, tt.want)
			}
			if !p.Wake.Equal(tt.wake) {
				t.Errorf("wake %v, want %v", p.Wake, tt.wake)
			}
			if p.Reals[ht1].Why == "" {
				t.Error("a state needs its reason in words")
			}
		})
	}
}

// TestFallback: clients of layer 7 get the page exactly while no server may have them.
func TestFallback(t *testing.T) {
	page := netip.MustParseAddrPort("127.0.0.1:40000")
	hm2 := lb.RealID{Service: "Harmonic_Management", Real: "HM2"}
	halt, drain := lb.Override{State: lb.Halt}, lb.Override{State: lb.Drain}
	for name, tt := range map[string]struct {
		off    bool
		health map[lb.RealID]bool
		over   map[lb.RealID]lb.Override
		want   bool
	}{
		"all down":           {health: map[lb.RealID]bool{hm1: false, hm2: false}, want: true},
		"one up":             {health: map[lb.RealID]bool{hm1: false, hm2: true}},
		"one not known":      {health: map[lb.RealID]bool{hm1: false}},
		"nothing known yet":  {},
		"halted and down":    {health: map[lb.RealID]bool{hm1: true, hm2: false}, over: map[lb.RealID]lb.Override{hm1: halt}, want: true},
		"halted and drained": {health: map[lb.RealID]bool{hm1: true, hm2: true}, over: map[lb.RealID]lb.Override{hm1: halt, hm2: drain}},
		"both halted":        {over: map[lb.RealID]lb.Override{hm1: halt, hm2: halt}, want: true},
		"switched off":       {off: true, health: map[lb.RealID]bool{hm1: false, hm2: false}},
	} {
		cfg := guide()
		svc := &cfg.Services[1]
		svc.Reals = append(svc.Reals, lb.RealServer{Name: "HM2", Addr: addr("192.168.94.106"), Weight: 100})
		svc.Proxy.Fallback = !tt.off
		in := Inputs{Config: cfg, Links: segment(), Health: tt.health, Overrides: tt.over, Fallback: page}
		if got := Compute(in).L7.Frontends[0].Fallback; got.IsValid() != tt.want || tt.want && got != page {
			t.Errorf("%s: %v", name, got)
		}
		in.Fallback = netip.AddrPort{}
		if got := Compute(in).L7.Frontends[0].Fallback; got.IsValid() {
			t.Errorf("%s, no page: %v", name, got)
		}
	}
}

func TestInterfaceChoice(t *testing.T) {
	pfx := netip.MustParsePrefix
	tests := []struct {
		name  string
		links []Link
		want  string
	}{
		{"subnet", segment(), "eth0"},
		{"most specific subnet", []Link{
			{Name: "wide", Prefixes: []netip.Prefix{pfx("192.168.0.0/16")}},
			{Name: "narrow", Prefixes: []netip.Prefix{pfx("192.168.94.0/24")}},
		}, "narrow"},
		{"default route", []Link{{Name: "up", Default: true}}, "up"},
		{"a VIP already held is no subnet", []Link{
			{Name: "lo", Prefixes: []netip.Prefix{pfx("192.168.94.110/32")}}, {Name: "up", Default: true},
		}, "up"},
		{"none", []Link{{Name: "eth9", Prefixes: []netip.Prefix{pfx("10.0.0.0/8")}}}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := Compute(Inputs{Config: guide(), Links: tt.links})
			got := ""
			if len(p.L4.Services) > 0 {
				got = p.L4.Services[0].Interface
			}
			if got != tt.want {
				t.Errorf("interface %q, want %q", got, tt.want)
			}
			if (len(p.Problems) > 0) != (tt.want == "") {
				t.Errorf("problems: %q", p.Problems)
			}
		})
	}
}

// TestServiceInNoSubnet: nothing can carry it, so neither its service nor its address
// is in the plan, and the others are as they would be without it.
func TestServiceInNoSubnet(t *testing.T) {
	cfg := guide()
	lost := cfg.Services[0]
	lost.Name, lost.Addr = "A_Lost", addr("172.16.0.1")
	in := Inputs{Config: cfg, Links: segment()[1:]}
	want := Compute(in)
	in.Config.Services = append([]lb.VirtualService{lost}, cfg.Services...)
	got := Compute(in)
	same := cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
	for _, diff := range []string{cmp.Diff(want.L4, got.L4, same), cmp.Diff(want.VIPs, got.VIPs, same)} {
		if diff != "" {
			t.Errorf("with a service in no subnet (-without +with)\n%s", diff)
		}
	}
	if len(got.Problems) != 1 || !strings.Contains(got.Problems[0], "A_Lost") {
		t.Errorf("problems: %q", got.Problems)
	}
}

func TestLeaseOnlyInAPair(t *testing.T) {
	for _, tt := range []struct{ paired, lease, want bool }{
		{false, true, false}, {true, true, true}, {true, false, false},
	} {
		cfg := guide()
		cfg.Cluster.Paired, cfg.Cluster.Lease = tt.paired, tt.lease
		if got := Compute(Inputs{Config: cfg}).L4.Leased; got != tt.want {
			t.Errorf("paired %v, lease %v: leased %v, want %v", tt.paired, tt.lease, got, tt.want)
		}
	}
}

// TestOrderDoesNotMatter: a plan depends on what is configured, not on the order
// in which it was written.
func TestOrderDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := guide()
		in := Inputs{Config: cfg, Links: segment(), Health: map[lb.RealID]bool{ht1: rapid.Bool().Draw(t, "ht1"), hm1: true}}
		want := Compute(in)
		shuffled := cfg
		shuffled.Services = rapid.Permutation(cfg.Services).Draw(t, "services")
		for i := range shuffled.Services {
			shuffled.Services[i].Reals = rapid.Permutation(shuffled.Services[i].Reals).Draw(t, "reals")
		}
		in.Config = shuffled
		got := Compute(in)
		same := cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{})
		if diff := cmp.Diff(want.L4, got.L4, same); diff != "" {
			t.Fatalf("layer 4 (-want +got)\n%s", diff)
		}
		if diff := cmp.Diff(want.L7, got.L7, same); diff != "" {
			t.Fatalf("layer 7 (-want +got)\n%s", diff)
		}
	})
}
