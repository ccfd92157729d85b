package dptest

import (
	"context"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vosbed/vosbed/appliance/internal/dataplane"
	"github.com/vosbed/vosbed/appliance/lb"
)

func setTwice(t *testing.T, factory Factory) {
	t.Helper()
	w := newWorld(t, Case{})
	w.bench = factory(t, w.table)
	w.apply()
	w.do("tcp S 10.0.0.1:1 > V:80 => A")
	w.apply()
	w.do("tcp A 10.0.0.1:1 > V:80 => A")
	w.do("conns A 1")
	bad := clone(w.table)
	bad.Services[0].Scheduler = lb.RoundRobin
	if err := w.bench.Set(context.Background(), bad); err == nil {
		t.Error("an unknown scheduler was accepted")
	}
}

// importExport proves that entries travel: ages, youth, strangers.
func importExport(t *testing.T, factory Factory) {
	t.Helper()
	w := newWorld(t, Case{})
	w.bench = factory(t, w.table)
	e, ok := w.bench.(dataplane.Entries)
	if !ok || !w.bench.Capabilities().Entries {
		t.Skip("the engine does not declare entries")
	}
	w.apply()
	a, b := w.table.Services[0].Reals[0], w.table.Services[0].Reals[1]
	client := netip.MustParseAddr("10.0.0.1")
	imports := []lb.PersistenceEntry{
		{Service: "media", Client: client, Server: b.Name, Idle: 30 * time.Second},
		{Service: "media", Client: client, Server: a.Name, Idle: 50 * time.Second}, // older: loses
		{Service: "media", Client: client.Next(), Server: a.Name, Idle: 2 * time.Minute},
		{Service: "media", Client: client.Next(), Server: "nobody", Idle: 0},
		{Service: "nothing", Client: client.Next(), Server: a.Name, Idle: 0},
		{Service: "media", Client: netip.MustParseAddr("10.0.0.3"), Server: a.Name, Idle: 10 * time.Second},
	}
	if err := e.Import(context.Background(), imports); err != nil {
		t.Fatal(err)
	}
	got, err := e.Export(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(got, func(x, y lb.PersistenceEntry) int { return x.Client.Compare(y.Client) })
	want := []lb.PersistenceEntry{imports[0], imports[5]}
	near := cmp.Comparer(func(x, y time.Duration) bool { return (x - y).Abs() < 5*time.Second })
	if d := cmp.Diff(want, got, near, cmp.Comparer(func(x, y netip.Addr) bool { return x == y })); d != "" {
		t.Errorf("exported entries (-want +got):\n%s", d)
	}
	w.labels["B"] = b.Addr
	w.do("tcp A 10.0.0.1:999 > V:80 => B")
	w.do("udp 10.0.0.1:999 > V:5000 => B")
}
