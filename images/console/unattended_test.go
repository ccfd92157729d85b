package console_test

import (
	"strings"
	"testing"

	"github.com/vosbed/vosbed/appliance/config"
	"github.com/vosbed/vosbed/appliance/lb"
	"github.com/vosbed/vosbed/images/console"
	"github.com/vosbed/vosbed/images/ovfenv"
)

func TestUnattended(t *testing.T) {
	cards := []console.Card{{Name: "eth0"}, {Name: "eth1"}}
	cfg, err := console.Unattended(lb.Config{Node: lb.Node{Name: "lb"}}, cards, map[string]string{
		ovfenv.Hostname: "lb1", ovfenv.Address: "10.0.0.5/24", ovfenv.Gateway: "10.0.0.1", ovfenv.DNS: "10.0.0.2",
	})
	if err != nil {
		t.Fatal(err)
	}
	tagged, err := console.Unattended(lb.Config{Node: lb.Node{Name: "lb"}}, cards, map[string]string{ovfenv.VLAN: "100", ovfenv.Address: "10.0.0.5/24"})
	if all := tagged.Node.System.Interfaces; err != nil || len(all) != 2 || all[0].Name != "eth0" || all[1].VLAN != (lb.VLAN{Link: "eth0", ID: 100}) || len(all[1].Addrs) != 1 {
		t.Errorf("%+v, %v", all, err)
	}
	leased, err := console.Unattended(lb.Config{Node: lb.Node{Name: "lb"}}, cards, map[string]string{ovfenv.Address: "dhcp"})
	if n := leased.Node; err != nil || len(n.ManagementDHCP) != 1 || !n.System.Interfaces[0].DHCP {
		t.Errorf("%+v, %v", n, err)
	}
	sys := cfg.Node.System
	if sys.Hostname != "lb1" || sys.Interfaces[0].Name != "eth0" || len(sys.Routes) != 1 || cfg.Node.Management[0].Port() != config.ManagementPort {
		t.Errorf("%+v", cfg.Node)
	}
}

func TestUnattendedMistakes(t *testing.T) {
	cards := []console.Card{{Name: "eth0"}}
	_, err := console.Unattended(lb.Config{}, cards, map[string]string{ovfenv.Hostname: "-", ovfenv.DNS: "x", ovfenv.VLAN: "0", ovfenv.Gateway: "10.0.0.1"})
	for _, want := range []string{"hostname: ", "dns: ", "vlan: ", "gateway: ", "address: "} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not told: %v", want, err)
		}
	}
	if _, err := console.Unattended(lb.Config{}, nil, nil); err == nil {
		t.Error("a machine without network cards was set up")
	}
}
