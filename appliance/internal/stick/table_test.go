package stick

import (
	stdcmp "cmp"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vosbed/vosbed/appliance/internal/dataplane"
	"github.com/vosbed/vosbed/appliance/lb"
)

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func at(d time.Duration) time.Time { return epoch.Add(d) }

func ip(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}) }

// to chooses a server; none chooses nothing.
func to(server string) func() (string, bool) {
	return func() (string, bool) { return server, true }
}

func none() (string, bool) { return "", false }

// compareEntries makes netip.Addr comparable for cmp.
func compareEntries(t *testing.T, what string, want, got []lb.PersistenceEntry) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestReserve(t *testing.T) {
	table := New(Options{})
	table.SetTimeouts(map[string]time.Duration{"a": time.Minute})
	steps := []struct {
		name    string
		at      time.Duration
		service string
		choose  func() (string, bool)
		server  string
		existed bool
		ok      bool
	}{
		{"no server", 0, "a", none, "", false, false},
		{"first", 0, "a", to("s1"), "s1", false, true},
		{"again", 59 * time.Second, "a", to("s2"), "s1", true, true},
		{"refreshed by use", 118 * time.Second, "a", to("s2"), "s1", true, true},
		{"another service", 118 * time.Second, "b", to("s2"), "s2", false, true},
		{"expired", 178 * time.Second, "a", to("s3"), "s3", false, true},
		{"default timeout is longer", 178 * time.Second, "b", to("s3"), "s2", true, true},
	}
	for _, s := range steps {
		server, existed, ok := table.Reserve(at(s.at), s.service, ip(1), s.choose)
		if server != s.server || existed != s.existed || ok != s.ok {
			t.Errorf("%s: Reserve = %q, %v, %v, want %q, %v, %v", s.name, server, existed, ok, s.server, s.existed, s.ok)
		}
	}
	if got := table.Stats(); got.Expired != 1 || got.Entries != 2 {
		t.Errorf("stats = %+v, want 1 expired, 2 entries", got)
	}
}

func TestParallelReservationsAgree(t *testing.T) {
	table := New(Options{})
	var wg sync.WaitGroup
	got := make([]string, 100)
	for i := range got {
		wg.Go(func() { got[i], _, _ = table.Reserve(epoch, "a", ip(1), to(fmt.Sprint("s", i))) })
	}
	wg.Wait()
	for _, s := range got {
		if s != got[0] {
			t.Fatalf("one client was sent to %s and to %s", got[0], s)
		}
	}
}

func TestMove(t *testing.T) {
	table := New(Options{})
	table.Reserve(epoch, "a", ip(1), to("s1"))
	if server, existed, ok := table.Move(epoch, "a", ip(1), "s1", none); ok || existed {
		t.Errorf("Move without a server = %q, %v, %v", server, existed, ok)
	}
	if server, existed, ok := table.Move(epoch, "a", ip(1), "s1", to("s2")); server != "s2" || existed || !ok {
		t.Errorf("Move = %q, %v, %v, want s2", server, existed, ok)
	}
	// A second connection that failed on s1 comes late: the first one's choice stands.
	if server, existed, ok := table.Move(epoch, "a", ip(1), "s1", to("s3")); server != "s2" || !existed || !ok {
		t.Errorf("late Move = %q, %v, %v, want the standing s2", server, existed, ok)
	}
	if table.Drop("a", ip(1), "s1") {
		t.Error("Drop of a server that the entry no longer names")
	}
	if table.Touch(epoch, "a", ip(1), "s1") {
		t.Error("Touch of a server that the entry no longer names")
	}
	if !table.Touch(epoch, "a", ip(1), "s2") || !table.Drop("a", ip(1), "s2") || table.Drop("a", ip(1), "s2") {
		t.Error("Touch and Drop of the entry's own server")
	}
	if server, _, ok := table.Move(epoch, "a", ip(1), "s2", to("s4")); server != "s4" || !ok {
		t.Errorf("Move of a client without an entry = %q, %v, want s4", server, ok)
	}
}

