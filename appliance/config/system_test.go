package config_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vosbed/vosbed/appliance/config"
	"github.com/vosbed/vosbed/appliance/lb"
)

// everything is the reference with the settings of the machine, which it explains in
// comments: nobody who tries it out shall lose the network of a machine.
func everything(t *testing.T) []byte {
	t.Helper()
	const begin, end = "  # system:\n", "\n# cluster:"
	before, rest, ok := strings.Cut(string(config.Reference), begin)
	block, after, more := strings.Cut(rest, end)
	if !ok || !more {
		t.Fatal("the reference does not explain the settings of the machine")
	}
	out := before
	for line := range strings.SplitSeq(begin+block, "\n") {
		out += strings.TrimSuffix(strings.Replace(line, "# ", "", 1), "  #") + "\n"
	}
	return []byte(out + end + after)
}

func prefixes(texts ...string) (out []netip.Prefix) {
	for _, t := range texts {
		out = append(out, netip.MustParsePrefix(t))
	}
	return out
}

func addrs(texts ...string) (out []netip.Addr) {
	for _, t := range texts {
		out = append(out, netip.MustParseAddr(t))
	}
	return out
}

func TestTheReferencesMachine(t *testing.T) {
	t.Parallel()
	want := lb.System{
		Hostname: "lb1", Domain: "example.org",
		DNS: lb.DNS{Servers: addrs("192.168.94.1", "192.168.94.2"), Search: []string{"vos.example.org"}},
		Interfaces: []lb.Interface{
			{Name: "eth0", Addrs: prefixes("192.168.94.101/24", "2001:db8:94::101/64"), MTU: 1500},
			{Name: "eth1", Addrs: prefixes("10.94.0.1/30")},
			{Name: "eth2", DHCP: true},
			{Name: "eth1.100", VLAN: lb.VLAN{Link: "eth1", ID: 100}, Addrs: prefixes("10.100.0.1/24")},
			{Name: "bond0", Bond: lb.Bond{Members: []string{"eth3", "eth4"}}, Addrs: prefixes("10.95.0.1/24")},
		},
		Routes: []lb.Route{
			{To: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("192.168.94.1")},
			{To: netip.MustParsePrefix("10.20.0.0/16"), Via: netip.MustParseAddr("192.168.94.254"), Interface: "eth0", Metric: 100},
		},
		Clock: lb.Clock{Zone: "Europe/London", Servers: []string{"0.pool.ntp.org", "1.pool.ntp.org"}},
	}
	cfg := mustParse(t, everything(t))
	if diff := cmp.Diff(want, cfg.Node.System, values()); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}
	if plain := mustParse(t, config.Reference).Node.System; !cmp.Equal(plain, lb.System{}, values()) {
		t.Errorf("the reference changes the machine: %+v", plain)
	}
	text, err := config.Encode(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if again := mustParse(t, text); !cmp.Equal(again, cfg, values()) {
		t.Errorf("after a round trip (-want +got):\n%s", cmp.Diff(cfg, again, values()))
	}
}

// TestMachineByFields: items of the lists come, change and go by the keys of a form.
func TestMachineByFields(t *testing.T) {
	t.Parallel()
	n := mustParse(t, config.Minimal).Node
	set := func(f config.Fields) {
		t.Helper()
		next, err := config.SetNode(n, f)
		if err != nil {
			t.Fatal(err)
		}
		n = next
	}
	set(config.Fields{"system.interfaces[0].name": "eth0", "system.interfaces[0].addresses": "192.168.94.101/24, 10.0.0.1/8"})
	set(config.Fields{"system.interfaces[1].name": "eth1", "system.interfaces[1].enabled": "false"})
	set(config.Fields{"system.routes[0].to": "default", "system.routes[0].via": "192.168.94.1"})
	if want := (lb.System{
		Interfaces: []lb.Interface{{Name: "eth0", Addrs: prefixes("192.168.94.101/24", "10.0.0.1/8")}, {Name: "eth1", Disabled: true}},
		Routes:     []lb.Route{{To: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("192.168.94.1")}},
	}); !cmp.Equal(n.System, want, values()) {
		t.Errorf("(-want +got):\n%s", cmp.Diff(want, n.System, values()))
	}
	set(config.Fields{"system.interfaces[0].mtu": "9000"})
	set(config.Fields{"system.interfaces[1].name": "", "system.interfaces[1].addresses": "", "system.interfaces[1].mtu": "", "system.interfaces[1].enabled": ""})
	if len(n.System.Interfaces) != 1 || n.System.Interfaces[0].MTU != 9000 {
		t.Errorf("%+v", n.System.Interfaces)
	}
	checkMistakes(t, map[string]mistake{
		"no prefix length": {func() error {
			_, err := config.SetNode(n, config.Fields{"system.interfaces[0].addresses": "192.168.94.101"})
			return err
		}, map[string]string{"system.interfaces[0].addresses": "write for example 192.168.94.101/24"}},
		"a gateway elsewhere": {func() error {
			_, err := config.SetNode(n, config.Fields{"system.routes[0].via": "172.16.0.1"})
			return err
		}, map[string]string{"system.routes[0].via": "in no network"}},
		"the interface of a route goes": {func() error {
			_, err := config.SetNode(n, config.Fields{"system.interfaces[0].enabled": "false"})
			return err
		}, map[string]string{"system.routes[0].via": "in no network of the enabled interfaces"}},
		"a mistyped setting": {func() error {
			_, err := config.SetNode(n, config.Fields{"system.hostnam": "x"})
			return err
		}, map[string]string{"system.hostnam": "did you mean \"system.hostname\""}},
		"number of the form": {func() error {
			_, err := config.SetNode(n, config.Fields{"system.routes[7].to": "10.1.0.0/16", "system.routes[7].via": "nowhere"})
			return err
		}, map[string]string{"system.routes[7].via": "not an address"}},
	})
}
