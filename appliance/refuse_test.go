package appliance

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/vosbed/vosbed/appliance/lb"
)

// TestWhatNoDHCPServerMakesOurs: addresses that are somebody's in the configuration, or of
// the network of another interface than the one that asks.
func TestWhatNoDHCPServerMakesOurs(t *testing.T) {
	t.Parallel()
	at, network := netip.MustParseAddr, netip.MustParsePrefix
	a := &Appliance{facts: &facts{}}
	a.facts.setConfig(lb.Config{
		Services: []lb.VirtualService{{Name: "web", Addr: at("10.0.0.110"), Reals: []lb.RealServer{{Name: "r1", Addr: at("10.0.0.11")}}}},
		Node: lb.Node{
			PingNodes: []netip.Addr{at("10.0.0.7")},
			System: lb.System{
				DNS: lb.DNS{Servers: []netip.Addr{at("10.9.0.53")}},
				Interfaces: []lb.Interface{
					{Name: "eth0", DHCP: true, Addrs: []netip.Prefix{network("10.0.0.2/24")}},
					{Name: "eth1", Addrs: []netip.Prefix{network("10.1.0.2/24"), network("fd00::2/64")}},
				},
				Routes: []lb.Route{{To: network("0.0.0.0/0"), Via: at("10.0.0.1")}},
			},
		},
	}, "r")
	for addr, want := range map[string]string{
		"10.0.0.110": "the VIP web",
		"10.0.0.11":  "the real server web/r1",
		"10.0.0.7":   "another machine's in the configuration",
		"10.0.0.1":   "another machine's in the configuration",
		"10.9.0.53":  "another machine's in the configuration",
		"10.0.0.2":   "a fixed address of eth0",
		"10.1.0.2":   "a fixed address of eth1",
		"10.1.0.9":   "of the network 10.1.0.0/24, which is that of eth1",
		"10.0.0.50":  "",
		"10.2.0.9":   "",
	} {
		if got := a.refuse("eth0", at(addr)); got != want {
			t.Errorf("%s: %q, want %q", addr, got, want)
		}
	}
	if got := a.refuse("eth2", at("10.0.0.50")); !strings.HasSuffix(got, "that of eth0") {
		t.Errorf("on eth2: %q", got)
	}
}
