package dptest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vosbed/vosbed/appliance/internal/dataplane"
	"github.com/vosbed/vosbed/appliance/internal/plan"
	"github.com/vosbed/vosbed/appliance/lb"
)

// setTwice proves that an equal Set writes nothing, where the bench can tell, and at
// least that nothing is lost by it.
func setTwice(t *testing.T, factory Factory) {
	t.Helper()
	for _, setup := range []string{"", "maglev shared leased"} {
		w := newWorld(t, Case{Setup: setup})
		w.bench = factory(t, w.table)
		w.table.Leased = w.table.Leased && w.bench.Capabilities().Lease
		w.bench.Lease(true)
		w.apply()
		w.do("tcp S 10.0.0.1:1 > V:80 => A")
		w.apply()
		w.do("tcp A 10.0.0.1:1 > V:80 => A")
		w.do("conns A 1")
		m, ok := w.bench.(Marker)
		if !ok {
			continue
		}
		if err := m.Mark(); err != nil {
			t.Fatal(err)
		}
		w.apply()
		if still, err := m.Marked(); err != nil || !still {
			t.Errorf("%q: an equal Set wrote what it had written before (%v)", setup, err)
		}
	}
}

// oneBad proves that a service which cannot be programmed is named and left out, and
// that its address is reported as unserved, unless others serve there.
func oneBad(t *testing.T, factory Factory) {
	t.Helper()
	w := newWorld(t, Case{})
	w.bench = factory(t, w.table)
	bad := clone(w.table)
	for i, addr := range []string{VIP4, "10.77.0.120"} {
		s := w.table.Services[0]
		s.Name, s.Addr = fmt.Sprintf("a bad one %d", i), netip.MustParseAddr(addr)
		s.Ports, s.Scheduler = lb.Ports(81), lb.RoundRobin
		bad.Services = append([]plan.L4Service{s}, bad.Services...)
	}
	var some *plan.UnservedError
	for range 2 { // it goes on being an error
		err := w.bench.Set(context.Background(), clone(bad))
		if !errors.As(err, &some) || !strings.Contains(err.Error(), "a bad one 1") {
			t.Fatalf("set: %v, want an error that names the bad services", err)
		}
		if want := []netip.Addr{netip.MustParseAddr("10.77.0.120")}; !slices.Equal(some.Addrs, want) {
			t.Fatalf("unserved %v, want %v", some.Addrs, want)
		}
	}
	w.do("tcp S 10.0.0.1:1 > V:80 => A")
	w.do("tcp S 10.0.0.1:1 > V:81 => drop port_not_served")
	w.do("tcp S 10.0.0.1:1 > 10.77.0.120:81 => pass")
	w.apply()
	w.do("tcp A 10.0.0.1:1 > V:80 => A")
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

// stream proves that what an engine does with its clients is told: those that were
// there, new ones, moved ones, and the last state of each in the end.
func stream(t *testing.T, factory Factory) {
	t.Helper()
	w := newWorld(t, Case{Setup: "three"})
	w.bench = factory(t, w.table)
	s, ok := w.bench.(dataplane.Stream)
	if !ok || !w.bench.Capabilities().Stream {
		t.Skip("the engine does not declare a stream")
	}
	w.apply()
	w.do("tcp S 10.0.0.1:1 > V:80 => A")
	told := make(chan lb.PersistenceEntry, 1000)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- s.Watch(ctx, func(batch []lb.PersistenceEntry) {
			for _, e := range batch {
				told <- e
			}
		})
	}()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("watch: %v", err)
		}
	}()
	w.told(told, "10.0.0.1", "A")
	w.do("udp 10.0.0.2:1 > V:5000 => B")
	w.told(told, "10.0.0.2", "B")
	w.do("halt A")
	w.do("tcp S 10.0.0.1:2 > V:80 => C")
	w.told(told, "10.0.0.1", "C")
}

// told waits until an entry is reported of a client on a server.
func (w *world) told(from <-chan lb.PersistenceEntry, client, label string) {
	w.t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		select {
		case e := <-from:
			if e.Service == "media" && e.Client == netip.MustParseAddr(client) && e.Server == w.name(label) && e.Idle < 10*time.Second {
				return
			}
		case <-deadline:
			w.t.Fatalf("nobody was told that client %s is on %s", client, w.name(label))
		}
	}
}
