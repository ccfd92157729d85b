package memory_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vosbed/vosbed/appliance/internal/dataplane/dptest"
	"github.com/vosbed/vosbed/appliance/internal/dataplane/memory"
	"github.com/vosbed/vosbed/appliance/internal/plan"
	"github.com/vosbed/vosbed/appliance/lb"
)

func TestConformance(t *testing.T) {
	dptest.Run(t, func(*testing.T, plan.L4Table) dptest.Bench { return dptest.NewModel() })
}

func TestDump(t *testing.T) {
	table := dptest.Table(dptest.Case{Setup: "maglev leased"})
	table.Services[0].Reals[1].State = lb.Draining
	table.Services[0].Reals[0].MaxConns = 100
	var b strings.Builder
	if err := memory.Dump(&b, table); err != nil {
		t.Fatal(err)
	}
	const want = `lease guards the addresses
service media: 10.77.0.100 tcp/udp ports 80,5000-6000 (1002) on eth0
  schedule maglev, persistence source-ip /32 /64 for 1m0s
  server s105 10.77.0.105 weight 100 serving, new clients 100.0 %, at most 100 connections (again from 99)
  server s106 10.77.0.106 weight 100 draining, new clients 0.0 %
address 10.77.0.110 on eth0: guarded, served by layer 7
`
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Errorf("dump (-want +got):\n%s", d)
	}
}
