package appliance

import (
	"strings"
	"testing"

	"github.com/vosbed/vosbed/appliance/lb"
)

// Each engine takes the pairs that it can keep apart, and says what to do about the others.
func TestEnginesAndTheLease(t *testing.T) {
	tests := []struct {
		engine, bpffs string
		cluster       lb.Cluster
		want          string
	}{
		{engine: "auto", cluster: lb.Cluster{}},
		{engine: "auto", bpffs: "/sys/fs/bpf/x", cluster: lb.Cluster{Paired: true, Lease: true}},
		{engine: "auto", cluster: lb.Cluster{Paired: true, Lease: true}, want: "--bpffs"},
		{engine: memoryEngine, cluster: lb.Cluster{Paired: true, Lease: true}},
		{engine: ipvsEngine, cluster: lb.Cluster{}},
		{engine: ipvsEngine, cluster: lb.Cluster{Paired: true}},
		{engine: ipvsEngine, bpffs: "/sys/fs/bpf/x", cluster: lb.Cluster{Paired: true, Lease: true}, want: "cluster.lease_guard"},
	}
	for _, tt := range tests {
		err := suits(Options{Dataplane: tt.engine, BPFFS: tt.bpffs}, lb.Config{Cluster: tt.cluster})
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%+v: %v", tt, err)
		}
	}
}