func TestEvictionTakesTheLeastRecentlyUsed(t *testing.T) {
	table := New(Options{Capacity: 3})
	for i := range 3 {
		table.Reserve(at(time.Duration(i)*time.Second), "a", ip(i), to("s1"))
	}
	table.Reserve(at(5*time.Second), "a", ip(0), to("s2")) // used again
	table.Reserve(at(6*time.Second), "a", ip(3), to("s1"))
	if _, ok := table.Lookup(at(6*time.Second), "a", ip(1)); ok {
		t.Error("the least recently used entry is still there")
	}
	if s, ok := table.Lookup(at(6*time.Second), "a", ip(0)); !ok || s != "s1" {
		t.Errorf("the refreshed entry = %q, %v", s, ok)
	}
	want := Stats{Entries: 3, Capacity: 3, Evicted: 1}
	if diff := cmp.Diff(want, table.Stats()); diff != "" {
		t.Errorf("stats (-want +got):\n%s", diff)
	}
}

func TestExportAndImport(t *testing.T) {
	table := New(Options{Timeout: time.Minute})
	table.Reserve(at(0), "a", ip(1), to("s1"))
	table.Reserve(at(10*time.Second), "a", ip(2), to("s2"))
	n := table.Import(at(20*time.Second), []lb.PersistenceEntry{
		{Service: "a", Client: ip(1), Server: "s9", Idle: 30 * time.Second},            // older than ours
		{Service: "a", Client: ip(2), Server: "s3", Idle: 5 * time.Second},             // younger
		{Service: "a", Client: ip(3), Server: "s1", Idle: time.Minute},                 // expired
		{Service: "a", Client: ip(4), Server: "", Idle: 0},                             // nonsense
		{Service: "b", Client: ip(1), Server: "s4", Idle: 15 * time.Second},            // new
		{Service: "b", Client: netip.MustParseAddr("::ffff:10.0.0.9"), Server: "s5"},   // mapped
		{Service: "b", Client: netip.Addr{}, Server: "s5"},                             // nonsense
		{Service: "b", Client: ip(10), Server: "s6", Idle: -time.Second},               // ahead of its time
		{Service: "b", Client: netip.MustParseAddr("fe80::1%eth0"), Server: "s7"},      // zone
		{Service: "a", Client: ip(2), Server: "s8", Idle: 7 * time.Second},             // loses to s3
		{Service: "b", Client: netip.MustParseAddr("fd00::"), Server: "s1", Idle: 1e9}, // IPv6
	})
	if n != 7 {
		t.Errorf("took %d entries, want 7 (s8 first, then s3 over it)", n)
	}
	compareEntries(t, "entries", []lb.PersistenceEntry{
		{Service: "b", Client: ip(10), Server: "s6"},
		{Service: "b", Client: netip.MustParseAddr("fe80::1"), Server: "s7"},
		{Service: "b", Client: ip(9), Server: "s5"},
		{Service: "b", Client: netip.MustParseAddr("fd00::"), Server: "s1", Idle: time.Second},
		{Service: "a", Client: ip(2), Server: "s3", Idle: 5 * time.Second},
		{Service: "b", Client: ip(1), Server: "s4", Idle: 15 * time.Second},
		{Service: "a", Client: ip(1), Server: "s1", Idle: 20 * time.Second},
	}, table.Export(at(20*time.Second)))
}

func TestImportDoesNotPushOutYoungerEntries(t *testing.T) {
	table := New(Options{Capacity: 2})
	table.Reserve(at(10*time.Second), "a", ip(1), to("s1"))
	table.Reserve(at(11*time.Second), "a", ip(2), to("s1"))
	if n := table.Import(at(20*time.Second), []lb.PersistenceEntry{{Service: "a", Client: ip(3), Server: "s1", Idle: 15 * time.Second}}); n != 0 {
		t.Errorf("a full table took %d older entries", n)
	}
	if n := table.Import(at(20*time.Second), []lb.PersistenceEntry{{Service: "a", Client: ip(3), Server: "s1", Idle: time.Second}}); n != 1 {
		t.Errorf("a full table took %d younger entries, want 1", n)
	}
}

func TestClear(t *testing.T) {
	for _, c := range []struct {
		name string
		sel  dataplane.Selector
		want int
	}{
		{"everything", dataplane.Selector{}, 4},
		{"a service", dataplane.Selector{Service: "a"}, 2},
		{"a client", dataplane.Selector{Client: ip(1)}, 2},
		{"a mapped client", dataplane.Selector{Client: netip.AddrFrom16(ip(1).As16())}, 2},
		{"a server", dataplane.Selector{Server: "s2"}, 1},
		{"all three", dataplane.Selector{Service: "b", Client: ip(2), Server: "s2"}, 1},
		{"nothing", dataplane.Selector{Service: "b", Server: "s9"}, 0},
	} {
		table := New(Options{})
		table.Reserve(epoch, "a", ip(1), to("s1"))
		table.Reserve(epoch, "a", ip(2), to("s1"))
		table.Reserve(epoch, "b", ip(1), to("s1"))
		table.Reserve(epoch, "b", ip(2), to("s2"))
		if got := table.Clear(c.sel); got != c.want {
			t.Errorf("%s: cleared %d, want %d", c.name, got, c.want)
		}
		if got := len(table.Export(epoch)); got != 4-c.want {
			t.Errorf("%s: %d entries left, want %d", c.name, got, 4-c.want)
		}
	}
}

