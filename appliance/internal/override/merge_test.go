package override

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/vosbed/vosbed/appliance/lb"
)

// store has a clock that the test moves; nil stands still at zero, so that only
// the logical part counts.
func store(tb testing.TB, node string, clock func() time.Time) *Store {
	tb.Helper()
	s, err := Open("", node)
	if err != nil {
		tb.Fatal(err)
	}
	s.now = clock
	if clock == nil {
		s.now = func() time.Time { return time.Unix(0, 0) }
	}
	return s
}

func wire(tb testing.TB, s *Store) []byte {
	tb.Helper()
	b, err := json.Marshal(s.Records())
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func set(tb testing.TB, s *Store, state lb.AdminState) {
	tb.Helper()
	if err := s.Set(ht1, lb.Override{State: state}); err != nil {
		tb.Fatal(err)
	}
}

func merge(tb testing.TB, to *Store, data []byte) bool {
	tb.Helper()
	changed, err := to.Merge(data)
	if err != nil {
		tb.Fatal(err)
	}
	return changed
}

// exchange is what a connection does first: both send all.
func exchange(tb testing.TB, a, b *Store) {
	tb.Helper()
	fromA, fromB := wire(tb, a), wire(tb, b)
	merge(tb, a, fromB)
	merge(tb, b, fromA)
}

func TestLastWordWins(t *testing.T) {
	for name, tc := range map[string]struct {
		play func(a, b *Store)
		want lb.AdminState
	}{
		"travels":              {func(a, _ *Store) { set(t, a, lb.Halt) }, lb.Halt},
		"back":                 {func(_, b *Store) { set(t, b, lb.Drain) }, lb.Drain},
		"answered":             {func(a, b *Store) { set(t, a, lb.Halt); exchange(t, a, b); set(t, b, lb.Drain) }, lb.Drain},
		"removed by the other": {func(a, b *Store) { set(t, a, lb.Halt); exchange(t, a, b); set(t, b, lb.Online) }, lb.Online},
		"while the other was away": {func(a, b *Store) {
			set(t, b, lb.Halt)
			exchange(t, a, b)
			set(t, a, lb.Online)
		}, lb.Online},
		"both at once: the greater name": {func(a, b *Store) { set(t, a, lb.Halt); set(t, b, lb.Drain) }, lb.Drain},
		"both at once: more words":       {func(a, b *Store) { set(t, a, lb.Drain); set(t, a, lb.Halt); set(t, b, lb.Drain) }, lb.Halt},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := store(t, "lb1", nil), store(t, "lb2", nil)
			tc.play(a, b)
			exchange(t, a, b)
			for _, s := range []*Store{a, b} {
				if got := s.All()[ht1].State; got != tc.want {
					t.Errorf("%s has %v, want %v", s.node, got, tc.want)
				}
			}
		})
	}
}

// A node whose state directory was lost counts from nothing; what its operator says
// now must still win over what the peer remembers.
func TestNewNodeWinsOverOldState(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	clock := func() time.Time { return now }
	old, fresh := store(t, "lb2", clock), store(t, "lb1", clock)
	for range 50 {
		set(t, old, lb.Drain)
		set(t, old, lb.Online)
	}
	now = now.Add(time.Second)
	set(t, fresh, lb.Halt)
	exchange(t, old, fresh)
	if got := old.All()[ht1].State; got != lb.Halt {
		t.Errorf("the old state won: %v", got)
	}
	// Causality beats a clock that is far behind.
	fresh.now = func() time.Time { return time.Unix(0, 0) }
	set(t, fresh, lb.Online)
	exchange(t, old, fresh)
	if n := len(old.All()) + len(fresh.All()); n != 0 {
		t.Error("a slow clock lost the operator's answer")
	}
}

func TestMergedStateSurvivesRestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "overrides.json")
	a := store(t, "lb1", nil)
	set(t, a, lb.Halt)
	set(t, a, lb.Online)
	b, err := Open(path, "lb2")
	if err != nil {
		t.Fatal(err)
	}
	if !merge(t, b, wire(t, a)) || merge(t, b, wire(t, a)) {
		t.Error("the first merge must change something, the second nothing")
	}
	again, err := Open(path, "lb2")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(a.Records(), again.Records()); d != "" {
		t.Errorf("tombstones and counters must survive (-want +got)\n%s", d)
	}
	select {
	case <-b.Changed():
		t.Error("what came from the peer is no news to it")
	default:
	}
}

