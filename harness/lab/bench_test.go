package lab_test

import (
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/vosbed/vosbed/harness/lab"
	"github.com/vosbed/vosbed/harness/observe"
	"github.com/vosbed/vosbed/harness/topo"
	"github.com/vosbed/vosbed/internal/testenv"
)

// crowd is the guide's topology with further servers, so that it has n nodes.
func crowd(n int) topo.Spec {
	spec := topo.Spec{Use: "harmonic-vos", Nodes: map[string]*topo.Node{}}
	for i := range n - 8 {
		spec.Nodes[fmt.Sprintf("X%d", i+1)] = &topo.Node{
			Kind: topo.KindSimVOS, ID: 200 + i, Links: []string{fmt.Sprintf("service:%d", 120+i)}, VIPs: []string{"traffic"},
		}
	}
	return spec
}

// BenchmarkBringUp builds labs of 12 and 100 nodes: namespaces, links, addresses,
// routes, sysctls, without their programs.
func BenchmarkBringUp(b *testing.B) {
	testenv.RequireRoot(b)
	for _, n := range []int{12, 100} {
		b.Run(fmt.Sprint(n), func(b *testing.B) { bringUp(b, n) })
	}
}

func bringUp(b *testing.B, nodes int) {
	b.Helper()
	plan, err := topo.Compute(crowd(nodes))
	if err != nil {
		b.Fatal(err)
	}
	best := time.Hour
	for b.Loop() {
		begin := time.Now()
		l, err := lab.Build(plan, lab.Options{Dir: b.TempDir(), History: observe.NewWriter(io.Discard, 0), Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			b.Fatal(err)
		}
		best = min(best, time.Since(begin))
		b.StopTimer()
		if err := l.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	// The kernel takes the lab before down in the background, under the same lock:
	// the best is what one lab alone costs.
	b.ReportMetric(b.Elapsed().Seconds()*1e3/float64(b.N*nodes), "ms/node")
	b.ReportMetric(best.Seconds()*1e3/float64(nodes), "best-ms/node")
}