func TestSweep(t *testing.T) {
	table := New(Options{Timeout: time.Hour})
	table.SetTimeouts(map[string]time.Duration{"short": time.Minute})
	table.Reserve(at(0), "long", ip(1), to("s1"))
	table.Reserve(at(0), "short", ip(1), to("s1"))
	table.Reserve(at(30*time.Second), "short", ip(2), to("s1"))
	if n := table.Sweep(at(time.Minute)); n != 1 {
		t.Errorf("swept %d, want 1", n)
	}
	if n := table.Sweep(at(2 * time.Hour)); n != 2 {
		t.Errorf("swept %d, want 2", n)
	}
	if got := table.Stats(); got.Entries != 0 || got.Expired != 3 {
		t.Errorf("stats = %+v, want no entries, 3 expired", got)
	}
}

func BenchmarkReserve(b *testing.B) {
	table := New(Options{})
	for i := 0; b.Loop(); i++ {
		table.Reserve(epoch, "VIP1", ip(i%10_000), to("s1"))
	}
}

// BenchmarkReserveParallel is the case for one mutex: all processors at once.
func BenchmarkReserveParallel(b *testing.B) {
	table := New(Options{})
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			table.Reserve(epoch, "VIP1", ip(i%10_000), to("s1"))
		}
	})
}

// BenchmarkImport100k is what a node does with its peer's whole table, newest first
// as Export lists it, and in no order.
func BenchmarkImport100k(b *testing.B) {
	for _, order := range []string{"as exported", "shuffled"} {
		b.Run(order, func(b *testing.B) {
			in := aged(100_000)
			if order == "shuffled" {
				rand.New(rand.NewPCG(1, 2)).Shuffle(len(in), func(i, j int) { in[i], in[j] = in[j], in[i] })
			}
			for b.Loop() {
				New(Options{}).Import(epoch, in)
			}
		})
	}
}

// BenchmarkImportFresh is what replication does every 50 ms: a few fresh entries into
// a large table.
func BenchmarkImportFresh(b *testing.B) {
	table := New(Options{})
	table.Import(epoch, aged(500_000))
	fresh := aged(100)
	b.ResetTimer()
	for i := 0; b.Loop(); i++ {
		table.Import(epoch.Add(time.Duration(i)*time.Microsecond), fresh)
	}
}

// aged are entries of n clients, each a millisecond older than the one before.
func aged(n int) []lb.PersistenceEntry {
	out := make([]lb.PersistenceEntry, n)
	for i := range out {
		out[i] = lb.PersistenceEntry{Service: "VIP1", Client: netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), Server: "s1", Idle: time.Duration(i) * time.Millisecond}
	}
	return out
}

// TestImportKeepsTheRingSorted merges at the front, at the back and in the middle.
func TestImportKeepsTheRingSorted(t *testing.T) {
	table := New(Options{Timeout: time.Hour})
	table.Import(epoch, aged(1000))
	middle := []lb.PersistenceEntry{
		{Service: "VIP1", Client: ip(60_000), Server: "s2"},
		{Service: "VIP1", Client: ip(60_001), Server: "s2", Idle: 2 * time.Second},
		{Service: "VIP1", Client: ip(60_002), Server: "s2", Idle: 500*time.Millisecond + 1},
		{Service: "VIP1", Client: ip(60_003), Server: "s2", Idle: 10 * time.Millisecond},
	}
	if n := table.Import(epoch, middle); n != len(middle) {
		t.Errorf("took %d, want %d", n, len(middle))
	}
	got := table.Export(epoch)
	if len(got) != 1004 {
		t.Errorf("%d entries, want 1004", len(got))
	}
	if !slices.IsSortedFunc(got, func(a, b lb.PersistenceEntry) int { return stdcmp.Compare(a.Idle, b.Idle) }) {
		t.Error("the ring is not in the order of last use")
	}
}
