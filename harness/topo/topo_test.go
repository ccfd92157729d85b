package topo_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vosbed/vosbed/harness/topo"
)

var update = flag.Bool("update", false, "write the golden files anew")

func guide(t *testing.T) *topo.Plan {
	t.Helper()
	p, err := topo.Compute(topo.Spec{Use: "harmonic-vos"})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestGuideTopologyGolden(t *testing.T) {
	got := guide(t).Text()
	const file = "testdata/harmonic-vos.txt"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("plan (-want +got):\n%s", d)
	}
}

func TestEveryMACNamesItsNode(t *testing.T) {
	p := guide(t)
	seen := map[string]bool{}
	for _, m := range p.Nodes {
		for _, port := range m.Ports {
			if got := p.Owner(port.MAC); got != m.Name {
				t.Errorf("owner of %s is %q, want %s", port.MAC, got, m.Name)
			}
			if port.Switch != "" && m.AtSwitch(port.Switch) != port {
				t.Errorf("%s: the switch's port %s is not found again", m.Name, port.Switch)
			}
			if seen[port.MAC.String()] || port.MAC[0]&3 != 2 {
				t.Errorf("%s %s: %s is not a unique, locally administered unicast address", m.Name, port.Iface, port.MAC)
			}
			seen[port.MAC.String()] = true
		}
		if m.AtSwitch("nowhere") != nil {
			t.Errorf("%s has a port nowhere", m.Name)
		}
	}
}

func TestWayBackNeverCrossesTheBalancer(t *testing.T) {
	p := guide(t)
	for _, m := range p.OfKind(topo.KindSimVOS) {
		for _, gw := range m.Gateways {
			for _, lb := range p.OfKind(topo.KindAppliance) {
				if gw == lb.Addr(4) || gw == lb.Addr(6) {
					t.Errorf("%s returns through %s", m.Name, lb.Name)
				}
			}
		}
		if len(m.Gateways) != 2 {
			t.Errorf("%s has default routers %v, want one per family", m.Name, m.Gateways)
		}
	}
}

func TestResolve(t *testing.T) {
	p := guide(t)
	for text, want := range map[string]string{
		"${vip.traffic}:554":     "192.168.94.110:554",
		"${vip6.traffic}:60000":  "[fd94::110]:60000",
		"${HT1}:8443":            "192.168.94.115:8443",
		"${lb2.ip6}:9443":        "[fd94::11]:9443",
		"192.168.94.1:80":        "192.168.94.1:80",
		"${router} and ${vip.x}": "!",
		"${nobody}":              "!",
	} {
		got, err := p.Resolve(text)
		if want == "!" && err == nil || want != "!" && got != want {
			t.Errorf("Resolve(%q) = %q, %v, want %q", text, got, err, want)
		}
	}
}

func TestClientAddresses(t *testing.T) {
	clients := guide(t).Node("clients")
	four, err := clients.Clients(4, 254, 3)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"10.94.4.255", "10.94.5.0", "10.94.5.1"}, four); d != "" {
		t.Error(d)
	}
	six, err := clients.Clients(6, 0, 2)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"fd95:0:4:1::1", "fd95:0:4:2::1"}, six); d != "" {
		t.Errorf("each IPv6 client has a /64 of its own: %s", d)
	}
	if _, err := clients.Clients(4, 0, 2000); err == nil {
		t.Error("more clients than the pool holds were accepted")
	}
}

func TestMistakes(t *testing.T) {
	net := map[string]*topo.Network{"lan": {IP4: "192.168.94.0/24"}, "wire": {IP4: "10.0.0.0/30", Direct: true}}
	for _, tt := range []struct {
		name, want string
		spec       topo.Spec
	}{
		{"library", `unknown library topology "nope"`, topo.Spec{Use: "nope"}},
		{"kind", `kind "host"`, topo.Spec{Nodes: map[string]*topo.Node{"a": {Kind: "host"}}}},
		{"link", `link "x:1"`, topo.Spec{Networks: net, Nodes: map[string]*topo.Node{"a": {Kind: "router", Links: []string{"x:1"}}}}},
		{"host", "does not fit", topo.Spec{Networks: net, Nodes: map[string]*topo.Node{"a": {Kind: "router", Links: []string{"lan:300"}}}}},
		{"twice", "already belongs to a", topo.Spec{Networks: net, Nodes: map[string]*topo.Node{"a": {Kind: "router", Links: []string{"lan:1"}}, "b": {Kind: "clients", Links: []string{"lan:1"}}}}},
		{"cable", "joins exactly two", topo.Spec{Networks: net, Nodes: map[string]*topo.Node{"a": {Kind: "router", Links: []string{"wire:1"}}}}},
		{"arp", "arp is solved or unsolved", topo.Spec{Nodes: map[string]*topo.Node{"a": {Kind: "simvos", ARP: "maybe"}}}},
		{"vip", `unknown vip "v"`, topo.Spec{Nodes: map[string]*topo.Node{"a": {Kind: "simvos", VIPs: []string{"v"}}}}},
		{"name", "at most 10 characters", topo.Spec{Nodes: map[string]*topo.Node{"averylongname": {Kind: "router"}}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := topo.Compute(tt.spec)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestMergeChangesAndDeletes(t *testing.T) {
	if _, err := topo.Compute(topo.Spec{Use: "harmonic-vos", Networks: map[string]*topo.Network{"sync": nil}}); err == nil {
		t.Error("lb1 still has a link into a network that is gone, which was accepted")
	}
	p, err := topo.Compute(topo.Spec{Use: "harmonic-vos", Nodes: map[string]*topo.Node{"lb2": nil, "lb1": {Links: []string{"service:10"}}, "HT1": {ARP: "unsolved"}}})
	if err != nil {
		t.Fatal(err)
	}
	if p.Node("lb2") != nil || p.Node("HT1").ARP != "unsolved" || p.Node("HT1").ID != 115 {
		t.Errorf("merged plan:\n%s", p.Text())
	}
}

func TestDrawingHasEveryNodeAndNoLooseWire(t *testing.T) {
	p := guide(t)
	d := p.Draw()
	boxes := map[string]bool{}
	for _, b := range d.Boxes {
		boxes[b.Name] = true
	}
	for _, m := range p.Nodes {
		if !boxes[m.Name] {
			t.Errorf("%s is not drawn", m.Name)
		}
	}
	for _, w := range d.Wires {
		if !boxes[w.From] || !boxes[w.To] {
			t.Errorf("wire %+v ends in nothing", w)
		}
	}
}
