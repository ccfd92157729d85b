package lab

import (
	"strings"
	"testing"

	"github.com/vosbed/vosbed/appliance/config"
	"github.com/vosbed/vosbed/appliance/lb"
	"github.com/vosbed/vosbed/harness/scenario"
	"github.com/vosbed/vosbed/harness/topo"
)

func planOf(t *testing.T, spec topo.Spec) *topo.Plan {
	t.Helper()
	plan, err := topo.Compute(spec)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

func TestInapplicable(t *testing.T) {
	t.Parallel()
	pair := topo.Spec{Use: "harmonic-vos"}
	for name, tt := range map[string]struct {
		scn  scenario.Scenario
		want []string // parts of each, in order
	}{
		"faults": {scn: scenario.Scenario{Dataplane: "auto", Steps: []scenario.Step{
			{Fault: &scenario.Fault{Kind: "kill", Target: "lb1"}}, {Heal: "kill"}, {Restart: "lb1"}, {Pair: &scenario.Pair{Takeover: "lb1"}},
		}}},
		"daemon": {scn: scenario.Scenario{Steps: []scenario.Step{
			{Trials: &scenario.Trials{Steps: []scenario.Step{{KillDaemon: "lb1"}}}},
			{Parallel: []scenario.Step{{Browser: &scenario.BrowserStep{}}}},
		}}, want: []string{"step kill-daemon", "step browser"}},
		"engine": {scn: scenario.Scenario{Dataplane: "memory"}, want: []string{"dataplane: memory"}},
		"fresh":  {scn: scenario.Scenario{Appliance: scenario.Overlay{"fresh": []any{"lb2"}}}, want: []string{"appliance: fresh: lb2"}},
	} {
		got := Inapplicable(&tt.scn, planOf(t, pair))
		if len(got) != len(tt.want) {
			t.Errorf("%s: %q", name, got)
			continue
		}
		for i, want := range tt.want {
			if !strings.HasPrefix(got[i], want) || !strings.Contains(got[i], "not applicable with this driver") {
				t.Errorf("%s: %q", name, got[i])
			}
		}
	}
}

// TestSeedsAreConfigurations: the appliance takes what its machines begin with.
func TestSeedsAreConfigurations(t *testing.T) {
	t.Parallel()
	base, err := scenario.ParseOverlay("reference.yaml", config.Reference)
	if err != nil {
		t.Fatal(err)
	}
	scn, err := scenario.Load("../../scenarios", "failover")
	if err != nil {
		t.Fatal(err)
	}
	plan := planOf(t, topo.Spec{Use: "harmonic-vos"})
	seeds, err := Seeds(plan, base, scn.Appliance, 10)
	if err != nil {
		t.Fatal(err)
	}
	for node, services := range map[string]int{"lb1": 2, "lb2": 0} {
		cfg := draftOf(t, seeds[node])
		if cfg.Node.Name != node || cfg.Cluster.Paired || len(cfg.Services) != services || len(cfg.Node.System.Interfaces) != 2 {
			t.Errorf("%s: %+v", node, cfg)
		}
	}
	if d := draftOf(t, seeds["lb1"]).Cluster.Timers.Dead; d.Seconds() != 3 {
		t.Errorf("a peer is dead after %s", d)
	}
}

func draftOf(t *testing.T, seed []byte) lb.Config {
	t.Helper()
	cfg, err := config.ParseDraft("seed", seed)
	if err != nil {
		t.Fatalf("%v\n%s", err, seed)
	}
	return cfg
}

func TestPathFields(t *testing.T) {
	t.Parallel()
	plan := planOf(t, topo.Spec{Use: "harmonic-vos"})
	got := pathFields(NodeSection(plan, plan.Node("lb1")))
	for key, want := range map[string]string{
		"heartbeat[0].name": "service", "heartbeat[0].local": "192.168.94.10:6694", "heartbeat[0].peer": "192.168.94.11:6694",
		"heartbeat[1].name": "sync", "heartbeat[1].local": "10.255.0.1:6694", "heartbeat[1].peer": "10.255.0.2:6694",
		"replication.local": "10.255.0.1:7778", "replication.peer": "10.255.0.2:7778",
	} {
		if got[key] != want {
			t.Errorf("%s is %q, not %q", key, got[key], want)
		}
	}
	if len(got) != 8 {
		t.Errorf("%v", got)
	}
}

func TestPortNames(t *testing.T) {
	t.Parallel()
	m := planOf(t, topo.Spec{Use: "harmonic-vos"}).Node("lb1")
	if a, b := portName(m.Ports[0]), portName(m.Ports[1]); a != "lb1.eth0" || b != "lb1-eth1" {
		t.Errorf("%s, %s", a, b)
	}
}