func TestMalformedMergeChangesNothing(t *testing.T) {
	good := `{"service":"s","server":"r","state":"halt","counter":1,"node":"a"}`
	for _, bad := range []string{
		`{`, `{"service":"s","server":"r","state":"halt","counter":0,"node":"a"}`,
		`{"service":"s","server":"r","state":"halt","counter":18446744073709551615,"node":"a"}`,
		`{"service":"s","server":"r","state":"sleep","counter":1,"node":"a"}`,
		`{"service":"","server":"r","state":"halt","counter":1,"node":"a"}`,
	} {
		s := store(t, "lb1", nil)
		if changed, err := s.Merge([]byte("[" + good + "," + bad + "]")); !errors.Is(err, errRecord) || changed || len(s.Records()) > 0 {
			t.Errorf("%s: changed=%t, %v", bad, changed, err)
		}
	}
}

func TestTombstonesAreBounded(t *testing.T) {
	s := store(t, "lb1", nil)
	set(t, s, lb.Halt)
	list := make([]Record, mostRecords)
	for i := range list {
		list[i] = Record{Service: "s", Server: fmt.Sprint(i), State: "online", Counter: uint64(i + 1), Node: "lb2"}
	}
	data, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	merge(t, s, data)
	if n := len(s.Records()); n != mostRecords {
		t.Errorf("%d records", n)
	}
	if s.All()[ht1].State != lb.Halt {
		t.Error("a halt was forgotten for tombstones")
	}
}

// TestConverges: whatever two nodes say, and whichever messages between them are
// delivered, twice, late, or never, one exchange at the end makes them equal, and a
// word said last by a node that knew all others is the one in force.
func TestConverges(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		nodes := []*Store{store(t, "lb1", nil), store(t, "lb2", nil)}
		var late [2][][]byte
		for range rapid.IntRange(1, 30).Draw(rt, "steps") {
			i := rapid.IntRange(0, 1).Draw(rt, "node")
			switch rapid.SampledFrom([]string{"set", "send", "receive"}).Draw(rt, "step") {
			case "set":
				id := lb.RealID{Service: "s", Real: rapid.SampledFrom([]string{"r1", "r2", "r3"}).Draw(rt, "server")}
				state := lb.AdminState(rapid.IntRange(0, 2).Draw(rt, "state"))
				if err := nodes[i].Set(id, lb.Override{State: state}); err != nil {
					rt.Fatal(err)
				}
			case "send":
				late[1-i] = append(late[1-i], wire(t, nodes[i]))
			case "receive":
				if len(late[i]) > 0 {
					merge(t, nodes[i], rapid.SampledFrom(late[i]).Draw(rt, "message"))
				}
			}
		}
		exchange(t, nodes[0], nodes[1])
		if d := cmp.Diff(nodes[0].Records(), nodes[1].Records()); d != "" {
			rt.Fatalf("not equal after an exchange\n%s", d)
		}
		last := lb.AdminState(rapid.IntRange(0, 2).Draw(rt, "last"))
		set(t, nodes[0], last)
		exchange(t, nodes[0], nodes[1])
		if got := nodes[1].All()[ht1].State; got != last {
			rt.Fatalf("the last word was %v, in force is %v", last, got)
		}
	})
}

func TestPartsCarryAll(t *testing.T) {
	a, b := store(t, "lb1", nil), store(t, "lb2", nil)
	for i := range 3*partRecords + 1 {
		if err := a.Set(lb.RealID{Service: "s", Real: fmt.Sprint(i)}, lb.Override{State: lb.Drain}); err != nil {
			t.Fatal(err)
		}
	}
	parts, err := a.Parts()
	if err != nil || len(parts) != 4 {
		t.Fatalf("%d parts, %v", len(parts), err)
	}
	for _, p := range parts {
		merge(t, b, p)
	}
	if d := cmp.Diff(a.Records(), b.Records()); d != "" {
		t.Error(d)
	}
}

func FuzzMerge(f *testing.F) {
	f.Add([]byte(`[{"service":"s","server":"r","state":"halt","counter":1,"node":"a","deadline":"2026-11-23T18:00:00Z"}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, b := store(t, "lb1", nil), store(t, "lb2", nil)
		if _, err := a.Merge(data); err != nil {
			return
		}
		merge(t, b, wire(t, a))
		if d := cmp.Diff(a.Records(), b.Records()); d != "" {
			t.Error(d)
		}
		set(t, a, lb.Halt)
	})
}
