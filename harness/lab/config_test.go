package lab_test

import (
	"strings"
	"testing"

	"github.com/vosbed/vosbed/appliance/config"
	"github.com/vosbed/vosbed/harness/lab"
	"github.com/vosbed/vosbed/harness/scenario"
	"github.com/vosbed/vosbed/harness/topo"
)

func TestAFreshApplianceKnowsItsNameAndAddressOnly(t *testing.T) {
	plan, err := topo.Compute(topo.HarmonicVOS())
	if err != nil {
		t.Fatal(err)
	}
	base, err := scenario.ParseOverlay("reference.yaml", config.Reference)
	if err != nil {
		t.Fatal(err)
	}
	over := scenario.Overlay{"fresh": true}
	files, err := lab.Configure(plan, base, over, nil, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"lb1": "node:\n    management:\n        - 192.168.94.10:9443\n    name: lb1\n    role: primary\n",
		"lb2": "node:\n    management:\n        - 192.168.94.11:9443\n    name: lb2\n    role: secondary\n",
	} {
		if got := string(files[name]); got != want {
			t.Errorf("%s is configured:\n%s\nwant:\n%s", name, got, want)
		}
	}
	secrets, err := lab.Secrets(plan, over, "")
	if err != nil || len(secrets) != 0 {
		t.Errorf("fresh appliances have %d secrets, %v", len(secrets), err)
	}
	one := scenario.Overlay{"fresh": []any{"lb2"}, "cluster": map[string]any{"heartbeat": "50ms"}}
	files, err = lab.Configure(plan, base, one, nil, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(files["lb1"]), "Harmonic_Traffic") || strings.Contains(string(files["lb2"]), "Harmonic_Traffic") {
		t.Errorf("lb1:\n%s\nlb2:\n%s", files["lb1"], files["lb2"])
	}
	if !strings.Contains(string(files["lb2"]), "heartbeat: 50ms") || strings.Contains(string(files["lb1"]), "fresh") {
		t.Errorf("lb1:\n%s\nlb2:\n%s", files["lb1"], files["lb2"])
	}
}
