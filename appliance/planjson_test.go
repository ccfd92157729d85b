package appliance_test

import (
	"encoding/json"
	"flag"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vosbed/vosbed/appliance"
	"github.com/vosbed/vosbed/appliance/config"
)

var update = flag.Bool("update", false, "write the expected plan anew")

// everyBranch has one of everything that a plan tells differently.
const everyBranch = `
node: {name: lb1, role: secondary}
services:
  - name: dr
    address: 192.168.94.110
    interface: svc0
    ports: "554,50000-65535"
    protocol: tcp/udp
    persistence: {kind: none}
    check: {type: negotiate, host: vos, expect: {match: contains, value: ok, status: [200, 204]}}
    real_servers: [{name: r1, address: 192.168.94.115, max_connections: 9, min_connections: 3}]
  - name: proxy
    address: 192.168.94.100
    ports: "443,8443"
    layer: 7
    scheduler: rr
    drain_persistent: true
    proxy: {max_connections: 5, idle_timeout: 1500ms}
    check: {type: ping}
    real_servers: [{name: r1, address: 192.168.94.105, port: 9443}, {name: r2, address: 192.168.94.106, weight: 0}]
  - name: unchecked
    address: 192.168.94.111
    ports: 80
    check: {type: on}
    real_servers: [{name: r1, address: 192.168.94.115}]
`

func TestPlanJSON(t *testing.T) {
	t.Parallel()
	const golden = "testdata/plan.json"
	cfg, err := config.Parse("test.yaml", []byte(everyBranch))
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.MarshalIndent(appliance.PlanJSON(cfg), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	if *update {
		if err = os.WriteFile(golden, got, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Fatalf("plan (-want +got):\n%s", diff)
	}
}

// TestPlanJSONHasNoNulls: a reader may go through every list, empty or not.
func TestPlanJSONHasNoNulls(t *testing.T) {
	t.Parallel()
	cfg, err := config.Parse("test.yaml", []byte("node: {name: lb1}\n"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(appliance.PlanJSON(cfg))
	want := `{"node":"lb1","configured_role":"primary","leased":false,"addresses":[],"listeners":[],"services":[],"checks":[]}`
	if err != nil || string(got) != want {
		t.Fatalf("got %s, %v, want %s", got, err, want)
	}
}
